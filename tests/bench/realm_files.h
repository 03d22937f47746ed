// A bench realm's own parties: agencies that have keys in the directory and no process of their own, and a client that
// speaks to a broker as one of them. Throw-away secrets in one private file of the scratch directory.
// Thread: a client belongs to the thread that made it.
#pragma once
#include <memory>

#include "base/io/link.h"
#include "crypto/keys.h"
#include "proto/wire.h"

namespace bench {

struct Agency {
  tram::PartyId id;
  tram::crypto::Secret32 sig_seed;
  tram::crypto::Secret32 curve_secret;
  tram::crypto::Secret32 kx_secret;
};
Agency make_agency(tram::Random&);
void save_agencies(const std::string& path, std::span<const Agency>);
/// At most `limit`, from the `first`.
std::vector<Agency> load_agencies(const std::string& path, size_t first, size_t limit);

/// Where a broker listens, as written into realm.json by bench_realm: "tcp://host:port" and its CURVE key in hex.
struct BrokerAddress {
  std::string control_endpoint;
  std::string curve_hex;
};
/// "ENDPOINT,CURVE_HEX"; ends the program when it is not.
BrokerAddress parse_broker(std::string_view text);

/// One control session with one broker: connects, says Hello, sends and receives frames.
class BrokerClient {
 public:
  BrokerClient(tram::io::Context&, const BrokerAddress&, const Agency&);
  /// Waits for the next frame; nothing after `seconds`.
  std::optional<tram::proto::Frame> receive(double seconds);
  /// False when the queue to the broker is full.
  bool send(tram::BytesView frame);
  void send_or_end(const tram::proto::Frame&);
  const tram::proto::HelloReply& hello() const { return hello_; }

 private:
  std::unique_ptr<tram::io::ClientSocket> socket_;
  tram::proto::HelloReply hello_;
};

}  // namespace bench
