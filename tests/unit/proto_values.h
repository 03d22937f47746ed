// Values of every message of proto/: drawn from a seed, compared field by field, and named for the golden files.
// A field added to a struct breaks the structured bindings below, so no test can silently miss it.
#pragma once
#include <random>
#include <tuple>

#include "base/limits.h"
#include "proto/directory.h"
#include "proto/document.h"
#include "proto/wire.h"

namespace tram::proto::test {

#define TRAM_FIELDS(Type, ...)            \
  inline auto fields(Type& value) {       \
    auto& [__VA_ARGS__] = value;          \
    return std::tie(__VA_ARGS__);         \
  }                                       \
  inline auto fields(const Type& value) { \
    const auto& [__VA_ARGS__] = value;    \
    return std::tie(__VA_ARGS__);         \
  }

TRAM_FIELDS(Hello, a, b, c, d, e, f)
TRAM_FIELDS(HelloReply, a, b, c, d, e, f, g, h, i, j)
TRAM_FIELDS(Refused, a, b, c)
TRAM_FIELDS(PutItem, a, b)
TRAM_FIELDS(Put, a, b, c, d, e)
TRAM_FIELDS(PutResult, a, b, c, d, e)
TRAM_FIELDS(PutReply, a)
TRAM_FIELDS(Offer, a, b)
TRAM_FIELDS(OfferReply, a, b, c)
TRAM_FIELDS(ChunkPut, a, b)
TRAM_FIELDS(ChunkDone, a, b, c)
TRAM_FIELDS(Reconcile, a)
TRAM_FIELDS(ReconcileReply, a)
TRAM_FIELDS(AnnouncedItem, a, b, c)
TRAM_FIELDS(Announce, a)
TRAM_FIELDS(Fetch, a)
TRAM_FIELDS(Content, a, b, c, d, e, f)
TRAM_FIELDS(ManifestGet, a)
TRAM_FIELDS(ManifestData, a, b, c)
TRAM_FIELDS(ChunkGet, a, b, c)
TRAM_FIELDS(ChunkData, a, b, c)
TRAM_FIELDS(AckItem, a, b)
TRAM_FIELDS(AckPut, a)
TRAM_FIELDS(AckReply, a)
TRAM_FIELDS(MailItem, a, b)
TRAM_FIELDS(MailPost, a)
TRAM_FIELDS(MailPosted, a)
TRAM_FIELDS(MailDeliver, a)
TRAM_FIELDS(MailDone, a)
TRAM_FIELDS(DirectoryGet, a, b)
TRAM_FIELDS(DirectoryEntries, a, b, c, d)
TRAM_FIELDS(DirectoryPut, a)
TRAM_FIELDS(KxPut, a)
TRAM_FIELDS(KxGet, a)
TRAM_FIELDS(KxFeeds, a)
TRAM_FIELDS(CheckpointPut, a, b, c, d, e, f)
TRAM_FIELDS(CheckpointReply, a, b, c, d)
TRAM_FIELDS(CheckpointGet, a)
TRAM_FIELDS(CheckpointData, a, b, c, d)
TRAM_FIELDS(LeavesGet, a, b, c)
TRAM_FIELDS(LeavesData, a, b, c, d)
TRAM_FIELDS(CheckpointList, a, b)
TRAM_FIELDS(CheckpointPage, a, b)
TRAM_FIELDS(CosignaturePut, a)
inline std::tuple<> fields(const Ping&) { return {}; }
inline std::tuple<> fields(const Done&) { return {}; }
TRAM_FIELDS(Frame, a, b)

TRAM_FIELDS(Relation, a, b, c)
TRAM_FIELDS(ReplyTo, a, b, c, d)
TRAM_FIELDS(Addressee, a, b, c)
TRAM_FIELDS(FileInfo, a, b, c, d)
TRAM_FIELDS(Metadata, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad, ae,
            af)
TRAM_FIELDS(ReceiptText, a, b, c, d, e)

TRAM_FIELDS(OrganCode, a, b, c)
TRAM_FIELDS(Contact, a, b, c, d)
TRAM_FIELDS(AgencyKeys, a, b, c)
TRAM_FIELDS(Agency, a, b, c, d, e, f, g, h, i, j)
TRAM_FIELDS(RootOfficer, a, b, c)
TRAM_FIELDS(RootChange, a, b, c, d, e, f)
TRAM_FIELDS(RegistrarChange, a, b, c, d, e, f, g)
TRAM_FIELDS(AgencyChange, a)
TRAM_FIELDS(OfficerChange, a, b, c, d, e, f)
TRAM_FIELDS(StatusChange, a, b, c, d)
TRAM_FIELDS(SucceedChange, a, b, c)
TRAM_FIELDS(BrokerChange, a, b, c, d, e, f, g, h, i)
TRAM_FIELDS(WitnessChange, a, b, c, d, e, f)
TRAM_FIELDS(PolicyChange, a, b, c, d, e, f, g)
TRAM_FIELDS(Change, a, b)
TRAM_FIELDS(EntryPayload, a, b, c, d, e, f)
TRAM_FIELDS(EntrySignature, a, b)
TRAM_FIELDS(Entry, a, b)
TRAM_FIELDS(KxEpoch, a, b, c, d)
TRAM_FIELDS(KxFeedPayload, a, b, c, d)
TRAM_FIELDS(KxFeed, a, b)
TRAM_FIELDS(EnrolRequestPayload, a, b, c, d, e, f, g, h)
TRAM_FIELDS(EnrolRequest, a, b)
TRAM_FIELDS(Approval, a, b, c, d)
#undef TRAM_FIELDS

// ---- drawing ------------------------------------------------------------------------------------------------

class Draw {
 public:
  explicit Draw(uint64_t seed) : rng_(seed) {}
  uint64_t number() { return rng_(); }
  uint64_t below(uint64_t bound) { return rng_() % bound; }
  /// Small numbers and powers of two come up often.
  uint64_t any_number() { return rng_() >> below(64); }
  Bytes bytes(size_t size) {
    Bytes out(size);
    for (auto& byte : out) byte = static_cast<uint8_t>(rng_());
    return out;
  }
  std::string text(size_t bytes_max) {
    static const char* const pieces[] = {"a", "Z", "7", " ", "/", "-", "đ", "Ư", "ệ",
                                         "văn bản", "€", "\xf0\x9f\x93\x9c"};
    std::string out;
    for (size_t n = below(12); n > 0; --n) {
      const std::string piece = pieces[below(std::size(pieces))];
      if (out.size() + piece.size() <= bytes_max) out += piece;
    }
    return out;
  }

