// The signed directory: entries with their changes, KX feeds, enrolment requests and approvals (R25, R26, 8.14).
// Signed things travel as `payload` bytes plus signatures and are never re-serialised (P-1). Thread: any; values only.
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace tram::proto {

enum class Branch : uint8_t { party = 1, government = 2, front = 3, assembly = 4, court = 5, procuracy = 6 };
enum class Level : uint8_t { central = 1, province = 2, commune = 3, unit = 4 };
enum class AgencyStatus : uint8_t { active = 1, suspended = 2, closed = 3 };
std::string_view to_text(Branch);
std::string_view to_text(Level);
std::string_view to_text(AgencyStatus);
std::optional<Branch> parse_branch(std::string_view);
std::optional<Level> parse_level(std::string_view);

struct OrganCode {
  std::string code;      // opaque, case-sensitive, 1..35 of [A-Za-z0-9.-_]
  Time valid_from;       // 0 = always
  Time valid_until;      // 0 = still
};
struct Contact {
  std::string address, telephone, email, duty_person;
};
struct AgencyKeys {
  SigPublic sig;
  LogPublic log;
  CurvePublic curve;
  auto operator<=>(const AgencyKeys&) const = default;
};
struct Agency {
  PartyId id;
  std::string name_vi;
  std::string name_en;
  Branch branch = Branch::government;
  Level level = Level::central;
  PartyId parent;                   // zero at the top
  std::string province;             // statistics-office code of the province, "79"; empty at the centre
  std::vector<OrganCode> codes;     // first = current main code, others aliases
  Contact contact;
  std::optional<AgencyKeys> keys;   // none: no node yet
};
struct RootOfficer {
  PartyId id;
  std::string name;
  SigPublic key;
};
struct RootChange {
  std::string realm_name;
  bool practice = false;            // a practice realm, visibly marked everywhere
  std::vector<RootOfficer> officers;
  uint32_t threshold = 0;           // M for most entries
  uint32_t root_threshold = 0;      // M for ROOT and POLICY
  std::vector<CurvePublic> publishers;  // CURVE keys under which the authority publishes
};
struct RegistrarChange {
  PartyId id;
  std::string name;
  Branch branch = Branch::government;
  std::string province;             // its scope: this province x branch
  std::vector<RootOfficer> officers;
  uint32_t threshold = 0;
  bool revoked = false;
};
struct AgencyChange {
  Agency agency;                    // the whole new record
};
struct OfficerChange {
  PartyId id;
  PartyId agency;
  std::string name;
  std::string role;                 // "administrator", later clearances
  SigPublic key;
  bool revoked = false;
};
struct StatusChange {
  PartyId agency;
  AgencyStatus status = AgencyStatus::active;
  Time until;                       // suspension by one officer ends by itself
  std::string reason;
};
struct SucceedChange {
  std::vector<PartyId> from;
  std::vector<PartyId> to;
  std::string policy;               // "merge", "split", "absorb"
};
struct BrokerChange {
  PartyId id;
  std::string name;
  std::string failure_domain;
  std::string control_endpoint;     // tcp://host:port
  std::string bulk_endpoint;
  SigPublic sig;
  LogPublic log;
  CurvePublic curve;
  bool retired = false;
};
struct WitnessChange {
  PartyId id;
  std::string name;
  std::string organisation;
  LogPublic log;
  bool retired = false;
  CurvePublic curve = {};           // zero: it does not connect to brokers
};
struct PolicyChange {
  uint32_t custody_quorum = 2;      // W
  uint64_t body_floor_bytes = 65536;
  uint64_t time_to_live_ms = 0;     // 0 = default
  uint64_t retention_ms = 0;
  uint64_t document_bytes_max = 0;
  bool recall_refusal_allowed = false;
  bool update_refusal_allowed = true;
};
using ChangeBody = std::variant<RootChange, RegistrarChange, AgencyChange, OfficerChange, StatusChange, SucceedChange,
                                BrokerChange, WitnessChange, PolicyChange>;
struct Change {
  Time effective_from;
  ChangeBody body;
};
struct EntryPayload {
  uint64_t index = 0;               // 0 is the genesis ROOT
  Hash previous;                    // H("edx1/dir"; payload of index-1), zero at 0
  RealmId realm;                    // zero at 0
  Time created;
  PartyId registrar;                // who signs: zero = root officers
  std::vector<Change> changes;      // 1..128
};
struct EntrySignature {
  PartyId signer;
  Signature signature;              // SIGN(officer; "edx1/dir"; H("edx1/dir"; payload))
};
struct Entry {
  Bytes payload;
  std::vector<EntrySignature> signatures;
};
Bytes encode_entry_payload(const EntryPayload&);
Result<EntryPayload> decode_entry_payload(BytesView);
Bytes encode_entry(const Entry&);
Result<Entry> decode_entry(BytesView);

struct KxEpoch {
  uint64_t number = 0;              // days since 1970-01-01 UTC
  KxPublic key;
  Time not_before;
  Time not_after;
};
struct KxFeedPayload {
  RealmId realm;
  PartyId agency;
  uint64_t number = 0;              // rises with every feed
  std::vector<KxEpoch> epochs;      // <= 16
};
struct KxFeed {
  Bytes payload;
  Signature signature;              // SIGN(agency; "edx1/kxfeed"; H("edx1/kxfeed"; payload))
};
Bytes encode_kx_feed_payload(const KxFeedPayload&);
Result<KxFeedPayload> decode_kx_feed_payload(BytesView);
Bytes encode_kx_feed(const KxFeed&);
Result<KxFeed> decode_kx_feed(BytesView);

enum class EnrolKind : uint8_t { node = 1, broker = 2, witness = 3 };
/// Written by `tram-node init` / `tram-broker init`; carried to the authority by hand.
struct EnrolRequestPayload {
  EnrolKind kind = EnrolKind::node;
  std::string name;                 // name of the agency or broker, as its operator wrote it
  std::string organ_code;           // wanted code of an agency
  AgencyKeys keys;
  std::string failure_domain;       // brokers
  std::string control_endpoint, bulk_endpoint;
  Time created;
};
struct EnrolRequest {
  Bytes payload;
  Signature signature;              // by keys.sig: proof of possession; label "edx1/enrol"
};
Bytes encode_enrol_request_payload(const EnrolRequestPayload&);
Result<EnrolRequestPayload> decode_enrol_request_payload(BytesView);
Bytes encode_enrol_request(const EnrolRequest&);
Result<EnrolRequest> decode_enrol_request(BytesView);

/// Answers an enrolment: who you are now, in which realm, and a directory snapshot with the brokers' keys.
struct Approval {
  RealmId realm;
  PartyId party;
  Hash request;                     // H("edx1/enrol"; request payload)
  std::vector<Bytes> entries;       // the directory from index 0
};
Bytes encode_approval(const Approval&);
/// Up to 32 MiB: this one is a file, never a frame.
Result<Approval> decode_approval(BytesView);

}  // namespace tram::proto
