#include <array>

#include "base/result.h"

namespace tram {
namespace {
constexpr std::array table{
#define TRAM_ERROR(name, number, http, retry, vi, en) \
  ErrorInfo{ErrorCode::name, #name, http, Retry::retry, vi, en},
#include "base/error_table.def"
#undef TRAM_ERROR
};
}  // namespace

const ErrorInfo* find_error(uint16_t wire_number) {
  for (const auto& row : table)
    if (static_cast<uint16_t>(row.code) == wire_number) return &row;
  return nullptr;
}

const ErrorInfo* find_error(std::string_view name) {
  for (const auto& row : table)
    if (row.name == name) return &row;
  return nullptr;
}

const ErrorInfo& error_info(ErrorCode code) {
  if (const auto* row = find_error(static_cast<uint16_t>(code))) return *row;
  return table.back();
}

std::string describe(const Error& error) {
  std::string text(error_info(error.code).name);
  if (!error.detail.empty()) text += ": " + error.detail;
  return text;
}

}  // namespace tram
