// New keys of this agency while documents are on their way (R30, PROTOCOL.md 6.8): whether we may sign, what we signed with others.
#include <algorithm>

#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

Result<void> Node::look_at_own_keys(WriteTxn& txn, Time now) {
  TRAM_TRY(own, agency_of(txn, now, config_.self));
  const bool named = !*own || !(*own)->agency.keys || (*own)->agency.keys->sig == keys_.sig->public_key();
  if (keys_in_force_ && !named) {
    log_.warning("keys.not_in_force", {{"directory", directory_.size()}});
    arrivals_.clear();
    fetches_.clear();
  }
  if (!named && !keys_are_former_) {
    TRAM_TRY(had, directory_.sig_keys(txn, config_.self));
    keys_are_former_ = std::find(had.begin(), had.end(), keys_.sig->public_key()) != had.end();
  }
  if (!keys_in_force_ && named) TRAM_OK(sign_mail_again(txn));
  keys_in_force_ = named;
  return {};
}

Result<void> Node::may_sign() const {
  if (!keys_in_force_) return fail(ErrorCode::wrong_state, "the directory names other keys for this node");
  return {};
}

Result<bool> Node::had_other_keys(ReadTxn& txn) {
  if (!looked_.renewed) {
    TRAM_TRY(had, directory_.sig_keys(txn, config_.self));
    looked_.renewed = had.size() > 1;
  }
  return *looked_.renewed;
}

Result<std::vector<SigPublic>> Node::own_keys(ReadTxn& txn, uint64_t dir_size, Time at) {
  std::vector<SigPublic> keys{keys_.sig->public_key()};
  TRAM_TRY(then, directory_.sig_key(txn, config_.self, std::min(dir_size, directory_.size()), at));
  if (then && *then != keys.front()) keys.push_back(*then);
  return keys;
}

Result<bool> Node::signed_by_us(ReadTxn& txn, uint64_t dir_size, Time at, const std::function<bool(const SigPublic&)>& with) {
  TRAM_TRY(keys, own_keys(txn, dir_size, at));
  return std::any_of(keys.begin(), keys.end(), with);
}

Result<std::optional<Bytes>> Node::signed_again(ReadTxn& txn, BytesView statement) {
  TRAM_TRY(renewed, had_other_keys(txn));
  if (!renewed) return std::optional<Bytes>{};
  auto ack = crypto::decode_ack(statement);
  auto notice = ack ? Result<crypto::Notice>(fail(ErrorCode::bad_format)) : crypto::decode_notice(statement);
  if (!ack && !notice) return fail(ErrorCode::store_corrupt, "statement");
  TRAM_TRY(keys, own_keys(txn, directory_.size(), ack ? ack->time : notice->time));
  if (keys.size() > 1) return std::optional<Bytes>{};  // of an earlier key's time
  if (ack ? crypto::verify_ack(*ack, keys.front()) : crypto::verify_notice(*notice, keys.front())) return std::optional<Bytes>{};
  return std::optional<Bytes>(ack ? crypto::encode_ack(*ack, *keys_.sig) : crypto::encode_notice(*notice, *keys_.sig));
}

Result<void> Node::sign_answer_again(WriteTxn& txn, const EnvelopeId& env_id, proto::AnswerRecord& answered) {
  TRAM_TRY(again, signed_again(txn, answered.statement));
  if (!again) return {};
  answered.statement = std::move(*again);
  return save(txn, table::answer, env_id, answered);
}

}  // namespace tram::node
