// A small HTTP/1.1 client for a node's local API: one keep-alive connection over a unix socket, one request at a time.
// Not here: anything a load generator does not need (redirects, TLS, chunked answers). Thread: its owner's.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

struct HttpResponse {
  int status = 0;
  std::string location;
  std::string body;
};

class HttpClient {
 public:
  /// Ends the program when nobody listens.
  explicit HttpClient(const std::string& socket_path);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  using Headers = std::vector<std::pair<std::string_view, std::string>>;
  /// A broken connection ends the program.
  HttpResponse request(std::string_view method, std::string_view path, const Headers& headers = {},
                       std::string_view body = {});

 private:
  void send_all(std::string_view bytes);
  bool fill();
  int fd_;
  std::string buffer_;
};

}  // namespace bench
