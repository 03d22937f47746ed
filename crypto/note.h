// Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature; protocol.md 4.3;
// FORMAT.md 7.1). LOG keys sign nothing but what this file writes.
// Invariants: one value has one text; decoders are stricter than C2SP where that costs no interoperability we want: names
// are printable ASCII, a note is at most 8 KiB, a checkpoint has exactly three lines. A decoded note is not verified.
// Not here: whose key it should have been (audit/), the tree (merkle.h). Library: verify. Thread: any; values only.
#pragma once
#include "base/time.h"
#include "crypto/hash.h"
#include "crypto/keys.h"

namespace tram::crypto {

inline constexpr size_t note_bytes_max = 8192;
inline constexpr size_t note_signatures_max = 32;
inline constexpr size_t note_name_bytes_max = 200;
inline constexpr size_t note_signature_bytes_max = 256;

struct NoteSignature {
  std::string name;     // of the key
  uint32_t key_id = 0;  // note_key_id() of name, type and key
  Bytes signature;      // for a cosignature: u64 seconds || Ed25519
};
struct Note {
  std::string text;  // ends with a newline
  std::vector<NoteSignature> signatures;
};

/// What a note's signature line says of its key; other types are carried, not understood.
enum class NoteKeyType : uint8_t { ed25519 = 0x01, cosignature_v1 = 0x04 };
/// First four bytes of SHA-256(name || 0x0A || type || public key).
uint32_t note_key_id(std::string_view name, NoteKeyType, BytesView public_key);

/// `note` must be one that decode_note() takes.
Bytes encode_note(const Note& note);
/// Errors: bad_format, too_large.
Result<Note> decode_note(BytesView);
/// One signature line, with its newline: how a cosignature travels by itself.
std::string note_signature_line(const NoteSignature&);
/// Error: bad_format.
Result<NoteSignature> decode_note_signature_line(std::string_view);
/// Whether this is `key`'s plain Ed25519 signature (type 0x01) over `text` under that name.
bool verify_note_signature(std::string_view text, const NoteSignature&, std::string_view name, const LogPublic& key);

// ---- checkpoints ------------------------------------------------------------------------------------------

enum class LogKind : uint8_t { node, broker, witness, directory };

/// Which log: "edx/<first 16 hex of the realm>/<node|broker|witness|directory>/<party>/<generation>". A log that cannot
/// be continued after a restore begins a new generation (4.4). The directory has no key and is cosigned only (2.6).
struct LogOrigin {
  std::array<uint8_t, 8> realm{};  // first bytes of the RealmId
  LogKind kind = LogKind::node;
  PartyId party;
  uint32_t generation = 0;
  auto operator<=>(const LogOrigin&) const = default;
  std::string text() const;
};
LogOrigin log_origin(const RealmId&, LogKind, const PartyId&, uint32_t generation);
/// The name under which a party cosigns: its origin without the generation.
std::string cosigner_name(const RealmId&, LogKind, const PartyId&);
/// Whose name that is, if it is such a name.
std::optional<LogOrigin> cosigner_of(std::string_view name);

struct Checkpoint {
  LogOrigin origin;
  uint64_t size = 0;
  Hash root;
  bool operator==(const Checkpoint&) const = default;
};
/// The text of a note: origin, size, base64 of the root, one a line.
std::string checkpoint_text(const Checkpoint&);
/// Error: bad_format.
Result<Checkpoint> decode_checkpoint_text(std::string_view);

struct SignedCheckpoint {
  Checkpoint checkpoint;
  Note note;
};
/// Errors: bad_format, too_large.
Result<SignedCheckpoint> decode_signed_checkpoint(BytesView note);
Note sign_checkpoint(const Checkpoint&, const LogKey&);
/// Whether the log itself signed it: a signature of type 0x01 under the origin as name.
bool verify_checkpoint(const SignedCheckpoint&, const LogPublic&);

/// cosignature/v1 of a checkpoint's text at `now` (whole seconds).
NoteSignature cosign(std::string_view text, std::string_view name, Time now, const LogKey&);
/// When it was made, if it is the cosignature of that witness over `text`.
std::optional<Time> verify_cosignature(std::string_view text, const NoteSignature&, std::string_view name,
                                       const LogPublic&);

}  // namespace tram::crypto
