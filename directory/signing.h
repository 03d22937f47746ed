// Making directory entries: what an officer is asked to sign, in plain words; signing offline; collecting signatures.
// Pure; the files, prompts and network are io's (tram-authority). Thread: any.
#pragma once
#include "crypto/keys.h"
#include "directory/directory.h"

namespace tram::directory {

/// The hash officers sign: H("edx1/dir"; payload).
Hash entry_hash(BytesView payload);
proto::EntrySignature sign_entry(BytesView payload, const PartyId& officer, const crypto::SigningKey& key);

/// One sentence a change, in the language asked: who gains or loses what, from when. What the officer reads before signing.
enum class Language { vietnamese, english };
std::vector<std::string> describe_entry(const proto::EntryPayload&, Language);

/// How far an entry is: who signed validly, how many are needed, of which set; and why it would be refused, if it would.
struct SignatureState {
  std::vector<PartyId> valid_signers;
  uint32_t needed = 0;
  std::vector<std::string> problems;
};
Result<SignatureState> examine_entry(ReadTxn&, const Directory&, const proto::Entry&, Time now);

// ---- enrolment --------------------------------------------------------------------------------------------

Hash enrol_request_hash(BytesView payload);  // H("edx1/enrol"; payload)
/// "K7QF-3MXA-9T2D": 60 bits of the hash in Crockford base 32, for two people to read to each other.
std::string short_code(const Hash&);
proto::EnrolRequest make_enrol_request(const proto::EnrolRequestPayload&, const crypto::SigningKey& sig);
/// Checks the proof of possession and the keys. Errors: bad_signature, bad_format.
Result<proto::EnrolRequestPayload> check_enrol_request(const proto::EnrolRequest&);

/// KX feeds.
proto::KxFeed sign_kx_feed(const proto::KxFeedPayload&, const crypto::SigningKey& sig);

}  // namespace tram::directory
