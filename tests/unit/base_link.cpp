// Links against our own clients, and against adversaries made of raw ZeroMQ sockets.
#include <catch2/catch.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include <functional>

#include "base/io/clock.h"
#include "base/io/link.h"

using namespace tram;
using namespace tram::io;

namespace {

constexpr Duration deadline = seconds(20);

PartyId party(uint8_t n) {
  PartyId id;
  id.bytes.fill(n);
  return id;
}

SocketOptions socket_options(const CurveKeys& keys, size_t chunk_bytes_max = 0) {
  SocketOptions options;
  options.secret_key = keys.secret_key;
  options.chunk_bytes_max = chunk_bytes_max;
  options.handshake_max = milliseconds(300);
  return options;
}

/// A context with a ZAP authority and one bound server.
struct Hub {
  Context context;
  std::unique_ptr<ZapAuthority> zap = *ZapAuthority::start(context);
  CurveKeys server_keys = make_curve_keys();
  std::unique_ptr<ServerSocket> server;
  std::string endpoint;

  explicit Hub(size_t chunk_bytes_max = 0) { start(chunk_bytes_max, "tcp://127.0.0.1:*"); }

  void start(size_t chunk_bytes_max, const std::string& where, int send_queue_max = 1000) {
    auto options = socket_options(server_keys, chunk_bytes_max);
    options.send_queue_max = send_queue_max;
    server = *ServerSocket::open(context, *zap, options);
    endpoint = *server->bind(where);
  }

  std::unique_ptr<ClientSocket> client(const CurveKeys& keys, size_t chunk_bytes_max = 0) {
    ClientOptions options;
    options.socket = socket_options(keys, chunk_bytes_max);
    options.endpoint = endpoint;
    options.server_key = server_keys.public_key;
    options.reconnect_min = milliseconds(50);
    options.reconnect_max = milliseconds(400);
    return *ClientSocket::open(context, options);
  }

  /// Turns the loop for a client until `done`, or fails the test at the deadline.
  void until(ClientSocket* client, const std::function<bool()>& done) {
    Time end = monotonic_now() + deadline;
    for (;;) {
      if (client) for (LinkEvent event : client->maintain(monotonic_now())) events.push_back(event);
      if (done()) return;
      REQUIRE(monotonic_now() < end);
      std::vector<PollItem> items;
      if (server) items.push_back(server->poll_item());
      if (client) client->add_poll_items(items);
      poll(items, 20);
    }
  }
  void until_connected(ClientSocket& client) {
    until(&client, [&] { return client.connected(); });
  }
  ServerSocket::Received next(ClientSocket* client) {
    std::optional<ServerSocket::Received> received;
    until(client, [&] { return (received = server->receive()).has_value(); });
    return std::move(*received);
  }
  ClientSocket::Received next_reply(ClientSocket& client) {
    std::optional<ClientSocket::Received> received;
    until(&client, [&] { return (received = client.receive()).has_value(); });
    return std::move(*received);
  }
  size_t count(LinkEvent kind) const { return static_cast<size_t>(std::count(events.begin(), events.end(), kind)); }

  std::vector<LinkEvent> events;
};

/// A DEALER that keeps none of our rules.
struct RawClient {
  void* socket;
  RawClient(Hub& hub, const CurveKeys& keys, std::string_view routing_id = {})
      : socket(zmq_socket(hub.context.handle(), ZMQ_DEALER)) {
    int zero = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    if (!routing_id.empty()) zmq_setsockopt(socket, ZMQ_ROUTING_ID, routing_id.data(), routing_id.size());
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, hub.server_keys.public_key.bytes.data(), 32);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys.public_key.bytes.data(), 32);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys.secret_key.data(), 32);
    REQUIRE(zmq_connect(socket, hub.endpoint.c_str()) == 0);
  }
  ~RawClient() { zmq_close(socket); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  void send(const std::vector<std::string>& frames) {
    for (size_t i = 0; i < frames.size(); ++i)
      REQUIRE(zmq_send(socket, frames[i].data(), frames[i].size(), i + 1 < frames.size() ? ZMQ_SNDMORE : 0) >= 0);
  }
};

}  // namespace

TEST_CASE("a known key speaks as its party, and is answered on its session") {
  Hub hub;
  CurveKeys keys = make_curve_keys();
  CHECK(*curve_public_of(keys.secret_key) == keys.public_key);
  hub.zap->set_allowed({{keys.public_key, party(7)}});
  auto client = hub.client(keys);
  CHECK(client->send(view("early")).error().code == ErrorCode::unreachable);
  hub.until_connected(*client);
  REQUIRE(client->send(view("hello")));
  auto received = hub.next(client.get());
  CHECK(received.peer == party(7));
  CHECK(text(received.frame) == "hello");
  CHECK_FALSE(received.chunk);
  REQUIRE(hub.server->send(received.session, view("answer")));
  CHECK(text(hub.next_reply(*client).frame) == "answer");
  CHECK(hub.zap->counters().allowed == 1);
}

