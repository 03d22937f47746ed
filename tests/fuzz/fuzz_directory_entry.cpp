// Directory entries from a broker that may say anything: as bytes; as changes that enough officers signed, so that the
// rules behind the signatures are reached; and the signed things around them (KX feeds, enrolment, approvals,
// evidence). The first byte chooses.
#include "audit/bundle.h"
#include "base/limits.h"
#include "directory/signing.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/mem_store.h"

namespace tram::fuzz {

namespace {

constexpr Time now{1772500000000};

/// A realm of three officers with an agency, a registrar and a broker; the same for every input.
struct Realm {
  struct Officer {
    PartyId id;
    crypto::SigningKey key;
  };
  std::vector<Officer> officers;
  Bytes genesis, second;
  RealmId id;

  Realm() {
    Chance chance(1);
    for (int i = 0; i < 3; ++i)
      officers.push_back({chance.id<PartyId>(), crypto::SigningKey(crypto::make_secret(chance))});
    proto::RootChange root;
    root.realm_name = "Fuzz";
    root.threshold = root.root_threshold = 2;
    for (const auto& one : officers) root.officers.push_back({one.id, "Officer", one.key.public_key()});
    proto::EntryPayload payload;
    payload.created = now;
    payload.changes.push_back({Time{}, root});
    const Bytes first = proto::encode_entry_payload(payload);
    genesis = sign(first);
    id = directory::realm_of(first);

    proto::Agency agency;
    agency.id = chance.id<PartyId>();
    agency.name_vi = "Cơ quan";
    agency.level = proto::Level::province;
    agency.province = "79";
    agency.codes.push_back({"K79", {}, {}});
    agency.keys = {signer().public_key(), crypto::LogKey(crypto::make_secret(chance)).public_key(),
                   crypto::make_curve_pair(chance).public_key};
    payload.index = 1;
    payload.previous = directory::entry_hash(first);
    payload.realm = id;
    payload.changes = {{now, proto::AgencyChange{agency}}};
    second = sign(proto::encode_entry_payload(payload));
  }
  Bytes sign(const Bytes& payload) const {
    proto::Entry entry;
    entry.payload = payload;
    for (const auto& one : officers) entry.signatures.push_back(directory::sign_entry(payload, one.id, one.key));
    return proto::encode_entry(entry);
  }
};

const Realm& realm() {
  static const Realm one;
  return one;
}

/// Offers `entry` to a directory of two entries. Whatever it says: applied whole and for ever, or nothing has changed.
void check_apply(const Bytes& bytes, bool signed_by_officers) {
  sim::MemStore store;
  directory::Directory directory(realm().id);
  {
    auto txn = store.begin_write().value();
    require(directory.apply(*txn, realm().genesis, now).has_value(), "the genesis is good");
    require(directory.apply(*txn, realm().second, now).has_value(), "the second entry is good");
    require(txn->commit().has_value(), "a commit succeeds");
  }
  const auto before = store.dump();
  const Hash root_before = directory.root();
  const uint64_t size_before = directory.size();

  auto entry = proto::decode_entry(bytes);
  std::optional<directory::Examination> examined;
  if (entry) examined = directory.examine(*store.begin_read().value(), *entry).value();

  auto txn = store.begin_write().value();
  auto applied = directory.apply(*txn, bytes, now);
  if (!applied) {
    txn.reset();
    require(store.dump() == before, "what is refused changes nothing");
    require(directory.size() == size_before && directory.root() == root_before,
            "what is refused changes nothing in memory");
    return;
  }
  require(txn->commit().has_value(), "a commit succeeds");
  if (directory.size() == size_before) {
    require(store.dump() == before, "what is held already changes nothing");
    return;
  }
  require(signed_by_officers, "officers decide");
  require(directory.size() == size_before + 1, "one entry at a time");
  require(examined && !examined->refusal && !examined->bad_signature, "what is applied examines well");
  for (const auto& set : examined->sets) require(set.enough(), "enough officers signed");
  auto read = store.begin_read().value();
  require(directory.entry(*read, size_before).value() == bytes, "an entry is kept as received");
  directory::Directory again(realm().id);
  require(again.load(*read).has_value(), "what is stored can be loaded");
  require(again.size() == directory.size() && again.root() == directory.root() &&
              again.last_payload_hash() == directory.last_payload_hash(),
          "what is loaded is the same");
  for (const Time at : {now, now + days(1000)}) {
    require(again.allow_list(*read, at).has_value(), "the allow list can be made");
    require(again.group(*read, "all", at).has_value(), "groups can be read");
    require(again.search(*read, {"co quan", {}, {}, "", {}}, at, 10).has_value(), "search works");
    require(again.brokers(at).size() == directory.brokers(at).size(), "brokers are the same");
  }
}

void check_payload(BytesView in) {
  auto payload = check_message<proto::EntryPayload>(in, proto::decode_entry_payload, proto::encode_entry_payload);
  if (!payload) return;
  require(!payload->changes.empty() && payload->changes.size() <= limits::directory_changes_per_entry_max,
          "1 .. 128 changes");
  for (auto language : {directory::Language::vietnamese, directory::Language::english})
    require(directory::describe_entry(*payload, language).size() >= payload->changes.size(),
            "every change has its sentence");
  // Where the entry stands is not the fuzzer's to guess.
  auto second = proto::decode_entry(realm().second).value();
  payload->index = 2;
  payload->previous = directory::entry_hash(second.payload);
  payload->realm = realm().id;
  payload->registrar = {};
  check_apply(realm().sign(proto::encode_entry_payload(*payload)), true);
}

void check_feed(BytesView in) {
  auto payload = check_message<proto::KxFeedPayload>(in, proto::decode_kx_feed_payload, proto::encode_kx_feed_payload);
  if (payload) {
    require(payload->epochs.size() <= limits::kx_epochs_per_feed_max, "at most 16 epochs");
    const auto feed = directory::sign_kx_feed(*payload, signer());
    const Bytes bytes = proto::encode_kx_feed(feed);
    auto back = proto::decode_kx_feed(bytes);
    require(back && back->payload == feed.payload && back->signature == feed.signature, "a feed reads back");
    sim::MemStore store;
    directory::Directory directory(realm().id);
    auto txn = store.begin_write().value();
    require(directory.apply(*txn, realm().genesis, now).has_value(), "the genesis is good");
    require(directory.apply(*txn, realm().second, now).has_value(), "the second entry is good");
    auto kept = directory.store_kx_feed(*txn, bytes, now);
    if (kept && *kept) {
      require(directory.kx_feed(*txn, payload->agency).value() == bytes, "a feed is kept as received");
      require(directory.store_kx_feed(*txn, bytes, now).value() == false, "a feed is new once");
    }
  }
  check_message<proto::KxFeed>(in, proto::decode_kx_feed, proto::encode_kx_feed);
}

void check_enrolment(BytesView in) {
  if (auto request = check_message<proto::EnrolRequest>(in, proto::decode_enrol_request, proto::encode_enrol_request)) {
    auto checked = directory::check_enrol_request(*request);
    if (checked)
      require(crypto::verify(checked->keys.sig, "edx1/enrol", directory::enrol_request_hash(request->payload),
                             request->signature),
              "a request proves its key");
  }
  check_message<proto::EnrolRequestPayload>(in, proto::decode_enrol_request_payload,
                                            proto::encode_enrol_request_payload);
  check_message<proto::Approval>(in, proto::decode_approval, proto::encode_approval);
}

void check_bundle(BytesView in) {
  auto bundle = audit::decode_bundle(in);
  if (!bundle) return;
  require(equal(audit::encode_bundle(*bundle), in), "decoding and encoding give the same bytes");
  require(!audit::decode_bundle(with_one_more_byte(in)), "a longer bundle is refused");
  const auto verified = audit::verify_bundle(*bundle, realm().id);
  require(verified.verdict != audit::Verdict::valid, "nobody signed this");
}

}  // namespace

void one_input(BytesView in) {
  if (in.empty()) return;
  const uint8_t kind = in[0];
  in = in.subspan(1);
  switch (kind) {
    case 0:
      check_message<proto::Entry>(in, proto::decode_entry, proto::encode_entry);
      return check_apply(to_bytes(in), false);
    case 1: return check_payload(in);
    case 2: return check_feed(in);
    case 3: return check_enrolment(in);
    case 4: return check_bundle(in);
    default: return;
  }
}

}  // namespace tram::fuzz
