// Proofs over a tree whose leaf hashes lie in rows: tiles of 256, and above them the roots of complete subtrees of
// 256^level leaves (the geometry of tlog-tiles), so that a proof reads a few rows, not the log (protocol.md 4.3).
// Invariants: what is missing above the tiles is computed from them; nothing here writes but put_nodes().
// Internal to audit/. Thread: the step's.
#pragma once
#include "base/ports.h"
#include "crypto/merkle.h"

namespace tram::audit {

inline constexpr uint64_t tile_hashes = 256;

/// Where the hashes of one tree are.
class TreeSource {
 public:
  virtual ~TreeSource() = default;
  /// Leaf hashes [from, until), which all exist.
  virtual Result<std::vector<Hash>> leaves(uint64_t from, uint64_t until) = 0;
  /// Root over the leaves [index * 256^level, (index + 1) * 256^level), level >= 1, if it was kept.
  virtual Result<std::optional<Hash>> node(uint8_t level, uint64_t index) = 0;
};

/// Root of the first `size` leaves.
Result<Hash> tree_root(TreeSource&, uint64_t size);
Result<crypto::Frontier> tree_frontier(TreeSource&, uint64_t size);
/// index < size.
Result<std::vector<Hash>> tree_inclusion(TreeSource&, uint64_t index, uint64_t size);
/// Empty for an old size of 0 and for equal sizes; old_size <= new_size.
Result<std::vector<Hash>> tree_consistency(TreeSource&, uint64_t old_size, uint64_t new_size);

/// Rows of one table hold the kept roots of one tree: prefix || u8 level || u64 index -> hash.
struct NodeRows {
  Table table;
  Bytes prefix;
  Bytes key(uint8_t level, uint64_t index) const;
  Result<std::optional<Hash>> get(ReadTxn&, uint8_t level, uint64_t index) const;
  /// After tile `tile` became full: its root, and what it completes above.
  Result<void> put_nodes(WriteTxn&, uint64_t tile, std::span<const Hash> leaves) const;
};

}  // namespace tram::audit
