// publish: brings the brokers up to date over CURVE, under the publisher's key that ROOT names.
#include <algorithm>
#include <cstdio>

#include "base/io/clock.h"
#include "base/io/link.h"
#include "base/limits.h"
#include "directory/io/commands.h"
#include "proto/wire.h"

namespace tram::authority {
namespace {

constexpr size_t put_bytes_max = limits::control_frame_bytes_max - 4096;

/// One conversation with one broker.
class Conversation {
 public:
  Conversation(io::ClientSocket& socket, Duration timeout) : socket_(socket), timeout_(timeout) {}

  Result<void> connect() {
    const Time deadline = io::monotonic_now() + timeout_;
    while (io::monotonic_now() < deadline) {
      for (io::LinkEvent event : socket_.maintain(io::monotonic_now()))
        if (event == io::LinkEvent::refused)
          return fail(ErrorCode::forbidden,
                      socket_.endpoint() +
                          " refused the publisher's key: ROOT must name it, and the broker must have that ROOT");
      if (socket_.connected()) return {};
      wait(deadline);
    }
    return fail(ErrorCode::unreachable,
                socket_.endpoint() + ": it does not run, or does not know the publisher's key (ROOT must name it)");
  }

  /// Sends a request and waits for its answer.
  Result<proto::FrameBody> exchange(proto::FrameBody body) {
    const uint64_t request = ++request_;
    TRAM_OK(socket_.send(proto::encode_frame({request, std::move(body)})));
    const Time deadline = io::monotonic_now() + timeout_;
    while (io::monotonic_now() < deadline) {
      static_cast<void>(socket_.maintain(io::monotonic_now()));
      while (auto received = socket_.receive()) {
        TRAM_TRY(frame, proto::decode_frame(received->frame, proto::Endpoint::control));
        if (frame.request != request) continue;
        if (const auto* refused = std::get_if<proto::Refused>(&frame.body)) {
          const ErrorInfo* info = find_error(refused->code);
          return fail(info ? info->code : ErrorCode::internal, socket_.endpoint() + ": " + refused->detail);
        }
        return std::move(frame.body);
      }
      wait(deadline);
    }
    return fail(ErrorCode::unreachable, socket_.endpoint() + " does not answer");
  }

 private:
  void wait(Time deadline) {
    std::vector<io::PollItem> items;
    socket_.add_poll_items(items);
    Time until = deadline;
    if (auto wake = socket_.wake_at(); wake && *wake < until) until = *wake;
    io::poll(items, static_cast<int>(std::clamp<int64_t>((until - io::monotonic_now()).ms, 1, 1000)));
  }
  io::ClientSocket& socket_;
  Duration timeout_;
  uint64_t request_ = 0;
};

Result<size_t> publish_to(RealmFolder& folder, io::Context& context, const crypto::Secret32& key,
                          const std::string& endpoint, const CurvePublic& server, Duration timeout) {
  io::ClientOptions options;
  options.socket.secret_key = key.view();
  options.endpoint = endpoint;
  options.server_key = server;
  TRAM_TRY(socket, io::ClientSocket::open(context, options));
  Conversation broker(*socket, timeout);
  TRAM_OK(broker.connect());
  const auto& directory = folder.directory();
  proto::Hello hello;
  hello.directory_size = directory.size();
  hello.software = std::string("tram ") + TRAM_VERSION;
  TRAM_TRY(answer, broker.exchange(hello));
  const auto* greeting = std::get_if<proto::HelloReply>(&answer);
  if (!greeting) return fail(ErrorCode::bad_format, endpoint + " answered the greeting with something else");
  size_t sent = 0;
  Progress progress(endpoint, directory.size());
  for (uint64_t next = greeting->directory_size; next < directory.size();) {
    TRAM_TRY(entries, directory.entries(folder.txn(), next, put_bytes_max));
    next += entries.size();
    sent += entries.size();
    TRAM_TRY(done, broker.exchange(proto::DirectoryPut{std::move(entries)}));
    if (!std::holds_alternative<proto::Done>(done))
      return fail(ErrorCode::bad_format, endpoint + " answered with something else");
    progress.step(next);
  }
  return sent;
}

Result<void> publish(const Global& global, const PublishOptions& options) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  if (folder->directory().size() == 0)
    return fail(ErrorCode::wrong_state, "the directory is empty: sign and accept the first entry");
  std::vector<std::pair<std::string, CurvePublic>> targets;
  if (!options.broker.empty()) {
    const auto key = CurvePublic::parse(options.server_key);
    if (!key) return fail(ErrorCode::bad_request, "--server-key must be the broker's CURVE key, 64 hexadecimal digits");
    targets.emplace_back(options.broker, *key);
  } else {
    for (const auto& broker : folder->directory().brokers(io::wall_now()))
      targets.emplace_back(broker.record.control_endpoint, broker.record.curve);
  }
  if (targets.empty())
    return fail(ErrorCode::not_found, "the directory names no broker: give --broker and --server-key");
  Passphrases passphrases(options.passphrase_fds);
  TRAM_TRY(key, open_publisher_key(options.key, passphrases));
  io::Context context;
  std::optional<Error> failure;
  for (const auto& [endpoint, server] : targets) {
    auto sent = publish_to(*folder, context, key, endpoint, server, options.timeout);
    if (!sent) {
      // The other brokers still get it, and pass it on among themselves.
      if (failure)
        std::fprintf(stderr, "%s %s\n", global.vietnamese ? "bỏ qua:" : "left out:", describe(*failure).c_str());
      failure = sent.error();
    } else if (global.json) {
      std::printf("{\"broker\":\"%s\",\"sent\":%zu,\"size\":%llu}\n", endpoint.c_str(), *sent,
                  static_cast<unsigned long long>(folder->directory().size()));
    } else {
      std::printf(global.vietnamese ? "%s: đã gửi %zu mục, trạm có đủ %llu mục.\n"
                                    : "%s: %zu entries sent, the broker has all %llu.\n",
                  endpoint.c_str(), *sent, static_cast<unsigned long long>(folder->directory().size()));
    }
  }
  if (failure) return fail(std::move(*failure));
  return {};
}

}  // namespace

int run_publish(const Global& global, const PublishOptions& options) {
  auto done = publish(global, options);
  return done ? 0 : report(done.error(), global);
}

}  // namespace tram::authority
