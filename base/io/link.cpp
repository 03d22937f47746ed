#include "base/io/link.h"

#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/io/zap_domain.h"

namespace tram::io {
namespace {

constexpr int zap_enforce_domain = 93;     // ZMQ_ZAP_ENFORCE_DOMAIN, hidden as DRAFT but honoured (Z1)
// CURVE wraps a frame in a MESSAGE command of 33 bytes more, and MAXMSGSIZE looks at the wrapped size. We look at the
// frame itself afterwards.
constexpr int64_t curve_overhead_bytes = 33;
constexpr int drops_per_receive_max = 64;  // then the loop gets its turn
constexpr int monitored_events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                 ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED;

static_assert(sizeof(zmq_msg_t) == 64 && alignof(zmq_msg_t) <= alignof(void*));

zmq_msg_t* message_of(void* storage) { return static_cast<zmq_msg_t*>(storage); }

bool set_bytes(void* socket, int option, BytesView bytes) {
  return zmq_setsockopt(socket, option, bytes.data(), bytes.size()) == 0;
}
template <class Int = int>
bool set_int(void* socket, int option, Int value) {
  return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

bool endpoint_allowed(const std::string& endpoint) {  // Z19
  return endpoint.starts_with("tcp://") || endpoint.starts_with("inproc://");
}

/// What servers and clients share; false when any option is refused.
bool set_common(void* socket, const SocketOptions& options) {
  auto beat = static_cast<int>(options.heartbeat.ms);
  auto frame_max = static_cast<int64_t>(std::max(options.frame_bytes_max, options.chunk_bytes_max));
  bool ok = set_int(socket, ZMQ_LINGER, 0);
  ok = ok && set_int(socket, ZMQ_SNDHWM, options.send_queue_max) && set_int(socket, ZMQ_RCVHWM, options.receive_queue_max);
  ok = ok && set_int<int64_t>(socket, ZMQ_MAXMSGSIZE, frame_max + curve_overhead_bytes);
  ok = ok && set_int(socket, ZMQ_HANDSHAKE_IVL, static_cast<int>(options.handshake_max.ms));
  ok = ok && set_int(socket, ZMQ_HEARTBEAT_IVL, beat) && set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, beat * 3);
  ok = ok && set_int(socket, ZMQ_HEARTBEAT_TTL, beat * 4);
  ok = ok && set_int(socket, ZMQ_TCP_KEEPALIVE, 1) && set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 60);
  return ok;
}

void set_ipv6(void* socket, const std::string& endpoint) {
  if (endpoint.find('[') != std::string::npos) set_int(socket, ZMQ_IPV6, 1);
}

/// Frames after the first, of one message; the first two kept. Returns how many frames there were, 0 on an error.
struct Frames {
  MessageBytes first, second;
  size_t count = 0;
};
Frames receive_rest(void* socket) {
  Frames frames;
  for (;;) {
    MessageBytes surplus;
    MessageBytes& into = frames.count == 0 ? frames.first : frames.count == 1 ? frames.second : surplus;
    if (zmq_msg_recv(message_of(into.handle()), socket, ZMQ_DONTWAIT) < 0) return {};
    ++frames.count;
    if (!zmq_msg_more(message_of(into.handle()))) return frames;
  }
}

bool within_limits(const Frames& frames, size_t frame_bytes_max, size_t chunk_bytes_max) {
  if (frames.count == 0 || frames.count > (chunk_bytes_max ? 2u : 1u)) return false;
  if (frames.first.empty() || frames.first.size() > frame_bytes_max) return false;
  return frames.count == 1 || frames.second.size() <= chunk_bytes_max;
}

/// libzmq's own routing ids: a zero byte and a 32-bit number. Ids that a client chose are not accepted (Z2, Z7), so
/// that no client can take the id of a session that has gone.
constexpr size_t routing_id_bytes = 5;

SessionId session_of(BytesView id) {
  Reader reader(id);
  reader.u8();
  return (SessionId{1} << 32) | reader.u32();
}

PartyId party_of(MessageBytes& frame, bool& known) {
  const char* user = zmq_msg_gets(message_of(frame.handle()), "User-Id");
  auto party = user ? PartyId::parse(user) : std::nullopt;
  known = party.has_value();
  return party.value_or(PartyId{});
}

Result<void> send_failure(int error, LinkCounters& counters, bool reachable) {
  if (error == EAGAIN && reachable) {
    ++counters.send_busy;
    return fail(ErrorCode::busy, "send queue");
  }
  ++counters.send_unreachable;
  return fail(ErrorCode::unreachable, "peer");
}

int64_t random_below(int64_t bound) {
  uint64_t value = 0;
  TRAM_CHECK(::getrandom(&value, sizeof value, 0) == sizeof value);
  return bound > 0 ? static_cast<int64_t>(value % static_cast<uint64_t>(bound)) : 0;
}

}  // namespace

