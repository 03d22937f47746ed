// How every message of this folder is read and written. Reading has three steps: `check` walks the raw bytes against
// a Shape and refuses wrong sizes, counts, types, repeated singular fields, bad UTF-8 and, where the shape is closed,
// unknown fields, without allocating (P-2..P-5); then protobuf parses; then Checks turns fields into domain values.
// For the .cpp files of proto/ only: it includes protobuf. Thread: any; values only.
#pragma once
#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/repeated_field.h>

#include "base/ids.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/time.h"
#include "proto/utf8.h"

namespace tram::proto {

enum class FieldKind : uint8_t { varint, varints, bytes, string, message };

struct Shape;
/// What one field may look like on the wire. For `varints` count_max counts the numbers, packed or not.
struct Field {
  uint32_t number = 0;
  FieldKind kind = FieldKind::varint;
  uint32_t count_max = 1;
  uint32_t bytes_min = 0;
  uint32_t bytes_max = 0;
  const Shape* shape = nullptr;
};
enum class Unknown : uint8_t { ignored, refused };
/// One message. Fields numbered from `oneof_from` are one oneof, of which exactly one must be present (0: no oneof).
struct Shape {
  const char* name;
  std::span<const Field> fields;
  Unknown unknown;
  uint32_t oneof_from = 0;
};

inline constexpr size_t party_bytes = PartyId::size;
inline constexpr size_t hash_bytes = Hash::size;

constexpr Field number_field(uint32_t number) { return {number, FieldKind::varint, 1, 0, 0, nullptr}; }
constexpr Field numbers_field(uint32_t number, size_t count_max) {
  return {number, FieldKind::varints, static_cast<uint32_t>(count_max), 0, 0, nullptr};
}
constexpr Field bytes_field(uint32_t number, size_t bytes_max, size_t count_max = 1) {
  return {number, FieldKind::bytes, static_cast<uint32_t>(count_max), 1, static_cast<uint32_t>(bytes_max), nullptr};
}
constexpr Field exact_field(uint32_t number, size_t bytes, size_t count_max = 1) {
  const auto size = static_cast<uint32_t>(bytes);
  return {number, FieldKind::bytes, static_cast<uint32_t>(count_max), size, size, nullptr};
}
constexpr Field text_field(uint32_t number, size_t bytes_max, size_t count_max = 1) {
  return {number, FieldKind::string, static_cast<uint32_t>(count_max), 0, static_cast<uint32_t>(bytes_max), nullptr};
}
constexpr Field message_field(uint32_t number, const Shape& shape, size_t count_max = 1) {
  return {number, FieldKind::message, static_cast<uint32_t>(count_max), 0, UINT32_MAX, &shape};
}

/// Refuses what does not fit `shape`; allocates nothing but the error's text. Errors: too_large (a count or a size
/// over its limit), bad_format (everything else). The detail names message and field number.
Result<void> check(BytesView bytes, const Shape& shape);

/// An arena whose first block lies on the stack; holds one message.
class MessageArena {
 public:
  MessageArena() : arena_(options(block_)) {}
  template <class Message>
  Message& make() {
    return *google::protobuf::Arena::CreateMessage<Message>(&arena_);
  }

 private:
  static google::protobuf::ArenaOptions options(std::array<char, 4096>& block) {
    google::protobuf::ArenaOptions options;
    options.initial_block = block.data();
    options.initial_block_size = block.size();
    return options;
  }
  alignas(16) std::array<char, 4096> block_;
  google::protobuf::Arena arena_;
};

/// Checks the size and the shape of `bytes`, then fills `message`.
Result<void> parse(BytesView bytes, const Shape& shape, size_t bytes_max, google::protobuf::MessageLite& message);
Bytes serialise(const google::protobuf::MessageLite& message);

/// Turns wire fields into domain values and remembers the first that is wrong.
class Checks {
 public:
  void require(bool condition, const char* what) {
    if (!condition && bad_ == nullptr) bad_ = what;
  }
  template <class Id>
  Id id(const std::string& raw, const char* what) {
    auto found = Id::from(view(raw));
    require(found.has_value(), what);
    return found.value_or(Id{});
  }
  template <class Id>
  Id id_or_zero(const std::string& raw, const char* what) {
    return raw.empty() ? Id{} : id<Id>(raw, what);
  }
  template <class Id>
  std::vector<Id> ids(const google::protobuf::RepeatedPtrField<std::string>& raw, const char* what) {
    std::vector<Id> out;
    out.reserve(static_cast<size_t>(raw.size()));
    for (const auto& one : raw) out.push_back(id<Id>(one, what));
    return out;
  }
  Time time(uint64_t ms, const char* what) {
    require(ms <= static_cast<uint64_t>(INT64_MAX), what);
    return Time{static_cast<int64_t>(ms)};
  }
  uint16_t u16(uint32_t value, const char* what) {
    require(value <= UINT16_MAX, what);
    return static_cast<uint16_t>(value);
  }
  /// Wire values first..last stand for enum values (wire - offset); anything else is refused.
  template <class Enum>
  Enum choice(int wire, int last, int offset, const char* what) {
    require(wire >= 1 && wire <= last, what);
    return static_cast<Enum>(wire - offset);
  }
  bool ok() const { return bad_ == nullptr; }
  Result<void> result() const {
    if (bad_ != nullptr) return fail(ErrorCode::bad_format, bad_);
    return {};
  }

 private:
  const char* bad_ = nullptr;
};

inline std::string wire(BytesView bytes) { return std::string(text(bytes)); }
/// The same; an id that is not set is an absent field.
template <size_t N, class Tag>
std::string to_wire(const FixedId<N, Tag>& id) {
  return id.is_zero() ? std::string() : wire(id);
}
inline std::string to_wire(const Bytes& bytes) { return wire(bytes); }
inline Bytes bytes_of(const std::string& raw) { return to_bytes(view(raw)); }
template <class Items>
std::vector<Bytes> all_bytes(const Items& raw) {
  std::vector<Bytes> out;
  out.reserve(static_cast<size_t>(raw.size()));
  for (const auto& one : raw) out.push_back(bytes_of(one));
  return out;
}

}  // namespace tram::proto
