// Result<T>: how expected failures travel, and the one closed error table (error_table.def).
// Invariants: every ErrorCode has exactly one row; wire numbers never change.
// Not here: programmer's errors (check.h) and broken ground (a failed commit), which the loop handles.
// Thread: any; values only.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace tram {

enum class ErrorCode : uint16_t {
#define TRAM_ERROR(name, number, http, retry, vi, en) name = number,
#include "base/error_table.def"
#undef TRAM_ERROR
};

/// As it stands in frames and rows.
constexpr uint16_t number(ErrorCode code) { return static_cast<uint16_t>(code); }

enum class Retry : uint8_t { never, later, elsewhere, fatal };

/// One row of the error table. `vi` and `en` say what happened and what to do next.
struct ErrorInfo {
  ErrorCode code;
  std::string_view name;
  uint16_t http_status;
  Retry retry;
  std::string_view vi;
  std::string_view en;
};

/// The row of `code`.
const ErrorInfo& error_info(ErrorCode code);
/// The row with this wire number, if the number is known.
const ErrorInfo* find_error(uint16_t wire_number);
/// The row with this name, if known.
const ErrorInfo* find_error(std::string_view name);

/// An expected failure. `detail` names the field or object; it never holds content, keys or file names.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string detail;
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(tl::expected<T, Error>&& other) : tl::expected<T, Error>(std::move(other)) {}
};

inline tl::unexpected<Error> fail(ErrorCode code, std::string detail = {}) {
  return tl::unexpected<Error>(Error{code, std::move(detail)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

/// "name: detail", for logs and command lines; English.
std::string describe(const Error& error);

// TRAM_TRY(name, expression): name = *expression, or return its error.
#define TRAM_CONCAT_(a, b) a##b
#define TRAM_CONCAT(a, b) TRAM_CONCAT_(a, b)
#define TRAM_TRY(name, ...) TRAM_TRY_(TRAM_CONCAT(tram_try_, __LINE__), name, __VA_ARGS__)
#define TRAM_TRY_(tmp, name, ...)                                    \
  auto tmp = (__VA_ARGS__);                                          \
  if (!tmp) return ::tram::fail(std::move(tmp.error()));             \
  auto name = std::move(*tmp)
// TRAM_OK(expression): go on, or return its error.
#define TRAM_OK(...)                                                                       \
  do {                                                                                     \
    if (auto tram_ok = (__VA_ARGS__); !tram_ok) return ::tram::fail(std::move(tram_ok.error())); \
  } while (false)

}  // namespace tram