// ---- context, keys, messages ------------------------------------------------------------------------------

Context::Context(int io_threads) : handle_(zmq_ctx_new()) {
  TRAM_CHECK(handle_);
  zmq_ctx_set(handle_, ZMQ_IO_THREADS, io_threads);
  zmq_ctx_set(handle_, ZMQ_MAX_SOCKETS, std::min(8192, zmq_ctx_get(handle_, ZMQ_SOCKET_LIMIT)));
  zmq_ctx_set(handle_, ZMQ_BLOCKY, 0);
}

Context::~Context() {
  zmq_ctx_shutdown(handle_);
  while (zmq_ctx_term(handle_) != 0 && errno == EINTR) {
  }
}

CurveKeys::~CurveKeys() { ::explicit_bzero(secret_key.data(), secret_key.size()); }

CurveKeys make_curve_keys() {
  char public_text[41], secret_text[41];
  TRAM_CHECK(zmq_curve_keypair(public_text, secret_text) == 0);
  CurveKeys keys;
  TRAM_CHECK(zmq_z85_decode(keys.public_key.bytes.data(), public_text));
  TRAM_CHECK(zmq_z85_decode(keys.secret_key.data(), secret_text));
  ::explicit_bzero(secret_text, sizeof secret_text);
  return keys;
}

Result<CurvePublic> curve_public_of(BytesView secret_key) {
  if (secret_key.size() != 32) return fail(ErrorCode::bad_format, "CURVE secret key");
  char public_text[41], secret_text[41];
  CurvePublic key;
  bool ok = zmq_z85_encode(secret_text, secret_key.data(), 32) && zmq_curve_public(public_text, secret_text) == 0 &&
            zmq_z85_decode(key.bytes.data(), public_text);
  ::explicit_bzero(secret_text, sizeof secret_text);
  if (!ok) return fail(ErrorCode::internal, "CURVE");
  return key;
}

MessageBytes::MessageBytes() { zmq_msg_init(message_of(storage_)); }
MessageBytes::MessageBytes(size_t size) { TRAM_CHECK(zmq_msg_init_size(message_of(storage_), size) == 0); }
MessageBytes::MessageBytes(BytesView copy) : MessageBytes(copy.size()) {
  if (!copy.empty()) std::memcpy(writable().data(), copy.data(), copy.size());
}
MessageBytes::MessageBytes(MessageBytes&& other) noexcept : MessageBytes() { *this = std::move(other); }
MessageBytes& MessageBytes::operator=(MessageBytes&& other) noexcept {
  if (this != &other) zmq_msg_move(message_of(storage_), message_of(other.storage_));
  return *this;
}
MessageBytes::~MessageBytes() { zmq_msg_close(message_of(storage_)); }
BytesView MessageBytes::view() const {
  auto* message = const_cast<zmq_msg_t*>(static_cast<const zmq_msg_t*>(static_cast<const void*>(storage_)));
  return {static_cast<const uint8_t*>(zmq_msg_data(message)), zmq_msg_size(message)};
}
std::span<uint8_t> MessageBytes::writable() {
  return {static_cast<uint8_t*>(zmq_msg_data(message_of(storage_))), zmq_msg_size(message_of(storage_))};
}

int poll(std::span<PollItem> items, int timeout_ms) {
  std::vector<zmq_pollitem_t> raw;
  raw.reserve(items.size());
  for (const PollItem& item : items) raw.push_back({item.socket, item.fd, ZMQ_POLLIN, 0});
  int ready = zmq_poll(raw.data(), static_cast<int>(raw.size()), timeout_ms);
  for (size_t i = 0; i < items.size(); ++i) items[i].readable = ready > 0 && raw[i].revents != 0;
  return std::max(ready, 0);
}