TEST_CASE("a bulk socket carries one raw chunk beside the frame") {
  Hub hub(limits::bulk_frame_bytes_max);
  CurveKeys keys = make_curve_keys();
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  auto client = hub.client(keys, limits::bulk_frame_bytes_max);
  hub.until_connected(*client);
  Bytes chunk(limits::sealed_chunk_bytes, 0x5a);
  REQUIRE(client->send(view("chunk 0"), chunk));
  auto received = hub.next(client.get());
  REQUIRE(received.chunk);
  CHECK(equal(*received.chunk, chunk));

  MessageBytes out(limits::sealed_chunk_bytes);
  std::fill(out.writable().begin(), out.writable().end(), uint8_t{0x33});
  REQUIRE(hub.server->send(received.session, view("chunk 1"), out));
  CHECK(out.empty());
  auto reply = hub.next_reply(*client);
  REQUIRE(reply.chunk);
  CHECK(reply.chunk->size() == limits::sealed_chunk_bytes);
  CHECK(reply.chunk->view()[1000] == 0x33);

  CHECK(client->send(view("x"), Bytes(limits::bulk_frame_bytes_max + 1)).error().code == ErrorCode::too_large);
  CHECK(client->send(Bytes(limits::control_frame_bytes_max + 1)).error().code == ErrorCode::too_large);
  CHECK(client->send({}).error().code == ErrorCode::too_large);
}

TEST_CASE("an unknown key is refused until the directory names it") {
  Hub hub;
  CurveKeys keys = make_curve_keys();
  auto client = hub.client(keys);
  hub.until(client.get(), [&] { return hub.zap->counters().refused >= 2; });
  CHECK_FALSE(client->connected());
  CHECK_FALSE(hub.server->receive());
  hub.zap->set_allowed({{keys.public_key, party(9)}});
  hub.until_connected(*client);
  REQUIRE(client->send(view("now")));
  CHECK(hub.next(client.get()).peer == party(9));
}

TEST_CASE("without a ZAP handler nobody is let in") {
  Hub hub;
  CurveKeys keys = make_curve_keys();
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  hub.zap.reset();
  auto client = hub.client(keys);
  hub.until(client.get(), [&] { return hub.count(LinkEvent::refused) >= 1 || client->counters().refused >= 1; });
  CHECK_FALSE(client->connected());
  CHECK_FALSE(hub.server->receive());
  hub.zap = *ZapAuthority::start(hub.context);
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  hub.until_connected(*client);
}

TEST_CASE("a final refusal does not silence a client for ever") {
  // A server of another ZAP domain: our authority answers 400, after which libzmq itself never retries.
  Hub hub;
  void* other = zmq_socket(hub.context.handle(), ZMQ_ROUTER);
  int zero = 0, one = 1;
  zmq_setsockopt(other, ZMQ_LINGER, &zero, sizeof zero);
  zmq_setsockopt(other, ZMQ_CURVE_SERVER, &one, sizeof one);
  zmq_setsockopt(other, ZMQ_CURVE_SECRETKEY, hub.server_keys.secret_key.data(), 32);
  zmq_setsockopt(other, ZMQ_ZAP_DOMAIN, "other", 5);
  REQUIRE(zmq_bind(other, "tcp://127.0.0.1:*") == 0);
  char name[128];
  size_t size = sizeof name;
  REQUIRE(zmq_getsockopt(other, ZMQ_LAST_ENDPOINT, name, &size) == 0);
  hub.endpoint = name;
  CurveKeys keys = make_curve_keys();
  auto client = hub.client(keys);
  hub.until(client.get(), [&] { return hub.zap->counters().malformed >= 3; });
  CHECK(client->counters().refused >= 2);
  CHECK_FALSE(client->connected());
  zmq_close(other);
}

TEST_CASE("a client with the wrong server key never connects") {
  Hub hub;
  CurveKeys keys = make_curve_keys();
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  CurveKeys right = hub.server_keys;
  hub.server_keys = make_curve_keys();
  auto client = hub.client(keys);
  hub.until(client.get(), [&] { return client->counters().refused >= 2; });
  CHECK_FALSE(client->connected());
  CHECK(hub.zap->counters().allowed == 0);
  hub.server_keys = right;
  auto good = hub.client(keys);
  hub.until_connected(*good);
}

TEST_CASE("a chosen routing id gains nothing") {
  Hub hub;
  CurveKeys honest = make_curve_keys(), thief = make_curve_keys();
  hub.zap->set_allowed({{honest.public_key, party(1)}, {thief.public_key, party(2)}});
  {
    RawClient spoofer(hub, thief, party(1).hex());
    spoofer.send({"I am party 1"});
    hub.until(nullptr, [&] { return !hub.server->receive() && hub.server->counters().dropped_unauthenticated == 1; });
  }
  RawClient plain(hub, thief);
  plain.send({"hello"});
  CHECK(hub.next(nullptr).peer == party(2));
  auto client = hub.client(honest);
  hub.until_connected(*client);
  REQUIRE(client->send(view("hello")));
  CHECK(hub.next(client.get()).peer == party(1));
}

