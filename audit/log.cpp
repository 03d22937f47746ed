#include "audit/log.h"

#include <algorithm>
#include <array>

#include "audit/own_log.h"
#include "audit/tree.h"
#include "audit/views.h"
#include "audit/witness.h"
#include "base/check.h"

namespace tram::audit {
namespace {

// A row's number is u16 generation || 48 bits: what an older generation had stays where it is.
// u64 number of the first -> entries in a row: u16 length || u16 kind || u64 time_ms || salt(16) || entry
constexpr Table entries_table{"log_entries"};
constexpr Table tiles_table{"log_tiles"};      // u64 number of tile -> its leaf hashes: all 256, or the first few
constexpr Table nodes_table{"log_nodes"};      // u64 number of 0 || u8 level || u64 index -> root of a subtree
constexpr Table head_table{"log_head"};        // "head" -> encode_frontier; "generation" -> u32
const std::vector<Table>& all_tables() {
  static const std::vector<Table> tables{entries_table,      tiles_table,         nodes_table,        head_table,
                                         own_log_table,      witness_log_table,   witness_tile_table, witness_node_table,
                                         log_seen_table,     evidence_table,     view_table,         view_conflict_table};
  return tables;
}

constexpr size_t entry_page_rows = 32;
constexpr size_t entry_row_bytes_max = 4000;  // coded, a page of the store
constexpr size_t entry_head_bytes = 2 + 8 + 16;
constexpr size_t entry_bytes_max = 0xffff;
constexpr int generation_shift = 48;
constexpr uint64_t index_max = (uint64_t{1} << generation_shift) - 1;
constexpr uint32_t generation_max = 0xffff;
constexpr uint32_t first_generation_max = 0x7fff;

Bytes number_key(uint32_t generation, uint64_t index) {
  Bytes key;
  Writer(key).u64(uint64_t{generation} << generation_shift | index);
  return key;
}

uint64_t index_of(BytesView key) { return Reader(key).u64() & index_max; }

void write_entry(Bytes& row, const LogEntry& entry) {
  Writer(row)
      .u16(static_cast<uint16_t>(entry_head_bytes + entry.entry.size()))
      .u16(static_cast<uint16_t>(entry.kind))
      .u64(entry.time.wire())
      .raw(entry.salt)
      .raw(entry.entry);
}

Result<LogEntry> decode_entry(BytesView bytes) {
  Reader reader(bytes);
  LogEntry entry;
  entry.kind = static_cast<LeafKind>(reader.u16());
  entry.time = Time{static_cast<int64_t>(reader.u64())};
  entry.salt = reader.array<16>();
  entry.entry = to_bytes(reader.raw(reader.left()));
  if (!reader.finish()) return fail(ErrorCode::store_corrupt, "log entry");
  return entry;
}

/// The entries of a row, at least one.
Result<std::vector<LogEntry>> decode_row(BytesView row) {
  std::vector<LogEntry> entries;
  Reader reader(row);
  while (reader.left() > 0) {
    const size_t length = reader.u16();
    TRAM_TRY(entry, decode_entry(reader.raw(length)));
    entries.push_back(std::move(entry));
  }
  if (entries.empty() || !reader.ok()) return fail(ErrorCode::store_corrupt, "log entries");
  return entries;
}

/// The last row that begins at or before `index`: the one with the entry, if there is one. Nothing when there is none.
Result<std::optional<Row>> row_with(ReadTxn& txn, uint32_t generation, uint64_t index) {
  // The end of a scan is not in it.
  const Bytes end = index < index_max ? number_key(generation, index + 1) : prefix_end(BytesView(number_key(generation, 0)).first(2));
  TRAM_TRY(rows, txn.scan(entries_table, number_key(generation, 0), end, 1, Direction::backward));
  if (rows.empty()) return std::optional<Row>{};
  return std::optional<Row>(std::move(rows.front()));
}

Hash leaf_of(uint64_t index, const LogEntry& entry) {
  return crypto::merkle_leaf(
      crypto::log_leaf_data(static_cast<uint16_t>(entry.kind), index, entry.time, entry.salt, entry.entry));
}

/// Leaf hashes of entries [from, until), which all exist.
Result<void> append_from_entries(ReadTxn& txn, uint32_t generation, uint64_t from, uint64_t until,
                                 std::vector<Hash>& out) {
  if (from >= until) return {};
  TRAM_TRY(holds, row_with(txn, generation, from));
  if (!holds) return fail(ErrorCode::store_corrupt, "log entry missing");
  Bytes first = std::move(holds->key);
  for (uint64_t next = from; next < until;) {
    TRAM_TRY(rows, txn.scan(entries_table, first, number_key(generation, until), entry_page_rows));
    const uint64_t before = next;
    for (const Row& row : rows) {
      uint64_t index = index_of(row.key);
      if (index > next) return fail(ErrorCode::store_corrupt, "log entry missing");
      TRAM_TRY(entries, decode_row(row.value));
      for (auto entry = entries.begin(); entry != entries.end() && next < until; ++entry, ++index)
        if (index == next) out.push_back(leaf_of(next++, *entry));
    }
    if (next == before) return fail(ErrorCode::store_corrupt, "log entry missing");
    first = number_key(generation, next);
  }
  return {};
}

Result<std::optional<Bytes>> stored_head(ReadTxn& txn) { return txn.get(head_table, view("head")); }

Result<uint32_t> stored_generation(ReadTxn& txn) {
  TRAM_TRY(row, txn.get(head_table, view("generation")));
  if (!row) return uint32_t{0};
  Reader reader(*row);
  const uint32_t generation = reader.u32();
  if (!reader.finish() || generation > generation_max) return fail(ErrorCode::store_corrupt, "log generation");
  return generation;
}

/// Leaf hashes of [from, until) of one tile: what its row has, the rest from entries.
Result<void> append_from_tile(ReadTxn& txn, uint32_t generation, uint64_t from, uint64_t until,
                              std::vector<Hash>& out) {
  const uint64_t tile = from / tile_hashes, begin = tile * tile_hashes;
  TRAM_TRY(row, txn.get(tiles_table, number_key(generation, tile)));
  uint64_t next = from;
  if (row) {
    if (row->size() % Hash::size != 0 || row->size() > tile_hashes * Hash::size)
      return fail(ErrorCode::store_corrupt, "log tile");
    const uint64_t end = std::min(until, begin + row->size() / Hash::size);
    for (; next < end; ++next)
      out.push_back(*Hash::from(BytesView(*row).subspan(static_cast<size_t>(next - begin) * Hash::size, Hash::size)));
  }
  return append_from_entries(txn, generation, next, until, out);
}

Result<void> put_tile(WriteTxn& txn, uint32_t generation, uint64_t tile, std::span<const Hash> leaves) {
  Bytes hashes;
  hashes.reserve(leaves.size() * Hash::size);
  for (const Hash& one : leaves) Writer(hashes).raw(one.view());
  return txn.put(tiles_table, number_key(generation, tile), hashes);
}

NodeRows node_rows(uint32_t generation) { return {nodes_table, number_key(generation, 0)}; }

class OwnTree final : public TreeSource {
 public:
  /// `filling`: what is known of the tile that begins at `filling_from`.
  OwnTree(ReadTxn& txn, uint32_t generation, uint64_t filling_from = 0, std::span<const Hash> filling = {})
      : txn_(txn), generation_(generation), filling_from_(filling_from), filling_(filling) {}
  Result<std::vector<Hash>> leaves(uint64_t from, uint64_t until) override {
    std::vector<Hash> out;
    out.reserve(static_cast<size_t>(until - from));
    while (from < until) {
      const uint64_t end = std::min((from / tile_hashes + 1) * tile_hashes, until);
      if (from >= filling_from_ && end <= filling_from_ + filling_.size()) {
        const auto known = filling_.subspan(static_cast<size_t>(from - filling_from_), static_cast<size_t>(end - from));
        out.insert(out.end(), known.begin(), known.end());
      } else {
        TRAM_OK(append_from_tile(txn_, generation_, from, end, out));
      }
      from = end;
    }
    return out;
  }
  Result<std::optional<Hash>> node(uint8_t level, uint64_t index) override {
    return node_rows(generation_).get(txn_, level, index);
  }

