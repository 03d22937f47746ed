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
  BytesView id;
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

/// Keys of one body at layer 0 (CK = DK).
class BodyKeys {
 public:
  BodyKeys(const Secret32& document_key, const BodyContext&);
  Hash commit() const;       // F(CK; "edx1/commit"; ctx)
  Hash meta_commit() const;  // F(DK; "edx1/meta-commit"; ctx)
  /// C_i of up to S plaintext bytes of P' into `out` (plain + 16 bytes).
  void seal_chunk(uint32_t index, bool last, BytesView plain, std::span<uint8_t> out) const;
  /// Plain bytes into `out` (sealed - 16 bytes).
  Result<void> open_chunk(uint32_t index, bool last, BytesView sealed, std::span<uint8_t> out) const;
  /// ChaCha20-Poly1305(F(DK;"edx1/meta";ctx), nonce 0) of the metadata, zero-padded to 4,096 bytes. Error: too_large.
  Result<Bytes> seal_metadata(BytesView metadata) const;
  /// The 4,096 padded bytes.
  Result<Bytes> open_metadata(BytesView enc_metadata) const;
  /// Leaf of recipients_root: recipient(16) || F(DK;"edx1/rcpt";recipient).
  Bytes recipient_leaf(const PartyId& recipient) const;
  Hash recipients_root(std::span<const PartyId> recipients) const;
  const Secret32& document_key() const { return dk_; }

 private:
  Secret32 dk_, body_key_, meta_key_;
  Hash ctx_;
};

// ---- envelope wrap (3.4) -----------------------------------------------------------------------------------

/// Fills psk_tag (random), enc and ct of `envelope` (every other signed field must be set): HPKE base over
/// info = LP("edx1/wrap") || bytes 0..255.
Result<void> wrap_key(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, Random&);
/// With a PSK the tag is its first 8 bytes of F(psk; "edx1/psktag"; sender || recipient || u32 inc || u64 seq).
Result<void> wrap_key_psk(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, BytesView psk, Random&);
/// Tries the PSKs whose tag matches, else base. `prefix` is bytes 0..255 as received.
Result<Secret32> unwrap_key(const Envelope& envelope, const KxKeyPair& mine, std::span<const SecretBytes> psks = {});
/// 1,024 random bytes until officer layers exist (3.5).
Bytes make_random_blob(Random&);

// ---- receipt cell (4.2, R46): 1,536 bytes whatever the event ------------------------------------------------
// A cell shows brokers its size and the key it is for, nothing else. Layout in FORMAT.md:
// "EDXL" || u16 suite || kx key id(8) || enc(32) || ct(1490): HPKE base, info = LP("edx1/rwrap"),
// pt = u16 length || receipt || zeros to 1,474.

Result<Bytes> seal_cell(BytesView receipt, const KxPublic& to, Random&);
Result<KeyId> cell_key_id(BytesView cell);
Result<Bytes> open_cell(BytesView cell, const KxKeyPair& mine);

// ---- values at rest (3.9) -----------------------------------------------------------------------------------
// u8 version || nonce(24) || XChaCha20Poly1305(F(SK;"edx1/table";LP(table)), ad = LP(table) || key || version)

std::unique_ptr<ValueCodec> make_seal_codec(const Secret32& storage_key, Random&);
/// F(SK_index; label; data): database keys derived from secrets.
Hash index_key(const Secret32& storage_key, std::string_view label, BytesView data);

/// One slot of a staged upload under its own random key (nonce = u64 slot || u32 0): sealed = plain + 16 bytes.
/// A slot is sealed once only: a partial tail lives in the store until its slot is full.
void seal_slot(const Secret32& key, uint64_t slot, BytesView plain, std::span<uint8_t> out);
Result<void> open_slot(const Secret32& key, uint64_t slot, BytesView sealed, std::span<uint8_t> out);

}  // namespace tram::crypto
