// Keys of officers and of the publisher: an encrypted key file, and beside it FILE.pub, one line that may be shown to
// anyone: "tram-officer-1 <id> <public key> <name>" or "tram-publisher-1 <CURVE public key> <name>".
// Invariants: passphrases come from a prompt or a descriptor, never from argv or the environment.
// Not here: tokens and cards. Thread: main.
#pragma once
#include "base/io/secret_input.h"
#include "crypto/key_file.h"
#include "proto/directory.h"

namespace tram::authority {

/// Descriptors to read passphrases from, in the order of the keys; the last one serves all that follow. None: prompt.
class Passphrases {
 public:
  explicit Passphrases(std::vector<int> fds) : fds_(std::move(fds)) {}
  Result<BytesView> next(const std::string& for_what, bool confirm);

 private:
  std::vector<int> fds_;
  size_t used_ = 0;
  std::vector<io::SecretBytes> read_;
};

struct OfficerKey {
  PartyId id;
  std::string name;
  crypto::SigningKey key;
};

struct KeygenOptions {
  std::string name, out;
  bool publisher = false;
  uint64_t memory_bytes = 256ull << 20;
};
Result<void> generate_key(const KeygenOptions&, Passphrases&);

/// Error: bad_format (not such a file).
Result<proto::RootOfficer> read_officer_public(const std::string& path);
Result<CurvePublic> read_publisher_public(const std::string& path);
/// Opens FILE and FILE.pub. Errors: wrong_passphrase, unsafe_permissions, bad_format (the two do not belong together).
Result<OfficerKey> open_officer_key(const std::string& path, Passphrases&);
/// The CURVE secret of a publisher's key file.
Result<crypto::Secret32> open_publisher_key(const std::string& path, Passphrases&);

}  // namespace tram::authority
