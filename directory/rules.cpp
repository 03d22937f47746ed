// Rules of ROOT, REGISTRAR, OFFICER, BROKER, WITNESS and POLICY, and the pieces that all rules share.
#include "directory/rules.h"

#include <algorithm>
#include <set>

#include "base/limits.h"
#include "crypto/keys.h"

namespace tram::directory {
namespace {

using rows::KeyCurve;
using rows::KeyPurpose;
using rows::PartyKind;

constexpr Time last_time{253402300799000};  // the end of the year 9999
constexpr size_t name_bytes_max = 200;
constexpr size_t publishers_max = 8;
constexpr uint32_t custody_quorum_max = 8;

Result<void> stage_root(EntryContext& context, const proto::RootChange& root, uint16_t number) {
  if (number != 0) return refuse("ROOT must be the first change");
  const bool genesis = context.payload.index == 0;
  if (!genesis && context.payload.changes.size() != 1) return refuse("a ROOT entry holds nothing else");
  if (!genesis && !context.payload.registrar.is_zero()) return fail(ErrorCode::forbidden, "ROOT is for root officers");
  if (!genesis && root.practice != context.held.root.practice) return refuse("practice can never change");
  TRAM_OK(check_line(root.realm_name, name_bytes_max, "realm name"));
  TRAM_OK(check_officers(context.txn, root.officers, root.threshold, PartyKind::root_officer, {}));
  if (root.root_threshold < root.threshold || root.root_threshold > root.officers.size())
    return refuse("root_threshold must be threshold..officers");
  if (root.publishers.size() > publishers_max) return refuse("too many publishers");
  for (const CurvePublic& key : root.publishers) TRAM_OK(claim_key(context.txn, key, KeyPurpose::publisher, {}));
  context.held.root = root;
  return {};
}

Result<void> stage_registrar(EntryContext& context, const proto::RegistrarChange& registrar) {
  TRAM_OK(check_line(registrar.name, name_bytes_max, "registrar name"));
  TRAM_OK(check_line(registrar.province, 10, "registrar province"));
  TRAM_OK(claim_id(context.txn, registrar.id, PartyKind::registrar));
  TRAM_OK(
      check_officers(context.txn, registrar.officers, registrar.threshold, PartyKind::registrar_officer, registrar.id));
  if (auto held = context.held.registrars.find(registrar.id); held != context.held.registrars.end())
    if (held->second.branch != registrar.branch || held->second.province != registrar.province)
      return refuse("a registrar's province and branch can never change");
  context.held.registrars[registrar.id] = registrar;
  return {};
}

Result<void> stage_officer(EntryContext& context, const proto::Change& change, const proto::OfficerChange& officer) {
  TRAM_TRY(owner, kind_of(context.txn, officer.agency));
  if (owner != PartyKind::agency) return refuse("the officer's agency is unknown");
  TRAM_OK(check_line(officer.name, name_bytes_max, "officer name"));
  TRAM_OK(check_line(officer.role, 64, "officer role"));
  const Bytes key = rows::pair_key(officer.agency, officer.id);
  TRAM_TRY(held_row, context.txn.get(rows::officers, key));
  if (officer.revoked && !held_row) return refuse("no such officer to revoke");
  if (context.payload.registrar.is_zero() && context.payload.index != 0 && !officer.revoked) {
    TRAM_TRY(members, administrators(context.txn, officer.agency));
    if (members.size() >= administrators_needed)
      return fail(ErrorCode::forbidden, "this agency's administrators sign for its officers");
  }
  if (!context.payload.registrar.is_zero() && context.payload.registrar != officer.agency)
    return fail(ErrorCode::forbidden, "administrators sign for their own agency only");
  TRAM_OK(claim_id(context.txn, officer.id, PartyKind::officer, officer.agency));
  TRAM_OK(claim_key(context.txn, officer.key, KeyPurpose::sig, officer.id));
  return context.txn.put(rows::officers, key, rows::encode_change(change));
}

Result<void> check_endpoint(std::string_view endpoint, std::string_view what) {
  TRAM_OK(check_line(endpoint, 255, what));
  const size_t colon = endpoint.rfind(':');
  const bool tcp = endpoint.substr(0, 6) == "tcp://" && colon != std::string_view::npos && colon > 6;
  if (!tcp) return refuse(std::string(what) + " must be tcp://host:port");
  const std::string_view port = endpoint.substr(colon + 1);
  uint32_t value = 0;
  for (char c : port)
    value = c >= '0' && c <= '9' && value < 100000 ? value * 10 + static_cast<uint32_t>(c - '0') : 100000;
  if (port.empty() || value == 0 || value > 65535) return refuse(std::string(what) + " needs a port 1..65535");
  const std::string_view host = endpoint.substr(6, colon - 6);
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '[' || c == ']' || c == ':';
  });
  if (!plain) return refuse(std::string(what) + " has a bad host");
  return {};
}

