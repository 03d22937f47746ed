// The CLI's connection to a node: libcurl over the unix socket, or over TCP with a bearer token. One transfer at a
// time. Not here: what commands mean, output. Thread: main.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"

namespace tram::cli {

struct Target {
  std::string socket;  // used when `url` is empty
  std::string url;     // "https://10.1.2.3:8743"
  std::string token_file;
  std::string ca_file;  // trust for https, else the system's
  std::string certificate_file, key_file;
  std::string language;  // Accept-Language
};

struct Reply {
  int status = 0;                              // 0: no answer came; `transport` says why
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string transport;
  bool ok() const { return status >= 200 && status < 300; }
};

using Headers = std::map<std::string, std::string>;
/// Bytes moved so far; false stops the transfer.
using Progress = std::function<bool(uint64_t bytes)>;

class Client {
 public:
  /// Reads the token file. Errors: not_found, unsafe_permissions (others can read it).
  static Result<std::unique_ptr<Client>> open(Target);
  virtual ~Client() = default;
  virtual Reply request(const std::string& method, const std::string& path, const Headers& = {},
                        const std::string& body = {}) = 0;
  /// PATCH of `bytes` bytes of `fd` from `offset`.
  virtual Reply upload(const std::string& path, const Headers&, int fd, uint64_t offset, uint64_t bytes,
                       const Progress&) = 0;
  /// GET whose body goes to `sink`; a false from it stops the transfer. The body of an error is kept in the reply.
  virtual Reply download(const std::string& path, const std::function<bool(const char*, size_t)>& sink) = 0;
  virtual const Target& target() const = 0;
};

/// For a query parameter or a path segment.
std::string percent_encode(const std::string&);

}  // namespace tram::cli
