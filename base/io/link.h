// The links between nodes and brokers: ZeroMQ with CURVE and ZAP. Only link.cpp and zap.cpp see zmq.h.
// Invariants: a server socket is bound only after a ZAP handler proved that it answers, and refuses everyone when the
// handler is gone (Z1); a peer is what ZAP says of its CURVE key, never its routing id (Z2-Z4); send() never blocks and
// never drops silently (Z6); a message is one frame and at most one raw chunk, anything else is dropped and counted
// (Z9); only tcp:// and inproc:// endpoints, always CURVE (Z19); server keys are pinned (Z21).
// Not here: delivery. send() is no delivery (Z8): acknowledgements, resending, credit (Z10) and the application's ping
// belong to the protocol. Control and bulk use two sockets each (Z11).
// Thread: one thread owns a socket for its whole life (Z15); ZapAuthority has a thread of its own and may be told from
// any. Shutdown (Z14): close sockets, then the ZapAuthority, then the Context.
#pragma once
#include <atomic>
#include <map>
#include <memory>

#include "base/ids.h"
#include "base/limits.h"
#include "base/result.h"

namespace tram::io {

/// One a process (C18). Destroy it after every socket and the ZapAuthority.
class Context {
 public:
  /// One I/O thread carries about 350 MB/s of CURVE.
  explicit Context(int io_threads = 1);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void* handle() const { return handle_; }

 private:
  void* handle_;
};

/// A CURVE key pair; the secret is wiped when it goes.
struct CurveKeys {
  CurvePublic public_key;
  std::array<uint8_t, 32> secret_key{};
  CurveKeys() = default;
  CurveKeys(const CurveKeys&) = default;
  CurveKeys& operator=(const CurveKeys&) = default;
  ~CurveKeys();
};
CurveKeys make_curve_keys();
/// Error: bad_format (not 32 bytes).
Result<CurvePublic> curve_public_of(BytesView secret_key);

/// The bytes of one frame, owned as ZeroMQ received them: no copy. Move only.
class MessageBytes {
 public:
  MessageBytes();
  /// A frame of `size` bytes to be filled through writable(), then sent without a copy.
  explicit MessageBytes(size_t size);
  explicit MessageBytes(BytesView copy);
  MessageBytes(MessageBytes&& other) noexcept;
  MessageBytes& operator=(MessageBytes&& other) noexcept;
  ~MessageBytes();
  BytesView view() const;
  std::span<uint8_t> writable();
  size_t size() const { return view().size(); }
  bool empty() const { return size() == 0; }
  operator BytesView() const { return view(); }
  void* handle() { return storage_; }

 private:
  alignas(void*) unsigned char storage_[64];  // a zmq_msg_t
};

/// Answers ZAP for every server socket of the context: CURVE keys on the allow map are let in as their party, others
/// get status 300, so that they may retry after the directory names them (Z5).
class ZapAuthority {
 public:
  struct Counters {
    uint64_t allowed = 0;
    uint64_t refused = 0;    // unknown key
    uint64_t malformed = 0;  // not CURVE, not our domain
  };

  /// Binds the handler and asks it a question. Errors: already_running (the context has a handler), internal.
  static Result<std::unique_ptr<ZapAuthority>> start(Context& context);
  ~ZapAuthority();

  /// Replaces the allow map at once. Sessions that are already open stay open: a removed party must also be refused by
  /// the steps, which ask the directory for every frame.
  void set_allowed(std::map<CurvePublic, PartyId> allowed);
  Counters counters() const;

 private:
  struct State;
  explicit ZapAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A live connection of a peer to one server socket. A party may have several; a reconnection is a new session.
using SessionId = uint64_t;

/// What a socket reports about itself; all count from its creation.
struct LinkCounters {
  uint64_t received = 0;
  uint64_t sent = 0;
  uint64_t dropped_unauthenticated = 0;  // no User-Id, or a routing id that the client chose
  uint64_t dropped_malformed = 0;        // frame count or a frame over its limit
  uint64_t send_busy = 0;
  uint64_t send_unreachable = 0;
  uint64_t refused = 0;                  // clients: handshakes refused
};

/// Something to wait for: a socket, or a plain descriptor.
struct PollItem {
  void* socket = nullptr;
  int fd = -1;
  bool readable = false;  // out
};
/// Waits until an item is readable or `timeout_ms` passed (-1: for ever); how many are readable. EINTR counts as none.
int poll(std::span<PollItem> items, int timeout_ms);

struct SocketOptions {
  BytesView secret_key;                                      // ours, 32 bytes; copied into ZeroMQ
  size_t frame_bytes_max = limits::control_frame_bytes_max;
  size_t chunk_bytes_max = 0;                                // > 0: a second, raw frame is allowed (bulk endpoints)
  int send_queue_max = 1000;                                 // messages a peer (HWM)
  int receive_queue_max = 1000;
  Duration handshake_max = seconds(5);                       // also how soon a refused client retries (Z5)
  Duration heartbeat = seconds(5);                           // timeout x3, ttl x4 (Z12)
};

/// ROUTER and CURVE server.
class ServerSocket {
 public:
  struct Received {
    SessionId session = 0;
    PartyId peer;
    MessageBytes frame;
    std::optional<MessageBytes> chunk;
  };

