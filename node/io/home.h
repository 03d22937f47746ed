// The files of a node's home: node.toml, keys.tram, enrol.request, store/, bodies/, api.sock, tokens; and the two
// commands that make one: init and accept. Thread: main, before the loop.
#pragma once
#include "base/io/secret_input.h"
#include "crypto/key_file.h"
#include "proto/directory.h"

namespace tram::node {

using io::UnlockSource;

struct InitOptions {
  std::string directory;
  std::string name;
  std::string organ_code;
  UnlockSource unlock;
  uint64_t argon_memory_bytes = 256ull << 20;
};
/// Makes the home: keys, configuration, enrolment request. Returns the request's short code. Errors: conflict (the home
/// holds keys already), unsafe_permissions, bad_request.
Result<std::string> init_home(const InitOptions&);

/// Takes the authority's approval: checks it against the request and the keys, applies the whole directory snapshot.
/// `realm`, when given, must be the approval's. Errors: wrong_realm, bad_signature, bad_request (another request).
struct Accepted {
  RealmId realm;
  std::string realm_name;
  bool practice = false;
  PartyId party;
  std::string agency_name;
  uint64_t entries = 0;
};
Result<Accepted> accept_approval(const std::string& directory, const std::string& approval_file, const UnlockSource&,
                                 const std::optional<RealmId>& realm);

Result<crypto::KeyRing> open_key_ring(const std::string& directory, const UnlockSource&);

}  // namespace tram::node
