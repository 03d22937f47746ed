#include "proto/directory.h"

#include <algorithm>

#include "directory.pb.h"
#include "proto/codec.h"

namespace tram::proto {
namespace {

using namespace limits;

constexpr size_t key_bytes = SigPublic::size;
constexpr size_t signature_bytes = Signature::size;
constexpr size_t word_bytes_max = 64;
constexpr size_t endpoint_bytes_max = 256;
constexpr size_t reason_bytes_max = 1024;
constexpr size_t codes_per_agency_max = 32;
constexpr size_t successors_max = 512;

constexpr Shape closed(const char* name, std::span<const Field> fields, uint32_t oneof_from = 0) {
  return {name, fields, Unknown::refused, oneof_from};
}

constexpr Field organ_code_fields[] = {
    {1, FieldKind::string, 1, 1, static_cast<uint32_t>(organ_code_chars_max), nullptr}, number_field(2),
    number_field(3)};
constexpr Shape organ_code_shape = closed("OrganCode", organ_code_fields);
constexpr Field contact_fields[] = {text_field(1, agency_name_bytes_max), text_field(2, agency_name_bytes_max),
                                    text_field(3, agency_name_bytes_max), text_field(4, agency_name_bytes_max)};
constexpr Shape contact_shape = closed("Contact", contact_fields);
constexpr Field agency_keys_fields[] = {exact_field(1, key_bytes), exact_field(2, key_bytes),
                                        exact_field(3, key_bytes)};
constexpr Shape agency_keys_shape = closed("AgencyKeys", agency_keys_fields);
constexpr Field agency_fields[] = {exact_field(1, party_bytes),
                                   text_field(2, agency_name_bytes_max),
                                   text_field(3, agency_name_bytes_max),
                                   number_field(4),
                                   number_field(5),
                                   exact_field(6, party_bytes),
                                   text_field(7, word_bytes_max),
                                   message_field(8, organ_code_shape, codes_per_agency_max),
                                   message_field(9, contact_shape),
                                   message_field(10, agency_keys_shape)};
constexpr Shape agency_shape = closed("Agency", agency_fields);
constexpr Field root_officer_fields[] = {exact_field(1, party_bytes), text_field(2, agency_name_bytes_max),
                                         exact_field(3, key_bytes)};
constexpr Shape root_officer_shape = closed("RootOfficer", root_officer_fields);

constexpr Field root_fields[] = {text_field(1, agency_name_bytes_max),
                                 number_field(2),
                                 message_field(3, root_officer_shape, root_officers_max),
                                 number_field(4),
                                 number_field(5),
                                 exact_field(6, key_bytes, root_officers_max)};
constexpr Shape root_shape = closed("RootChange", root_fields);
constexpr Field registrar_fields[] = {exact_field(1, party_bytes),
                                      text_field(2, agency_name_bytes_max),
                                      number_field(3),
                                      text_field(4, word_bytes_max),
                                      message_field(5, root_officer_shape, root_officers_max),
                                      number_field(6),
                                      number_field(7)};
constexpr Shape registrar_shape = closed("RegistrarChange", registrar_fields);
constexpr Field agency_change_fields[] = {message_field(1, agency_shape)};
constexpr Shape agency_change_shape = closed("AgencyChange", agency_change_fields);
constexpr Field officer_fields[] = {exact_field(1, party_bytes),           exact_field(2, party_bytes),
                                    text_field(3, agency_name_bytes_max),  text_field(4, word_bytes_max),
                                    exact_field(5, key_bytes),             number_field(6)};
constexpr Shape officer_shape = closed("OfficerChange", officer_fields);
constexpr Field status_fields[] = {exact_field(1, party_bytes), number_field(2), number_field(3),
                                   text_field(4, reason_bytes_max)};
constexpr Shape status_shape = closed("StatusChange", status_fields);
constexpr Field succeed_fields[] = {exact_field(1, party_bytes, successors_max),
                                    exact_field(2, party_bytes, successors_max), text_field(3, word_bytes_max)};
constexpr Shape succeed_shape = closed("SucceedChange", succeed_fields);
constexpr Field broker_fields[] = {exact_field(1, party_bytes),
                                   text_field(2, agency_name_bytes_max),
                                   text_field(3, word_bytes_max),
                                   text_field(4, endpoint_bytes_max),
                                   text_field(5, endpoint_bytes_max),
                                   exact_field(6, key_bytes),
                                   exact_field(7, key_bytes),
                                   exact_field(8, key_bytes),
                                   number_field(9)};
constexpr Shape broker_shape = closed("BrokerChange", broker_fields);
constexpr Field witness_fields[] = {exact_field(1, party_bytes), text_field(2, agency_name_bytes_max),
                                    text_field(3, agency_name_bytes_max), exact_field(4, key_bytes), number_field(5),
                                    exact_field(6, key_bytes)};
constexpr Shape witness_shape = closed("WitnessChange", witness_fields);
constexpr Field policy_fields[] = {number_field(1), number_field(2), number_field(3), number_field(4),
                                   number_field(5), number_field(6), number_field(7)};
constexpr Shape policy_shape = closed("PolicyChange", policy_fields);
constexpr Field change_fields[] = {number_field(1),
                                   message_field(10, root_shape),
                                   message_field(11, registrar_shape),
                                   message_field(12, agency_change_shape),
                                   message_field(13, officer_shape),
                                   message_field(14, status_shape),
                                   message_field(15, succeed_shape),
                                   message_field(16, broker_shape),
                                   message_field(17, witness_shape),
                                   message_field(18, policy_shape)};
constexpr Shape change_shape = closed("Change", change_fields, 10);
constexpr Field entry_payload_fields[] = {number_field(1),
                                          exact_field(2, hash_bytes),
                                          exact_field(3, RealmId::size),
                                          number_field(4),
                                          exact_field(5, party_bytes),
                                          message_field(6, change_shape, directory_changes_per_entry_max)};
constexpr Shape entry_payload_shape = closed("EntryPayload", entry_payload_fields);
constexpr Field entry_signature_fields[] = {exact_field(1, party_bytes), exact_field(2, signature_bytes)};
constexpr Shape entry_signature_shape = closed("EntrySignature", entry_signature_fields);
constexpr Field entry_fields[] = {
    bytes_field(1, directory_entry_bytes_max),
    message_field(2, entry_signature_shape, directory_signatures_per_entry_max)};
constexpr Shape entry_shape = closed("Entry", entry_fields);

constexpr Field kx_epoch_fields[] = {number_field(1), exact_field(2, key_bytes), number_field(3), number_field(4)};
constexpr Shape kx_epoch_shape = closed("KxEpoch", kx_epoch_fields);
constexpr Field kx_feed_payload_fields[] = {exact_field(1, RealmId::size), exact_field(2, party_bytes),
                                            number_field(3),
                                            message_field(4, kx_epoch_shape, kx_epochs_per_feed_max)};
constexpr Shape kx_feed_payload_shape = closed("KxFeedPayload", kx_feed_payload_fields);
constexpr Field kx_feed_fields[] = {bytes_field(1, kx_feed_bytes_max), exact_field(2, signature_bytes)};
constexpr Shape kx_feed_shape = closed("KxFeed", kx_feed_fields);

constexpr Field enrol_payload_fields[] = {number_field(1),
                                          text_field(2, agency_name_bytes_max),
                                          text_field(3, organ_code_chars_max),
                                          message_field(4, agency_keys_shape),
                                          text_field(5, word_bytes_max),
                                          text_field(6, endpoint_bytes_max),
                                          text_field(7, endpoint_bytes_max),
                                          number_field(8)};
constexpr Shape enrol_payload_shape = closed("EnrolRequestPayload", enrol_payload_fields);
constexpr Field enrol_request_fields[] = {bytes_field(1, enrol_request_bytes_max), exact_field(2, signature_bytes)};
constexpr Shape enrol_request_shape = closed("EnrolRequest", enrol_request_fields);
constexpr Field approval_fields[] = {exact_field(1, RealmId::size), exact_field(2, party_bytes),
                                     exact_field(3, hash_bytes),
                                     bytes_field(4, directory_entry_bytes_max, approval_entries_max)};
constexpr Shape approval_shape = closed("Approval", approval_fields);

// ---- writing ------------------------------------------------------------------------------------------------

void fill(const AgencyKeys& from, pb::AgencyKeys& to) {
  to.set_sig(wire(from.sig));
  to.set_log(wire(from.log));
  to.set_curve(wire(from.curve));
}
void fill(const RootOfficer& from, pb::RootOfficer& to) {
  to.set_id(wire(from.id));
  to.set_name(to_utf8(from.name));
  to.set_key(wire(from.key));
}
void fill(const Agency& from, pb::Agency& to) {
  to.set_id(wire(from.id));
  to.set_name_vi(to_utf8(from.name_vi));
  to.set_name_en(to_utf8(from.name_en));
  to.set_branch(static_cast<pb::Branch>(from.branch));
  to.set_level(static_cast<pb::Level>(from.level));
  if (!from.parent.is_zero()) to.set_parent(wire(from.parent));
  to.set_province(to_utf8(from.province));
  for (const auto& code : from.codes) {
    auto* out = to.add_codes();
    out->set_code(to_utf8(code.code));
    out->set_valid_from_ms(code.valid_from.wire());
    out->set_valid_until_ms(code.valid_until.wire());
  }
  auto& contact = *to.mutable_contact();
  contact.set_address(to_utf8(from.contact.address));
  contact.set_telephone(to_utf8(from.contact.telephone));
  contact.set_email(to_utf8(from.contact.email));
  contact.set_duty_person(to_utf8(from.contact.duty_person));
  if (from.keys) fill(*from.keys, *to.mutable_keys());
}

struct ChangeFiller {
  pb::Change& change;

