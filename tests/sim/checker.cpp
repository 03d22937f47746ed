#include "tests/sim/checker.h"

#include <algorithm>

#include "base/limits.h"
#include "broker/tables.h"
#include "crypto/hash.h"
#include "node/rows.h"

namespace tram::sim {

namespace table = node::table;
namespace rows = broker::table;
using node::find;
using node::for_each;
using node::find_u64;
using node::row_key;
using node::u64_value;
using proto::InState;
using proto::ItemState;

namespace {

Hash digest(BytesView bytes) { return crypto::hash("sim", {bytes}); }

template <class Record>
std::optional<Record> read(ReadTxn& txn, const Table& in, BytesView key) {
  auto value = txn.get(in, key).value();
  if (!value) return std::nullopt;
  Record record;
  SIM_REQUIRE(proto::decode_record(*value, record), std::string(in.name), "cannot be read");
  return record;
}

}  // namespace

bool Checker::body_durable(const MemBodies& bodies, const std::string& name, const crypto::Manifest& manifest) {
  auto& [version, id] = bodies_seen_[{&bodies, name}];
  if (version && version == bodies.version(name) && id == manifest.chunks) return true;
  Bytes chunk;
  for (uint32_t i = 0; i < manifest.chunks.size(); ++i) {
    chunk.resize(crypto::sealed_chunk_size(manifest, i));
    if (!bodies.read_durable(name, uint64_t{i} * limits::sealed_chunk_bytes, chunk)) return false;
    if (crypto::chunk_id(chunk) != manifest.chunks[i]) return false;
  }
  version = bodies.version(name);
  id = manifest.chunks;
  return true;
}

namespace {

/// The recipient's own statement that it could not take the document.
bool was_rejected(ReadTxn& txn, const PartyId& recipient, const DocId& doc_id) {
  const Bytes prefix = row_key(doc_id, recipient);
  const auto receipts = txn.scan(table::receipt, prefix, prefix_end(prefix), 100).value();
  for (const Row& row : receipts)
    if (Reader(BytesView(row.key).subspan(prefix.size() + EnvelopeId::size)).u16() == static_cast<uint16_t>(crypto::ReceiptEvent::rejected)) return true;
  return false;
}

/// What may follow what, in the eyes of a clerk.
bool follows(InState from, InState to) {
  if (from == to) return true;
  if (to == InState::recalled) return from != InState::refused;
  switch (from) {
    case InState::held: return to == InState::arrived;
    case InState::arrived: return to == InState::registered || to == InState::refused;
    case InState::registered: return to == InState::assigned || to == InState::processing || to == InState::done;
    case InState::assigned: return to == InState::processing || to == InState::done;
    case InState::processing: return to == InState::done;
    default: return false;
  }
}

/// The directory that the object of a conflict names, whoever signed it.
std::optional<Hash> root_named_in(const audit::ViewConflict& conflict) {
  if (conflict.kind == audit::ViewConflict::Kind::agency) {
    if (const auto envelope = crypto::decode_envelope(conflict.object)) return envelope->dir_root;
    if (const auto receipt = crypto::decode_receipt(conflict.object)) return receipt->dir_root;
    return {};
  }
  const auto note = crypto::decode_note(conflict.object);
  if (!note) return {};
  const auto checkpoint = crypto::decode_checkpoint_text(note->text);
  return checkpoint ? std::optional(checkpoint->root) : std::nullopt;
}

}  // namespace

void Checker::watch(std::vector<std::unique_ptr<NodeHost>>& nodes, std::vector<std::unique_ptr<BrokerHost>>& brokers,
                    std::vector<std::unique_ptr<WitnessHost>>& witnesses, std::vector<PlannedDocument>& documents) {
  nodes_ = &nodes;
  brokers_ = &brokers;
  witnesses_ = &witnesses;
  documents_ = &documents;
}

NodeHost& Checker::node(const PartyId& id) {
  for (auto& one : *nodes_)
    if (one->party().id == id) return *one;
  throw Broken("no node " + brief(id));
}

void Checker::expect_false_custody(BrokerHost& broker, const Epoch& epoch) {
  lapsed_.insert({broker.party().id, epoch});
  for (auto& node : *nodes_) node->log().expect("broker.lost_envelope");
}

void Checker::node_will_be_restored(NodeHost& host) {
  const PartyId& id = host.party().id;
  restored_.insert(id);
  std::erase_if(incoming_, [&](const auto& one) { return one.first.first == id; });
  std::erase_if(handed_, [&](const auto& one) { return std::get<0>(one.first) == id; });
  for (const auto& [env_id, sent] : sent_)
    if (sent.recipient == id) statements_.erase(env_id);
}

void Checker::node_was_restored(NodeHost& host) {
  auto txn = host.store().begin_read().value();
  SIM_REQUIRE(for_each(*txn, table::incoming, {}, [&](const Row& row) -> Result<void> {
                proto::InRecord record;
                TRAM_OK(proto::decode_record(row.value, record));
                incoming_[{host.party().id, record.doc_id}] = {record.state, record.arrival};
                return {};
              }), "incoming");
  for (auto& document : *documents_)
    if ((*nodes_)[document.sender].get() == &host) document.submitted = document.recalled = false;
}

// ---- recipients --------------------------------------------------------------------------------------------------

void Checker::node_committed(NodeHost& host, const node::Effects& effects) {
  if (effects.changed_documents.empty() && effects.changed_sent.empty()) return;
  auto txn = host.store().begin_read().value();
  // Most are accepted for milliseconds only: the hourly look would not see them.
  for (const DocUuid& uuid : effects.changed_sent)
    SIM_REQUIRE(for_each(*txn, table::item, uuid, [&](const Row& row) -> Result<void> {
                  proto::ItemRecord item;
                  TRAM_OK(proto::decode_record(row.value, item));
                  if (item.state == ItemState::accepted) check_accepted(host, *txn, item, true);
                  return {};
                }), "accepted");
  for (uint64_t arrival : effects.changed_documents) {
    auto record = read<proto::InRecord>(*txn, table::incoming, u64_value(arrival));
    SIM_REQUIRE(record, host.name(), "a changed document is not in the store");
    auto [it, fresh] = incoming_.try_emplace({host.party().id, record->doc_id});
    Seen& seen = it->second;
    if (fresh) seen.arrival = arrival;
    SIM_REQUIRE(seen.arrival == arrival, host.name(), "I2: handed over twice:", brief(record->doc_id));
    if (record->state != InState::recalled || !fresh)
      SIM_REQUIRE(follows(seen.state, record->state), host.name(), "I2: state", std::to_string(int(seen.state)), "to",
                  std::to_string(int(record->state)), brief(record->doc_id));
    // One that is recalled while it waits for its turn is not handed over.
    if (seen.state == InState::held && record->state != InState::held && record->state != InState::recalled) {
      Handed& last = handed_[{host.party().id, record->sender, record->lane, record->inc}];
      if (record->out_of_order) {
        world_.count("rare: handed over out of order, flagged");
      } else if (!sent_again_.contains({host.party().id, record->doc_id})) {  // else it has the turn of any of its envelopes
        SIM_REQUIRE(!last.any || record->seq > last.seq, host.name(), "I5: out of order and not flagged:", brief(record->doc_id),
                    "seq", std::to_string(record->seq), "after", std::to_string(last.seq));
        last.any = true;
        last.seq = record->seq;
      }
    }
    if (record->state == InState::recalled && seen.state != InState::recalled)
      world_.count(seen.state == InState::held || seen.state == InState::arrived ? "rare: recalled before registration"
                                                                                 : "rare: recalled after registration");
    seen.state = record->state;
  }
}

/// The manifest of a body that is a file: in the document's row, or durable beside the body.
template <class Record>
std::optional<crypto::Manifest> Checker::manifest_of(NodeHost& host, const Record& record, const std::string& body_name) {
  Bytes bytes = record.manifest;
  if (bytes.empty()) {
    bytes.resize(16 + 32 * size_t{record.chunks});
    if (!host.bodies().read_durable(node::manifest_name(body_name), 0, bytes)) return std::nullopt;
  }
  auto manifest = crypto::decode_manifest(bytes);
  return manifest ? std::optional(std::move(*manifest)) : std::nullopt;
}

/// An answer leaves: what it says must be on disk (R1, R15), and it never says anything else later.
void Checker::check_stored(NodeHost& host, const EnvelopeId& env_id, const DocId& doc_id, bool acknowledged) {
  auto txn = host.store().begin_read().value();
  SIM_REQUIRE(read<proto::AnswerRecord>(*txn, table::answer, env_id), host.name(), "R1: an answer left that is not stored:", brief(env_id));
  if (!acknowledged) return;
  auto arrival = txn->get(table::incoming_by_doc, doc_id).value();
  SIM_REQUIRE(arrival, host.name(), "R15: acknowledged but not stored:", brief(doc_id));
  auto record = read<proto::InRecord>(*txn, table::incoming, *arrival);
  SIM_REQUIRE(record, host.name(), "R15: acknowledged but not stored:", brief(doc_id));
  if (!record->body_kept) return;
  if (record->inline_body) {
    SIM_REQUIRE(txn->get(table::body_inline, doc_id).value(), host.name(), "R15: acknowledged without its body:", brief(doc_id));
    return;
  }
  const std::string name = node::body_name(doc_id);
  const auto manifest = manifest_of(host, *record, name);
  SIM_REQUIRE(manifest, host.name(), "R15: acknowledged, manifest not durable:", brief(doc_id));
  SIM_REQUIRE(body_durable(host.bodies(), name, *manifest), host.name(), "R15: acknowledged, body not durable:", brief(doc_id));
}

void Checker::node_sends(NodeHost& host, const node::Send& send) {
  if (const auto* put = std::get_if<proto::Put>(&send.frame.body)) {
    auto txn = host.store().begin_read().value();
    for (const auto& item : put->items) {
      auto envelope = crypto::decode_envelope(item.envelope);
      SIM_REQUIRE(envelope, host.name(), "sends an envelope it cannot read");
      auto stored = read<proto::EnvelopeRecord>(*txn, table::envelope, envelope->id);
      sent_.insert_or_assign(envelope->id, Sent{envelope->sender, envelope->recipient, envelope->not_after});
      const std::pair to(envelope->recipient, envelope->doc_id);
      if (first_sent_.try_emplace(to, envelope->id).first->second != envelope->id) sent_again_.insert(to);
      if (excused_.contains(envelope->sender)) continue;
      SIM_REQUIRE(stored && stored->envelope == item.envelope, host.name(), "R10: an envelope left that is not stored:", brief(envelope->id));
      auto [place, fresh] = positions_.try_emplace({envelope->sender, envelope->recipient, envelope->lane, envelope->inc, envelope->seq}, envelope->id);
      SIM_REQUIRE(place->second == envelope->id, host.name(), "R10: sequence number used twice:", brief(envelope->id), "and", brief(place->second), "at",
                  std::to_string(envelope->inc) + "/" + std::to_string(envelope->seq));
      if (fresh && envelope->re_of != std::array<uint8_t, 4>{} && reissued_.insert(envelope->id).second) world_.count("rare: issued anew");
    }
    return;
  }
  if (const auto* put = std::get_if<proto::AckPut>(&send.frame.body)) {
    for (const auto& item : put->items) {
      EnvelopeId env_id;
      if (auto ack = crypto::decode_ack(item.statement)) {
        env_id = ack->env_id;
        check_stored(host, env_id, ack->doc_id, true);
      } else {
        auto notice = crypto::decode_notice(item.statement);
        SIM_REQUIRE(notice && notice->kind == crypto::NoticeKind::nack, host.name(), "answers with something else");
        env_id = notice->env_id;
        check_stored(host, env_id, notice->doc_id, false);
        world_.count("rare: NACK, " + std::string(error_info(static_cast<ErrorCode>(notice->reason)).name));
      }
      answered_.insert(env_id);
      // The same words; the signature may be by keys that were renewed since (R30).
      const Hash said = digest(BytesView(item.statement).first(item.statement.size() - Signature::size));
      auto [known, fresh] = statements_.try_emplace(env_id, said);
      SIM_REQUIRE(known->second == said, host.name(), "R15: two answers to one envelope:", brief(env_id));
      if (!fresh) world_.count("rare: a repeat was answered");
    }
    return;
  }
  if (const auto* fetch = std::get_if<proto::Fetch>(&send.frame.body))
    for (const auto& env_id : fetch->env_ids) {
      auto [from, fresh] = fetched_from_.try_emplace(env_id, send.broker);
      if (!fresh && from->second != send.broker) world_.count("rare: fetched again from another broker");
      from->second = send.broker;
    }
}

void Checker::OfCopies::node_sends(NodeHost&, const node::Send& send) {
  if (const auto* put = std::get_if<proto::Put>(&send.frame.body))
    for (const auto& item : put->items)
      if (const auto envelope = crypto::decode_envelope(item.envelope))
        checker.sent_.insert_or_assign(envelope->id, Sent{envelope->sender, envelope->recipient, envelope->not_after});
  if (const auto* put = std::get_if<proto::AckPut>(&send.frame.body))
    for (const auto& item : put->items) {
      if (const auto ack = crypto::decode_ack(item.statement)) checker.answered_.insert(ack->env_id);
      if (const auto notice = crypto::decode_notice(item.statement)) checker.answered_.insert(notice->env_id);
    }
}

// ---- brokers -----------------------------------------------------------------------------------------------------

void Checker::broker_sends(BrokerHost& host, const PartyId&, const broker::Send& send) {
  if (const auto* offer = std::get_if<proto::OfferReply>(&send.frame.body)) {
    const bool some = std::any_of(offer->have.begin(), offer->have.end(), [](uint8_t byte) { return byte != 0; });
    if (some) world_.count("rare: upload resumed");
    return;
  }
  const auto* hello = std::get_if<proto::HelloReply>(&send.frame.body);
  // One that the step made before it opened a new generation speaks of the old tree.
  const bool of_old_tree = hello && hello->log_size > host.log_size();
  if (hello && !of_old_tree && !host.tamper && !lapsed_.contains({host.party().id, hello->epoch})) {
    uint64_t& told = log_sizes_[{host.party().id, hello->epoch, host.log_generation()}];
    SIM_REQUIRE(hello->log_size >= told, host.name(), "I8: its log went back from", std::to_string(told), "to", std::to_string(hello->log_size));
    told = hello->log_size;
  }
  const auto* reply = std::get_if<proto::PutReply>(&send.frame.body);
  if (!reply) return;
  for (const auto& result : reply->results) {
    if (result.custody.empty()) continue;
    auto custody = crypto::decode_custody(result.custody);
    SIM_REQUIRE(custody && custody->env_id == result.env_id && custody->epoch == host.epoch(), host.name(), "I4: odd custody");
    if (lapsed_.contains({host.party().id, custody->epoch})) continue;
    auto [same, first] = custodies_.try_emplace({host.party().id, custody->epoch, custody->env_id}, digest(result.custody));
    const bool forgot = host.strayed() > days(1);  // too old by that clock, and new again by the right one
    SIM_REQUIRE(forgot || same->second == digest(result.custody), host.name(), "R4: two custodies of one envelope:", brief(custody->env_id));
    auto [place, fresh] = queue_places_.try_emplace({host.party().id, custody->epoch, custody->recipient, custody->position}, custody->env_id);
    SIM_REQUIRE(place->second == custody->env_id, host.name(), "R4: one place in the queue for two:", brief(custody->env_id));
    check_custody(host, *custody, "when signed");
  }
}

/// The bytes that had this id when they were hashed: those of one body are asked for again and again.
bool Checker::is_chunk(const Bytes& chunk, const ChunkId& id) {
  Bytes& seen = chunks_seen_[id];
  if (!seen.empty() && seen == chunk) return true;
  if (crypto::chunk_id(chunk) != id) return false;
  seen = chunk;
  return true;
}

bool Checker::is_manifest(const Bytes& manifest, const ManifestId& id) {
  Bytes& seen = manifests_seen_[id];
  if (!seen.empty() && seen == manifest) return true;
  if (crypto::manifest_id(manifest) != id) return false;
  seen = manifest;
  return true;
}

bool Checker::broker_holds(BrokerHost& host, ReadTxn& txn, const PartyId& sender, const DocId& doc_id) {
  const Bytes key = rows::body_key(sender, doc_id);
  auto body = read<proto::BodyRecord>(txn, rows::body, key);
  if (!body) return false;
  auto header = crypto::decode_header(body->header);
  if (!header || header->id != doc_id) return false;
  Bytes manifest_bytes = body->manifest;
  if (manifest_bytes.empty()) {
    manifest_bytes.resize(16 + 32 * size_t{body->chunks});
    if (!host.bodies().read_durable(broker::manifest_name(doc_id), 0, manifest_bytes)) return false;
  }
  auto manifest = crypto::decode_manifest(manifest_bytes);
  if (!manifest || !is_manifest(manifest_bytes, header->manifest_id)) return false;
  if (!body->inline_body) return body_durable(host.bodies(), broker::body_name(doc_id), *manifest);
  Bytes chunk = body->inline_chunk;
  if (chunk.empty()) chunk = txn.get(rows::body_inline, key).value().value_or(Bytes{});
  return manifest->chunks.size() == 1 && is_chunk(chunk, manifest->chunks[0]);
}

/// I4: what a broker signed for is there, until a rule freed it (R16).
void Checker::check_custody(BrokerHost& host, const crypto::Custody& custody, std::string_view when) {
  if (host.damaged() || !in_force(host)) return;
  auto txn = host.store().begin_read().value();
  auto stored = read<proto::StoredEnvelope>(*txn, rows::envelope, custody.env_id);
  const std::string what = host.name() + " I4 " + std::string(when) + ": " + brief(custody.env_id);
  NodeHost& recipient = node(custody.recipient);
  if (!stored || stored->state == proto::EnvelopeState::gone) {
    const bool expired = !stored || stored->reason == proto::GoneReason::expired;
    if (stored && stored->reason == proto::GoneReason::cancelled) return;
    if (expired) {  // by its own clock, which may be wrong by its skew
      const auto sent = sent_.find(custody.env_id);
      SIM_REQUIRE(sent != sent_.end(), what, "is not there, and was never sent");
      SIM_REQUIRE(sent->second.not_after + limits::grace <= world_.now() + host.strayed() + minutes(1), what, "freed before its time");
      return;
    }
    auto answered = recipient.store().begin_read().value();
    SIM_REQUIRE(read<proto::AnswerRecord>(*answered, table::answer, custody.env_id) ||
                    (restored_.contains(custody.recipient) && answered_.contains(custody.env_id)),
                what, "freed without an answer");
    return;
  }
  const PartyId sender = *PartyId::from(BytesView(stored->envelope).subspan(40, 16));
  SIM_REQUIRE(broker_holds(host, *txn, sender, custody.doc_id), what, "body is not complete");
  if (stored->state == proto::EnvelopeState::stored)
    SIM_REQUIRE(txn->get(rows::queue, stored->queue).value(), what, "is not in the queue");
}

// ---- all stores --------------------------------------------------------------------------------------------------

bool Checker::node_keeps(NodeHost& host, ReadTxn& txn, const proto::OutRecord& record) {
  if (!record.body_kept) return false;
  if (record.inline_body) return !record.inline_chunk.empty() || txn.get(table::body_inline, record.doc_id).value().has_value();
  const auto manifest = manifest_of(host, record, record.body_name);
  return manifest && body_durable(host.bodies(), record.body_name, *manifest);
}

/// R5: "accepted" stands on custody of W brokers in distinct domains, each of the life that the broker last told of.
void Checker::check_accepted(NodeHost& host, ReadTxn& txn, const proto::ItemRecord& item, bool at_once) {
  std::set<std::string> domains;
  const Bytes prefix = row_key(item.uuid, item.recipient, item.env_id);
  const auto custodies = txn.scan(table::custody, prefix, prefix_end(prefix), 64).value();
  for (const Row& row : custodies) {
    proto::CustodyRecord custody;
    SIM_REQUIRE(proto::decode_record(row.value, custody), "a custody cannot be read");
    auto told = read<proto::BrokerState>(txn, table::broker_state, custody.broker);
    if (custody.voided || !told || told->epoch != custody.epoch) continue;
    // One that was asked, and retired before it answered, counted at that moment.
    if (const auto broker = host.directory().broker(custody.broker); at_once && broker) domains.insert(broker->record.failure_domain);
    for (const auto& broker : host.directory().brokers(world_.now()))
      if (broker.record.id == custody.broker) domains.insert(broker.record.failure_domain);
  }
  SIM_REQUIRE(domains.size() >= host.directory().policy(world_.now()).custody_quorum, host.name(), "R5: accepted with custody of",
              std::to_string(domains.size()), brief(item.env_id));
}

void Checker::hourly() {
  uint64_t commits = 0;
  for (auto& host : *nodes_) commits += host->raw().changes();
  for (auto& host : *brokers_) commits += host->raw().changes();
  if (std::exchange(commits_swept_, commits) != commits) sweep();
}

/// I10: who was honest is not accused, whatever was put back or copied.
void Checker::check_accused(BrokerHost& host) {
  if (host.damaged()) return;
  auto txn = host.store().begin_read().value();
  SIM_REQUIRE(for_each(*txn, rows::conflict, {}, [&](const Row& row) -> Result<void> {
                auto envelope = crypto::decode_envelope(row.value);
                SIM_REQUIRE(envelope && excused_.contains(envelope->sender), host.name(), "I10: accuses",
                            envelope ? realm_.name(envelope->sender) : "nobody");
                return {};
              }), "conflict");
}

/// I9, I10: whose log is proven to be forked did fork it.
void Checker::check_convicted(Host& host) {
  if (host.damaged()) return;
  auto txn = host.store().begin_read().value();
  const auto kept = audit::kept_evidence(*txn).value();
  for (const auto& found : kept) {
    const auto first = crypto::decode_signed_checkpoint(found.evidence.first);
    const PartyId party = first ? first->checkpoint.origin.party : PartyId{};
    SIM_REQUIRE(forkers_.contains(party), host.name(), "I10: convicts", realm_.name(party));
    const auto keys = realm_.log_keys(party);
    SIM_REQUIRE(std::any_of(keys.begin(), keys.end(), [&](const LogPublic& key) { return audit::check_evidence(found.evidence, key).has_value(); }),
                host.name(), "I9: has evidence that proves nothing");
  }
  const auto differing = audit::view_conflicts(*txn).value();
  for (const auto& found : differing) {
    SIM_REQUIRE(realm_.signed_two(), host.name(), "I10: accuses", realm_.name(found.by), "of another directory");
    const auto root = root_named_in(found);
    SIM_REQUIRE(root && realm_.have_signed(found.size, *root), host.name(), "I10: accuses", realm_.name(found.by), "of a directory that no officer signed");
  }
}

void Checker::sweep() {
  world_.count("scans of all stores");
  for (auto& host : *brokers_) check_accused(*host);
  for (auto& host : *brokers_) check_convicted(*host);
  for (auto& host : *nodes_) check_convicted(*host);
  for (auto& host : *witnesses_) check_convicted(*host);
  for (auto& host : *nodes_) {
    if (!host->runs()) continue;
    uint64_t& held = directory_sizes_[host.get()];
    const uint64_t size = host->directory().size();
    SIM_REQUIRE(size >= held || restored_.contains(host->party().id), host->name(), "R27: its directory went back from", std::to_string(held));
    held = size;
  }
  for (auto& host : *nodes_) {
    auto txn = host->store().begin_read().value();
    SIM_REQUIRE(for_each(*txn, table::custody, {}, [&](const Row& row) -> Result<void> {
                  proto::CustodyRecord record;
                  TRAM_OK(proto::decode_record(row.value, record));
                  if (record.voided) return {};
                  auto custody = crypto::decode_custody(record.custody);
                  if (!custody) return fail(ErrorCode::store_corrupt);
                  auto told = read<proto::BrokerState>(*txn, table::broker_state, record.broker);
                  const bool open = txn->get(table::open_envelope, custody->env_id).value().has_value();
                  const bool left = !told && retired_.contains(record.broker);  // counts no more
                  SIM_REQUIRE(!open || left || (told && told->epoch == record.epoch), host->name(), "R7: custody of an earlier life still counts:",
                              brief(custody->env_id));
                  for (auto& broker : *brokers_)
                    if (broker->party().id == record.broker && broker->up() && broker->epoch() == record.epoch && !lapsed_.contains({record.broker, record.epoch}))
                      check_custody(*broker, *custody, "in a sweep");
                  return {};
                }), "sweep");
    if (host->up())
      SIM_REQUIRE(for_each(*txn, table::item, {}, [&](const Row& row) -> Result<void> {
                    proto::ItemRecord item;
                    TRAM_OK(proto::decode_record(row.value, item));
                    if (item.state == ItemState::accepted) check_accepted(*host, *txn, item, false);
                    return {};
                  }), "sweep");
    // I1: whatever was taken from a clerk and has not arrived is still here, or at a broker.
    SIM_REQUIRE(for_each(*txn, table::outgoing, {}, [&](const Row& row) -> Result<void> {
                  proto::OutRecord record;
                  TRAM_OK(proto::decode_record(row.value, record));
                  if (record.state != proto::OutState::sent || node_keeps(*host, *txn, record)) return {};
                  return for_each(*txn, table::item, record.uuid, [&](const Row& item_row) -> Result<void> {
                    proto::ItemRecord item;
                    TRAM_OK(proto::decode_record(item_row.value, item));
                    if (item.state != ItemState::queued && item.state != ItemState::accepted && item.state != ItemState::waiting) return {};
                    bool held = false;
                    for (auto& broker : *brokers_) {
                      if (broker->damaged()) continue;
                      auto there = broker->store().begin_read().value();
                      held = held || broker_holds(*broker, *there, host->party().id, record.doc_id);
                    }
                    SIM_REQUIRE(held, host->name(), "I1: no copy is left of", brief(record.doc_id));
                    return {};
                  });
                }), "sweep");
  }
}

/// All about the envelopes of a channel, for people.
std::string Checker::explain_channel(const PartyId& sender, const PartyId& recipient, Lane lane) {
  std::string text;
  auto txn = node(sender).store().begin_read().value();
  auto there = node(recipient).store().begin_read().value();
  for (const auto& [place, env_id] : positions_) {
    const auto& [from, to, on, inc, seq] = place;
    if (from != sender || to != recipient || on != lane) continue;
    auto envelope = node::find_envelope(*txn, env_id).value();
    if (!envelope) continue;
    auto item = read<proto::ItemRecord>(*txn, table::item, row_key(envelope->uuid, recipient));
    text += "\n  seq " + std::to_string(seq) + " " + brief(env_id) + " of " + brief(envelope->uuid) + (envelope->closed ? " closed" : " open") +
            ", item " + std::to_string(int(item->state)) + (item->env_id == env_id ? "" : " of another envelope") +
            (read<proto::AnswerRecord>(*there, table::answer, env_id) ? ", answered" : ", not answered");
    for (auto& broker : *brokers_) {
      auto at = broker->store().begin_read().value();
      if (auto stored = read<proto::StoredEnvelope>(*at, rows::envelope, env_id))
        text += ", " + broker->name() + " state " + std::to_string(int(stored->state)) + " reason " + std::to_string(int(stored->reason));
    }
  }
  return text;
}

std::string Checker::unfinished() {
  auto first_row = [&](ReadTxn& txn, const Table& in) {
    auto found = txn.scan(in, {}, {}, 1).value();
    if (found.empty()) return std::string();
    const auto party = PartyId::from(BytesView(found[0].key).first(std::min<size_t>(16, found[0].key.size())));
    return "has rows in " + std::string(in.name) + ": " + (party ? realm_.name(*party) : "") + " " + to_hex(found[0].key).substr(0, 80);
  };
  for (const auto& document : *documents_)
    if (!document.submitted && !document.withdrawn) return "document " + brief(document.uuid) + " is not submitted";
  for (auto& host : *nodes_) {
    if (!host->up()) return host->name() + " is down";
    if (host->node().recovery() != proto::Recovery::none) return host->name() + " is recovering";
    auto txn = host->store().begin_read().value();
    if (auto held = txn->scan(table::incoming_held, {}, {}, 1).value(); !held.empty() && world_.prints())
      world_.note("??", explain_channel(*PartyId::from(BytesView(held[0].key).first(16)), host->party().id, static_cast<Lane>(held[0].key[16])));
    const bool excused = excused_.contains(host->party().id);
    for (const Table* one : {&table::sealing, &table::todo, &table::open_envelope, &table::pending})
      if (auto row = first_row(*txn, *one); !row.empty() && !excused) return host->name() + " " + row;
    for (const Table* one : {&table::to_post, &table::recover_mail, &table::redeliver})
      if (auto row = first_row(*txn, *one); !row.empty()) return host->name() + " " + row;
    const auto held_back = txn->scan(table::incoming_held, {}, {}, 1000).value();
    for (const Row& row : held_back)
      if (const auto sender = *PartyId::from(BytesView(row.key).first(16)); !excused_.contains(sender))
        return host->name() + " holds back what " + realm_.name(sender) + " sent";
    std::string why;
    // A recall of what was rejected, or was recalled before a backup was put back, stays: a copy may yet come.
    SIM_REQUIRE(for_each(*txn, table::early_recall, {}, [&](const Row& row) -> Result<void> {
                  const auto doc_id = *DocId::from(row.key);
                  if (!was_rejected(*txn, host->party().id, doc_id) && !restored_.contains(host->party().id) && excused_.empty())
                    why = host->name() + " waits to recall " + brief(doc_id);
                  return {};
                }), "early_recall");
    SIM_REQUIRE(for_each(*txn, table::mail_out, {}, [&](const Row& row) -> Result<void> {
                  proto::MailRecord mail;
                  TRAM_OK(proto::decode_record(row.value, mail));
                  for (const auto* broker : in_force_)
                    if (std::find(mail.brokers.begin(), mail.brokers.end(), broker->party().id) == mail.brokers.end())
                      why = host->name() + " has mail for " + realm_.name(mail.to) + " to post at " + broker->name();
                  return {};
                }), "mail_out");
    if (!why.empty()) return why;
  }
  for (auto& host : *brokers_) {
    if (!in_force(*host)) continue;
    if (!host->up()) return host->name() + " is down";
    auto txn = host->store().begin_read().value();
    for (const Table* one : {&rows::queue, &rows::mail})
      if (auto row = first_row(*txn, *one); !row.empty()) return host->name() + " " + row;
    if (host->directory().size() != realm_.entries().size()) return host->name() + " has an old directory";
  }
  return {};
}

void Checker::finish() {
  sweep();
  for (auto& host : *nodes_) check_incoming(*host);
  for (const auto& document : *documents_)
    if (!excused_.contains((*nodes_)[document.sender]->party().id) && !document.withdrawn) check_document(document);
}

/// I2, I3: each document once, each with its receipt at the sender, each readable.
void Checker::check_incoming(NodeHost& host) {
  auto txn = host.store().begin_read().value();
  std::set<DocId> seen;
  SIM_REQUIRE(for_each(*txn, table::incoming, {}, [&](const Row& row) -> Result<void> {
                proto::InRecord record;
                TRAM_OK(proto::decode_record(row.value, record));
                SIM_REQUIRE(seen.insert(record.doc_id).second, host.name(), "I2: twice in the store:", brief(record.doc_id));
                if (excused_.contains(record.sender)) return {};
                SIM_REQUIRE(record.state != InState::held, host.name(), "I16: still held:", brief(record.doc_id));
                auto sender = node(record.sender).store().begin_read().value();
                const Bytes prefix = row_key(record.doc_id, host.party().id);
                auto receipts = sender->scan(table::receipt, prefix, prefix_end(prefix), 100).value();
                // A sender that was put back may have forgotten what it sent.
                if (restored_.contains(record.sender) && !sender->get(table::outgoing_by_doc, record.doc_id).value()) return {};
                // One that closed as well signs no newer envelope, for which it could be told again.
                if (receipts.empty() && restored_.contains(record.sender) && realm_.successors(record.sender)) return {};
                SIM_REQUIRE(!receipts.empty(), host.name(), "I3: stored, no receipt at the sender:", brief(record.doc_id));
                return {};
              }), "incoming");
}

void Checker::check_document(const PlannedDocument& document) {
  NodeHost& sender = *(*nodes_)[document.sender];
  auto txn = sender.store().begin_read().value();
  auto record = read<proto::OutRecord>(*txn, table::outgoing, document.uuid);
  SIM_REQUIRE(record, sender.name(), "I1: a submitted document is gone:", brief(document.uuid));
  SIM_REQUIRE(record->state == proto::OutState::sent, sender.name(), "I16: not sent:", brief(document.uuid));
  for (size_t i : document.recipients) {
    NodeHost& recipient = *(*nodes_)[i];
    auto item = read<proto::ItemRecord>(*txn, table::item, row_key(document.uuid, recipient.party().id));
    if (!item && document.group && groups_vary_) continue;
    SIM_REQUIRE(item, sender.name(), "I16: no item for", recipient.name(), brief(document.uuid));
    check_item(document, *record, *item, sender, recipient);
  }
  // R31: besides those that were named, only who follows one that closed.
  SIM_REQUIRE(for_each(*txn, table::item, document.uuid, [&](const Row& row) -> Result<void> {
                proto::ItemRecord item;
                TRAM_OK(proto::decode_record(row.value, item));
                NodeHost& recipient = node(item.recipient);
                for (size_t i : document.recipients)
                  if ((*nodes_)[i].get() == &recipient) return {};
                bool follows = document.group;
                for (const auto& closed : realm_.agencies())
                  if (const auto* heirs = realm_.successors(closed.id); heirs && heirs->size() == 1 && heirs->front() == item.recipient)
                    if (auto before = read<proto::ItemRecord>(*txn, table::item, row_key(document.uuid, closed.id)))
                      follows = follows || before->state == ItemState::forwarded || before->received.ms;
                SIM_REQUIRE(follows, sender.name(), "R31: sent to", recipient.name(), "that was not asked for:", brief(document.uuid));
                check_item(document, *record, item, sender, recipient);
                return {};
              }), "items");
}

/// R31: only where somebody closed, and never without saying who goes on with it.
void Checker::check_given_up(const PlannedDocument& document, const proto::OutRecord& sent, const proto::ItemRecord& item, NodeHost& sender,
                             NodeHost& recipient) {
  const std::string what = sender.name() + " to " + recipient.name() + " " + brief(document.uuid) + "/" + brief(sent.doc_id) + ":";
  const auto* heirs = realm_.successors(recipient.party().id);
  auto txn = sender.store().begin_read().value();
  if (item.state == ItemState::forwarded) {
    SIM_REQUIRE(heirs && heirs->size() == 1, what, "R31: forwarded, and nobody follows");
    SIM_REQUIRE(read<proto::ItemRecord>(*txn, table::item, row_key(document.uuid, heirs->front())), what, "R31: forwarded to nobody");
    world_.count("rare: a document went to the successor");
  } else {
    const bool by_us = realm_.successors(sender.party().id) != nullptr;
    SIM_REQUIRE(by_us || heirs, what, "R31: given up, and nobody closed");
    SIM_REQUIRE(by_us || heirs->size() > 1 || heirs->front() == sender.party().id, what, "R31: given up, and one successor is there");
    world_.count(by_us ? "rare: a closed sender's document was given back" : "rare: a document was given back after a split");
  }
  const bool forgot = restored_.contains(sender.party().id) || restored_.contains(recipient.party().id);
  auto there = recipient.store().begin_read().value();
  SIM_REQUIRE(forgot || !there->get(table::incoming_by_doc, sent.doc_id).value(), what, "I3: given up here, stored there");
}

void Checker::check_item(const PlannedDocument& document, const proto::OutRecord& sent, const proto::ItemRecord& item,
                         NodeHost& sender, NodeHost& recipient) {
  const std::string what = sender.name() + " to " + recipient.name() + " " + brief(document.uuid) + "/" + brief(sent.doc_id) + ":";
  auto txn = recipient.store().begin_read().value();
  auto arrival = txn->get(table::incoming_by_doc, sent.doc_id).value();
  world_.count("item " + std::to_string(int(item.state)));
  SIM_REQUIRE(!item.pending_change, what, "I16: the recall was never answered");
  if (item.state == ItemState::cancelled) {
    SIM_REQUIRE(!arrival, what, "I16: cancelled at the sender, stored at the recipient");
    return;
  }
  if (item.state == ItemState::forwarded || item.state == ItemState::undeliverable) return check_given_up(document, sent, item, sender, recipient);
  if (rejected_.contains({document.uuid, recipient.party().id}) && item.state == ItemState::rejected) {
    // One that was put back has it of an envelope that brokers kept, and rejected the spoilt one that was issued anew.
    SIM_REQUIRE(!arrival || restored_.contains(recipient.party().id), what, "I3: rejected at the sender, stored at the recipient");
    return;
  }
  SIM_REQUIRE(item.state == ItemState::delivered || item.state == ItemState::refused || item.state == ItemState::recalled, what,
              "I16: ended in state", std::to_string(int(item.state)), "reason", std::to_string(item.waiting_reason));
  // What it had refused, or what was recalled, a recipient that was put back is not sent again.
  if (!arrival && item.state != ItemState::delivered && restored_.contains(recipient.party().id)) return;
  // Nor what nobody can send it any more, since it or the sender closed.
  const bool closed = realm_.successors(recipient.party().id) || realm_.successors(sender.party().id);
  if (!arrival && closed && restored_.contains(recipient.party().id)) return;
  SIM_REQUIRE(arrival, what, "I3: receipt held, not stored at the recipient");
  auto record = read<proto::InRecord>(*txn, table::incoming, *arrival);
  const uint16_t status = node::status_code(record->state);
  // What was decided after the backup is decided again, perhaps otherwise: only the content is compared then.
  const bool forgot = restored_.contains(sender.party().id) || restored_.contains(recipient.party().id);
  if (forgot && (record->state == InState::recalled) != (item.state == ItemState::recalled)) return;
  if (record->state == InState::recalled) {
    SIM_REQUIRE(item.state == ItemState::recalled, what, "I16: recalled there, state here", std::to_string(int(item.state)));
    return;
  }
  SIM_REQUIRE(item.state != ItemState::recalled, what, "I16: recalled here, status there", std::to_string(status));
  SIM_REQUIRE(forgot || item.status == status, what, "I16: status here", std::to_string(item.status), "there", std::to_string(status));
  // The words and the bytes are those that were sent.
  auto metadata = proto::decode_metadata(record->metadata);
  SIM_REQUIRE(metadata && metadata->subject == document.subject(), what, "the subject changed");
  if (!record->body_kept) return;
  Bytes inline_chunk;
  if (record->inline_body) inline_chunk = txn->get(table::body_inline, sent.doc_id).value().value_or(Bytes{});
  node::BodyReader reader(recipient.bodies(), *record, realm_.id(), std::move(inline_chunk));
  auto offset = reader.content_offset();
  SIM_REQUIRE(offset, what, "the body cannot be opened");
  Bytes content(document.file_bytes);
  SIM_REQUIRE(reader.read(*offset, content), what, "the body cannot be read");
  SIM_REQUIRE(content == document.content(), what, "the content changed");
}

}  // namespace tram::sim
