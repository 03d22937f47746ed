// The ZAP handler (ZeroMQ RFC 27): one thread, one REP socket on inproc://zeromq.zap.01.
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/io/files.h"
#include "base/io/link.h"
#include "base/io/zap_domain.h"

namespace tram::io {
namespace {

constexpr const char* handler_endpoint = "inproc://zeromq.zap.01";

struct ZapReply {
  std::string_view status, text;
  std::string user_id;
};

bool send_frames(void* socket, const std::vector<std::string>& frames) {
  for (size_t i = 0; i < frames.size(); ++i)
    if (zmq_send(socket, frames[i].data(), frames[i].size(), i + 1 < frames.size() ? ZMQ_SNDMORE : 0) < 0) return false;
  return true;
}

/// All frames of one message; empty on an error.
std::vector<std::string> receive_frames(void* socket, int flags) {
  std::vector<std::string> frames;
  for (;;) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket, flags) < 0) {
      zmq_msg_close(&message);
      return {};
    }
    frames.emplace_back(static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message));
    bool more = zmq_msg_more(&message);
    zmq_msg_close(&message);
    if (!more) return frames;
  }
}

}  // namespace

struct ZapAuthority::State {
  void* socket = nullptr;
  Fd stop;
  std::thread thread;
  mutable std::mutex mutex;
  std::map<CurvePublic, PartyId> allowed;
  Counters counters;

  ~State() {
    if (thread.joinable()) {
      uint64_t one = 1;
      TRAM_CHECK(::write(stop.get(), &one, sizeof one) == sizeof one);
      thread.join();
    }
    if (socket) zmq_close(socket);
  }

  ZapReply decide(const std::vector<std::string>& request) {
    // version, request id, domain, address, routing id, mechanism, credentials
    std::lock_guard lock(mutex);
    bool curve = request.size() == 7 && request[0] == "1.0" && request[2] == zap_domain && request[5] == "CURVE";
    auto key = curve ? CurvePublic::from(view(request[6])) : std::nullopt;
    if (!key) {
      ++counters.malformed;
      return {"400", "CURVE only", {}};
    }
    auto party = allowed.find(*key);
    if (party == allowed.end()) {
      ++counters.refused;
      return {"300", "unknown key", {}};
    }
    ++counters.allowed;
    return {"200", "OK", party->second.hex()};
  }

  void serve() {
    zmq_pollitem_t items[2] = {{socket, 0, ZMQ_POLLIN, 0}, {nullptr, stop.get(), ZMQ_POLLIN, 0}};
    for (;;) {
      if (zmq_poll(items, 2, -1) < 0) {
        if (errno == EINTR) continue;
        return;
      }
      if (items[1].revents) return;
      if (!(items[0].revents & ZMQ_POLLIN)) continue;
      auto request = receive_frames(socket, ZMQ_DONTWAIT);
      if (request.empty()) continue;
      ZapReply reply = decide(request);
      send_frames(socket, {"1.0", request.size() > 1 ? request[1] : "", std::string(reply.status),
                           std::string(reply.text), reply.user_id, ""});
    }
  }
};

ZapAuthority::ZapAuthority(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZapAuthority::~ZapAuthority() = default;

Result<std::unique_ptr<ZapAuthority>> ZapAuthority::start(Context& context) {
  auto state = std::make_unique<State>();
  state->stop = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  state->socket = zmq_socket(context.handle(), ZMQ_REP);
  if (!state->stop || !state->socket) return fail(ErrorCode::internal, "zap socket");
  int zero = 0;
  zmq_setsockopt(state->socket, ZMQ_LINGER, &zero, sizeof zero);
  if (zmq_bind(state->socket, handler_endpoint) != 0) return fail(ErrorCode::already_running, "zap handler");
  state->thread = std::thread([raw = state.get()] { raw->serve(); });

  // Z1: nothing may be bound before the handler answers. A key nobody can hold is asked for.
  void* probe = zmq_socket(context.handle(), ZMQ_REQ);
  if (!probe) return fail(ErrorCode::internal, "zap probe");
  int patience_ms = 5000;
  zmq_setsockopt(probe, ZMQ_LINGER, &zero, sizeof zero);
  zmq_setsockopt(probe, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
  std::vector<std::string> reply;
  if (zmq_connect(probe, handler_endpoint) == 0 &&
      send_frames(probe, {"1.0", "probe", zap_domain, "", "", "CURVE", std::string(32, '\0')}))
    reply = receive_frames(probe, 0);
  zmq_close(probe);
  if (reply.size() != 6 || reply[1] != "probe" || reply[2] != "300") return fail(ErrorCode::internal, "zap probe");
  {
    std::lock_guard lock(state->mutex);
    state->counters = {};
  }
  return std::unique_ptr<ZapAuthority>(new ZapAuthority(std::move(state)));
}

void ZapAuthority::set_allowed(std::map<CurvePublic, PartyId> allowed) {
  allowed.erase(CurvePublic{});  // the probe's key
  std::lock_guard lock(state_->mutex);
  state_->allowed.swap(allowed);
}

ZapAuthority::Counters ZapAuthority::counters() const {
  std::lock_guard lock(state_->mutex);
  return state_->counters;
}

}  // namespace tram::io
