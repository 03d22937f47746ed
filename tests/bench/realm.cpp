// A realm for the bench, with one root officer: from the enrolment requests that the daemons wrote it makes the
// directory and an approval for each, adds agencies that have keys and no process, and publishes their KX keys.
// phase make: --out DIR --silent N --floor BYTES --request FILE ... -> DIR/<n>.approval in the requests' order,
// DIR/agencies,
//             one JSON line with the ids of all requests.
// phase publish: --agencies DIR/agencies --broker ENDPOINT,CURVE_HEX ... -> each agency's KX feed at each broker.
#include <algorithm>
#include <thread>

#include "base/io/clock.h"
#include "base/io/secret_input.h"
#include "base/io/system_random.h"
#include "directory/signing.h"
#include "tests/bench/measure.h"
#include "tests/bench/realm_files.h"
#include "tests/sim/mem_store.h"

namespace {

using namespace tram;
using bench::must;

struct Officer {
  PartyId id;
  crypto::SigningKey key;
};

/// Entries one after the other, signed by the one officer.
class Entries {
 public:
  Entries(const Officer& officer, Time now) : officer_(officer), now_(now) {
    proto::RootChange root;
    root.realm_name = "Bench";
    root.practice = true;
    root.officers.push_back({officer.id, "Bench officer", officer.key.public_key()});
    root.threshold = root.root_threshold = 1;
    add({{Time{}, std::move(root)}});
  }
  void add(std::vector<proto::Change> changes) {
    proto::EntryPayload payload;
    payload.index = signed_.size();
    payload.created = now_;
    payload.changes = std::move(changes);
    if (payload.index > 0) {
      payload.previous = previous_;
      payload.realm = realm_;
    }
    proto::Entry entry;
    entry.payload = proto::encode_entry_payload(payload);
    entry.signatures.push_back(directory::sign_entry(entry.payload, officer_.id, officer_.key));
    if (payload.index == 0) realm_ = directory::realm_of(entry.payload);
    previous_ = directory::entry_hash(entry.payload);
    signed_.push_back(proto::encode_entry(entry));
  }
  const RealmId& realm() const { return realm_; }
  const std::vector<Bytes>& all() const { return signed_; }

