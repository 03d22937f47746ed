// Sealing and opening: HPKE (RFC 9180 base and psk), bodies, metadata, envelopes' wraps, receipt cells, values.
// Library: seal. Nodes and officers link it; brokers never do, and a test says so.
// Errors of every open_*: cannot_open (wrong key, altered bytes), bad_format. Thread: any; stateless.
#pragma once
#include "crypto/formats.h"
#include "crypto/key_file.h"

namespace tram::crypto {

// ---- HPKE, DHKEM(X25519, HKDF-SHA256) / HKDF-SHA256 / ChaCha20Poly1305 -------------------------------------

struct HpkeSealed {
  std::array<uint8_t, 32> enc{};
  Bytes ct;  // plaintext + 16
};
/// Single shot, mode_base. The ephemeral key comes from 32 bytes of `random` through DeriveKeyPair.
Result<HpkeSealed> hpke_seal(const KxPublic& to, BytesView info, BytesView aad, BytesView plain, Random& random);
Result<SecretBytes> hpke_open(const KxKeyPair& mine, BytesView enc, BytesView info, BytesView aad, BytesView ct);
struct Psk {
  BytesView key;  // >= 32 bytes
  BytesView id;   // not empty
};
Result<HpkeSealed> hpke_seal_psk(const KxPublic& to, BytesView info, BytesView aad, BytesView plain, const Psk&, Random&);
Result<SecretBytes> hpke_open_psk(const KxKeyPair& mine, BytesView enc, BytesView info, BytesView aad, BytesView ct, const Psk&);

// ---- body (3.2) --------------------------------------------------------------------------------------------

/// What names a body: ctx = H("edx1/body-ctx"; realm || u16 suite || sender || doc_uuid || u8 container).
struct BodyContext {
  RealmId realm;
  PartyId sender;
  DocUuid doc_uuid;
  Hash value() const;
};
/// DK = F(rand32; "edx1/dk"; F(hedge; "edx1/hedge"; H("edx1/p"; P) || doc_uuid)).
Secret32 make_document_key(Random&, const Secret32& hedge, const Hash& container_hash, const DocUuid&);

inline constexpr size_t metadata_message_bytes_max = 4093;

/// Keys of one body at layer 0 (CK = DK).
class BodyKeys {
 public:
  BodyKeys(const Secret32& document_key, const BodyContext&);
  Hash commit() const;       // F(CK; "edx1/commit"; ctx)
  Hash meta_commit() const;  // F(DK; "edx1/meta-commit"; ctx)
  /// C_i of 1 .. S plaintext bytes of P' (exactly S unless last) into `out` (plain + 16 bytes).
  void seal_chunk(uint32_t index, bool last, BytesView plain, std::span<uint8_t> out) const;
  /// Plain bytes into `out` (sealed - 16 bytes); zeros when it fails. The caller checks chunk_id() first.
  Result<void> open_chunk(uint32_t index, bool last, BytesView sealed, std::span<uint8_t> out) const;
  /// ChaCha20-Poly1305(F(DK;"edx1/meta";ctx), nonce 0) of u8 layer (0) || u16 length || metadata || zeros to 4,096:
  /// 4,112 bytes. Call once per document key. Error: too_large (metadata over metadata_message_bytes_max).
  Result<Bytes> seal_metadata(BytesView metadata) const;
  /// Exactly the bytes that were sealed. Errors: unsupported_version (layer other than 0), bad_format (length, padding).
  Result<Bytes> open_metadata(BytesView enc_metadata) const;
  /// Data of a leaf of recipients_root: recipient(16) || F(DK;"edx1/rcpt";recipient).
  Bytes recipient_leaf(const PartyId& recipient) const;
  /// RFC 6962 root over the leaves in the order given (by recipient id, ascending).
  Hash recipients_root(std::span<const PartyId> recipients) const;
  const Secret32& document_key() const { return dk_; }

 private:
  Secret32 dk_, body_key_, meta_key_;
  Hash ctx_;
};

// ---- envelope wrap (3.4) -----------------------------------------------------------------------------------

/// Fills psk_tag (random), enc and ct of `envelope` (every other signed field must be set): HPKE base over
/// info = LP("edx1/wrap") || bytes 0..255. Error: cannot_open (the recipient's key is a small-order point).
Result<void> wrap_key(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, Random&);
/// With a PSK (32 .. 64 bytes) mode_psk, and the tag is the first 8 bytes of
/// F(psk; "edx1/psktag"; sender || recipient || u32 inc || u64 seq). Errors: bad_request (PSK's length), cannot_open.
Result<void> wrap_key_psk(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, BytesView psk, Random&);
/// Takes the PSK whose tag matches, else mode_base. `envelope` is as decoded: decoding is strict and one to one, so the
/// prefix made from it is bytes 0..255 as received. The caller has verified the signature. Error: cannot_open.
Result<Secret32> unwrap_key(const Envelope& envelope, const KxKeyPair& mine, std::span<const SecretBytes> psks = {});
/// 1,024 random bytes until officer layers exist (3.5).
Bytes make_random_blob(Random&);

// ---- receipt cell (4.2, R46): 1,536 bytes whatever the event ------------------------------------------------
// A cell shows brokers its size and the key it is for, nothing else. Layout in FORMAT.md:
// "EDXL" || u16 suite || kx key id(8) || enc(32) || ct(1490): HPKE base, info = LP("edx1/rwrap"), aad = bytes 0..13,
// pt = u16 length || receipt || zeros to 1,474. An empty receipt is allowed: a cell that hides that there is no event.

/// Errors: too_large (over 1,472 bytes), cannot_open (small-order key).
Result<Bytes> seal_cell(BytesView receipt, const KxPublic& to, Random&);
Result<KeyId> cell_key_id(BytesView cell);
Result<Bytes> open_cell(BytesView cell, const KxKeyPair& mine);

// ---- values at rest (3.9) -----------------------------------------------------------------------------------
// u8 version || nonce(24) || XChaCha20Poly1305(F(SK;"edx1/table";LP(table)), ad = LP(table) || key || version):
// 41 bytes more than the value. Stateless but for `random`, which only encode() uses. The keys of `known` tables are
// derived once, those of others for every value.

std::unique_ptr<ValueCodec> make_seal_codec(const Secret32& storage_key, Random&, std::span<const Table> known = {});
/// F(F(SK; "edx1/index"; ""); label; data): database keys derived from secrets.
Hash index_key(const Secret32& storage_key, std::string_view label, BytesView data);

/// One slot of a staged upload under its own random key (nonce = u64 slot || u32 0): sealed = plain + 16 bytes.
/// A slot is sealed once only: a partial tail lives in the store until its slot is full.
void seal_slot(const Secret32& key, uint64_t slot, BytesView plain, std::span<uint8_t> out);
Result<void> open_slot(const Secret32& key, uint64_t slot, BytesView sealed, std::span<uint8_t> out);

}  // namespace tram::crypto
