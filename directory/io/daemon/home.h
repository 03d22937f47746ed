// What the homes of nodes, brokers and witnesses have in common before they serve: keys.tram, enrol.request, and the answer
// of the directory authority. What else lies in a home is its daemon's matter. Thread: main, before the loop.
#pragma once
#include "base/config.h"
#include "base/io/secret_input.h"
#include "crypto/key_file.h"
#include "directory/directory.h"
#include "proto/directory.h"

namespace tram::daemon {

struct NewHome {
  std::string directory;
  io::UnlockSource unlock;
  uint64_t argon_memory_bytes = 256ull << 20;
};
/// Makes the home: keys, configuration, enrolment request; `request` says who asks, without keys and time. Returns the
/// request's short code. Errors: conflict (the home holds keys already), bad_request, unsafe_permissions, not_found (the
/// folder above it).
Result<std::string> make_home(const NewHome&, const std::string& config_path, const Config&, proto::EnrolRequestPayload request);

/// Errors: not_found, unsafe_permissions, wrong_passphrase, malformed.
Result<crypto::KeyRing> open_key_ring(const std::string& home, const io::UnlockSource&);
/// That there is a key file which only its owner reads; opens nothing.
Result<void> check_key_file(const std::string& home);

/// The authority's answer to the home's request, checked against it, and the home's keys. `realm`, when given, must be the
/// answer's. Errors: wrong_realm, bad_signature, bad_request (another request).
struct Answer {
  proto::Approval approval;
  crypto::KeyRing ring;
};
Result<Answer> read_answer(const std::string& home, const std::string& approval_file, const io::UnlockSource&,
                           const std::optional<RealmId>& realm);

/// What `accept` shows.
struct Accepted {
  RealmId realm;
  std::string realm_name;
  bool practice = false;
  PartyId party;
  std::string name;
  uint64_t entries = 0;
};
Accepted accepted(const proto::Approval&, const directory::Directory&, const std::string& name);

}  // namespace tram::daemon
