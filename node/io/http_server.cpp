#include "node/io/http_server.h"

#include <atomic>
#include <signal.h>
#include <unistd.h>

#include "base/limits.h"
#include "node/io/http_address.h"
#include "node/io/http_request.h"
#include "node/io/http_tls.h"
#include "node/io/http_upload.h"
#include "node/jobs.h"

namespace tram::node {
namespace {

using namespace http;

constexpr size_t thread_stack_bytes = 256u << 10;
constexpr size_t head_bytes_max = 32u << 10;  // request line and headers, and the read buffer
constexpr size_t download_block_bytes = 64u << 10;
constexpr uint64_t swallowed_bytes_max = 4u << 20;  // of a refused chunked body, so that the refusal can be read

struct Exchange {
  api::Request request;
  std::unique_ptr<UploadSink> sink;
  std::optional<Error> refusal;
  uint64_t swallowed = 0;
  bool answered = false;
};

struct Listener {
  MHD_Daemon* daemon = nullptr;
  Door door;
  std::unique_ptr<Certificates> certificates;
  std::string client_ca;
  uint16_t port = 0;
  std::string path;  // unix socket, removed at the end
};

void free_body(void* cls) { delete static_cast<Bytes*>(cls); }
void free_download(void* cls) { delete static_cast<api::FileDownload*>(cls); }

ssize_t read_download(void* cls, uint64_t position, char* out, size_t bytes) {
  auto& download = *static_cast<api::FileDownload*>(cls);
  if (position >= download.bytes) return MHD_CONTENT_READER_END_OF_STREAM;
  const size_t n = static_cast<size_t>(std::min<uint64_t>(bytes, download.bytes - position));
  void* raw = out;
  if (!download.reader->read(download.offset + position, {static_cast<uint8_t*>(raw), n}))
    return MHD_CONTENT_READER_END_WITH_ERROR;
  return static_cast<ssize_t>(n);
}

MHD_Response* make_response(api::Response& answer) {
  if (answer.file) {
    const uint64_t bytes = answer.file->bytes;
    return MHD_create_response_from_callback(bytes, download_block_bytes, &read_download,
                                             new api::FileDownload(std::move(*answer.file)), &free_download);
  }
  auto body = std::make_unique<Bytes>(std::move(answer.body));
  void* data = body->data();
  const size_t bytes = body->size();
  return MHD_create_response_from_buffer_with_free_callback_cls(bytes, data, &free_body, body.release());
}

MHD_Result send(MHD_Connection* connection, api::Response answer, bool close_after) {
  MHD_Response* response = make_response(answer);
  if (!response) return MHD_NO;
  answer.headers.emplace("Cache-Control", "no-store");
  answer.headers.emplace("X-Content-Type-Options", "nosniff");
  answer.headers.emplace("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  answer.headers.emplace("Referrer-Policy", "no-referrer");
  if (close_after) answer.headers["Connection"] = "close";
  for (const auto& [name, value] : answer.headers) MHD_add_response_header(response, name.c_str(), value.c_str());
  const MHD_Result queued = MHD_queue_response(connection, static_cast<unsigned>(answer.status), response);
  MHD_destroy_response(response);
  return queued;
}

class Server final : public HttpServer {
 public:
  Server(HttpOptions options, HttpBackend& backend, Log& log)
      : options_(std::move(options)), backend_(backend), log_(log) {}
  ~Server() override { stop(); }

  Result<void> start() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, nullptr);
    std::set<std::string> hosts{"localhost", "127.0.0.1", "::1"};
    for (const auto& name : options_.host_names) hosts.insert(host_part(name));
    for (const auto& listen : options_.listen) {
      TRAM_TRY(address, parse_address(listen.address));
      if (!address.unix_socket) hosts.insert(address.host);
    }
    for (const auto& listen : options_.listen) TRAM_OK(open(listen, hosts));
    return {};
  }

  void reload_certificates() override {
    for (auto& listener : listeners_) {
      if (!listener->certificates) continue;
      auto reloaded = listener->certificates->reload();
      if (!reloaded)
        log_.warning("certificate.kept",
                     {{"error", error_info(reloaded.error().code).name}, {"port", uint32_t{listener->port}}});
      else if (*reloaded)
        log_.info("certificate.reloaded",
                  {{"port", uint32_t{listener->port}}, {"expires_ms", listener->certificates->expires().ms}});
    }
  }