TEST_CASE("surplus frames and long frames are dropped, and others are served on") {
  Hub hub;
  CurveKeys bad = make_curve_keys(), good = make_curve_keys();
  hub.zap->set_allowed({{bad.public_key, party(1)}, {good.public_key, party(2)}});
  RawClient raw(hub, bad);
  raw.send({"frame", "chunk on a control socket"});
  raw.send({"one", "two", "three"});
  raw.send({""});
  raw.send({std::string(limits::control_frame_bytes_max, 'x')});
  CHECK(hub.next(nullptr).frame.size() == limits::control_frame_bytes_max);
  CHECK(hub.server->counters().dropped_malformed == 3);

  raw.send({std::string(limits::control_frame_bytes_max + 1, 'x')});  // libzmq closes the connection
  auto client = hub.client(good);
  hub.until_connected(*client);
  REQUIRE(client->send(view("still here")));
  auto received = hub.next(client.get());
  CHECK(received.peer == party(2));
  CHECK(hub.server->counters().received == 2);
}

TEST_CASE("a frame limit below the chunk limit is kept by us") {
  Hub hub(limits::bulk_frame_bytes_max);
  CurveKeys keys = make_curve_keys();
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  RawClient raw(hub, keys);
  raw.send({std::string(limits::control_frame_bytes_max + 1, 'x')});
  raw.send({"frame", std::string(limits::bulk_frame_bytes_max, 'x')});
  CHECK(hub.next(nullptr).chunk->size() == limits::bulk_frame_bytes_max);
  CHECK(hub.server->counters().dropped_malformed == 1);
}

TEST_CASE("sending to a slow peer is busy, to a gone peer unreachable; nothing is dropped silently") {
  Hub hub;
  hub.server.reset();
  hub.start(0, "tcp://127.0.0.1:*", 4);
  CurveKeys keys = make_curve_keys();
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  auto client = hub.client(keys);
  hub.until_connected(*client);
  REQUIRE(client->send(view("hello")));
  SessionId session = hub.next(client.get()).session;

  Bytes frame(100000, 1);
  size_t accepted = 0;
  Result<void> sent;
  while (accepted < 100000 && (sent = hub.server->send(session, frame))) ++accepted;
  REQUIRE_FALSE(sent);
  CHECK(sent.error().code == ErrorCode::busy);
  size_t arrived = 0;
  hub.until(client.get(), [&] {
    while (client->receive()) ++arrived;
    return arrived == accepted;
  });

  client.reset();
  hub.until(nullptr, [&] {
    auto result = hub.server->send(session, frame);
    return !result && result.error().code == ErrorCode::unreachable;
  });
  CHECK(hub.server->send(session + 1, frame).error().code == ErrorCode::unreachable);
}

TEST_CASE("a client comes back after its server was away") {
  Hub hub;
  CurveKeys keys = make_curve_keys();
  hub.zap->set_allowed({{keys.public_key, party(1)}});
  auto client = hub.client(keys);
  hub.until_connected(*client);
  std::string where = hub.endpoint;
  hub.server.reset();
  hub.until(client.get(), [&] { return hub.count(LinkEvent::disconnected) == 1; });
  CHECK(client->send(view("lost")).error().code == ErrorCode::unreachable);
  hub.start(0, where);
  hub.until(client.get(), [&] { return hub.count(LinkEvent::connected) == 2; });
  REQUIRE(client->send(view("back")));
  CHECK(text(hub.next(client.get()).frame) == "back");
}

TEST_CASE("set-up mistakes are errors") {
  Hub hub;
  CHECK(ZapAuthority::start(hub.context).error().code == ErrorCode::already_running);
  CurveKeys keys = make_curve_keys();
  auto server = *ServerSocket::open(hub.context, *hub.zap, socket_options(keys));
  for (std::string bad : {"ipc:///tmp/x", "udp://127.0.0.1:1", "pgm://x", "tcp://nowhere", ""}) {
    CAPTURE(bad);
    CHECK(server->bind(bad).error().code == ErrorCode::bad_config);
  }
  CHECK(server->bind(hub.endpoint).error().code == ErrorCode::already_running);
  SocketOptions short_key = socket_options(keys);
  short_key.secret_key = short_key.secret_key.first(31);
  CHECK(ServerSocket::open(hub.context, *hub.zap, short_key).error().code == ErrorCode::bad_format);
  ClientOptions client;
  client.socket = socket_options(keys);
  client.endpoint = "ipc:///tmp/x";
  CHECK(ClientSocket::open(hub.context, client).error().code == ErrorCode::bad_config);
}

TEST_CASE("poll waits for plain descriptors too") {
  int fd = ::eventfd(0, 0);
  PollItem items[] = {{nullptr, fd, false}};
  CHECK(poll(items, 0) == 0);
  CHECK_FALSE(items[0].readable);
  uint64_t one = 1;
  REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
  CHECK(poll(items, 10000) == 1);
  CHECK(items[0].readable);
  ::close(fd);
}
