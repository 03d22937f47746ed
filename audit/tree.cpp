#include "audit/tree.h"

#include <bit>

#include "base/check.h"

namespace tram::audit {
namespace {

using crypto::LeafRange;

constexpr int tile_bits = 8;
static_assert(tile_hashes == uint64_t{1} << tile_bits);

Result<Hash> range_root(TreeSource& source, LeafRange range) {
  const uint64_t count = range.end - range.begin;
  if (count == 0) return crypto::merkle_empty_root();
  if (count < tile_hashes) {
    TRAM_TRY(leaves, source.leaves(range.begin, range.end));
    return crypto::merkle_root(leaves);
  }
  if (std::has_single_bit(count)) {
    const int bits = std::bit_width(count) - 1;
    const auto level = static_cast<uint8_t>(bits / tile_bits);
    const uint64_t span = uint64_t{1} << (level * tile_bits);
    std::vector<Hash> nodes;
    for (uint64_t at = range.begin; at < range.end; at += span) {
      TRAM_TRY(node, source.node(level, at / span));
      if (!node) break;
      nodes.push_back(*node);
    }
    if (nodes.size() == count / span) return crypto::merkle_root(nodes);
    if (count == tile_hashes) {
      TRAM_TRY(leaves, source.leaves(range.begin, range.end));
      return crypto::merkle_root(leaves);
    }
  }
  const uint64_t middle = range.begin + std::bit_floor(count - 1);
  TRAM_TRY(left, range_root(source, {range.begin, middle}));
  TRAM_TRY(right, range_root(source, {middle, range.end}));
  return crypto::merkle_node(left, right);
}

Result<std::vector<Hash>> range_roots(TreeSource& source, const std::vector<LeafRange>& ranges) {
  std::vector<Hash> out;
  out.reserve(ranges.size());
  for (const LeafRange& range : ranges) {
    TRAM_TRY(root, range_root(source, range));
    out.push_back(root);
  }
  return out;
}

}  // namespace

Result<Hash> tree_root(TreeSource& source, uint64_t size) { return range_root(source, {0, size}); }

Result<crypto::Frontier> tree_frontier(TreeSource& source, uint64_t size) {
  crypto::Frontier frontier;
  frontier.size = size;
  for (uint64_t begin = 0; begin < size;) {
    const uint64_t count = std::bit_floor(size - begin);
    TRAM_TRY(root, range_root(source, {begin, begin + count}));
    frontier.peaks.push_back(root);
    begin += count;
  }
  return frontier;
}

Result<std::vector<Hash>> tree_inclusion(TreeSource& source, uint64_t index, uint64_t size) {
  return range_roots(source, crypto::inclusion_ranges(index, size));
}

Result<std::vector<Hash>> tree_consistency(TreeSource& source, uint64_t old_size, uint64_t new_size) {
  TRAM_CHECK(old_size <= new_size);
  if (old_size == 0 || old_size == new_size) return std::vector<Hash>{};
  return range_roots(source, crypto::consistency_ranges(old_size, new_size));
}

Bytes NodeRows::key(uint8_t level, uint64_t index) const {
  Bytes out = prefix;
  Writer(out).u8(level).u64(index);
  return out;
}

Result<std::optional<Hash>> NodeRows::get(ReadTxn& txn, uint8_t level, uint64_t index) const {
  TRAM_TRY(row, txn.get(table, key(level, index)));
  if (!row) return std::optional<Hash>{};
  auto hash = Hash::from(*row);
  if (!hash) return fail(ErrorCode::store_corrupt, std::string(table.name));
  return hash;
}

Result<void> NodeRows::put_nodes(WriteTxn& txn, uint64_t tile, std::span<const Hash> leaves) const {
  Hash root = crypto::merkle_root(leaves);
  uint64_t index = tile;
  for (uint8_t level = 1;; ++level) {
    TRAM_OK(txn.put(table, key(level, index), root));
    if (index % tile_hashes != tile_hashes - 1) return {};
    std::vector<Hash> below;
    for (uint64_t at = index + 1 - tile_hashes; at <= index; ++at) {
      TRAM_TRY(node, get(txn, level, at));
      if (!node) return {};  // of a log that is older than these rows
      below.push_back(*node);
    }
    root = crypto::merkle_root(below);
    index /= tile_hashes;
  }
}

}  // namespace tram::audit