  Time certificate_expires() const override {
    Time earliest;
    for (const auto& listener : listeners_)
      if (listener->certificates)
        if (const Time at = listener->certificates->expires(); earliest.ms == 0 || at < earliest) earliest = at;
    return earliest;
  }

  std::vector<uint16_t> ports() const override {
    std::vector<uint16_t> out;
    for (const auto& listener : listeners_) out.push_back(listener->port);
    return out;
  }

  void stop() override {
    for (auto& listener : listeners_) {
      if (!listener->daemon) continue;
      MHD_stop_daemon(listener->daemon);
      listener->daemon = nullptr;
      if (!listener->path.empty()) ::unlink(listener->path.c_str());
    }
  }

 private:
  struct Closure {
    Server* server;
    Listener* listener;
  };

  Result<void> open(const HttpListen& listen, const std::set<std::string>& hosts) {
    TRAM_TRY(address, parse_address(listen.address));
    auto listener = std::make_unique<Listener>();
    listener->door.unix_socket = address.unix_socket;
    listener->door.hosts = hosts;
    const bool tls = !address.unix_socket && !address.loopback;
    if (tls) {
      TRAM_TRY(certificates, Certificates::load(listen.certificate_file, listen.key_file));
      listener->certificates = std::move(certificates);
      if (!listen.client_ca_file.empty()) {
        TRAM_TRY(pem, read_pem(listen.client_ca_file));
        listener->client_ca = std::move(pem);
        listener->door.client_certificate = true;
      }
    }
    TRAM_TRY(fd, listen_on(address, 128));
    listener->port = address.unix_socket ? uint16_t{0} : port_of(fd);
    listener->path = address.path;
    if (tls) listener->certificates->serve_port(listener->port);
    closures_.push_back(std::make_unique<Closure>(Closure{this, listener.get()}));
    void* closure = closures_.back().get();

    std::vector<MHD_OptionItem> more;
    const auto option = [&](MHD_OPTION name, intptr_t value, void* pointer) { more.push_back({name, value, pointer}); };
    option(MHD_OPTION_LISTEN_SOCKET, fd, nullptr);
    option(MHD_OPTION_CONNECTION_LIMIT, static_cast<intptr_t>(options_.connections_max), nullptr);
    if (!address.unix_socket)
      option(MHD_OPTION_PER_IP_CONNECTION_LIMIT, static_cast<intptr_t>(options_.connections_per_ip_max), nullptr);
    option(MHD_OPTION_CONNECTION_TIMEOUT, static_cast<intptr_t>((options_.idle_timeout.ms + 999) / 1000), nullptr);
    option(MHD_OPTION_CONNECTION_MEMORY_LIMIT, static_cast<intptr_t>(head_bytes_max), nullptr);
    option(MHD_OPTION_THREAD_STACK_SIZE, static_cast<intptr_t>(thread_stack_bytes), nullptr);
    option(MHD_OPTION_STRICT_FOR_CLIENT, 1, nullptr);
    option(MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, nullptr);
    if (tls) {
      option(MHD_OPTION_HTTPS_CERT_CALLBACK, 0, certificate_callback());
      option(MHD_OPTION_HTTPS_PRIORITIES, 0, tls_priorities_.data());
      if (!listener->client_ca.empty()) option(MHD_OPTION_HTTPS_MEM_TRUST, 0, listener->client_ca.data());
    }
    option(MHD_OPTION_END, 0, nullptr);
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    if (tls) flags |= MHD_USE_TLS;
    listener->daemon =
        MHD_start_daemon(flags, 0, nullptr, nullptr, &Server::on_request, closure, MHD_OPTION_NOTIFY_COMPLETED,
                         &Server::on_completed, closure, MHD_OPTION_ARRAY, more.data(), MHD_OPTION_END);
    if (!listener->daemon) {
      ::close(fd);
      return fail(ErrorCode::io_failed, "cannot serve " + listen.address);
    }
    log_.info("api.listening", {{"port", uint32_t{listener->port}}, {"tls", tls ? 1 : 0}});
    listeners_.push_back(std::move(listener));
    return {};
  }

  // ---- one request -----------------------------------------------------------------------------------------------

