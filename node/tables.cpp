#include "node/tables.h"

#include "audit/log.h"
#include "directory/directory.h"

namespace tram::node::table {

std::span<const Table> all() {
  static const std::vector<Table> tables = [] {
    std::vector<Table> list{self, outgoing, sealing, outgoing_by_doc, item, todo, undeliverable, envelope, open_envelope,
                            custody, channel_out, pending, timer, body_inline, incoming, incoming_by_doc, incoming_held, skipped,
                            channel_in, answer, receipt, to_post, early_recall, mail_out, recover_mail,
                            redeliver, peer_life, head_in, backed_up, peer_backup, mail_seen, number_seen, counter,
                            register_number, kx_private, broker_state, upload, idempotency, token, scrub, damaged, attempt, quarantine};
    for (const Table& t : directory::tables()) list.push_back(t);
    for (const Table& t : audit::tables()) list.push_back(t);
    return list;
  }();
  return tables;
}

}  // namespace tram::node::table
