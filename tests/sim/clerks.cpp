#include "tests/sim/clerks.h"

#include <algorithm>

#include "base/limits.h"
#include "node/rows.h"

namespace tram::sim {

using namespace tram::node;

namespace {

uint64_t seed_of(BytesView id) {
  uint64_t seed = 0;
  for (size_t i = 0; i < 8 && i < id.size(); ++i) seed = seed << 8 | id[i];
  return seed;
}

/// What the API does with a file that a client uploaded: slots under a key of their own, the rest in the row.
Result<std::string> stage(MemBodies& bodies, WriteTxn& txn, const PlannedDocument& document, BytesView content, Time now) {
  constexpr size_t slot_bytes = limits::upload_slot_bytes;
  SimRandom random(seed_of(document.uuid) ^ 0x5eed);
  proto::UploadRecord record;
  record.id = document.uuid.hex();
  record.length = record.offset = content.size();
  record.key.resize(32);
  random.fill(record.key);
  record.owner = "clerk";
  record.created = now;
  const uint64_t slots = content.size() / slot_bytes;
  const std::string file = upload_name(record.id);
  TRAM_OK(bodies.create(file, slots * (slot_bytes + limits::chunk_overhead_bytes)));
  Bytes sealed(slot_bytes + limits::chunk_overhead_bytes);
  const crypto::Secret32 key(record.key);
  for (uint64_t slot = 0; slot < slots; ++slot) {
    crypto::seal_slot(key, slot, content.subspan(slot * slot_bytes, slot_bytes), sealed);
    TRAM_OK(bodies.write(file, slot * sealed.size(), sealed));
  }
  TRAM_OK(bodies.sync(file));
  record.tail = to_bytes(content.subspan(slots * slot_bytes));
  TRAM_OK(save(txn, table::upload, view(record.id), record));
  return record.id;
}

}  // namespace

Bytes PlannedDocument::content() const {
  Bytes bytes(file_bytes);
  SimRandom(seed_of(uuid)).fill(bytes);
  return bytes;
}

Clerk::Clerk(World& world, NodeHost& host, size_t self, const Realm& realm, std::vector<PlannedDocument>& documents,
             const ClerkHabits& habits)
    : world_(world), host_(host), self_(self), realm_(realm), documents_(documents), habits_(habits) {}

void Clerk::start() {
  const Duration nobody = host_.up() || hurry_ ? Duration{} : minutes(1);
  world_.repeat(world_.random.within(habits_.turn_min, habits_.turn_max) + nobody, [this, round = rounds_] {
    if (round != rounds_) return;
    turn();
    start();
  });
}

uint64_t Clerk::dice(const DocId& doc_id, uint64_t salt) const {
  return SimRandom(seed_of(doc_id) ^ self_ * 7919 ^ salt << 32).next();
}

bool Clerk::idle() { return host_.up() && world_.now() >= busy_until_ && !next(); }

void Clerk::turn() {
  if (!host_.up() || world_.now() < busy_until_) return;
  // Nothing changed and nobody lost patience: not worth another look.
  if (seen_ == host_.raw().changes() && world_.now() < look_again_) return;
  auto task = next();
  if (!task) {
    seen_ = host_.raw().changes();
    look_again_ = world_.now() + habits_.looks_every;
    for (const auto& document : documents_)
      for (const auto& at : {std::optional(document.at), document.recall_at})
        if (document.sender == self_ && at && *at > world_.now()) look_again_ = std::min(look_again_, *at);
    return;
  }
  const uint64_t act = ++act_;
  busy_until_ = world_.now() + seconds(20);  // nobody answers a clerk whose node died
  world_.trace(host_.name(), "clerk: " + task->what);
  host_.act(std::move(task->act), [this, act, what = task->what, when_closed = task->when_closed](const Result<void>& outcome) {
    if (act != act_) return;
    busy_until_ = world_.now();
    if (outcome) return world_.count("act: " + what.substr(0, what.find(' ')));
    const ErrorCode code = outcome.error().code;
    world_.trace(host_.name(), "clerk was told: " + describe(outcome.error()));
    if (code == ErrorCode::closed_agency && when_closed) {
      when_closed();
      return;
    }
    const bool later = error_info(code).retry != Retry::never;
    // What the store said a moment ago may have changed under the clerk's hands.
    // A clerk who lost patience hands in again what is already taken; by a wrong clock the directory is another one, as
    // it is for a suspended agency.
    const bool changed = code == ErrorCode::wrong_state || code == ErrorCode::not_found || code == ErrorCode::conflict;
    SIM_REQUIRE(later || changed || host_.strayed() > hours(1) || habits_.may_be_suspended, host_.name(), what, "failed:",
                describe(outcome.error()));
    busy_until_ = world_.now() + seconds(2);
  });
}

std::optional<Clerk::Task> Clerk::next() {
  auto txn = host_.store().begin_read().value();
  if (auto task = sending(*txn)) return task;
  return receiving(*txn);
}

// ---- outgoing ----------------------------------------------------------------------------------------------------

/// The node said that a recipient has closed, and named its successors: one of them gets the document. Or we have closed.
void Clerk::readdress(PlannedDocument& document) {
  std::vector<size_t> open;
  for (const size_t i : document.recipients) {
    const auto& agencies = realm_.agencies();
    size_t to = i;
    while (const auto* heirs = realm_.successors(agencies[to].id))
      to = static_cast<size_t>(&realm_.party(heirs->front()) - agencies.data());
    if (to != self_ && std::find(open.begin(), open.end(), to) == open.end()) open.push_back(to);
  }
  document.withdrawn = open.empty() || realm_.successors(host_.party().id);
  document.recipients = std::move(open);
}

Clerk::Task Clerk::submit(PlannedDocument& document) {
  Submission submission;
  proto::Metadata& metadata = submission.metadata;
  metadata.number = std::to_string(seed_of(document.uuid) % 1000 + 1);
  metadata.symbol = "CV-VP";
  metadata.type_name = "Công văn";
  metadata.subject = document.subject();
  metadata.issued = {2026, 3, 2};
  metadata.organ_name = "Cơ quan " + host_.name();
  if (document.urgent) metadata.priority = proto::Priority::express;
  if (document.group) metadata.addressees.push_back({proto::AddresseeKind::group, {}, "all"});
  else
    for (size_t i : document.recipients) metadata.addressees.push_back({proto::AddresseeKind::agency, realm_.agencies()[i].id, {}});
  submission.author = "clerk";
  submission.uuid = document.uuid;
  return {"submit " + brief(document.uuid), [this, document, submission](Node& node, WriteTxn& txn, Time now, Effects& effects) -> Result<void> {
    Submission copy = submission;
    const Bytes content = document.content();
    proto::StagedFile file{"van-ban.pdf", "application/pdf", content.size(), {}, {}};
    if (content.size() <= limits::staged_content_bytes_max) {
      file.content = content;
    } else {
      TRAM_TRY(upload, stage(host_.bodies(), txn, document, content, now));
      file.upload = upload;
    }
    copy.files.push_back(std::move(file));
    TRAM_TRY(submitted, node.submit(txn, now, std::move(copy), effects));
    const bool all = submitted.recipients == document.recipients.size() || (document.group && habits_.groups_vary);
    SIM_REQUIRE(submitted.uuid == document.uuid && all, host_.name(), "submit: recipients", std::to_string(submitted.recipients));
    return {};
  }, [this, &document] { readdress(document); }};
}

std::optional<Clerk::Task> Clerk::sending(ReadTxn& txn) {
  for (auto& document : documents_) {
    if (document.sender != self_ || document.at > world_.now() || document.withdrawn) continue;
    if (!document.submitted) {
      auto record = find<proto::OutRecord>(txn, table::outgoing, document.uuid).value();
      if (!record) return submit(document);
      document.submitted = true;
    }
    if (!document.recall_at || document.recalled || *document.recall_at > world_.now()) continue;
    auto record = find<proto::OutRecord>(txn, table::outgoing, document.uuid).value();
    if (record->state == proto::OutState::sealing) continue;
    bool wanted = false, asked = false;
    SIM_REQUIRE(for_each(txn, table::item, document.uuid, [&](const Row& row) -> Result<void> {
                  proto::ItemRecord item;
                  TRAM_OK(proto::decode_record(row.value, item));
                  using enum proto::ItemState;
                  asked = asked || item.pending_change || item.state == recalled || item.state == cancelled;
                  wanted = wanted || (item.state != refused && item.state != rejected && item.state != forwarded && item.state != undeliverable);
                  return {};
                }), "items");
    if (asked || !wanted) {
      document.recalled = true;
      continue;
    }
    return Task{"recall " + brief(document.uuid), [uuid = document.uuid](Node& node, WriteTxn& write, Time now, Effects& effects) -> Result<void> {
                  TRAM_OK(node.recall(write, now, uuid, "Sai thể thức", "clerk", effects));
                  return {};
                }, [&document] { document.recalled = true; }};
  }
  return std::nullopt;
}

// ---- incoming ----------------------------------------------------------------------------------------------------

std::optional<Clerk::Task> Clerk::receiving(ReadTxn& txn) {
  std::optional<Task> task;
  const Time now = host_.clock();
  auto propose = [&](std::string what, const proto::InRecord& record, auto act) {
    task = Task{what + " " + brief(record.doc_id), [act, arrival = record.arrival](Node& node, WriteTxn& write, Time at, Effects& effects) -> Result<void> {
                  TRAM_OK(act(node, write, at, arrival, effects));
                  return {};
                }, {}};
  };
  const auto walked = for_each(txn, table::incoming, {}, [&](const Row& row) -> Result<void> {
    if (task) return {};
    proto::InRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    if (record.state == proto::InState::held) return {};
    const uint64_t habit = dice(record.doc_id, 1) % 1000;
    const Duration patience = seconds(static_cast<int64_t>(dice(record.doc_id, 2) % 60));
    if (!hurry_ && now - record.received < patience) return {};
    if (record.pending_change) {
      const bool recall = record.pending_change == static_cast<uint16_t>(proto::RelationKind::recall);
      const bool agree = dice(record.doc_id, 3) % 2 == 0 || (recall && !habits_.may_refuse_recall);
      propose(agree ? "agree" : "disagree", record, [agree](Node& node, WriteTxn& write, Time at, uint64_t arrival, Effects& effects) {
        return node.answer_change(write, at, arrival, agree, agree ? "" : "Đã xử lý", "Nguyễn Văn A", effects);
      });
      return {};
    }
    TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
    if (metadata.relation.kind == proto::RelationKind::recall) return {};  // read, not registered
    if (record.state == proto::InState::arrived) {
      if (habit >= 1000 - habits_.late_per_mille && !hurry_) return {};
      if (habit < habits_.refuse_per_mille) {
        propose("refuse", record, [](Node& node, WriteTxn& write, Time at, uint64_t arrival, Effects& effects) {
          return node.refuse_document(write, at, arrival, "Không đúng thẩm quyền", "Nguyễn Văn A", effects);
        });
      } else {
        propose("register", record, [](Node& node, WriteTxn& write, Time at, uint64_t arrival, Effects& effects) {
          return node.register_document(write, at, arrival, {{}, {}, "Nguyễn Văn A", {}}, effects);
        });
      }
      return {};
    }
    const uint64_t last = 3 + dice(record.doc_id, 4) % 4;  // how far it will be taken: 03 .. 06
    const uint16_t status = status_code(record.state);
    if (status >= 3 && status < last) {
      const auto next_status = static_cast<uint16_t>(status + 1);
      propose("status", record, [next_status](Node& node, WriteTxn& write, Time at, uint64_t arrival, Effects& effects) {
        return node.set_status(write, at, arrival, next_status, "Nguyễn Văn A", effects);
      });
    }
    return {};
  });
  SIM_REQUIRE(walked, "incoming");
  return task;
}

}  // namespace tram::sim