// ---- server -----------------------------------------------------------------------------------------------

ServerSocket::ServerSocket(void* socket, const SocketOptions& options)
    : socket_(socket), frame_bytes_max_(options.frame_bytes_max), chunk_bytes_max_(options.chunk_bytes_max) {}

ServerSocket::~ServerSocket() { zmq_close(socket_); }

Result<std::unique_ptr<ServerSocket>> ServerSocket::open(Context& context, const ZapAuthority&,
                                                         const SocketOptions& options) {
  if (options.secret_key.size() != 32) return fail(ErrorCode::bad_format, "CURVE secret key");
  void* socket = zmq_socket(context.handle(), ZMQ_ROUTER);
  if (!socket) return fail(ErrorCode::internal, "socket");
  std::unique_ptr<ServerSocket> server(new ServerSocket(socket, options));
  bool ok = set_common(socket, options) && set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
  ok = ok && set_int(socket, ZMQ_CURVE_SERVER, 1) && set_bytes(socket, ZMQ_CURVE_SECRETKEY, options.secret_key);
  ok = ok && set_bytes(socket, ZMQ_ZAP_DOMAIN, view(zap_domain)) && set_int(socket, zap_enforce_domain, 1);
  ok = ok && set_int(socket, ZMQ_BACKLOG, 1024);
  if (!ok) return fail(ErrorCode::internal, "socket option refused");
  return server;
}

Result<std::string> ServerSocket::bind(const std::string& endpoint) {
  if (!endpoint_allowed(endpoint)) return fail(ErrorCode::bad_config, "endpoint must be tcp:// or inproc://: " + endpoint);
  set_ipv6(socket_, endpoint);
  if (zmq_bind(socket_, endpoint.c_str()) != 0) {
    ErrorCode code = errno == EADDRINUSE ? ErrorCode::already_running : ErrorCode::bad_config;
    return fail(code, endpoint + ": " + zmq_strerror(errno));
  }
  char actual[512];
  size_t size = sizeof actual;
  if (zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, actual, &size) != 0 || size == 0)
    return fail(ErrorCode::internal, "endpoint");
  return std::string(actual, size - 1);
}

std::optional<ServerSocket::Received> ServerSocket::receive() {
  for (int drops = 0; drops < drops_per_receive_max; ++drops) {
    MessageBytes id;
    if (zmq_msg_recv(message_of(id.handle()), socket_, ZMQ_DONTWAIT) < 0) return std::nullopt;
    if (!zmq_msg_more(message_of(id.handle()))) {
      ++counters_.dropped_malformed;
      continue;
    }
    Frames frames = receive_rest(socket_);
    if (!within_limits(frames, frame_bytes_max_, chunk_bytes_max_)) {
      ++counters_.dropped_malformed;
      continue;
    }
    // Z3: the routing id's frame may have lost its metadata; the body's has it.
    bool known = false;
    PartyId peer = party_of(frames.first, known);
    if (!known || id.size() != routing_id_bytes || id.view()[0] != 0) {
      ++counters_.dropped_unauthenticated;
      continue;
    }
    ++counters_.received;
    Received received{session_of(id.view()), peer, std::move(frames.first), std::nullopt};
    if (frames.count == 2) received.chunk = std::move(frames.second);
    return received;
  }
  return std::nullopt;
}

Result<void> ServerSocket::send(SessionId session, BytesView frame, BytesView chunk) {
  if (chunk.empty()) return send_parts(session, frame, nullptr);
  if (chunk.size() > chunk_bytes_max_) return fail(ErrorCode::too_large, "chunk");
  MessageBytes copy(chunk);
  return send_parts(session, frame, &copy);
}

Result<void> ServerSocket::send(SessionId session, BytesView frame, MessageBytes& chunk) {
  return send_parts(session, frame, &chunk);
}