Result<void> stage_broker(EntryContext& context, const proto::Change& change, const proto::BrokerChange& broker) {
  TRAM_OK(check_line(broker.name, name_bytes_max, "broker name"));
  TRAM_OK(check_line(broker.failure_domain, 64, "failure domain"));
  TRAM_OK(check_endpoint(broker.control_endpoint, "control endpoint"));
  TRAM_OK(check_endpoint(broker.bulk_endpoint, "bulk endpoint"));
  if (broker.control_endpoint == broker.bulk_endpoint) return refuse("control and bulk need different endpoints");
  TRAM_OK(claim_id(context.txn, broker.id, PartyKind::broker));
  TRAM_OK(claim_key(context.txn, broker.sig, KeyPurpose::sig, broker.id));
  TRAM_OK(claim_key(context.txn, broker.log, KeyPurpose::log, broker.id));
  TRAM_OK(claim_key(context.txn, broker.curve, KeyPurpose::curve, broker.id));
  context.held.brokers[broker.id].emplace_back(change.effective_from, Broker{broker, context.payload.index});
  return {};
}

Result<void> stage_witness(EntryContext& context, const proto::Change& change, const proto::WitnessChange& witness) {
  TRAM_OK(check_line(witness.name, name_bytes_max, "witness name"));
  TRAM_OK(check_line(witness.organisation, name_bytes_max, "witness organisation"));
  TRAM_OK(claim_id(context.txn, witness.id, PartyKind::witness));
  TRAM_OK(claim_key(context.txn, witness.log, KeyPurpose::log, witness.id));
  if (!witness.curve.is_zero()) TRAM_OK(claim_key(context.txn, witness.curve, KeyPurpose::curve, witness.id));
  context.held.witnesses[witness.id].emplace_back(change.effective_from, Witness{witness, context.payload.index});
  return {};
}

Result<void> stage_policy(EntryContext& context, const proto::Change& change, const proto::PolicyChange& policy) {
  if (policy.custody_quorum > custody_quorum_max) return refuse("custody_quorum is too large");
  if (policy.body_floor_bytes && policy.body_floor_bytes < limits::body_floor_bytes)
    return refuse("body_floor_bytes is below the format's floor");
  if (policy.body_floor_bytes > limits::inline_body_bytes_max) return refuse("body_floor_bytes is over 64 KiB");
  if (policy.time_to_live_ms > static_cast<uint64_t>(limits::time_to_live.ms))
    return refuse("time_to_live_ms is over the limit");
  if (policy.retention_ms > static_cast<uint64_t>(limits::retention.ms))
    return refuse("retention_ms is over the limit");
  if (policy.document_bytes_max > limits::document_bytes_max) return refuse("document_bytes_max is over the limit");
  context.held.policies.emplace_back(change.effective_from, policy);
  return {};
}

}  // namespace

Result<void> check_line(std::string_view text, size_t bytes_max, std::string_view what, bool may_be_empty) {
  if (text.empty() && !may_be_empty) return refuse(std::string(what) + " is empty");
  if (text.size() > bytes_max) return refuse(std::string(what) + " is too long");
  for (char c : text)
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) return refuse(std::string(what) + " has control characters");
  return {};
}

Result<std::optional<PartyKind>> kind_of(ReadTxn& txn, const PartyId& party) {
  TRAM_TRY(row, txn.get(rows::parties, party));
  if (!row) return std::optional<PartyKind>{};
  if (row->size() != 1 + PartyId::size) return fail(ErrorCode::store_corrupt, "party");
  return std::optional<PartyKind>(static_cast<PartyKind>(row->front()));
}

Result<void> claim_id(StagedTxn& txn, const PartyId& party, PartyKind kind, const PartyId& owner) {
  if (party.is_zero()) return refuse("an id is zero");
  Bytes use;
  Writer(use).u8(static_cast<uint8_t>(kind)).raw(owner.view());
  TRAM_TRY(held, txn.get(rows::parties, party));
  if (held && *held != use) return refuse("id " + party.hex() + " is taken");
  if (held) return {};
  return txn.put(rows::parties, party, use);
}

