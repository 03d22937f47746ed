// What the homes of nodes, brokers and witnesses have in common before they serve: keys.tram, enrol.request, and the answer
// of the directory authority; keys-next.tram and renew.request, while new keys wait for that answer. What else lies in a
// home is its daemon's matter. Thread: main, before the loop; change_keys() also the loop's.
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

/// The keys in use, and those that wait to take their place, when there are such; one asking for the secret opens both.
struct KeyRings {
  crypto::KeyRing present;
  std::optional<crypto::KeyRing> next;
};
/// Errors: those of open_key_ring().
Result<KeyRings> open_key_rings(const std::string& home, const io::UnlockSource&);

struct Renewal {
  std::string directory;
  io::UnlockSource unlock;  // of the present keys; the next ones are sealed under the same secret at the same cost
  bool again = false;       // make others in the place of those that wait
};
/// Makes keys-next.tram (new SIG, LOG and CURVE keys, the present storage and hedge secrets) and renew.request, which says
/// of its daemon what enrol.request says. Returns the request's short code. Keys that wait are never replaced unless
/// `again`: the authority may have put them into the directory. Errors: conflict (keys wait; its code in the detail), those
/// of open_key_ring().
Result<std::string> renew_keys(const Renewal&);
/// The next keys take the place of the present ones, of which nothing is left, then their request that of the first. What
/// a power cut leaves undone, the next call does.
Result<void> change_keys(const std::string& home);
/// That these are the keys under which the directory knows a party.
bool are_keys(const crypto::KeyRing&, const proto::AgencyKeys&);

/// The authority's answer to the home's request or to its renewal, checked against it, and the keys that it is about.
/// `realm`, when given, must be the answer's. Errors: wrong_realm, bad_signature, bad_request (another request).
struct Answer {
  proto::Approval approval;
  crypto::KeyRing ring;
  bool renewal = false;  // change_keys() is to follow, after the commit
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
