// One broker's custody rate over CURVE: signed documents and envelopes are made beforehand, sent as Put frames by a few
// senders with a window each (fresh documents: as many as a node has in flight), and counted when the signed custody
// receipt is here; each receipt is decoded, and one in `check` is verified during the run, all of the kept ones are after it.
// fresh: every document has its own header, body and one envelope. known: envelopes of documents whose header the
// broker has verified, 64 to a frame. usage: bench_custody --agencies FILE --realm HEX --broker ENDPOINT,CURVE_HEX
// --broker-sig HEX --phase fresh|known
//        --directory-size N --directory-root HEX [--senders N] [--documents N] [--window N] [--skip N]
#include <atomic>
#include <map>
#include <thread>

#include "base/io/clock.h"
#include "base/io/system_random.h"
#include "crypto/formats.h"
#include "crypto/merkle.h"
#include "tests/bench/measure.h"
#include "tests/bench/realm_files.h"

namespace {

using namespace tram;
using bench::must;

constexpr size_t body_bytes = 1024;

/// The documents and envelopes of one sender. Bodies and wraps are random: a broker cannot tell.
class Maker {
 public:
  Maker(const bench::Agency& sender, const RealmId& realm, uint64_t directory_size, const Hash& directory_root)
      : sender_(sender),
        key_(sender.sig_seed),
        realm_(realm),
        directory_size_(directory_size),
        directory_root_(directory_root) {}

  struct Document {
    Bytes header, manifest, chunk;
    DocId id;
  };
  Document document() {
    Document out;
    out.chunk.resize(body_bytes + limits::chunk_overhead_bytes);
    random_.fill(out.chunk);
    crypto::Manifest manifest;
    manifest.padded_bytes = body_bytes;
    manifest.chunks.push_back(crypto::chunk_id(out.chunk));
    out.manifest = crypto::encode_manifest(manifest);
    crypto::Header header;
    header.realm = realm_;
    header.sender = sender_.id;
    header.doc_uuid = random_.id<DocUuid>();
    header.manifest_id = crypto::manifest_id(out.manifest);
    header.padded_bytes = body_bytes;
    header.chunks = 1;
    header.commit = random_.id<Hash>();
    header.recipients_root = random_.id<Hash>();
    header.meta_commit = random_.id<Hash>();
    header.created = io::wall_now();
    header.not_after = header.created + limits::time_to_live;
    header.enc_metadata.resize(limits::enc_metadata_bytes);
    random_.fill(header.enc_metadata);
    out.header = crypto::encode_header(header, key_);
    out.id = header.id;
    return out;
  }
  proto::PutItem envelope(const DocId& document, const PartyId& recipient) {
    auto& channel = channels_[recipient];
    proto::PutItem item;
    item.officer_blob.resize(limits::officer_blob_bytes);
    random_.fill(item.officer_blob);
    crypto::Envelope envelope;
    envelope.realm = realm_;
    envelope.sender = sender_.id;
    envelope.recipient = recipient;
    envelope.inc = 1;
    envelope.seq = ++channel.first;
    envelope.prev = channel.second;
    envelope.doc_id = document;
    envelope.officer_blob_id = crypto::blob_id(item.officer_blob);
    random_.fill(envelope.recipient_kx.bytes);
    random_.fill(envelope.psk_tag);
    random_.fill(envelope.enc);
    random_.fill(envelope.ct);
    envelope.created = io::wall_now();
    envelope.not_after = envelope.created + limits::time_to_live;
    envelope.dir_size = directory_size_;
    envelope.dir_root = directory_root_;
    item.envelope = crypto::encode_envelope(envelope, key_);
    channel.second = envelope.id;
    return item;
  }

 private:
  const bench::Agency& sender_;
  crypto::SigningKey key_;
  RealmId realm_;
  uint64_t directory_size_;
  Hash directory_root_;
  io::SystemRandom random_;
  std::map<PartyId, std::pair<uint64_t, EnvelopeId>> channels_;
};

struct Outgoing {
  Bytes frame;
  size_t envelopes = 0;
};

struct Sender {
  const bench::Agency* agency = nullptr;
  std::vector<Outgoing> before;  // sent and answered before the clock starts
  std::vector<Outgoing> frames;
  std::vector<Bytes> receipts;  // one in `check`
  uint64_t held = 0;
  double begin = 0, end = 0;
};

/// Sends `frames` with at most `window` unanswered; every envelope must come back with a custody receipt.
void drive(bench::BrokerClient& client, std::vector<Outgoing>& frames, size_t window, Sender& sender) {
  size_t next = 0, open = 0;
  while (next < frames.size() || open > 0) {
    while (open < window && next < frames.size() && client.send(frames[next].frame)) {
      ++next;
      ++open;
    }
    const auto frame = client.receive(30);
    must(frame.has_value(), "PutReply");
    if (const auto* refused = std::get_if<proto::Refused>(&frame->body))
      must(false, "Put, refused with " + std::to_string(refused->code) + " " + refused->detail);
    const auto* reply = std::get_if<proto::PutReply>(&frame->body);
    if (reply == nullptr) continue;
    --open;
    for (const auto& result : reply->results) {
      must(!result.custody.empty(), "custody, refused with " + std::to_string(result.refusal));
      if (sender.held++ % 100 == 0) sender.receipts.push_back(result.custody);
    }
  }
}

}  // namespace