Result<void> claim_key(StagedTxn& txn, BytesView key, KeyPurpose purpose, const PartyId& party) {
  const bool ed25519 = purpose == KeyPurpose::sig || purpose == KeyPurpose::log;
  Bytes use;
  Writer(use).raw(party.view()).u8(static_cast<uint8_t>(purpose));
  const Bytes row_key = rows::public_key_key(ed25519 ? KeyCurve::ed25519 : KeyCurve::x25519, key);
  TRAM_TRY(held, txn.get(rows::keys, row_key));
  if (held && *held != use) return refuse("key " + to_hex(key.first(8)) + "... is another's, or has another purpose");
  if (held) return {};
  if (ed25519 && !crypto::is_valid_signing_key(key)) return refuse("key " + to_hex(key.first(8)) + "... is not valid");
  if (std::all_of(key.begin(), key.end(), [](uint8_t b) { return b == 0; })) return refuse("a key is zero");
  return txn.put(rows::keys, row_key, use);
}

Result<void> check_officers(StagedTxn& txn, const std::vector<proto::RootOfficer>& officers, uint32_t threshold,
                            PartyKind kind, const PartyId& owner) {
  if (officers.empty() || officers.size() > limits::root_officers_max) return refuse("1..16 officers are needed");
  if (threshold == 0 || threshold > officers.size()) return refuse("threshold must be 1..officers");
  std::set<PartyId> ids;
  std::set<SigPublic> public_keys;
  for (const proto::RootOfficer& officer : officers) {
    TRAM_OK(check_line(officer.name, name_bytes_max, "officer name"));
    if (!ids.insert(officer.id).second) return refuse("an officer is named twice");
    if (!public_keys.insert(officer.key).second) return refuse("two officers have one key");
    TRAM_OK(claim_id(txn, officer.id, kind, owner));
    TRAM_OK(claim_key(txn, officer.key, KeyPurpose::sig, officer.id));
  }
  return {};
}

Result<void> stage_change(EntryContext& context, uint16_t number) {
  const proto::Change& change = context.payload.changes[number];
  if (change.effective_from.ms < 0 || change.effective_from > last_time)
    return refuse("effective_from is out of range");
  if (context.payload.index == 0 && number == 0 && !std::holds_alternative<proto::RootChange>(change.body))
    return refuse("the first entry begins with ROOT");
  const bool by_registrar = context.held.registrars.contains(context.payload.registrar);
  const bool by_agency = !by_registrar && !context.payload.registrar.is_zero();
  if (by_agency && !std::holds_alternative<proto::OfficerChange>(change.body))
    return fail(ErrorCode::forbidden, "administrators sign for officers only");
  if (by_registrar && !std::holds_alternative<proto::AgencyChange>(change.body) &&
      !std::holds_alternative<proto::StatusChange>(change.body))
    return fail(ErrorCode::forbidden, "a registrar signs AGENCY and STATUS only");
  bool special = true;  // also kept in the table that load() reads
  struct Visitor {
    EntryContext& context;
    const proto::Change& change;
    uint16_t number;
    bool& special;
    Result<void> operator()(const proto::RootChange& body) { return stage_root(context, body, number); }
    Result<void> operator()(const proto::RegistrarChange& body) { return stage_registrar(context, body); }
    Result<void> operator()(const proto::BrokerChange& body) { return stage_broker(context, change, body); }
    Result<void> operator()(const proto::WitnessChange& body) { return stage_witness(context, change, body); }
    Result<void> operator()(const proto::PolicyChange& body) { return stage_policy(context, change, body); }
    Result<void> operator()(const proto::OfficerChange& body) {
      special = false;
      return stage_officer(context, change, body);
    }
    Result<void> operator()(const proto::AgencyChange& body) {
      special = false;
      return stage_agency(context, change, body, number);
    }
    Result<void> operator()(const proto::StatusChange& body) {
      special = false;
      return stage_status(context, change, body, number);
    }
    Result<void> operator()(const proto::SucceedChange& body) {
      special = false;
      return stage_succession(context, change, body, number);
    }
  };
  if (auto staged = std::visit(Visitor{context, change, number, special}, change.body); !staged) {
    Error error = staged.error();
    error.detail = "change " + std::to_string(number + 1) + ": " + error.detail;
    return fail(std::move(error));
  }
  if (!special) return {};
  return context.txn.put(rows::special, rows::special_key(context.payload.index, number), rows::encode_change(change));
}

}  // namespace tram::directory