  void operator()(const RootChange& from) const {
    auto& to = *change.mutable_root();
    to.set_realm_name(to_utf8(from.realm_name));
    to.set_practice(from.practice);
    for (const auto& officer : from.officers) fill(officer, *to.add_officers());
    to.set_threshold(from.threshold);
    to.set_root_threshold(from.root_threshold);
    for (const auto& key : from.publishers) to.add_publishers(wire(key));
  }
  void operator()(const RegistrarChange& from) const {
    auto& to = *change.mutable_registrar();
    to.set_id(wire(from.id));
    to.set_name(to_utf8(from.name));
    to.set_branch(static_cast<pb::Branch>(from.branch));
    to.set_province(to_utf8(from.province));
    for (const auto& officer : from.officers) fill(officer, *to.add_officers());
    to.set_threshold(from.threshold);
    to.set_revoked(from.revoked);
  }
  void operator()(const AgencyChange& from) const { fill(from.agency, *change.mutable_agency()->mutable_agency()); }
  void operator()(const OfficerChange& from) const {
    auto& to = *change.mutable_officer();
    to.set_id(wire(from.id));
    to.set_agency(wire(from.agency));
    to.set_name(to_utf8(from.name));
    to.set_role(to_utf8(from.role));
    to.set_key(wire(from.key));
    to.set_revoked(from.revoked);
  }
  void operator()(const StatusChange& from) const {
    auto& to = *change.mutable_status();
    to.set_agency(wire(from.agency));
    to.set_status(static_cast<pb::AgencyStatus>(from.status));
    to.set_until_ms(from.until.wire());
    to.set_reason(to_utf8(from.reason));
  }
  void operator()(const SucceedChange& from) const {
    auto& to = *change.mutable_succeed();
    for (const auto& id : from.from) to.add_from(wire(id));
    for (const auto& id : from.to) to.add_to(wire(id));
    to.set_policy(to_utf8(from.policy));
  }
  void operator()(const BrokerChange& from) const {
    auto& to = *change.mutable_broker();
    to.set_id(wire(from.id));
    to.set_name(to_utf8(from.name));
    to.set_failure_domain(to_utf8(from.failure_domain));
    to.set_control_endpoint(to_utf8(from.control_endpoint));
    to.set_bulk_endpoint(to_utf8(from.bulk_endpoint));
    to.set_sig(wire(from.sig));
    to.set_log(wire(from.log));
    to.set_curve(wire(from.curve));
    to.set_retired(from.retired);
  }
  void operator()(const WitnessChange& from) const {
    auto& to = *change.mutable_witness();
    to.set_id(wire(from.id));
    to.set_name(to_utf8(from.name));
    to.set_organisation(to_utf8(from.organisation));
    to.set_log(wire(from.log));
    to.set_retired(from.retired);
    if (!from.curve.is_zero()) to.set_curve(wire(from.curve));
  }
  void operator()(const PolicyChange& from) const {
    auto& to = *change.mutable_policy();
    to.set_custody_quorum(from.custody_quorum);
    to.set_body_floor_bytes(from.body_floor_bytes);
    to.set_time_to_live_ms(from.time_to_live_ms);
    to.set_retention_ms(from.retention_ms);
    to.set_document_bytes_max(from.document_bytes_max);
    to.set_recall_refusal_allowed(from.recall_refusal_allowed);
    to.set_update_refusal_allowed(from.update_refusal_allowed);
  }
};

// ---- reading ------------------------------------------------------------------------------------------------

constexpr int branch_last = 6;
constexpr int level_last = 4;
constexpr int agency_status_last = 3;
constexpr int enrol_kind_last = 3;

bool is_organ_code(std::string_view code) {
  return std::all_of(code.begin(), code.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

AgencyKeys read(Checks& checks, const pb::AgencyKeys& from) {
  return {checks.id<SigPublic>(from.sig(), "AgencyKeys.sig"), checks.id<LogPublic>(from.log(), "AgencyKeys.log"),
          checks.id<CurvePublic>(from.curve(), "AgencyKeys.curve")};
}
std::vector<RootOfficer> read(Checks& checks, const google::protobuf::RepeatedPtrField<pb::RootOfficer>& officers) {
  std::vector<RootOfficer> out;
  out.reserve(static_cast<size_t>(officers.size()));
  for (const auto& from : officers)
    out.push_back({checks.id<PartyId>(from.id(), "RootOfficer.id"), from.name(),
                   checks.id<SigPublic>(from.key(), "RootOfficer.key")});
  return out;
}
Agency read(Checks& checks, const pb::Agency& from) {
  Agency to;
  to.id = checks.id<PartyId>(from.id(), "Agency.id");
  to.name_vi = from.name_vi();
  to.name_en = from.name_en();
  to.branch = checks.choice<Branch>(from.branch(), branch_last, 0, "Agency.branch");
  to.level = checks.choice<Level>(from.level(), level_last, 0, "Agency.level");
  to.parent = checks.id_or_zero<PartyId>(from.parent(), "Agency.parent");
  to.province = from.province();
  to.codes.reserve(static_cast<size_t>(from.codes_size()));
  for (const auto& code : from.codes()) {
    checks.require(!code.code().empty() && is_organ_code(code.code()), "OrganCode.code");
    to.codes.push_back({code.code(), checks.time(code.valid_from_ms(), "OrganCode.valid_from_ms"),
                        checks.time(code.valid_until_ms(), "OrganCode.valid_until_ms")});
  }
  to.contact = {from.contact().address(), from.contact().telephone(), from.contact().email(),
                from.contact().duty_person()};
  if (from.has_keys()) to.keys = read(checks, from.keys());
  return to;
}

ChangeBody read_body(Checks& checks, const pb::Change& change) {
  switch (change.body_case()) {
    case pb::Change::kRoot: {
      const auto& from = change.root();
      RootChange to;
      to.realm_name = from.realm_name();
      to.practice = from.practice();
      to.officers = read(checks, from.officers());
      to.threshold = from.threshold();
      to.root_threshold = from.root_threshold();
      to.publishers = checks.ids<CurvePublic>(from.publishers(), "RootChange.publishers");
      return to;
    }
    case pb::Change::kRegistrar: {
      const auto& from = change.registrar();
      RegistrarChange to;
      to.id = checks.id<PartyId>(from.id(), "RegistrarChange.id");
      to.name = from.name();
      to.branch = checks.choice<Branch>(from.branch(), branch_last, 0, "RegistrarChange.branch");
      to.province = from.province();
      to.officers = read(checks, from.officers());
      to.threshold = from.threshold();
      to.revoked = from.revoked();
      return to;
    }
    case pb::Change::kAgency:
      checks.require(change.agency().has_agency(), "AgencyChange.agency");
      return AgencyChange{read(checks, change.agency().agency())};
    case pb::Change::kOfficer: {
      const auto& from = change.officer();
      OfficerChange to;
      to.id = checks.id<PartyId>(from.id(), "OfficerChange.id");
      to.agency = checks.id<PartyId>(from.agency(), "OfficerChange.agency");
      to.name = from.name();
      to.role = from.role();
      to.key = checks.id<SigPublic>(from.key(), "OfficerChange.key");
      to.revoked = from.revoked();
      return to;
    }
    case pb::Change::kStatus: {
      const auto& from = change.status();
      StatusChange to;
      to.agency = checks.id<PartyId>(from.agency(), "StatusChange.agency");
      to.status = checks.choice<AgencyStatus>(from.status(), agency_status_last, 0, "StatusChange.status");
      to.until = checks.time(from.until_ms(), "StatusChange.until_ms");
      to.reason = from.reason();
      return to;
    }
    case pb::Change::kSucceed: {
      const auto& from = change.succeed();
      return SucceedChange{checks.ids<PartyId>(from.from(), "SucceedChange.from"),
                           checks.ids<PartyId>(from.to(), "SucceedChange.to"), from.policy()};
    }
    case pb::Change::kBroker: {
      const auto& from = change.broker();
      BrokerChange to;
      to.id = checks.id<PartyId>(from.id(), "BrokerChange.id");
      to.name = from.name();
      to.failure_domain = from.failure_domain();
      to.control_endpoint = from.control_endpoint();
      to.bulk_endpoint = from.bulk_endpoint();
      to.sig = checks.id<SigPublic>(from.sig(), "BrokerChange.sig");
      to.log = checks.id<LogPublic>(from.log(), "BrokerChange.log");
      to.curve = checks.id<CurvePublic>(from.curve(), "BrokerChange.curve");
      to.retired = from.retired();
      return to;
    }
    case pb::Change::kWitness: {
      const auto& from = change.witness();
      WitnessChange to;
      to.id = checks.id<PartyId>(from.id(), "WitnessChange.id");
      to.name = from.name();
      to.organisation = from.organisation();
      to.log = checks.id<LogPublic>(from.log(), "WitnessChange.log");
      to.retired = from.retired();
      to.curve = checks.id_or_zero<CurvePublic>(from.curve(), "WitnessChange.curve");
      return to;
    }
    case pb::Change::kPolicy: {
      const auto& from = change.policy();
      PolicyChange to;
      to.custody_quorum = from.custody_quorum();
      to.body_floor_bytes = from.body_floor_bytes();
      to.time_to_live_ms = from.time_to_live_ms();
      to.retention_ms = from.retention_ms();
      to.document_bytes_max = from.document_bytes_max();
      to.recall_refusal_allowed = from.recall_refusal_allowed();
      to.update_refusal_allowed = from.update_refusal_allowed();
      return to;
    }
    case pb::Change::BODY_NOT_SET:
      break;
  }
  checks.require(false, "Change.body");
  return PolicyChange{};
}

constexpr std::string_view branch_texts[] = {"party", "government", "front", "assembly", "court", "procuracy"};
constexpr std::string_view level_texts[] = {"central", "province", "commune", "unit"};
constexpr std::string_view agency_status_texts[] = {"active", "suspended", "closed"};

template <class Enum>
std::string_view find_text(std::span<const std::string_view> texts, Enum value) {
  const auto at = static_cast<size_t>(value) - 1;
  return at < texts.size() ? texts[at] : std::string_view("unknown");
}
template <class Enum>
std::optional<Enum> find_value(std::span<const std::string_view> texts, std::string_view text) {
  for (size_t i = 0; i < texts.size(); ++i)
    if (texts[i] == text) return static_cast<Enum>(i + 1);
  return std::nullopt;
}

}  // namespace

std::string_view to_text(Branch branch) { return find_text(branch_texts, branch); }
std::string_view to_text(Level level) { return find_text(level_texts, level); }
std::string_view to_text(AgencyStatus status) { return find_text(agency_status_texts, status); }
std::optional<Branch> parse_branch(std::string_view text) { return find_value<Branch>(branch_texts, text); }
std::optional<Level> parse_level(std::string_view text) { return find_value<Level>(level_texts, text); }

Bytes encode_entry_payload(const EntryPayload& from) {
  MessageArena arena;
  auto& to = arena.make<pb::EntryPayload>();
  to.set_index(from.index);
  if (!from.previous.is_zero()) to.set_previous(wire(from.previous));
  if (!from.realm.is_zero()) to.set_realm(wire(from.realm));
  to.set_created_ms(from.created.wire());
  if (!from.registrar.is_zero()) to.set_registrar(wire(from.registrar));
  for (const auto& change : from.changes) {
    auto* out = to.add_changes();
    out->set_effective_from_ms(change.effective_from.wire());
    std::visit(ChangeFiller{*out}, change.body);
  }
  return serialise(to);
}

Result<EntryPayload> decode_entry_payload(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::EntryPayload>();
  TRAM_OK(parse(bytes, entry_payload_shape, directory_entry_bytes_max, from));
  Checks checks;
  EntryPayload to;
  to.index = from.index();
  to.previous = checks.id_or_zero<Hash>(from.previous(), "EntryPayload.previous");
  to.realm = checks.id_or_zero<RealmId>(from.realm(), "EntryPayload.realm");
  to.created = checks.time(from.created_ms(), "EntryPayload.created_ms");
  to.registrar = checks.id_or_zero<PartyId>(from.registrar(), "EntryPayload.registrar");
  checks.require(from.changes_size() > 0, "EntryPayload.changes");
  to.changes.reserve(static_cast<size_t>(from.changes_size()));
  for (const auto& change : from.changes())
    to.changes.push_back(
        {checks.time(change.effective_from_ms(), "Change.effective_from_ms"), read_body(checks, change)});
  TRAM_OK(checks.result());
  return to;
}

Bytes encode_entry(const Entry& from) {
  MessageArena arena;
  auto& to = arena.make<pb::Entry>();
  to.set_payload(wire(from.payload));
  for (const auto& signature : from.signatures) {
    auto* out = to.add_signatures();
    out->set_signer(wire(signature.signer));
    out->set_signature(wire(signature.signature));
  }
  return serialise(to);
}

Result<Entry> decode_entry(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::Entry>();
  TRAM_OK(parse(bytes, entry_shape, directory_entry_bytes_max, from));
  Checks checks;
  Entry to;
  checks.require(!from.payload().empty(), "Entry.payload");
  to.payload = bytes_of(from.payload());
  to.signatures.reserve(static_cast<size_t>(from.signatures_size()));
  for (const auto& signature : from.signatures())
    to.signatures.push_back({checks.id<PartyId>(signature.signer(), "EntrySignature.signer"),
                             checks.id<Signature>(signature.signature(), "EntrySignature.signature")});
  TRAM_OK(checks.result());
  return to;
}

Bytes encode_kx_feed_payload(const KxFeedPayload& from) {
  MessageArena arena;
  auto& to = arena.make<pb::KxFeedPayload>();
  to.set_realm(wire(from.realm));
  to.set_agency(wire(from.agency));
  to.set_number(from.number);
  for (const auto& epoch : from.epochs) {
    auto* out = to.add_epochs();
    out->set_number(epoch.number);
    out->set_key(wire(epoch.key));
    out->set_not_before_ms(epoch.not_before.wire());
    out->set_not_after_ms(epoch.not_after.wire());
  }
  return serialise(to);
}

Result<KxFeedPayload> decode_kx_feed_payload(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::KxFeedPayload>();
  TRAM_OK(parse(bytes, kx_feed_payload_shape, kx_feed_bytes_max, from));
  Checks checks;
  KxFeedPayload to;
  to.realm = checks.id<RealmId>(from.realm(), "KxFeedPayload.realm");
  to.agency = checks.id<PartyId>(from.agency(), "KxFeedPayload.agency");
  to.number = from.number();
  to.epochs.reserve(static_cast<size_t>(from.epochs_size()));
  for (const auto& epoch : from.epochs())
    to.epochs.push_back({epoch.number(), checks.id<KxPublic>(epoch.key(), "KxEpoch.key"),
                         checks.time(epoch.not_before_ms(), "KxEpoch.not_before_ms"),
                         checks.time(epoch.not_after_ms(), "KxEpoch.not_after_ms")});
  TRAM_OK(checks.result());
  return to;
}

Bytes encode_kx_feed(const KxFeed& from) {
  MessageArena arena;
  auto& to = arena.make<pb::KxFeed>();
  to.set_payload(wire(from.payload));
  to.set_signature(wire(from.signature));
  return serialise(to);
}

Result<KxFeed> decode_kx_feed(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::KxFeed>();
  TRAM_OK(parse(bytes, kx_feed_shape, kx_feed_bytes_max, from));
  Checks checks;
  checks.require(!from.payload().empty(), "KxFeed.payload");
  KxFeed to{bytes_of(from.payload()), checks.id<Signature>(from.signature(), "KxFeed.signature")};
  TRAM_OK(checks.result());
  return to;
}

Bytes encode_enrol_request_payload(const EnrolRequestPayload& from) {
  MessageArena arena;
  auto& to = arena.make<pb::EnrolRequestPayload>();
  to.set_kind(static_cast<pb::EnrolKind>(from.kind));
  to.set_name(to_utf8(from.name));
  to.set_organ_code(to_utf8(from.organ_code));
  fill(from.keys, *to.mutable_keys());
  to.set_failure_domain(to_utf8(from.failure_domain));
  to.set_control_endpoint(to_utf8(from.control_endpoint));
  to.set_bulk_endpoint(to_utf8(from.bulk_endpoint));
  to.set_created_ms(from.created.wire());
  return serialise(to);
}

Result<EnrolRequestPayload> decode_enrol_request_payload(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::EnrolRequestPayload>();
  TRAM_OK(parse(bytes, enrol_payload_shape, enrol_request_bytes_max, from));
  Checks checks;
  EnrolRequestPayload to;
  to.kind = checks.choice<EnrolKind>(from.kind(), enrol_kind_last, 0, "EnrolRequestPayload.kind");
  to.name = from.name();
  to.organ_code = from.organ_code();
  checks.require(is_organ_code(to.organ_code), "EnrolRequestPayload.organ_code");
  checks.require(from.has_keys(), "EnrolRequestPayload.keys");
  to.keys = read(checks, from.keys());
  to.failure_domain = from.failure_domain();
  to.control_endpoint = from.control_endpoint();
  to.bulk_endpoint = from.bulk_endpoint();
  to.created = checks.time(from.created_ms(), "EnrolRequestPayload.created_ms");
  TRAM_OK(checks.result());
  return to;
}

Bytes encode_enrol_request(const EnrolRequest& from) {
  MessageArena arena;
  auto& to = arena.make<pb::EnrolRequest>();
  to.set_payload(wire(from.payload));
  to.set_signature(wire(from.signature));
  return serialise(to);
}

Result<EnrolRequest> decode_enrol_request(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::EnrolRequest>();
  TRAM_OK(parse(bytes, enrol_request_shape, enrol_request_bytes_max, from));
  Checks checks;
  checks.require(!from.payload().empty(), "EnrolRequest.payload");
  EnrolRequest to{bytes_of(from.payload()), checks.id<Signature>(from.signature(), "EnrolRequest.signature")};
  TRAM_OK(checks.result());
  return to;
}

Bytes encode_approval(const Approval& from) {
  MessageArena arena;
  auto& to = arena.make<pb::Approval>();
  to.set_realm(wire(from.realm));
  to.set_party(wire(from.party));
  to.set_request(wire(from.request));
  to.mutable_entries()->Reserve(static_cast<int>(from.entries.size()));
  for (const auto& entry : from.entries) to.add_entries()->assign(text(entry));
  return serialise(to);
}

Result<Approval> decode_approval(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::Approval>();
  TRAM_OK(parse(bytes, approval_shape, approval_bytes_max, from));
  Checks checks;
  Approval to;
  to.realm = checks.id<RealmId>(from.realm(), "Approval.realm");
  to.party = checks.id<PartyId>(from.party(), "Approval.party");
  to.request = checks.id<Hash>(from.request(), "Approval.request");
  to.entries = all_bytes(from.entries());
  TRAM_OK(checks.result());
  return to;
}

}  // namespace tram::proto