int main(int count, char** values) {
  constexpr std::string_view known[] = {"agencies",  "realm",  "broker",         "broker-sig",     "phase", "senders",
                                        "documents", "window", "directory-size", "directory-root", "skip"};
  const bench::Arguments arguments(count, values, known);
  crypto::initialize();
  const auto broker = bench::parse_broker(arguments.text("broker"));
  const auto broker_sig = SigPublic::parse(arguments.text("broker-sig"));
  const auto realm = RealmId::parse(arguments.text("realm"));
  const auto directory_root = Hash::parse(arguments.text("directory-root"));
  must(realm.has_value() && directory_root.has_value(), "--realm HEX --directory-root HEX");
  const bool fresh = arguments.text("phase", "fresh") == "fresh";
  const auto senders_wanted = static_cast<size_t>(arguments.number("senders", 4));
  const auto total = static_cast<size_t>(arguments.number("documents", 40000));
  const auto window = static_cast<size_t>(arguments.number("window", fresh ? limits::requests_in_flight_max : 8));
  const auto directory_size = static_cast<uint64_t>(arguments.number("directory-size", 1));

  // The last agencies but `skip` send (a sender's positions are used once), all before them receive.
  const auto agencies = bench::load_agencies(arguments.text("agencies"), 0, SIZE_MAX);
  const auto skip = static_cast<size_t>(arguments.number("skip", 0));
  must(agencies.size() > skip + senders_wanted + 64, "enough agencies");
  const size_t recipients = agencies.size() - senders_wanted - skip;
  std::vector<Sender> senders(senders_wanted);
  std::vector<std::thread> threads;
  for (size_t s = 0; s < senders.size(); ++s) {
    senders[s].agency = &agencies[recipients + s];
    threads.emplace_back([&, s] {
      auto& sender = senders[s];
      Maker maker(*sender.agency, *realm, directory_size, *directory_root);
      const size_t mine = total / senders.size();
      uint64_t request = 100;
      if (fresh) {
        for (size_t i = 0; i < mine; ++i) {
          auto document = maker.document();
          proto::Put put{
              std::move(document.header), std::move(document.manifest), std::move(document.chunk), document.id, {}};
          put.items.push_back(maker.envelope(document.id, agencies[(i * senders.size() + s) % recipients].id));
          sender.frames.push_back({proto::encode_frame({++request, std::move(put)}), 1});
        }
        return;
      }
      for (size_t made = 0; made < mine;) {
        auto document = maker.document();
        proto::Put first{
            std::move(document.header), std::move(document.manifest), std::move(document.chunk), document.id, {}};
        first.items.push_back(maker.envelope(document.id, agencies[0].id));
        sender.before.push_back({proto::encode_frame({++request, std::move(first)}), 1});
        for (size_t to = 1; to + 64 <= recipients && made < mine; to += 64) {
          proto::Put put;
          put.doc_id = document.id;
          for (size_t i = 0; i < 64; ++i) put.items.push_back(maker.envelope(document.id, agencies[to + i].id));
          sender.frames.push_back({proto::encode_frame({++request, std::move(put)}), 64});
          made += 64;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  threads.clear();

  io::Context context;
  std::atomic<size_t> ready{0};
  for (auto& sender : senders)
    threads.emplace_back([&] {
      bench::BrokerClient client(context, broker, *sender.agency);
      drive(client, sender.before, 16, sender);
      sender.held = 0;
      for (++ready; ready < senders.size();) std::this_thread::yield();
      sender.begin = bench::wall_seconds();
      drive(client, sender.frames, window, sender);
      sender.end = bench::wall_seconds();
    });
  for (auto& thread : threads) thread.join();

  double begin = senders.front().begin, end = 0;
  uint64_t held = 0;
  size_t checked = 0;
  for (const auto& sender : senders) {
    begin = std::min(begin, sender.begin);
    end = std::max(end, sender.end);
    held += sender.held;
    for (const auto& receipt : sender.receipts) {
      const auto custody = crypto::decode_custody(receipt);
      must(custody.has_value(), "a custody receipt");
      if (broker_sig) {
        must(crypto::verify_custody(*custody, *broker_sig), "a custody signature");
        ++checked;
      }
    }
  }
  const std::string what = fresh ? "custody, fresh documents" : "custody, known headers";
  bench::figure(what, static_cast<double>(held) / (end - begin), "1/s");
  bench::figure(what + ", envelopes", static_cast<double>(held), "envelopes");
  bench::figure(what + ", receipts verified", static_cast<double>(checked), "receipts");
  return 0;
}
