// Bearer tokens of the local API: hashes in one private file of the node's home, read again when it changes, so that
// `tram-node token` needs no running node. The token itself is shown once and never stored.
// Thread: any.
#pragma once
#include <map>
#include <mutex>

#include "base/ports.h"
#include "node/api/api.h"

namespace tram::node {

class Tokens {
 public:
  explicit Tokens(std::string file) : file_(std::move(file)) {}
  /// Whose token has this SHA-256. Looks at the file again when it changed.
  std::optional<api::Principal> find(const Hash& token_sha256);

  /// Adds a principal; returns the token, 64 hex digits, to be shown once. Errors: bad_request (name, role), conflict.
  static Result<std::string> add(const std::string& file, const std::string& name, const std::string& role, Random&);
  static Result<void> remove(const std::string& file, const std::string& name);
  static Result<std::vector<api::Principal>> list(const std::string& file);

 private:
  std::string file_;
  std::mutex mutex_;
  int64_t read_at_ns_ = -1;
  std::map<Hash, api::Principal> tokens_;
};

}  // namespace tram::node
