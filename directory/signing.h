// Making directory entries: what an officer is asked to sign, in plain words; signing offline; collecting signatures.
// Pure; the files, prompts and network are io's (tram-authority). Thread: any.
#pragma once
#include <functional>

#include "crypto/keys.h"
#include "directory/directory.h"

namespace tram::directory {

/// The hash officers sign: H("edx1/dir"; payload).
Hash entry_hash(BytesView payload);
proto::EntrySignature sign_entry(BytesView payload, const PartyId& officer, const crypto::SigningKey& key);

/// One sentence a change, in the language asked: who gains or loses what, from when. What the officer reads before
/// signing.
enum class Language { vietnamese, english };
/// `name_of` gives the name of a party that the entry only refers to; without it, or when it returns "", the id stands.
using NameOf = std::function<std::string(const PartyId&)>;
std::vector<std::string> describe_entry(const proto::EntryPayload&, Language, const NameOf& name_of = {});

/// How far an entry is: who signed validly, how many are needed, of which set; and why it would be refused, if it
/// would.
struct SignatureState {
  std::vector<PartyId> valid_signers;
  uint32_t needed = 0;
  std::vector<std::string> problems;
};
Result<SignatureState> examine_entry(ReadTxn&, const Directory&, const proto::Entry&, Time now);

/// Packs changes in their order into the payloads of as few entries as the limits allow, chained after `previous`.
/// Error: too_large (a single change over the limit).
struct Chain {
  RealmId realm;
  uint64_t next_index = 1;
  Hash previous;      // hash of the payload before
  PartyId registrar;  // who signs; zero = root officers
  Time created;
};
Result<std::vector<Bytes>> pack_entries(const std::vector<proto::Change>&, Chain);

// ---- enrolment --------------------------------------------------------------------------------------------

Hash enrol_request_hash(BytesView payload);  // H("edx1/enrol"; payload)
/// "K7QF-3MXA-9T2D": 60 bits of the hash in Crockford base 32, for two people to read to each other.
std::string short_code(const Hash&);
proto::EnrolRequest make_enrol_request(const proto::EnrolRequestPayload&, const crypto::SigningKey& sig);
/// Checks the proof of possession and the keys. Errors: bad_signature, bad_format.
Result<proto::EnrolRequestPayload> check_enrol_request(const proto::EnrolRequest&);

/// KX feeds.
Hash kx_feed_hash(BytesView payload);  // H("edx1/kxfeed"; payload)
proto::KxFeed sign_kx_feed(const proto::KxFeedPayload&, const crypto::SigningKey& sig);

/// Whether the approval answers this request, in the realm expected, if one is. Errors: bad_request, wrong_realm.
Result<void> check_answer(const proto::Approval&, const proto::EnrolRequest&, const std::optional<RealmId>& realm);

}  // namespace tram::directory
