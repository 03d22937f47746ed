#include "audit/log.h"

#include <algorithm>
#include <array>

namespace tram::audit {
namespace {

constexpr Table entries_table{"log_entries"};  // u64 index -> u16 kind || u64 time_ms || salt(16) || entry
constexpr Table tiles_table{"log_tiles"};      // u64 tile -> 256 leaf hashes
constexpr Table head_table{"log_head"};        // "head" -> encode_frontier
constexpr std::array all_tables{entries_table, tiles_table, head_table};

constexpr uint64_t tile_hashes = 256;
constexpr size_t entry_page_rows = 128;

Bytes number_key(uint64_t number) {
  Bytes key;
  Writer(key).u64(number);
  return key;
}

Result<LogEntry> decode_row(BytesView row) {
  Reader reader(row);
  LogEntry entry;
  entry.kind = static_cast<LeafKind>(reader.u16());
  entry.time = Time{static_cast<int64_t>(reader.u64())};
  entry.salt = reader.array<16>();
  entry.entry = to_bytes(reader.raw(reader.left()));
  if (!reader.finish()) return fail(ErrorCode::store_corrupt, "log entry");
  return entry;
}

Hash leaf_of(uint64_t index, const LogEntry& entry) {
  return crypto::merkle_leaf(
      crypto::log_leaf_data(static_cast<uint16_t>(entry.kind), index, entry.time, entry.salt, entry.entry));
}

/// Leaf hashes of entries [from, until), which all exist.
Result<void> append_from_entries(ReadTxn& txn, uint64_t from, uint64_t until, std::vector<Hash>& out) {
  for (uint64_t next = from; next < until;) {
    TRAM_TRY(rows, txn.scan(entries_table, number_key(next), number_key(until), entry_page_rows));
    if (rows.empty()) return fail(ErrorCode::store_corrupt, "log entry missing");
    for (const Row& row : rows) {
      if (row.key != number_key(next)) return fail(ErrorCode::store_corrupt, "log entry missing");
      TRAM_TRY(entry, decode_row(row.value));
      out.push_back(leaf_of(next, entry));
      ++next;
    }
  }
  return {};
}

Result<std::optional<Bytes>> stored_head(ReadTxn& txn) { return txn.get(head_table, view("head")); }

}  // namespace

std::span<const Table> tables() { return all_tables; }

Result<void> Log::load(ReadTxn& txn) {
  TRAM_TRY(head, stored_head(txn));
  crypto::Frontier frontier;
  if (head) {
    auto decoded = crypto::decode_frontier(*head);
    if (!decoded) return fail(ErrorCode::store_corrupt, "log head");
    frontier = std::move(*decoded);
  }
  // A leaf beyond the head would be overwritten by the next append: such a store was not written by store_head().
  TRAM_TRY(beyond, txn.get(entries_table, number_key(frontier.size)));
  if (beyond) return fail(ErrorCode::store_corrupt, "log entries beyond the head");
  std::vector<Hash> tile;
  TRAM_OK(append_from_entries(txn, frontier.size - frontier.size % tile_hashes, frontier.size, tile));
  frontier_ = std::move(frontier);
  tile_ = std::move(tile);
  dirty_ = false;
  return {};
}

Result<uint64_t> Log::append(WriteTxn& txn, LeafKind kind, Time now, BytesView entry, Random& random) {
  LogEntry leaf{kind, now, {}, to_bytes(entry)};
  random.fill(leaf.salt);
  const uint64_t index = frontier_.size;
  Bytes row;
  Writer(row).u16(static_cast<uint16_t>(kind)).u64(now.wire()).raw(leaf.salt).raw(entry);
  TRAM_OK(txn.put(entries_table, number_key(index), row));
  const Hash hash = leaf_of(index, leaf);
  if (tile_.size() + 1 == tile_hashes) {
    Bytes hashes;
    hashes.reserve(tile_hashes * Hash::size);
    for (const Hash& earlier : tile_) Writer(hashes).raw(earlier.view());
    Writer(hashes).raw(hash.view());
    TRAM_OK(txn.put(tiles_table, number_key(index / tile_hashes), hashes));
    tile_.clear();
  } else {
    tile_.push_back(hash);
  }
  frontier_.append(hash);
  dirty_ = true;
  return index;
}

Result<void> Log::store_head(WriteTxn& txn) {
  if (!dirty_) return {};
  TRAM_OK(txn.put(head_table, view("head"), crypto::encode_frontier(frontier_)));
  dirty_ = false;
  return {};
}

Result<std::optional<LogEntry>> read_entry(ReadTxn& txn, uint64_t index) {
  TRAM_TRY(row, txn.get(entries_table, number_key(index)));
  if (!row) return std::optional<LogEntry>{};
  TRAM_TRY(entry, decode_row(*row));
  return std::optional<LogEntry>(std::move(entry));
}

Result<std::vector<Hash>> leaf_hashes(ReadTxn& txn, uint64_t from, uint64_t until) {
  TRAM_TRY(head, stored_head(txn));
  uint64_t size = 0;
  if (head) {
    TRAM_TRY(frontier, crypto::decode_frontier(*head));
    size = frontier.size;
  }
  if (from > until || until > size) return fail(ErrorCode::bad_request, "log range");
  std::vector<Hash> out;
  out.reserve(until - from);
  for (uint64_t next = from; next < until;) {
    const uint64_t tile = next / tile_hashes;
    const uint64_t tile_end = std::min((tile + 1) * tile_hashes, until);
    TRAM_TRY(row, txn.get(tiles_table, number_key(tile)));
    if (!row) {
      TRAM_OK(append_from_entries(txn, next, tile_end, out));
      next = tile_end;
      continue;
    }
    if (row->size() != tile_hashes * Hash::size) return fail(ErrorCode::store_corrupt, "log tile");
    for (; next < tile_end; ++next)
      out.push_back(*Hash::from(BytesView(*row).subspan(next % tile_hashes * Hash::size, Hash::size)));
  }
  return out;
}

}  // namespace tram::audit
