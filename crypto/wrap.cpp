// The wrap of a document key into an envelope (3.4) and the cell that carries a receipt (4.2).
#include <sodium.h>

#include "base/limits.h"
#include "crypto/detail/hpke.h"

namespace tram::crypto {
namespace {

constexpr size_t psk_bytes_min = 32;
constexpr size_t psk_bytes_max = 64;
constexpr size_t cell_prefix_bytes = 4 + 2 + KeyId::size;
constexpr size_t cell_ct_bytes = limits::cell_bytes - cell_prefix_bytes - 32;
constexpr size_t cell_plain_bytes = cell_ct_bytes - 16;
static_assert(cell_ct_bytes == 1490 && cell_plain_bytes == 1474);

bool fits(BytesView psk) { return psk.size() >= psk_bytes_min && psk.size() <= psk_bytes_max; }

/// First 8 bytes of F(psk; "edx1/psktag"; sender || recipient || u32 inc || u64 seq).
std::array<uint8_t, 8> psk_tag(BytesView psk, const Envelope& envelope) {
  Bytes position;
  position.reserve(12);
  Writer(position).u32(envelope.inc).u64(envelope.seq);
  Hash full = keyed_hash(psk, "edx1/psktag", {envelope.sender, envelope.recipient, position});
  std::array<uint8_t, 8> tag;
  std::memcpy(tag.data(), full.bytes.data(), tag.size());
  return tag;
}

Bytes wrap_info(const Envelope& envelope) {
  Bytes info;
  info.reserve(10 + 256);
  Writer(info).label("edx1/wrap").raw(envelope_prefix(envelope));
  return info;
}

Bytes cell_info() {
  Bytes info;
  Writer(info).label("edx1/rwrap");
  return info;
}

Result<void> check_cell(BytesView cell) {
  Reader in(cell);
  if (!equal(in.raw(4), view("EDXL"))) return fail(ErrorCode::bad_format, "cell: magic");
  uint16_t suite = in.u16();
  if (!in.ok()) return fail(ErrorCode::bad_format, "cell: length");
  if (suite != suite_1) return fail(ErrorCode::unsupported_version, "cell: suite");
  if (cell.size() != limits::cell_bytes) return fail(ErrorCode::bad_format, "cell: length");
  return {};
}

}  // namespace

namespace detail {

Result<void> wrap_with(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, BytesView psk,
                       BytesView input32) {
  Psk with{psk, envelope.psk_tag};
  Bytes info = wrap_info(envelope);
  TRAM_TRY(sender, setup_sender(recipient, info, psk.empty() ? nullptr : &with, derive_key_pair(input32)));
  envelope.enc = sender.enc;
  sender.context.seal(0, {}, document_key.view(), envelope.ct);
  return {};
}

}  // namespace detail

Result<void> wrap_key(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, Random& random) {
  random.fill(envelope.psk_tag);
  Secret32 input = make_secret(random);
  return detail::wrap_with(envelope, document_key, recipient, {}, input.view());
}

Result<void> wrap_key_psk(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, BytesView psk,
                          Random& random) {
  if (!fits(psk)) return fail(ErrorCode::bad_request, "psk");
  envelope.psk_tag = psk_tag(psk, envelope);
  Secret32 input = make_secret(random);
  return detail::wrap_with(envelope, document_key, recipient, psk, input.view());
}

Result<Secret32> unwrap_key(const Envelope& envelope, const KxKeyPair& mine, std::span<const SecretBytes> psks) {
  Bytes info = wrap_info(envelope);
  const SecretBytes* match = nullptr;
  for (const SecretBytes& psk : psks) {
    if (fits(psk.view()) && secret_equal(psk_tag(psk.view(), envelope), envelope.psk_tag)) match = &psk;
  }
  auto plain = match ? hpke_open_psk(mine, envelope.enc, info, {}, envelope.ct, {match->view(), envelope.psk_tag})
                     : hpke_open(mine, envelope.enc, info, {}, envelope.ct);
  if (!plain) return fail(std::move(plain.error()));
  return Secret32(plain->view());
}

Bytes make_random_blob(Random& random) {
  Bytes blob(limits::officer_blob_bytes);
  random.fill(blob);
  return blob;
}

Result<Bytes> seal_cell(BytesView receipt, const KxPublic& to, Random& random) {
  if (receipt.size() > cell_plain_bytes - 2) return fail(ErrorCode::too_large, "cell");
  Bytes cell;
  cell.reserve(limits::cell_bytes);
  Writer writer(cell);
  writer.raw("EDXL").u16(suite_1).raw(key_id(KeyKind::kx, to));
  SecretBytes plain(cell_plain_bytes);
  plain.span()[0] = static_cast<uint8_t>(receipt.size() >> 8);
  plain.span()[1] = static_cast<uint8_t>(receipt.size());
  if (!receipt.empty()) std::memcpy(plain.span().data() + 2, receipt.data(), receipt.size());
  TRAM_TRY(sealed, hpke_seal(to, cell_info(), cell, plain.view(), random));
  writer.raw(sealed.enc).raw(sealed.ct);
  return cell;
}

Result<KeyId> cell_key_id(BytesView cell) {
  TRAM_OK(check_cell(cell));
  return *KeyId::from(cell.subspan(6, KeyId::size));
}

Result<Bytes> open_cell(BytesView cell, const KxKeyPair& mine) {
  TRAM_OK(check_cell(cell));
  BytesView enc = cell.subspan(cell_prefix_bytes, 32);
  TRAM_TRY(plain, hpke_open(mine, enc, cell_info(), cell.first(cell_prefix_bytes), cell.subspan(cell_prefix_bytes + 32)));
  Reader in(plain.view());
  size_t bytes = in.u16();
  if (bytes > in.left()) return fail(ErrorCode::bad_format, "cell: length");
  Bytes receipt = to_bytes(in.raw(bytes));
  for (uint8_t b : in.raw(in.left())) {
    if (b != 0) return fail(ErrorCode::bad_format, "cell: padding");
  }
  return receipt;
}

}  // namespace tram::crypto
