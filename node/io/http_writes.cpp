#include "node/io/http_writes.h"

namespace tram::node {

Writes take_unanswered(Writes& writes, size_t handled, const PendingWrite* culprit, const Error& failure) {
  Writes again, answered;
  for (size_t i = 0; i < writes.size(); ++i) {
    PendingWrite& write = *writes[i];
    // What the commit refused is refused. The rest has no answer yet: it was not reached, or saw what is undone now.
    const bool refused = !culprit && i < handled && write.response.status < 400;
    const bool own_answer = &write == culprit;
    if (!own_answer && (refused || ++write.attempts >= write_attempts_max))
      write.response = api::problem(failure, write.request);
    else if (!own_answer) {
      again.push_back(std::move(writes[i]));
      continue;
    }
    answered.push_back(std::move(writes[i]));
  }
  writes = std::move(answered);
  return again;
}

}  // namespace tram::node
