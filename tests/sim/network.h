// Virtual connections between clients (nodes, peer brokers, the authority) and brokers' sockets: encoded frames with
// delay, in order on one connection, in any order across connections; lost when a connection goes, held up by a short
// partition, repeated now and then. What base/io/link.h promises its users, this keeps, no more (Z6, Z8).
// Thread: one.
#pragma once
#include <deque>
#include <memory>

#include "broker/jobs.h"
#include "tests/sim/world.h"

namespace tram::sim {

class Wire;

class ClientEnd {
 public:
  virtual ~ClientEnd() = default;
  virtual bool runs() const = 0;
  /// What it shows of itself; nothing: the key that the directory has.
  virtual const CurvePublic* curve_key() const { return nullptr; }
  virtual void link_up(Wire&) = 0;
  virtual void link_down(Wire&) = 0;
  virtual void receive(Wire&, Bytes frame, Bytes chunk) = 0;
};

class ServerEnd {
 public:
  virtual ~ServerEnd() = default;
  virtual bool runs() const = 0;
  /// What ZAP would say.
  virtual bool admits(const PartyId& peer, const CurvePublic* key) = 0;
  virtual void receive(Wire&, const broker::SessionKey&, Bytes frame, Bytes chunk) = 0;
  /// The peer of a session took something: there may be room again.
  virtual void drained(const broker::SessionKey&) = 0;
};

/// What all wires share.
struct Network {
  World& world;
  Duration delay_min = milliseconds(1), delay_max = milliseconds(15);
  uint64_t repeat_per_mille = 0, lose_per_100000 = 0, swap_per_mille = 0, corrupt_per_100000 = 0;
  uint64_t sessions = 0;
};

/// "Put x3": the kind of a frame, for people.
std::string frame_text(const proto::Frame&);

enum class SendOutcome { sent, busy, unreachable };

class Wire {
 public:
  Wire(Network&, ClientEnd&, PartyId client_party, ServerEnd&, PartyId server_party, proto::Endpoint);

  const PartyId& client_party() const { return client_party_; }
  const PartyId& server_party() const { return server_party_; }
  proto::Endpoint endpoint() const { return endpoint_; }
  /// As the client sees it.
  bool connected() const { return client_up_; }
  bool wanted() const { return wanted_; }
  uint64_t session() const { return session_; }

  /// The client's process began to want the connection.
  void start();
  void client_died();
  void server_died();
  /// The connection is lost; both ends learn it later, each in its own time.
  void cut();
  /// The connection is lost, and for so long the client does not know; nor does the server.
  void half_open(Duration for_so_long);
  /// A partition: nothing passes one way or both until it ends; a long one is noticed and the connection lost.
  void block(bool up, bool down);
  void block(bool blocked) { block(blocked, blocked); }
  /// Bytes a second; 0: as fast as the network goes.
  void slow(uint64_t bytes_per_second) { bytes_per_second_ = bytes_per_second; }
  /// The next frame to the server, and with it all behind it, comes late.
  void hold_up(Duration for_so_long) { held_up_ = for_so_long; }
  /// No longer slow; what is late is lost.
  void hurry();

  /// From the client; false when not connected.
  bool send_to_server(Bytes frame, Bytes chunk);
  SendOutcome send_to_client(uint64_t session, Bytes frame, Bytes chunk);

 private:
  struct Frame {
    Time due;
    Bytes frame, chunk;
  };
  struct Direction {
    std::deque<Frame> queue;
    Time last;
  };
  void try_connect();
  void retry(Duration delay);
  void drop(Duration client_learns, Duration server_learns);
  void carry(bool to_server, Bytes frame, Bytes chunk);
  void pump(bool to_server);
  void deliver(bool to_server, Frame);

  Network& network_;
  World& world_;
  ClientEnd& client_;
  PartyId client_party_;
  ServerEnd& server_;
  PartyId server_party_;
  proto::Endpoint endpoint_;
  bool blocked() const { return up_blocked_ || down_blocked_; }
  bool wanted_ = false, up_blocked_ = false, down_blocked_ = false;
  bool stands_ = false;     // the connection does
  bool client_up_ = false;  // the client believes so
  uint64_t session_ = 0;    // of the connection that stands, or stood last
  uint64_t attempt_ = 0, block_turn_ = 0;
  std::map<uint64_t, Time> dead_sessions_;  // session -> when the server learns
  Direction up_, down_;                     // to the server, to the client
  uint64_t bytes_per_second_ = 0;
  Duration held_up_;
};

}  // namespace tram::sim
