// KX feeds: the daily encryption keys that agencies publish, outside the log (R25, 3.8).
#include <algorithm>

#include "base/limits.h"
#include "crypto/keys.h"
#include "directory/rules.h"
#include "directory/signing.h"

namespace tram::directory {
namespace {

Result<void> check_epochs(const std::vector<proto::KxEpoch>& epochs) {
  if (epochs.empty() || epochs.size() > limits::kx_epochs_per_feed_max)
    return fail(ErrorCode::bad_request, "a feed holds 1..16 epochs");
  for (size_t i = 0; i < epochs.size(); ++i) {
    if (i && epochs[i].number <= epochs[i - 1].number) return fail(ErrorCode::bad_request, "epochs must rise");
    if (epochs[i].not_before.ms < 0 || epochs[i].not_after <= epochs[i].not_before || epochs[i].key.is_zero())
      return fail(ErrorCode::bad_request, "an epoch is empty");
  }
  return {};
}

/// A row: the SIG key that the feed was verified with (32 bytes), then the feed. The store vouches for its values.
struct KeptFeed {
  SigPublic signer;
  Bytes feed;
};

Result<std::optional<KeptFeed>> kept_feed(ReadTxn& txn, const PartyId& agency_id) {
  TRAM_TRY(row, txn.get(rows::kx, agency_id));
  if (!row) return std::optional<KeptFeed>{};
  if (row->size() < SigPublic::size) return fail(ErrorCode::store_corrupt, "kx feed");
  KeptFeed kept;
  std::copy_n(row->begin(), SigPublic::size, kept.signer.bytes.begin());
  kept.feed.assign(row->begin() + SigPublic::size, row->end());
  return std::optional<KeptFeed>(std::move(kept));
}

}  // namespace

Result<bool> Directory::store_kx_feed(WriteTxn& txn, BytesView bytes, Time now) const {
  if (bytes.size() > limits::kx_feed_bytes_max) return fail(ErrorCode::too_large, "feed");
  TRAM_TRY(feed, proto::decode_kx_feed(bytes));
  TRAM_TRY(payload, proto::decode_kx_feed_payload(feed.payload));
  if (payload.realm != realm_) return fail(ErrorCode::wrong_realm, "feed");
  TRAM_TRY(state, agency(txn, payload.agency, now));
  if (!state) return fail(ErrorCode::unknown_agency, "feed of " + payload.agency.hex());
  if (!state->agency.keys) return fail(ErrorCode::no_node, "feed of " + payload.agency.hex());
  if (!crypto::verify(state->agency.keys->sig, "edx1/kxfeed", kx_feed_hash(feed.payload), feed.signature))
    return fail(ErrorCode::bad_signature, "feed of " + payload.agency.hex());
  TRAM_OK(check_epochs(payload.epochs));
  TRAM_TRY(held, kept_feed(txn, payload.agency));
  // What an earlier key signed gives way: whoever stole that key cannot block the number.
  if (held && held->signer == state->agency.keys->sig) {
    TRAM_TRY(held_feed, proto::decode_kx_feed(held->feed));
    TRAM_TRY(held_payload, proto::decode_kx_feed_payload(held_feed.payload));
    if (payload.number <= held_payload.number) return false;
  }
  Bytes row;
  Writer(row).raw(state->agency.keys->sig.view()).raw(bytes);
  TRAM_OK(txn.put(rows::kx, payload.agency, row));
  return true;
}

Result<std::optional<Bytes>> Directory::kx_feed(ReadTxn& txn, const PartyId& agency_id) const {
  TRAM_TRY(held, kept_feed(txn, agency_id));
  if (!held) return std::optional<Bytes>{};
  return std::optional<Bytes>(std::move(held->feed));
}

Result<std::optional<proto::KxEpoch>> Directory::kx_epoch(ReadTxn& txn, const PartyId& agency_id, Time now) const {
  TRAM_TRY(held, kept_feed(txn, agency_id));
  if (!held) return std::optional<proto::KxEpoch>{};
  // A feed that an agency's earlier key signed is not used once the key has changed.
  TRAM_TRY(sig, sig_key(txn, agency_id, held_.size, now));
  if (!sig || *sig != held->signer) return std::optional<proto::KxEpoch>{};
  TRAM_TRY(feed, proto::decode_kx_feed(held->feed));
  TRAM_TRY(payload, proto::decode_kx_feed_payload(feed.payload));
  for (auto it = payload.epochs.rbegin(); it != payload.epochs.rend(); ++it)
    if (it->not_before <= now && now < it->not_after) return std::optional<proto::KxEpoch>(std::move(*it));
  return std::optional<proto::KxEpoch>{};
}

}  // namespace tram::directory