  /// Takes the authority as proof that it runs; it must outlive the socket. Error: internal (an option is refused).
  static Result<std::unique_ptr<ServerSocket>> open(Context& context, const ZapAuthority& authority,
                                                    const SocketOptions& options);
  ~ServerSocket();

  /// The endpoint in force ("tcp://127.0.0.1:*" gets its port). Errors: bad_config (scheme, address), already_running
  /// (the address is in use).
  Result<std::string> bind(const std::string& endpoint);
  /// The next message, without waiting.
  std::optional<Received> receive();
  /// Errors: busy (the peer's queue is full), unreachable (the session is gone), too_large.
  Result<void> send(SessionId session, BytesView frame, BytesView chunk = {});
  /// The same; on success the chunk's bytes are moved out.
  Result<void> send(SessionId session, BytesView frame, MessageBytes& chunk);

  PollItem poll_item() const { return {socket_, -1, false}; }
  const LinkCounters& counters() const { return counters_; }

 private:
  ServerSocket(void* socket, const SocketOptions& options);
  Result<void> send_parts(SessionId session, BytesView frame, MessageBytes* chunk);
  void* socket_;
  size_t frame_bytes_max_, chunk_bytes_max_;
  LinkCounters counters_;
};

struct ClientOptions {
  SocketOptions socket;
  std::string endpoint;
  CurvePublic server_key;  // pinned
  Duration reconnect_min = milliseconds(500);
  Duration reconnect_max = seconds(60);
};

enum class LinkEvent : uint8_t { connected, disconnected, refused };

/// DEALER and CURVE client to one endpoint. Reconnects by itself with backoff and jitter (Z13); after a refusal it makes
/// a new socket (Z5). What was queued when a connection goes is lost.
class ClientSocket {
 public:
  struct Received {
    MessageBytes frame;
    std::optional<MessageBytes> chunk;
  };

  /// Starts connecting. Errors: bad_config (endpoint), internal.
  static Result<std::unique_ptr<ClientSocket>> open(Context& context, const ClientOptions& options);
  ~ClientSocket();

  /// Call it at every turn of the loop, before receive(), with the monotonic time: reads the monitor, makes the socket
  /// anew when due. Returns what happened since, in order.
  std::vector<LinkEvent> maintain(Time monotonic);
  /// When maintain() wants to be called at the latest.
  std::optional<Time> wake_at() const;
  /// The handshake succeeded and the connection has not been lost, as of the last maintain().
  bool connected() const { return connected_; }

  std::optional<Received> receive();
  /// Errors: unreachable (not connected, as of the last maintain()), busy (the queue is full), too_large.
  Result<void> send(BytesView frame, BytesView chunk = {});
  Result<void> send(BytesView frame, MessageBytes& chunk);

  /// Adds the socket and its monitor. They change when the socket is made anew: gather items for every poll().
  void add_poll_items(std::vector<PollItem>& items) const;
  const LinkCounters& counters() const { return counters_; }
  const std::string& endpoint() const { return options_.endpoint; }

 private:
  ClientSocket(Context& context, const ClientOptions& options);
  Result<void> make();
  void unmake();
  Result<void> send_parts(BytesView frame, MessageBytes* chunk);

  Context& context_;
  ClientOptions options_;
  std::array<uint8_t, 32> secret_key_{};
  void* socket_ = nullptr;
  void* monitor_ = nullptr;
  bool connected_ = false;
  uint32_t refusals_ = 0;
  std::optional<Time> remake_at_, quiet_since_;
  LinkCounters counters_;
};

}  // namespace tram::io
