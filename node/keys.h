// Composition of the row keys that tables.h describes. Pure values.
#pragma once
#include "base/ids.h"
#include "base/time.h"

namespace tram::node {

template <class... Parts>
Bytes row_key(const Parts&... parts) {
  Bytes out;
  auto add = [&](const auto& part) {
    using T = std::decay_t<decltype(part)>;
    Writer w(out);
    if constexpr (std::is_same_v<T, uint64_t>) w.u64(part);
    else if constexpr (std::is_same_v<T, uint32_t>) w.u32(part);
    else if constexpr (std::is_same_v<T, uint16_t>) w.u16(part);
    else if constexpr (std::is_same_v<T, uint8_t>) w.u8(part);
    else if constexpr (std::is_same_v<T, Lane>) w.u8(static_cast<uint8_t>(part));
    else if constexpr (std::is_same_v<T, Time>) w.u64(part.wire());
    else w.raw(BytesView(part));
  };
  (add(parts), ...);
  return out;
}

inline Bytes u64_value(uint64_t v) {
  Bytes out;
  Writer(out).u64(v);
  return out;
}
inline uint64_t read_u64(BytesView value) { return Reader(value).u64(); }

}  // namespace tram::node
