// The text inside receipts: plain lines, readable without this program (FORMAT.md).
#include <algorithm>

#include "base/limits.h"
#include "proto/document.h"
#include "proto/utf8.h"

namespace tram::proto {

Result<Bytes> encode_receipt_text(const ReceiptText& from) {
  std::string out;
  auto line = [&](std::string_view name, std::string value) {
    if (value.empty()) return;
    std::replace_if(value.begin(), value.end(), [](unsigned char c) { return c < 0x20; }, ' ');
    out += std::string(name) + ": " + value + "\n";
  };
  line("number", from.register_number);
  line("date", to_text(from.register_date));
  line("person", from.person);
  line("unit", from.unit);
  line("reason", from.reason);
  if (!is_utf8(out)) return fail(ErrorCode::bad_format, "receipt text: not UTF-8");
  if (out.size() > limits::receipt_text_bytes_max) return fail(ErrorCode::too_large, "receipt text");
  return to_bytes(std::string_view(out));
}

Result<ReceiptText> decode_receipt_text(BytesView bytes) {
  if (bytes.size() > limits::receipt_text_bytes_max) return fail(ErrorCode::too_large, "receipt text");
  std::string_view left = text(bytes);
  if (!is_utf8(left)) return fail(ErrorCode::bad_format, "receipt text: not UTF-8");
  ReceiptText out;
  while (!left.empty()) {
    const size_t end = left.find('\n');
    const std::string_view line = left.substr(0, end);
    const size_t colon = line.find(": ");
    if (end == std::string_view::npos || colon == std::string_view::npos) return fail(ErrorCode::bad_format, "receipt text: a line");
    left.remove_prefix(end + 1);
    const std::string_view name = line.substr(0, colon);
    const std::string value(line.substr(colon + 2));
    if (name == "number") out.register_number = value;
    else if (name == "person") out.person = value;
    else if (name == "unit") out.unit = value;
    else if (name == "reason") out.reason = value;
    else if (name == "date") {
      const auto date = parse_date(value);
      if (!date) return fail(ErrorCode::bad_format, "receipt text: date");
      out.register_date = *date;
    }
  }
  return out;
}

}  // namespace tram::proto
