#include "crypto/merkle.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace tram::crypto {
namespace {

constexpr uint8_t leaf_prefix[] = {0x00};
constexpr uint8_t node_prefix[] = {0x01};

/// The largest power of two below `size` (>= 2): where RFC 6962 splits a tree.
uint64_t split(uint64_t size) { return std::bit_floor(size - 1); }

std::vector<Hash> roots(const std::vector<LeafRange>& ranges, std::span<const Hash> leaves) {
  std::vector<Hash> out;
  out.reserve(ranges.size());
  for (const LeafRange& range : ranges) {
    out.push_back(merkle_root(leaves.subspan(static_cast<size_t>(range.begin), static_cast<size_t>(range.end - range.begin))));
  }
  return out;
}

}  // namespace

Hash merkle_leaf(BytesView data) { return sha256({leaf_prefix, data}); }
Hash merkle_node(const Hash& left, const Hash& right) { return sha256({node_prefix, left, right}); }
Hash merkle_empty_root() { return sha256({}); }

Hash merkle_root(std::span<const Hash> leaves) {
  Frontier frontier;
  for (const Hash& leaf : leaves) frontier.append(leaf);
  return frontier.root();
}

void Frontier::append(const Hash& leaf) {
  TRAM_CHECK(peaks.size() == static_cast<size_t>(std::popcount(size)));
  Hash node = leaf;
  for (uint64_t full = size; full & 1; full >>= 1) {
    node = merkle_node(peaks.back(), node);
    peaks.pop_back();
  }
  peaks.push_back(node);
  ++size;
}

Hash Frontier::root() const {
  if (peaks.empty()) return merkle_empty_root();
  Hash root = peaks.back();
  for (size_t i = peaks.size() - 1; i-- > 0;) root = merkle_node(peaks[i], root);
  return root;
}

Bytes encode_frontier(const Frontier& frontier) {
  Bytes out;
  out.reserve(8 + Hash::size * frontier.peaks.size());
  Writer writer(out);
  writer.u64(frontier.size);
  for (const Hash& peak : frontier.peaks) writer.raw(peak);
  return out;
}

Result<Frontier> decode_frontier(BytesView bytes) {
  Reader in(bytes);
  Frontier frontier;
  frontier.size = in.u64();
  auto count = static_cast<size_t>(std::popcount(frontier.size));
  if (!in.ok() || in.left() != count * Hash::size) return fail(ErrorCode::bad_format, "frontier: length");
  for (size_t i = 0; i < count; ++i) frontier.peaks.push_back(Hash{in.array<Hash::size>()});
  return frontier;
}

std::vector<LeafRange> inclusion_ranges(uint64_t index, uint64_t size) {
  TRAM_CHECK(index < size);
  std::vector<LeafRange> path;
  LeafRange tree{0, size};
  while (tree.end - tree.begin > 1) {
    uint64_t middle = tree.begin + split(tree.end - tree.begin);
    if (index < middle) {
      path.push_back({middle, tree.end});
      tree.end = middle;
    } else {
      path.push_back({tree.begin, middle});
      tree.begin = middle;
    }
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<LeafRange> consistency_ranges(uint64_t old_size, uint64_t new_size) {
  TRAM_CHECK(0 < old_size && old_size <= new_size);
  std::vector<LeafRange> path;
  LeafRange tree{0, new_size};
  while (tree.end != old_size) {
    uint64_t middle = tree.begin + split(tree.end - tree.begin);
    if (old_size <= middle) {
      path.push_back({middle, tree.end});
      tree.end = middle;
    } else {
      path.push_back({tree.begin, middle});
      tree.begin = middle;
    }
  }
  if (tree.begin != 0) path.push_back(tree);
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<Hash> inclusion_path(uint64_t index, std::span<const Hash> leaves) {
  return roots(inclusion_ranges(index, leaves.size()), leaves);
}

std::vector<Hash> consistency_path(uint64_t old_size, std::span<const Hash> leaves) {
  return roots(consistency_ranges(old_size, leaves.size()), leaves);
}

bool verify_inclusion(uint64_t index, uint64_t size, const Hash& leaf, std::span<const Hash> path, const Hash& root) {
  if (index >= size) return false;
  uint64_t at = index;
  uint64_t last = size - 1;
  Hash node = leaf;
  for (const Hash& step : path) {
    if (last == 0) return false;
    if ((at & 1) || at == last) {
      node = merkle_node(step, node);
      while (!(at & 1) && at != 0) {
        at >>= 1;
        last >>= 1;
      }
    } else {
      node = merkle_node(node, step);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && node == root;
}

bool verify_consistency(uint64_t old_size, uint64_t new_size, const Hash& old_root, const Hash& new_root,
                        std::span<const Hash> path) {
  if (old_size == 0 || old_size > new_size) return false;
  if (old_size == new_size) return path.empty() && old_root == new_root;
  if (path.empty()) return false;
  bool starts_at_old_root = std::has_single_bit(old_size);
  uint64_t at = old_size - 1;
  uint64_t last = new_size - 1;
  while (at & 1) {
    at >>= 1;
    last >>= 1;
  }
  Hash old_node = starts_at_old_root ? old_root : path.front();
  Hash new_node = old_node;
  for (const Hash& step : starts_at_old_root ? path : path.subspan(1)) {
    if (last == 0) return false;
    if ((at & 1) || at == last) {
      old_node = merkle_node(step, old_node);
      new_node = merkle_node(step, new_node);
      while (!(at & 1) && at != 0) {
        at >>= 1;
        last >>= 1;
      }
    } else {
      new_node = merkle_node(new_node, step);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && old_node == old_root && new_node == new_root;
}

Bytes log_leaf_data(uint16_t kind, uint64_t index, Time time, BytesView salt16, BytesView entry) {
  TRAM_CHECK(salt16.size() == 16);
  Bytes out;
  out.reserve(10 + 2 + 8 + 8 + Hash::size);
  Writer(out).label("edx1/leaf").u16(kind).u64(index).u64(time.wire()).raw(sha256({salt16, entry}));
  return out;
}

}  // namespace tram::crypto
