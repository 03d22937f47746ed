// Bytes and the strict big-endian reader and writer that every fixed layout is made with (FORMAT.md).
// Invariants: a Reader never reads past its end and never succeeds with bytes left when finish() is asked.
// Thread: any; values only.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tram {

using Bytes = std::vector<uint8_t>;
using BytesView = std::span<const uint8_t>;

inline BytesView view(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view text(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(BytesView bytes) { return {bytes.begin(), bytes.end()}; }
inline Bytes to_bytes(std::string_view s) { return to_bytes(view(s)); }
inline std::string to_text(BytesView bytes) { return std::string(text(bytes)); }
inline bool equal(BytesView a, BytesView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

/// Lower-case hexadecimal.
std::string to_hex(BytesView bytes);
/// The bytes of an even-length hexadecimal text, or nothing.
std::optional<Bytes> from_hex(std::string_view hex);

/// Appends big-endian integers and raw bytes to a buffer.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}
  Writer& u8(uint8_t v) { out_.push_back(v); return *this; }
  Writer& u16(uint16_t v) { return integer(v, 2); }
  Writer& u32(uint32_t v) { return integer(v, 4); }
  Writer& u64(uint64_t v) { return integer(v, 8); }
  Writer& raw(BytesView v) { out_.insert(out_.end(), v.begin(), v.end()); return *this; }
  Writer& raw(std::string_view v) { return raw(view(v)); }
  /// LP(s) of protocol.md 3.1: u8 length and the ASCII bytes.
  Writer& label(std::string_view v) { u8(static_cast<uint8_t>(v.size())); return raw(v); }

 private:
  Writer& integer(uint64_t v, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out_.push_back(static_cast<uint8_t>(v >> shift));
    return *this;
  }
  Bytes& out_;
};

/// Reads big-endian integers and raw bytes; after the first short read everything reads as zero and ok() is false.
class Reader {
 public:
  explicit Reader(BytesView in) : in_(in) {}
  uint8_t u8() { return static_cast<uint8_t>(integer(1)); }
  uint16_t u16() { return static_cast<uint16_t>(integer(2)); }
  uint32_t u32() { return static_cast<uint32_t>(integer(4)); }
  uint64_t u64() { return integer(8); }
  BytesView raw(size_t n) {
    if (n > in_.size()) { ok_ = false; in_ = {}; return {}; }
    auto part = in_.first(n);
    in_ = in_.subspan(n);
    return part;
  }
  template <size_t N>
  std::array<uint8_t, N> array() {
    std::array<uint8_t, N> out{};
    if (auto part = raw(N); part.size() == N) std::memcpy(out.data(), part.data(), N);
    return out;
  }
  size_t left() const { return in_.size(); }
  bool ok() const { return ok_; }
  /// True when nothing failed and nothing is left: "no trailing bytes" (R37).
  bool finish() const { return ok_ && in_.empty(); }

 private:
  uint64_t integer(size_t n) {
    uint64_t v = 0;
    for (uint8_t b : raw(n)) v = v << 8 | b;
    return ok_ ? v : 0;
  }
  BytesView in_;
  bool ok_ = true;
};

}  // namespace tram
