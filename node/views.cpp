// What the node's view of the directory allows: its freshness, and views of others that contradict it (R27, R28).
#include "audit/views.h"

#include "node/node.h"

namespace tram::node {

namespace {
constexpr size_t roots_kept_max = 64;
}

Result<void> Node::on_views(WriteTxn& txn, Time now, std::span<const Bytes> notes, Effects& effects) {
  const auto before = freshness(now);
  TRAM_OK(views_.take(txn, now, notes));
  if (before < audit::Freshness::no_new_keys || freshness(now) >= before) return {};
  log_.info("directory.confirmed", {{"size", directory_.size()}});
  kx_ask_after_ = {};  // what waited for this goes on
  return kick_all_channels(txn, now, effects);
}

/// Whether what another party signed names the directory that we hold, as far as we hold it. What does not is evidence
/// against that party alone: no witness stands behind it.
Result<bool> Node::same_view(WriteTxn& txn, Time now, const PartyId& by, uint64_t dir_size, const Hash& dir_root, BytesView object) {
  if (dir_size > directory_.size()) return true;  // not to be told yet
  auto root = roots_.find(dir_size);
  if (root == roots_.end()) {
    TRAM_TRY(found, directory_.root_at(txn, dir_size));
    if (roots_.size() >= roots_kept_max) roots_.clear();
    root = roots_.emplace(dir_size, found.value_or(Hash{})).first;
  }
  if (dir_size != 0 && root->second == dir_root) return true;
  log_.error("view.differs", {{"party", by}, {"size", dir_size}});
  TRAM_TRY(fresh, audit::keep_view_conflict(txn, {audit::ViewConflict::Kind::agency, by, now, dir_size, to_bytes(object)}));
  static_cast<void>(fresh);
  return false;
}

Result<bool> Node::may_send_confidential(ReadTxn& txn, Time now, const PartyId& recipient) const {
  if (freshness(now) >= audit::Freshness::no_new_keys) return false;
  TRAM_TRY(differs, audit::conflicts_with(txn, audit::ViewConflict::Kind::agency, recipient));
  if (differs) return false;
  TRAM_TRY(conflicts, audit::view_conflicts(txn));
  return !audit::is_split(directory_, now, conflicts);
}

}  // namespace tram::node
