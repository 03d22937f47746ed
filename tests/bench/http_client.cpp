#include "tests/bench/http_client.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/measure.h"

namespace bench {

HttpClient::HttpClient(const std::string& socket_path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  must(socket_path.size() < sizeof address.sun_path, "a short socket path");
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  must(fd_ >= 0 && connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
       "connect to " + socket_path);
}

HttpClient::~HttpClient() { close(fd_); }

void HttpClient::send_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    must(sent > 0, "send to the node");
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

bool HttpClient::fill() {
  char block[65536];
  ssize_t got;
  do got = recv(fd_, block, sizeof block, 0);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  buffer_.append(block, static_cast<size_t>(got));
  return true;
}

HttpResponse HttpClient::request(std::string_view method, std::string_view path, const Headers& headers,
                                 std::string_view body) {
  std::string head;
  head.append(method).append(" ").append(path).append(" HTTP/1.1\r\nHost: localhost\r\n");
  for (const auto& [name, value] : headers) head.append(name).append(": ").append(value).append("\r\n");
  if (method != "GET") head += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  head += "\r\n";
  if (body.size() <= 65536) {
    send_all(head.append(body));
  } else {
    send_all(head);
    send_all(body);
  }

  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) must(fill(), "the node's answer");
  HttpResponse response;
  must(buffer_.starts_with("HTTP/1.1 "), "the node's answer");
  response.status = std::atoi(buffer_.c_str() + 9);
  size_t length = 0;
  for (size_t at = buffer_.find("\r\n") + 2; at < end + 2;) {
    const size_t stop = buffer_.find("\r\n", at);
    const std::string_view field(buffer_.data() + at, stop - at);
    const size_t colon = std::min(field.find(':'), field.size());
    const auto name = field.substr(0, colon);
    auto value = colon < field.size() ? field.substr(colon + 1) : std::string_view();
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    const auto is = [&](std::string_view known) {
      return std::equal(name.begin(), name.end(), known.begin(), known.end(),
                        [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
    };
    if (is("content-length")) length = std::strtoull(std::string(value).c_str(), nullptr, 10);
    if (is("location")) response.location = value;
    at = stop + 2;
  }
  while (buffer_.size() < end + 4 + length) must(fill(), "the node's answer");
  response.body = buffer_.substr(end + 4, length);
  buffer_.erase(0, end + 4 + length);
  return response;
}

}  // namespace bench