 private:
  std::mt19937_64 rng_;
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVariant : std::false_type {};
template <class... T>
struct IsVariant<std::variant<T...>> : std::true_type {};
template <class T>
struct IsId : std::false_type {};
template <size_t N, class Tag>
struct IsId<FixedId<N, Tag>> : std::true_type {};

template <class T>
T draw(Draw& random);

template <size_t I = 0, class Variant>
void draw_alternative(Draw& random, Variant& value, size_t index) {
  if constexpr (I < std::variant_size_v<Variant>) {
    if (index == I)
      value = draw<std::variant_alternative_t<I, Variant>>(random);
    else
      draw_alternative<I + 1>(random, value, index);
  }
}

template <class Enum>
Enum draw_enum(Draw& random, int first, int last) {
  return static_cast<Enum>(first + static_cast<int>(random.below(static_cast<uint64_t>(last - first + 1))));
}

// Values that fixed lengths and ranges leave legal.
template <class T>
void fit(Draw&, T&) {}
inline uint32_t draw_index(Draw& random) {
  return static_cast<uint32_t>(random.below(limits::chunks_per_body_max));
}
inline void fit(Draw& random, PutItem& v) { v = {random.bytes(400), random.bytes(1024)}; }
inline void fit(Draw& random, Put& v) {
  if (v.items.empty()) v.items.push_back(draw<PutItem>(random));
}
inline void fit(Draw& random, Offer& v) { v = {random.bytes(300), random.bytes(48)}; }
inline void fit(Draw& random, ChunkPut& v) { v.index = draw_index(random); }
inline void fit(Draw& random, ChunkDone& v) {
  for (auto& index : v.indexes) index = draw_index(random);
}
inline void fit(Draw& random, AnnouncedItem& v) { v.envelope = random.bytes(400); }
inline void fit(Draw& random, Content& v) {
  v.officer_blob = random.bytes(random.below(2) * 1024);
}
inline void fit(Draw& random, ChunkGet& v) {
  v.first = draw_index(random);
  v.count = static_cast<uint32_t>(random.below(limits::chunk_credit + 1));
}
inline void fit(Draw& random, ChunkData& v) { v.index = draw_index(random); }
inline void fit(Draw& random, AckItem& v) {
  v = {random.bytes(1 + random.below(700)), random.bytes(random.below(2) * limits::cell_bytes)};
}
inline void fit(Draw& random, MailItem& v) { v.content = random.bytes(1 + random.below(limits::cell_bytes)); }
inline void fit_all(Draw& random, std::vector<Bytes>& values) {
  for (auto& value : values)
    if (value.empty()) value = random.bytes(1 + random.below(300));
}
inline void fit(Draw& random, DirectoryGet& v) { fit_all(random, v.views); }
inline void fit(Draw& random, DirectoryEntries& v) {
  fit_all(random, v.entries);
  fit_all(random, v.views);
}
inline void fit(Draw& random, DirectoryPut& v) { fit_all(random, v.entries); }
inline void fit(Draw& random, KxPut& v) { v.feed = random.bytes(1 + random.below(limits::kx_feed_bytes_max)); }
inline void fit(Draw& random, KxFeeds& v) { fit_all(random, v.feeds); }
inline void fit(Draw& random, CheckpointPut& v) { v.note = random.bytes(1 + random.below(400)); }
inline void fit(Draw& random, CheckpointPage& v) { fit_all(random, v.notes); }
inline void fit(Draw& random, CosignaturePut& v) { v.note = random.bytes(1 + random.below(400)); }
inline void fit(Draw& random, Metadata& v) { v.steering = static_cast<uint32_t>(random.below(4)); }
inline void fit(Draw& random, Addressee& v) {
  if (random.below(2) == 0) v.id = {};
}
inline void fit(Draw& random, OrganCode& v) {
  static constexpr std::string_view letters = "GHabz0189.-_";
  v.code = "H";
  for (size_t n = random.below(limits::organ_code_chars_max); n > 0; --n)
    v.code += letters[random.below(letters.size())];
}
inline void fit(Draw& random, EntryPayload& v) {
  if (v.changes.empty()) v.changes.push_back(draw<Change>(random));
  if (random.below(3) == 0) {
    v.previous = {};
    v.realm = {};
    v.registrar = {};
  }
}
inline void fit(Draw& random, Entry& v) {
  if (v.payload.empty()) v.payload = random.bytes(10);
}
inline void fit(Draw& random, KxFeed& v) {
  if (v.payload.empty()) v.payload = random.bytes(10);
}
inline void fit(Draw& random, EnrolRequestPayload& v) { v.organ_code = random.below(2) == 0 ? "" : "G22.04"; }
inline void fit(Draw& random, EnrolRequest& v) {
  if (v.payload.empty()) v.payload = random.bytes(10);
}
inline void fit(Draw& random, Approval& v) { fit_all(random, v.entries); }

template <class T>
T draw(Draw& random) {
  if constexpr (std::is_same_v<T, bool>) {
    return random.below(2) == 1;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(random.any_number());
  } else if constexpr (std::is_same_v<T, Branch>) {
    return draw_enum<T>(random, 1, 6);
  } else if constexpr (std::is_same_v<T, Level>) {
    return draw_enum<T>(random, 1, 4);
  } else if constexpr (std::is_same_v<T, AgencyStatus> || std::is_same_v<T, AddresseeKind>) {
    return draw_enum<T>(random, 1, 3);
  } else if constexpr (std::is_same_v<T, EnrolKind>) {
    return draw_enum<T>(random, 1, 2);
  } else if constexpr (std::is_same_v<T, Priority> || std::is_same_v<T, RelationKind>) {
    return draw_enum<T>(random, 0, 4);
  } else if constexpr (std::is_same_v<T, Classification>) {
    return draw_enum<T>(random, 0, 3);
  } else if constexpr (std::is_same_v<T, Time>) {
    return Time{static_cast<int64_t>(random.any_number() >> 1)};
  } else if constexpr (std::is_same_v<T, Date>) {
    if (random.below(4) == 0) return {};
    return {static_cast<uint16_t>(1 + random.below(9999)), static_cast<uint8_t>(1 + random.below(12)),
            static_cast<uint8_t>(1 + random.below(28))};
  } else if constexpr (std::is_same_v<T, std::string>) {
    return random.text(64);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return random.bytes(random.below(200));
  } else if constexpr (IsId<T>::value) {
    return *T::from(random.bytes(T::size));
  } else if constexpr (IsVector<T>::value) {
    T out;
    for (size_t n = random.below(5); n > 0; --n) out.push_back(draw<typename T::value_type>(random));
    return out;
  } else if constexpr (IsOptional<T>::value) {
    if (random.below(2) == 0) return std::nullopt;
    return draw<typename T::value_type>(random);
  } else if constexpr (IsVariant<T>::value) {
    T out;
    draw_alternative(random, out, random.below(std::variant_size_v<T>));
    return out;
  } else {
    T out;
    std::apply([&](auto&... field) { ((field = draw<std::decay_t<decltype(field)>>(random)), ...); }, fields(out));
    fit(random, out);
    return out;
  }
}

// ---- comparing ----------------------------------------------------------------------------------------------

template <class T>
bool same(const T& a, const T& b) {
  if constexpr (IsVector<T>::value && !std::is_same_v<T, Bytes>) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
      if (!same(a[i], b[i])) return false;
    return true;
  } else if constexpr (IsOptional<T>::value) {
    return a.has_value() == b.has_value() && (!a || same(*a, *b));
  } else if constexpr (IsVariant<T>::value) {
    return a.index() == b.index() &&
           std::visit([&](const auto& left) { return same(left, std::get<std::decay_t<decltype(left)>>(b)); }, a);
  } else if constexpr (requires { fields(a); }) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      [[maybe_unused]] const auto left = fields(a);
      [[maybe_unused]] const auto right = fields(b);
      return (same(std::get<I>(left), std::get<I>(right)) && ...);
    }(std::make_index_sequence<std::tuple_size_v<decltype(fields(a))>>{});
  } else {
    return a == b;
  }
}