  static MHD_Result on_request(void* cls, MHD_Connection* connection, const char* url, const char* method, const char*,
                               const char* body, size_t* body_bytes, void** state) {
    const auto& closure = *static_cast<Closure*>(cls);
    Server& server = *closure.server;
    if (!*state) {
      auto* exchange = new Exchange;
      *state = exchange;
      return server.begin(connection, closure.listener->door, url, method, *exchange);
    }
    auto& exchange = *static_cast<Exchange*>(*state);
    if (*body_bytes > 0) {
      const void* raw = body;
      const bool go_on = server.take(exchange, {static_cast<const uint8_t*>(raw), *body_bytes});
      *body_bytes = 0;
      return go_on ? MHD_YES : MHD_NO;
    }
    if (exchange.answered) return MHD_YES;
    exchange.answered = true;
    return send(connection, server.answer(exchange), exchange.refusal.has_value());
  }

  static void on_completed(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) {
    std::unique_ptr<Exchange> exchange(static_cast<Exchange*>(*state));
    *state = nullptr;
    if (exchange && exchange->sink && !exchange->answered) exchange->sink->abandon();
  }

  /// Everything that can be refused before the body is refused here, with the connection closed (H5).
  MHD_Result begin(MHD_Connection* connection, const Door& door, const char* url, const char* method,
                   Exchange& exchange) {
    Incoming incoming;
    auto accepted = accept(connection, door, url, method, incoming, exchange);
    if (accepted) return MHD_YES;
    exchange.answered = true;
    const bool has_body = incoming.chunked || incoming.content_length.value_or(0) > 0;
    const bool distrust =
        accepted.error().code == ErrorCode::bad_request || accepted.error().code == ErrorCode::method_not_allowed;
    return send(connection, api::problem(accepted.error(), incoming.request), has_body || distrust);
  }

  Result<void> accept(MHD_Connection* connection, const Door& door, const char* url, const char* method,
                      Incoming& incoming, Exchange& exchange) {
    TRAM_OK(read_head(connection, door, url, method, incoming));
    TRAM_TRY(principal, http::authenticate(connection, door, incoming.request, backend_));
    incoming.request.principal = std::move(principal);
    const auto upload = api::upload_id_of(incoming.request.path);
    if (incoming.request.method == "PATCH") {
      if (!upload) return fail(ErrorCode::method_not_allowed, "PATCH");
      if (!incoming.chunked && !incoming.content_length) return fail(ErrorCode::length_required, "Content-Length");
      TRAM_TRY(sink, UploadSink::open(backend_, busy_, incoming.request, *upload, incoming.content_length));
      exchange.sink = std::move(sink);
    } else if (incoming.request.method == "DELETE" && upload) {
      if (!busy_.enter(*upload)) return fail(ErrorCode::wrong_state, "upload: a request is writing to it");
      busy_.leave(*upload);
    } else if (incoming.content_length.value_or(0) > limits::json_body_bytes_max) {
      return fail(ErrorCode::too_large, "body: at most 1 MiB; files go through /v1/uploads");
    }
    exchange.request = incoming.request;
    return {};
  }

  /// False: the connection is to be broken.
  bool take(Exchange& exchange, BytesView bytes) {
    if (exchange.answered || exchange.refusal) return (exchange.swallowed += bytes.size()) <= swallowed_bytes_max;
    if (exchange.sink) {
      exchange.sink->take(bytes);
      return true;
    }
    if (exchange.request.body.size() + bytes.size() > limits::json_body_bytes_max) {
      exchange.refusal = Error{ErrorCode::too_large, "body: at most 1 MiB; files go through /v1/uploads"};
      exchange.request.body = {};
      return true;
    }
    exchange.request.body.insert(exchange.request.body.end(), bytes.begin(), bytes.end());
    return true;
  }

  api::Response answer(Exchange& exchange) {
    if (exchange.refusal) return api::problem(*exchange.refusal, exchange.request);
    if (exchange.sink) {
      auto response = exchange.sink->finish();
      exchange.sink.reset();
      return response;
    }
    const std::string& method = exchange.request.method;
    if (method == "OPTIONS") {
      if (exchange.request.path.substr(0, 11) == "/v1/uploads") return api::upload_options();
      api::Response allowed;
      allowed.status = 204;
      allowed.headers["Allow"] = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";
      return allowed;
    }
    if (method == "GET" || method == "HEAD") return backend_.read(exchange.request);
    return backend_.write(std::move(exchange.request));
  }

  HttpOptions options_;
  HttpBackend& backend_;
  Log& log_;
  std::string tls_priorities_ = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";
  BusyUploads busy_;
  std::vector<std::unique_ptr<Closure>> closures_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpOptions options, HttpBackend& backend, Log& log) {
  TRAM_OK(check_http_options(options));
  auto server = std::make_unique<Server>(std::move(options), backend, log);
  TRAM_OK(server->start());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace tram::node