Result<void> ServerSocket::send_parts(SessionId session, BytesView frame, MessageBytes* chunk) {
  if (frame.empty() || frame.size() > frame_bytes_max_) return fail(ErrorCode::too_large, "empty or long frame");
  if (chunk && chunk->size() > chunk_bytes_max_) return fail(ErrorCode::too_large, "chunk");
  Bytes id;
  Writer(id).u8(0).u32(static_cast<uint32_t>(session));
  if (zmq_send(socket_, id.data(), id.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
    return send_failure(errno, counters_, true);
  // The queue took the first part, so it takes the others; a peer that goes meanwhile loses the whole message.
  if (zmq_send(socket_, frame.data(), frame.size(), (chunk ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT) < 0)
    return send_failure(errno, counters_, false);
  if (chunk && zmq_msg_send(message_of(chunk->handle()), socket_, ZMQ_DONTWAIT) < 0)
    return send_failure(errno, counters_, false);
  ++counters_.sent;
  return {};
}

// ---- client -----------------------------------------------------------------------------------------------

ClientSocket::ClientSocket(Context& context, const ClientOptions& options) : context_(context), options_(options) {
  std::copy(options.socket.secret_key.begin(), options.socket.secret_key.end(), secret_key_.begin());
  options_.socket.secret_key = {};
}

ClientSocket::~ClientSocket() {
  unmake();
  ::explicit_bzero(secret_key_.data(), secret_key_.size());
}

Result<std::unique_ptr<ClientSocket>> ClientSocket::open(Context& context, const ClientOptions& options) {
  if (options.socket.secret_key.size() != 32) return fail(ErrorCode::bad_format, "CURVE secret key");
  if (!endpoint_allowed(options.endpoint))
    return fail(ErrorCode::bad_config, "endpoint must be tcp:// or inproc://: " + options.endpoint);
  std::unique_ptr<ClientSocket> client(new ClientSocket(context, options));
  TRAM_OK(client->make());
  return client;
}

Result<void> ClientSocket::make() {
  socket_ = zmq_socket(context_.handle(), ZMQ_DEALER);
  monitor_ = zmq_socket(context_.handle(), ZMQ_PAIR);
  if (!socket_ || !monitor_) return fail(ErrorCode::internal, "socket");
  TRAM_TRY(public_key, curve_public_of(secret_key_));
  auto wait_ms = static_cast<int>(options_.reconnect_min.ms + random_below(options_.reconnect_min.ms));  // Z13
  bool ok = set_common(socket_, options_.socket) && set_int(socket_, ZMQ_IMMEDIATE, 1);  // Z17
  ok = ok && set_int(socket_, ZMQ_RECONNECT_IVL, wait_ms);
  ok = ok && set_int(socket_, ZMQ_RECONNECT_IVL_MAX, std::max(wait_ms, static_cast<int>(options_.reconnect_max.ms)));
  ok = ok && set_bytes(socket_, ZMQ_CURVE_SERVERKEY, options_.server_key);
  ok = ok && set_bytes(socket_, ZMQ_CURVE_PUBLICKEY, public_key);
  ok = ok && set_bytes(socket_, ZMQ_CURVE_SECRETKEY, secret_key_);
  ok = ok && set_int(monitor_, ZMQ_LINGER, 0);
  if (!ok) return fail(ErrorCode::internal, "socket option refused");
  set_ipv6(socket_, options_.endpoint);

  static std::atomic<uint64_t> serial{0};
  std::string monitor_name = "inproc://tram-monitor-" + std::to_string(++serial);
  if (zmq_socket_monitor(socket_, monitor_name.c_str(), monitored_events) != 0 ||
      zmq_connect(monitor_, monitor_name.c_str()) != 0)
    return fail(ErrorCode::internal, "monitor");
  if (zmq_connect(socket_, options_.endpoint.c_str()) != 0)
    return fail(ErrorCode::bad_config, options_.endpoint + ": " + zmq_strerror(errno));
  return {};
}

void ClientSocket::unmake() {
  if (socket_) {
    zmq_socket_monitor(socket_, nullptr, 0);
    zmq_close(socket_);
  }
  if (monitor_) zmq_close(monitor_);
  socket_ = monitor_ = nullptr;
  connected_ = false;
}

std::vector<LinkEvent> ClientSocket::maintain(Time monotonic) {
  std::vector<LinkEvent> events;
  bool refused = false, heard = false;
  auto lost = [&] {
    if (connected_) events.push_back(LinkEvent::disconnected);
    connected_ = false;
  };
  while (monitor_) {
    MessageBytes head, address;
    if (zmq_msg_recv(message_of(head.handle()), monitor_, ZMQ_DONTWAIT) < 0) break;
    if (zmq_msg_more(message_of(head.handle()))) zmq_msg_recv(message_of(address.handle()), monitor_, ZMQ_DONTWAIT);
    uint16_t event = 0;
    if (head.size() >= sizeof event) std::memcpy(&event, head.view().data(), sizeof event);
    heard = true;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      if (!connected_) events.push_back(LinkEvent::connected);
      connected_ = true;
      refusals_ = 0;
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
      lost();
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
      refused = true;
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) {
      // The server closed or kept silent (300: not known yet, or not our server). libzmq retries by itself.
      ++counters_.refused;
      events.push_back(LinkEvent::refused);
    }
  }

  if (refused) {  // this socket stays silent for ever (Z5, P2)
    lost();
    ++counters_.refused;
    events.push_back(LinkEvent::refused);
    int64_t wait = std::min(options_.reconnect_max.ms, options_.reconnect_min.ms << std::min(refusals_, 16u));
    ++refusals_;
    if (!remake_at_) remake_at_ = monotonic + milliseconds(wait + random_below(wait));
  }
  // A session that died of a protocol error is not retried by libzmq and says nothing more: give it its longest
  // backoff, then make it anew.
  if (connected_) quiet_since_.reset();
  else if (heard || !quiet_since_) quiet_since_ = monotonic;
  if (!connected_ && !remake_at_)
    if (Time limit = *quiet_since_ + options_.reconnect_max + options_.socket.handshake_max * 2; monotonic >= limit)
      remake_at_ = monotonic;

  if (remake_at_ && monotonic >= *remake_at_) {
    remake_at_.reset();
    quiet_since_ = monotonic;
    unmake();
    if (!make()) {
      unmake();
      remake_at_ = monotonic + options_.reconnect_max;
    }
  }
  return events;
}

std::optional<Time> ClientSocket::wake_at() const {
  if (remake_at_) return remake_at_;
  if (!connected_ && quiet_since_) return *quiet_since_ + options_.reconnect_max + options_.socket.handshake_max * 2;
  return std::nullopt;
}

std::optional<ClientSocket::Received> ClientSocket::receive() {
  for (int drops = 0; socket_ && drops < drops_per_receive_max; ++drops) {
    Frames frames = receive_rest(socket_);
    if (frames.count == 0) return std::nullopt;
    if (!within_limits(frames, options_.socket.frame_bytes_max, options_.socket.chunk_bytes_max)) {
      ++counters_.dropped_malformed;
      continue;
    }
    ++counters_.received;
    Received received{std::move(frames.first), std::nullopt};
    if (frames.count == 2) received.chunk = std::move(frames.second);
    return received;
  }
  return std::nullopt;
}

Result<void> ClientSocket::send(BytesView frame, BytesView chunk) {
  if (chunk.empty()) return send_parts(frame, nullptr);
  if (chunk.size() > options_.socket.chunk_bytes_max) return fail(ErrorCode::too_large, "chunk");
  MessageBytes copy(chunk);
  return send_parts(frame, &copy);
}

Result<void> ClientSocket::send(BytesView frame, MessageBytes& chunk) { return send_parts(frame, &chunk); }

Result<void> ClientSocket::send_parts(BytesView frame, MessageBytes* chunk) {
  if (frame.empty() || frame.size() > options_.socket.frame_bytes_max)
    return fail(ErrorCode::too_large, "empty or long frame");
  if (chunk && chunk->size() > options_.socket.chunk_bytes_max) return fail(ErrorCode::too_large, "chunk");
  // Not asked of libzmq: its queue may take a message for a moment after the connection has gone.
  if (!socket_ || !connected_) return send_failure(EHOSTUNREACH, counters_, false);
  if (zmq_send(socket_, frame.data(), frame.size(), (chunk ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT) < 0)
    return send_failure(errno, counters_, true);
  if (chunk && zmq_msg_send(message_of(chunk->handle()), socket_, ZMQ_DONTWAIT) < 0)
    return send_failure(errno, counters_, true);
  ++counters_.sent;
  return {};
}

void ClientSocket::add_poll_items(std::vector<PollItem>& items) const {
  if (socket_) items.push_back({socket_, -1, false});
  if (monitor_) items.push_back({monitor_, -1, false});
}

}  // namespace tram::io