 private:
  const Officer& officer_;
  Time now_;
  RealmId realm_;
  Hash previous_;
  std::vector<Bytes> signed_;
};

proto::Agency agency_record(const PartyId& id, std::string name, std::string code, proto::AgencyKeys keys) {
  proto::Agency agency;
  agency.id = id;
  agency.name_vi = std::move(name);
  agency.level = proto::Level::commune;
  agency.province = "79";
  agency.codes.push_back({std::move(code), {}, {}});
  agency.keys = keys;
  return agency;
}

void make(const bench::Arguments& arguments) {
  io::SystemRandom random;
  const Time now = io::wall_now();
  const auto out = arguments.text("out");
  const Officer officer{random.id<PartyId>(), crypto::SigningKey(crypto::make_secret(random))};
  Entries entries(officer, now);

  proto::PolicyChange policy;
  policy.body_floor_bytes = static_cast<uint64_t>(arguments.number("floor", 1024));
  std::vector<proto::Change> changes{{now, policy}};
  const auto flush = [&](size_t at_most) {
    if (changes.size() > at_most) entries.add(std::exchange(changes, {}));
  };

  struct Enrolled {
    PartyId id;
    Hash request;
    std::string curve_hex;
  };
  std::vector<Enrolled> enrolled;
  std::string listed;
  for (const auto& path : arguments.all("request")) {
    const auto file = io::read_file(path, limits::enrol_request_bytes_max);
    must(file.has_value(), path);
    const auto request = proto::decode_enrol_request(*file);
    must(request.has_value(), path);
    const auto payload = directory::check_enrol_request(*request);
    must(payload.has_value(), path);
    const auto id = random.id<PartyId>();
    if (payload->kind == proto::EnrolKind::broker) {
      changes.push_back({now, proto::BrokerChange{id, payload->name, payload->failure_domain, payload->control_endpoint,
                                                  payload->bulk_endpoint, payload->keys.sig, payload->keys.log,
                                                  payload->keys.curve, false}});
    } else {
      changes.push_back(
          {now, proto::AgencyChange{agency_record(id, payload->name, payload->organ_code, payload->keys)}});
    }
    enrolled.push_back({id, directory::enrol_request_hash(request->payload), payload->keys.curve.hex()});
    listed += (listed.empty() ? "" : ",") + std::string("{\"id\":\"") + id.hex() + "\",\"curve\":\"" +
              payload->keys.curve.hex() + "\",\"sig\":\"" + payload->keys.sig.hex() +
              "\",\"control_endpoint\":" + bench::json_string(payload->control_endpoint) + "}";
    flush(60);
  }

  std::vector<bench::Agency> agencies;
  const auto silent = static_cast<size_t>(arguments.number("silent", 0));
  for (size_t i = 0; i < silent; ++i) {
    agencies.push_back(bench::make_agency(random));
    const auto& one = agencies.back();
    proto::AgencyKeys keys;
    keys.sig = crypto::SigningKey(one.sig_seed).public_key();
    keys.log = crypto::LogKey(crypto::make_secret(random)).public_key();
    keys.curve = crypto::curve_pair_from(one.curve_secret).public_key;
    changes.push_back({now, proto::AgencyChange{
                                agency_record(one.id, "Silent " + std::to_string(i), "S" + std::to_string(i), keys)}});
    flush(60);
  }
  flush(0);
  // What the daemons will do with it, done here first: a refusal is told where it arises.
  sim::MemStore store;
  directory::Directory directory(entries.realm());
  auto txn = store.begin_write();
  must(txn.has_value(), "a store in memory");
  for (const auto& entry : entries.all()) {
    const auto applied = directory.apply(**txn, entry, now);
    must(applied.has_value(), "entry: " + (applied ? std::string() : describe(applied.error())));
  }
  bench::save_agencies(out + "/agencies", agencies);
  for (size_t i = 0; i < enrolled.size(); ++i) {
    const proto::Approval approval{entries.realm(), enrolled[i].id, enrolled[i].request, entries.all()};
    must(io::write_private_file_atomic(out + "/" + std::to_string(i) + ".approval", proto::encode_approval(approval))
             .has_value(),
         "approval");
  }
  bench::line("{\"realm\":\"" + entries.realm().hex() + "\",\"root\":\"" + directory.root().hex() +
              "\",\"entries\":" + std::to_string(entries.all().size()) + ",\"enrolled\":[" + listed + "]}");
}

Bytes kx_feed(const bench::Agency& agency, const RealmId& realm, Time now) {
  const auto day = static_cast<uint64_t>(now.ms / days(1).ms);
  proto::KxFeedPayload payload;
  payload.realm = realm;
  payload.agency = agency.id;
  payload.number = 1;
  const auto key = crypto::kx_pair_from(agency.kx_secret).public_key;
  for (uint64_t epoch = day; epoch < day + 2; ++epoch) {
    const Time begin{static_cast<int64_t>(epoch) * days(1).ms};
    payload.epochs.push_back({epoch, key, begin, begin + days(1)});
  }
  return proto::encode_kx_feed(directory::sign_kx_feed(payload, crypto::SigningKey(agency.sig_seed)));
}

void publish(const bench::Arguments& arguments) {
  const auto agencies = bench::load_agencies(arguments.text("agencies"), 0, SIZE_MAX);
  const auto realm = RealmId::parse(arguments.text("realm"));
  must(realm.has_value(), "--realm HEX");
  io::Context context;
  const double begin = bench::wall_seconds();
  std::vector<std::thread> threads;
  for (const auto& text : arguments.all("broker"))
    threads.emplace_back([&, broker = bench::parse_broker(text)] {
      for (const auto& agency : agencies) {
        bench::BrokerClient client(context, broker, agency);
        client.send_or_end({2, proto::KxPut{kx_feed(agency, *realm, io::wall_now())}});
        while (true) {
          const auto frame = client.receive(20);
          must(frame.has_value(), "an answer to KxPut");
          if (frame->request != 2) continue;
          must(std::holds_alternative<proto::Done>(frame->body), "KxPut");
          break;
        }
      }
    });
  for (auto& thread : threads) thread.join();
  bench::figure("KX feeds published", static_cast<double>(agencies.size()), "agencies");
  bench::figure("KX feeds published, time", bench::wall_seconds() - begin, "s");
}

}  // namespace

int main(int count, char** values) {
  constexpr std::string_view known[] = {"phase", "out", "silent", "floor", "request", "agencies", "realm", "broker"};
  const bench::Arguments arguments(count, values, known);
  crypto::initialize();
  if (arguments.text("phase") == "make")
    make(arguments);
  else
    publish(arguments);
  return 0;
}
