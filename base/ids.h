// Strong types for every identifier: a DocId cannot be passed where an EnvelopeId is wanted.
// Sizes are those of protocol.md 3.1-3.4. Ordered bytewise, so they may key ordered containers and tables.
// Thread: any; values only.
#pragma once
#include <compare>

#include "base/bytes.h"

namespace tram {

template <size_t N, class Tag>
struct FixedId {
  static constexpr size_t size = N;
  std::array<uint8_t, N> bytes{};

  auto operator<=>(const FixedId&) const = default;
  operator BytesView() const { return bytes; }
  BytesView view() const { return bytes; }
  std::string hex() const { return to_hex(bytes); }
  bool is_zero() const { return *this == FixedId{}; }
  /// The id of exactly N bytes, or nothing.
  static std::optional<FixedId> from(BytesView raw) {
    if (raw.size() != N) return std::nullopt;
    FixedId id;
    std::memcpy(id.bytes.data(), raw.data(), N);
    return id;
  }
  static std::optional<FixedId> parse(std::string_view hex) {
    auto raw = from_hex(hex);
    return raw ? from(*raw) : std::nullopt;
  }
};

using RealmId = FixedId<32, struct RealmTag>;        // H("edx1/realm"; genesis ROOT bytes)
using PartyId = FixedId<16, struct PartyTag>;        // agency, broker, officer, registrar: assigned by the directory
using DocUuid = FixedId<16, struct DocUuidTag>;      // UUIDv7, chosen by the sender before the first send
using DocId = FixedId<32, struct DocTag>;            // H("edx1/doc"; header)
using EnvelopeId = FixedId<32, struct EnvelopeTag>;  // H("edx1/env"; bytes 0..335)
using ManifestId = FixedId<32, struct ManifestTag>;
using ChunkId = FixedId<32, struct ChunkTag>;
using BlobId = FixedId<32, struct BlobTag>;          // H("edx1/oblob"; 1,024 bytes)
using Hash = FixedId<32, struct HashTag>;
using KeyId = FixedId<8, struct KeyTag>;             // first 8 bytes of H("edx1/kid"; kind, public key)
using Epoch = FixedId<16, struct EpochTag>;          // one life of a broker's store
using SigPublic = FixedId<32, struct SigPublicTag>;  // Ed25519, objects
using LogPublic = FixedId<32, struct LogPublicTag>;  // Ed25519, checkpoints only
using KxPublic = FixedId<32, struct KxPublicTag>;    // X25519, one epoch
using CurvePublic = FixedId<32, struct CurvePublicTag>;  // CURVE transport
using Signature = FixedId<64, struct SignatureTag>;

enum class Lane : uint8_t { control = 0, urgent = 1, normal = 2, bulk = 3 };
inline constexpr size_t lane_count = 4;

}  // namespace tram
