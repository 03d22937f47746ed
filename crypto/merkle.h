// RFC 6962 Merkle tree over SHA-256 (protocol.md 4.3, 4.5): leaf and node hashes, the frontier that appends need,
// roots, inclusion and consistency proofs. Library: verify. Thread: any; values only.
#pragma once
#include <vector>

#include "base/ports.h"
#include "crypto/hash.h"

namespace tram::crypto {

Hash merkle_leaf(BytesView data);                       // SHA-256(0x00 || data)
Hash merkle_node(const Hash& left, const Hash& right);  // SHA-256(0x01 || left || right)
Hash merkle_empty_root();                               // SHA-256("")
Hash merkle_root(std::span<const Hash> leaves);

/// The right-most complete subtrees of a tree of `size` leaves, largest first: all that appending needs.
struct Frontier {
  uint64_t size = 0;
  std::vector<Hash> peaks;  // popcount(size) hashes
  void append(const Hash& leaf);
  Hash root() const;
};
/// u64 size || peaks. decode error: bad_format.
Bytes encode_frontier(const Frontier&);
Result<Frontier> decode_frontier(BytesView);

/// The leaves [begin, end) of one complete or right-most subtree.
struct LeafRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  auto operator<=>(const LeafRange&) const = default;
};
/// Whose roots, in this order, are the inclusion path of leaf `index` (< size): for logs that keep tiles, not leaves.
std::vector<LeafRange> inclusion_ranges(uint64_t index, uint64_t size);
/// Whose roots, in this order, are the consistency path from `old_size` to `new_size` (0 < old_size <= new_size).
std::vector<LeafRange> consistency_ranges(uint64_t old_size, uint64_t new_size);

/// Inclusion path of leaf `index` in the tree over `leaves`.
std::vector<Hash> inclusion_path(uint64_t index, std::span<const Hash> leaves);
bool verify_inclusion(uint64_t index, uint64_t size, const Hash& leaf, std::span<const Hash> path, const Hash& root);
/// Consistency path from the first `old_size` leaves to all of `leaves`; 0 < old_size <= leaves.size().
std::vector<Hash> consistency_path(uint64_t old_size, std::span<const Hash> leaves);
/// False for old_size 0: an empty tree proves nothing, so whoever starts from none must decide so himself.
bool verify_consistency(uint64_t old_size, uint64_t new_size, const Hash& old_root, const Hash& new_root,
                        std::span<const Hash> path);

/// Leaf data of a daemon's log: LP("edx1/leaf") || u16 kind || u64 index || u64 time_ms || SHA-256(salt || entry).
Bytes log_leaf_data(uint16_t kind, uint64_t index, Time time, BytesView salt16, BytesView entry);

}  // namespace tram::crypto
