#include "proto/codec.h"

namespace tram::proto {
namespace {

constexpr size_t fields_per_message_max = 48;

class Walker {
 public:
  explicit Walker(BytesView in) : in_(in) {}
  bool done() const { return at_ == in_.size(); }
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == in_.size()) return false;
      const uint8_t byte = in_[at_++];
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return shift < 63 || byte <= 1;
    }
    return false;
  }
  bool take(uint64_t size, BytesView& part) {
    if (size > in_.size() - at_) return false;
    part = in_.subspan(at_, static_cast<size_t>(size));
    at_ += static_cast<size_t>(size);
    return true;
  }
  bool counted(BytesView& part) {
    uint64_t size = 0;
    return varint(size) && take(size, part);
  }

 private:
  BytesView in_;
  size_t at_ = 0;
};

enum WireType : uint32_t { wire_varint = 0, wire_fixed64 = 1, wire_counted = 2, wire_fixed32 = 5 };

tl::unexpected<Error> refuse(ErrorCode code, const Shape& shape, uint64_t number, const char* why) {
  return fail(code, std::string(shape.name) + " field " + std::to_string(number) + ": " + why);
}

Result<void> check_numbers(Walker& in, uint32_t type, const Shape& shape, const Field& field, uint32_t& count) {
  uint64_t value = 0;
  if (type == wire_varint) {
    ++count;
    if (!in.varint(value)) return refuse(ErrorCode::bad_format, shape, field.number, "truncated");
    return {};
  }
  BytesView packed;
  if (type != wire_counted || !in.counted(packed))
    return refuse(ErrorCode::bad_format, shape, field.number, "truncated or of another type");
  for (Walker inner(packed); !inner.done(); ++count)
    if (!inner.varint(value)) return refuse(ErrorCode::bad_format, shape, field.number, "truncated");
  return {};
}

}  // namespace

Result<void> check(BytesView bytes, const Shape& shape) {
  std::array<uint32_t, fields_per_message_max> counts{};
  uint32_t bodies = 0;
  size_t hint = 0;
  Walker in(bytes);
  while (!in.done()) {
    uint64_t tag = 0;
    if (!in.varint(tag) || tag > UINT32_MAX || tag >> 3 == 0)
      return refuse(ErrorCode::bad_format, shape, 0, "not a field");
    const auto number = static_cast<uint32_t>(tag >> 3);
    const auto type = static_cast<uint32_t>(tag & 7);

    while (hint < shape.fields.size() && shape.fields[hint].number < number) ++hint;
    if (hint == shape.fields.size() || shape.fields[hint].number > number)
      for (hint = 0; hint < shape.fields.size() && shape.fields[hint].number != number;) ++hint;
    if (hint == shape.fields.size()) {
      hint = 0;
      if (shape.unknown == Unknown::refused) return refuse(ErrorCode::bad_format, shape, number, "unknown");
      uint64_t value = 0;
      BytesView part;
      const bool skipped = type == wire_varint    ? in.varint(value)
                           : type == wire_fixed64 ? in.take(8, part)
                           : type == wire_counted ? in.counted(part)
                           : type == wire_fixed32 ? in.take(4, part)
                                                  : false;
      if (!skipped) return refuse(ErrorCode::bad_format, shape, number, "truncated or a group");
      continue;
    }

    const Field& field = shape.fields[hint];
    uint32_t& count = counts[hint];
    if (field.kind == FieldKind::varints) {
      TRAM_OK(check_numbers(in, type, shape, field, count));
    } else if (field.kind == FieldKind::varint) {
      uint64_t value = 0;
      if (type != wire_varint || !in.varint(value))
        return refuse(ErrorCode::bad_format, shape, number, "truncated or of another type");
      ++count;
    } else {
      BytesView part;
      if (type != wire_counted || !in.counted(part))
        return refuse(ErrorCode::bad_format, shape, number, "truncated or of another type");
      ++count;
      if (field.bytes_min == field.bytes_max && part.size() != field.bytes_min)
        return refuse(ErrorCode::bad_format, shape, number, "wrong length");
      if (part.size() > field.bytes_max) return refuse(ErrorCode::too_large, shape, number, "too long");
      if (part.size() < field.bytes_min) return refuse(ErrorCode::bad_format, shape, number, "too short");
      if (field.kind == FieldKind::string && !is_utf8(text(part)))
        return refuse(ErrorCode::bad_format, shape, number, "not UTF-8");
      if (count <= field.count_max && field.kind == FieldKind::message) TRAM_OK(check(part, *field.shape));
    }
    if (count > field.count_max)
      return field.count_max == 1 ? refuse(ErrorCode::bad_format, shape, number, "repeated")
                                  : refuse(ErrorCode::too_large, shape, number, "too many");
    if (shape.oneof_from != 0 && number >= shape.oneof_from && ++bodies > 1)
      return refuse(ErrorCode::bad_format, shape, number, "a second body");
  }
  if (shape.oneof_from != 0 && bodies == 0) return refuse(ErrorCode::bad_format, shape, 0, "no known body");
  return {};
}

Result<void> parse(BytesView bytes, const Shape& shape, size_t bytes_max, google::protobuf::MessageLite& message) {
  if (bytes.size() > bytes_max)
    return fail(ErrorCode::too_large, std::string(shape.name) + ": " + std::to_string(bytes.size()) + " bytes");
  TRAM_OK(check(bytes, shape));
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(ErrorCode::bad_format, shape.name);
  return {};
}

Bytes serialise(const google::protobuf::MessageLite& message) {
  Bytes out(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(out.data());
  return out;
}

}  // namespace tram::proto
