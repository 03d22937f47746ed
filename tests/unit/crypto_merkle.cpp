// RFC 6962 trees: proofs of every leaf and of every pair of sizes, against a recursive model; wrong ones fail.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "crypto/merkle.h"
#include "tests/unit/crypto_support.h"

using namespace tram;
using namespace tram::crypto;
using namespace tram::test;

namespace {

std::vector<Hash> make_leaves(size_t n) {
  std::vector<Hash> leaves;
  for (size_t i = 0; i < n; ++i) leaves.push_back(merkle_leaf(repeated(static_cast<uint8_t>(i), 1 + i % 3)));
  return leaves;
}

/// MTH of RFC 6962 2.1, as it is written there.
Hash model_root(std::span<const Hash> leaves) {
  if (leaves.empty()) return sha256({});
  if (leaves.size() == 1) return leaves[0];
  size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  return merkle_node(model_root(leaves.first(k)), model_root(leaves.subspan(k)));
}

}  // namespace

TEST_CASE("roots, frontiers and their encoding follow the model at every size") {
  auto leaves = make_leaves(70);
  Frontier frontier;
  for (size_t n = 0; n <= leaves.size(); ++n) {
    INFO(n);
    Hash expected = model_root(std::span(leaves).first(n));
    CHECK(frontier.root() == expected);
    CHECK(merkle_root(std::span(leaves).first(n)) == expected);
    Bytes bytes = encode_frontier(frontier);
    auto decoded = decode_frontier(bytes);
    REQUIRE(decoded);
    CHECK(decoded->root() == expected);
    CHECK(decoded->size == n);
    bytes.push_back(0);
    CHECK(!decode_frontier(bytes));
    bytes.resize(bytes.size() - 2);
    CHECK(!decode_frontier(bytes));
    if (n < leaves.size()) frontier.append(leaves[n]);
  }
  CHECK(!decode_frontier({}));
}

TEST_CASE("every inclusion proof holds, for its leaf, place and tree alone") {
  auto leaves = make_leaves(34);
  for (size_t n = 1; n <= leaves.size(); ++n) {
    auto tree = std::span(leaves).first(n);
    Hash root = merkle_root(tree);
    for (size_t i = 0; i < n; ++i) {
      INFO(i << " of " << n);
      auto path = inclusion_path(i, tree);
      CHECK(path.size() == inclusion_ranges(i, n).size());
      CHECK(verify_inclusion(i, n, tree[i], path, root));
      CHECK(!verify_inclusion(i, n, merkle_leaf(view("x")), path, root));
      CHECK(!verify_inclusion(i, n, tree[i], path, merkle_empty_root()));
      CHECK(!verify_inclusion(n, n, tree[i], path, root));
      if (n > 1) CHECK(!verify_inclusion((i + 1) % n, n, tree[i], path, root));
      path.push_back(root);
      CHECK(!verify_inclusion(i, n, tree[i], path, root));
      path.pop_back();
      if (path.empty()) continue;
      path.back().bytes[31] ^= 1;
      CHECK(!verify_inclusion(i, n, tree[i], path, root));
      path.pop_back();
      CHECK(!verify_inclusion(i, n, tree[i], path, root));
    }
  }
  CHECK(!verify_inclusion(0, 0, leaves[0], {}, leaves[0]));
}

TEST_CASE("every consistency proof holds, for its two trees alone") {
  auto leaves = make_leaves(34);
  Hash stranger = merkle_leaf(view("x"));
  for (size_t n = 1; n <= leaves.size(); ++n) {
    Hash new_root = merkle_root(std::span(leaves).first(n));
    for (size_t m = 1; m <= n; ++m) {
      INFO(m << " to " << n);
      Hash old_root = merkle_root(std::span(leaves).first(m));
      auto path = consistency_path(m, std::span(leaves).first(n));
      CHECK(verify_consistency(m, n, old_root, new_root, path));
      CHECK(!verify_consistency(m, n, stranger, new_root, path));
      CHECK(!verify_consistency(m, n, old_root, stranger, path));
      CHECK(!verify_consistency(0, n, old_root, new_root, path));
      if (m < n) {
        CHECK(!verify_consistency(n, m, new_root, old_root, path));
        CHECK(!verify_consistency(m, n, old_root, new_root, {}));
        path.back().bytes[0] ^= 1;
        CHECK(!verify_consistency(m, n, old_root, new_root, path));
        path.back().bytes[0] ^= 1;
      }
      path.push_back(stranger);
      CHECK(!verify_consistency(m, n, old_root, new_root, path));
    }
  }
}

TEST_CASE("a history that was changed has no consistency proof") {
  rc::prop("one old leaf differs", [](uint8_t a, uint8_t b, uint8_t c) {
    size_t old_size = 1 + a % 40, new_size = old_size + 1 + b % 40, at = c % old_size;
    auto honest = make_leaves(new_size);
    auto forged = honest;
    forged[at].bytes[0] ^= 1;
    Hash old_root = merkle_root(std::span(honest).first(old_size));
    auto path = consistency_path(old_size, forged);
    RC_ASSERT(!verify_consistency(old_size, new_size, old_root, merkle_root(forged), path));
  });
}