 private:
  ReadTxn& txn_;
  uint32_t generation_;
  uint64_t filling_from_;
  std::span<const Hash> filling_;
};

/// The tree that goes on, if it has `size` leaves.
Result<OwnTree> own_tree(ReadTxn& txn, uint64_t size) {
  TRAM_TRY(head, stored_head(txn));
  uint64_t held = 0;
  if (head) {
    TRAM_TRY(frontier, crypto::decode_frontier(*head));
    held = frontier.size;
  }
  if (size > held) return fail(ErrorCode::bad_request, "log range");
  TRAM_TRY(generation, stored_generation(txn));
  return OwnTree(txn, generation);
}

}  // namespace

std::span<const Table> tables() { return all_tables(); }

Result<void> Log::load(ReadTxn& txn) {
  TRAM_TRY(head, stored_head(txn));
  TRAM_TRY(generation, stored_generation(txn));
  crypto::Frontier frontier;
  if (head) {
    auto decoded = crypto::decode_frontier(*head);
    if (!decoded) return fail(ErrorCode::store_corrupt, "log head");
    frontier = std::move(*decoded);
  }
  // An entry beyond the head would be overwritten by the next append: such a store was not written by store_head().
  TRAM_TRY(last, row_with(txn, generation, index_max));
  if (last) {
    TRAM_TRY(entries, decode_row(last->value));
    if (index_of(last->key) + entries.size() > frontier.size)
      return fail(ErrorCode::store_corrupt, "log entries beyond the head");
  }
  std::vector<Hash> tile;
  if (auto kept = kept_tile(generation, frontier)) tile = std::move(*kept);
  else TRAM_OK(append_from_tile(txn, generation, frontier.size - frontier.size % tile_hashes, frontier.size, tile));
  generation_ = generation;
  frontier_ = std::move(frontier);
  tile_ = std::move(tile);
  waiting_.clear();
  dirty_ = false;
  return {};
}

/// The leaf hashes in memory, without those of the aborted transaction, if they are what lies under the stored head.
std::optional<std::vector<Hash>> Log::kept_tile(uint32_t generation, const crypto::Frontier& stored) const {
  const uint64_t filled = stored.size % tile_hashes;
  if (generation != generation_ || stored.size - filled != frontier_.size - tile_.size() || filled > tile_.size()) return {};
  crypto::Frontier kept;
  for (size_t i = 0; i < filled; ++i) kept.append(tile_[i]);
  if (!std::equal(kept.peaks.rbegin(), kept.peaks.rend(), stored.peaks.rbegin())) return {};
  return std::vector<Hash>(tile_.begin(), tile_.begin() + static_cast<ptrdiff_t>(filled));
}

Result<void> Log::append_hash(WriteTxn& txn, const Hash& hash) {
  tile_.push_back(hash);
  if (tile_.size() == tile_hashes) {
    const uint64_t tile = frontier_.size / tile_hashes;
    TRAM_OK(put_tile(txn, generation_, tile, tile_));
    TRAM_OK(node_rows(generation_).put_nodes(txn, tile, tile_));
    tile_.clear();
  }
  frontier_.append(hash);
  dirty_ = true;
  return {};
}

Result<void> Log::append_entry(WriteTxn& txn, const LogEntry& entry) {
  const size_t length = entry_head_bytes + entry.entry.size();
  TRAM_CHECK(length <= entry_bytes_max);
  if (!waiting_.empty() && waiting_.size() + 2 + length > entry_row_bytes_max) TRAM_OK(write_waiting(txn));
  if (waiting_.empty()) waiting_from_ = frontier_.size;
  write_entry(waiting_, entry);
  return append_hash(txn, leaf_of(frontier_.size, entry));
}

/// One row for what a step appended, instead of one an entry.
Result<void> Log::write_waiting(WriteTxn& txn) {
  if (waiting_.empty()) return {};
  TRAM_OK(txn.put(entries_table, number_key(generation_, waiting_from_), waiting_));
  waiting_.clear();
  return {};
}

Result<void> Log::draw_generation(WriteTxn& txn, Random& random) {
  TRAM_CHECK(frontier_.size == 0 && generation_ == 0);
  std::array<uint8_t, 2> drawn;
  random.fill(drawn);
  generation_ = (uint32_t{drawn[0]} << 8 | drawn[1]) & first_generation_max;
  Bytes row;
  Writer(row).u32(generation_);
  return txn.put(head_table, view("generation"), row);
}

Result<uint64_t> Log::append(WriteTxn& txn, LeafKind kind, Time now, BytesView entry, Random& random) {
  LogEntry one{kind, now, {}, to_bytes(entry)};
  random.fill(one.salt);
  const uint64_t index = frontier_.size;
  TRAM_OK(append_entry(txn, one));
  return index;
}

Result<void> Log::store_head(WriteTxn& txn) {
  if (!dirty_) return {};
  TRAM_OK(write_waiting(txn));
  TRAM_OK(txn.put(head_table, view("head"), crypto::encode_frontier(frontier_)));
  dirty_ = false;
  return {};
}

/// Our entries from `from` on, which leave their places.
Result<std::vector<LogEntry>> Log::take_entries(WriteTxn& txn, uint64_t from) {
  TRAM_CHECK(waiting_.empty());
  std::vector<LogEntry> taken;
  TRAM_TRY(holds, row_with(txn, generation_, from));
  Bytes first = holds ? std::move(holds->key) : number_key(generation_, from);
  for (;;) {
    TRAM_TRY(rows, txn.scan(entries_table, first, number_key(generation_, frontier_.size), entry_page_rows));
    if (rows.empty()) return taken;
    for (const Row& row : rows) {
      const uint64_t begin = index_of(row.key);
      TRAM_TRY(entries, decode_row(row.value));
      size_t stay = 0;  // of the row in which `from` lies
      Bytes kept;
      for (; stay < entries.size() && begin + stay < from; ++stay) write_entry(kept, entries[stay]);
      std::move(entries.begin() + static_cast<ptrdiff_t>(stay), entries.end(), std::back_inserter(taken));
      if (stay == 0) TRAM_OK(txn.erase(entries_table, row.key));
      else if (stay < entries.size()) TRAM_OK(txn.put(entries_table, row.key, kept));
      first = number_key(generation_, begin + entries.size());
    }
  }
}

Result<uint64_t> Log::rebase(WriteTxn& txn, const Missing& missing, Time now, Random& random) {
  TRAM_CHECK(missing.agreed <= frontier_.size);
  TRAM_OK(write_waiting(txn));
  uint64_t first_lost = missing.agreed;
  OwnTree tree(txn, generation_);
  const uint64_t both = std::min(frontier_.size, missing.agreed + missing.leaves.size());
  TRAM_TRY(held, tree.leaves(missing.agreed, both));
  while (first_lost < both && held[first_lost - missing.agreed] == missing.leaves[first_lost - missing.agreed]) ++first_lost;
  TRAM_TRY(kept, tree_frontier(tree, first_lost));
  std::vector<Hash> tile;
  if (first_lost % tile_hashes != 0)
    TRAM_OK(append_from_tile(txn, generation_, first_lost - first_lost % tile_hashes, first_lost, tile));
  TRAM_TRY(ours, take_entries(txn, first_lost));
  frontier_ = std::move(kept);
  tile_ = std::move(tile);
  for (const Hash& leaf : missing.leaves.subspan(static_cast<size_t>(first_lost - missing.agreed)))
    TRAM_OK(append_hash(txn, leaf));
  // The leaves without entries of the tile that is filling are nowhere else.
  if (!tile_.empty()) TRAM_OK(put_tile(txn, generation_, frontier_.size / tile_hashes, tile_));
  const uint64_t known = frontier_.size;
  for (const LogEntry& one : ours) TRAM_OK(append_entry(txn, one));
  Bytes entry;
  Writer(entry).u64(first_lost).u64(known);
  TRAM_OK(append(txn, LeafKind::log_recovered, now, entry, random));
  dirty_ = true;
  return first_lost;
}

Result<void> Log::open_generation(WriteTxn& txn, uint32_t above, BytesView last_note, uint64_t ours_from, Time now,
                                  Random& random) {
  if (std::max(generation_, above) >= generation_max) return fail(ErrorCode::too_large, "log generation");
  TRAM_OK(write_waiting(txn));
  TRAM_TRY(ours, take_entries(txn, ours_from));
  generation_ = std::max(generation_, above) + 1;
  frontier_ = {};
  tile_.clear();
  Bytes row;
  Writer(row).u32(generation_);
  TRAM_OK(txn.put(head_table, view("generation"), row));
  TRAM_OK(append(txn, LeafKind::generation_opened, now, last_note, random));
  for (const LogEntry& one : ours) TRAM_OK(append_entry(txn, one));
  dirty_ = true;
  return {};
}

Result<std::vector<Hash>> Log::leaf_hashes(ReadTxn& txn, uint64_t from, uint64_t until) const {
  if (from > until || until > frontier_.size) return fail(ErrorCode::bad_request, "log range");
  return OwnTree(txn, generation_, frontier_.size - tile_.size(), tile_).leaves(from, until);
}

Result<Hash> Log::root_at(ReadTxn& txn, uint64_t size) const {
  if (size > frontier_.size) return fail(ErrorCode::bad_request, "log range");
  OwnTree tree(txn, generation_, frontier_.size - tile_.size(), tile_);
  return tree_root(tree, size);
}

Result<std::vector<Hash>> Log::consistency_proof(ReadTxn& txn, uint64_t old_size, uint64_t new_size) const {
  if (old_size > new_size || new_size > frontier_.size) return fail(ErrorCode::bad_request, "log range");
  OwnTree tree(txn, generation_, frontier_.size - tile_.size(), tile_);
  return tree_consistency(tree, old_size, new_size);
}

Result<crypto::Frontier> Log::frontier_at(ReadTxn& txn, uint64_t size) const {
  if (size > frontier_.size) return fail(ErrorCode::bad_request, "log range");
  OwnTree tree(txn, generation_, frontier_.size - tile_.size(), tile_);
  return tree_frontier(tree, size);
}

Result<std::optional<LogEntry>> read_entry(ReadTxn& txn, uint64_t index) {
  TRAM_TRY(generation, stored_generation(txn));
  TRAM_TRY(row, row_with(txn, generation, index));
  if (!row) return std::optional<LogEntry>{};
  Reader reader(row->value);
  for (uint64_t before = index_of(row->key); before < index && reader.left() > 0; ++before) reader.raw(reader.u16());
  if (!reader.ok()) return fail(ErrorCode::store_corrupt, "log entries");
  if (reader.left() == 0) return std::optional<LogEntry>{};
  TRAM_TRY(entry, decode_entry(reader.raw(reader.u16())));
  return std::optional<LogEntry>(std::move(entry));
}

Result<std::vector<Hash>> leaf_hashes(ReadTxn& txn, uint64_t from, uint64_t until) {
  if (from > until) return fail(ErrorCode::bad_request, "log range");
  TRAM_TRY(tree, own_tree(txn, until));
  return tree.leaves(from, until);
}

Result<Hash> root_at(ReadTxn& txn, uint64_t size) {
  TRAM_TRY(tree, own_tree(txn, size));
  return tree_root(tree, size);
}

Result<std::vector<Hash>> inclusion_proof(ReadTxn& txn, uint64_t index, uint64_t size) {
  if (index >= size) return fail(ErrorCode::bad_request, "log index");
  TRAM_TRY(tree, own_tree(txn, size));
  return tree_inclusion(tree, index, size);
}

Result<std::vector<Hash>> consistency_proof(ReadTxn& txn, uint64_t old_size, uint64_t new_size) {
  if (old_size > new_size) return fail(ErrorCode::bad_request, "log range");
  TRAM_TRY(tree, own_tree(txn, new_size));
  return tree_consistency(tree, old_size, new_size);
}

Result<crypto::Frontier> frontier_at(ReadTxn& txn, uint64_t size) {
  TRAM_TRY(tree, own_tree(txn, size));
  return tree_frontier(tree, size);
}

}  // namespace tram::audit