// ---- one entry a kind of message ------------------------------------------------------------------------------

/// Encodes, and decodes with type-erased answers, so that tests can run over all kinds.
struct Kind {
  std::string name;                                  // folder and file of the golden bytes: "frame/put"
  Bytes (*example)(uint64_t seed);                   // encoded drawn value
  std::optional<Error> (*refusal)(BytesView);        // error of decoding, if any
  std::optional<Bytes> (*again)(BytesView);          // encode(decode(bytes)) when it decodes
  bool (*round_trip)(uint64_t seed);                 // decode(encode(v)) is v in every field
  bool closed = false;                               // unknown fields are refused
};
const std::vector<Kind>& all_kinds();

// ---- raw protobuf, for what the encoder would never write ---------------------------------------------------

class Raw {
 public:
  Raw& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<uint8_t>(value | 0x80));
    bytes_.push_back(static_cast<uint8_t>(value));
    return *this;
  }
  Raw& tag(uint32_t number, uint32_t type) { return varint(uint64_t{number} << 3 | type); }
  Raw& number(uint32_t field, uint64_t value) { return tag(field, 0).varint(value); }
  Raw& bytes(uint32_t field, BytesView value) {
    tag(field, 2).varint(value.size());
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    return *this;
  }
  Raw& bytes(uint32_t field, std::string_view value) { return bytes(field, view(value)); }
  Raw& bytes(uint32_t field, const Raw& message) { return bytes(field, BytesView(message.bytes_)); }
  Raw& fixed32(uint32_t field) {
    tag(field, 5);
    bytes_.insert(bytes_.end(), 4, 0);
    return *this;
  }
  Raw& raw(BytesView value) {
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    return *this;
  }
  BytesView view_of() const { return bytes_; }
  operator BytesView() const { return bytes_; }

 private:
  static BytesView view(std::string_view s) { return tram::view(s); }
  Bytes bytes_;
};

}  // namespace tram::proto::test
