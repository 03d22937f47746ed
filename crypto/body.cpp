#include "base/limits.h"
#include "crypto/detail/aead.h"
#include "crypto/merkle.h"
#include "crypto/seal.h"

namespace tram::crypto {
namespace {

constexpr std::array<uint8_t, detail::aead_nonce_bytes> zero_nonce{};
constexpr size_t metadata_prefix_bytes = 3;

/// u88 index || u8 last: the STREAM nonce.
std::array<uint8_t, detail::aead_nonce_bytes> chunk_nonce(uint32_t index, bool last) {
  std::array<uint8_t, detail::aead_nonce_bytes> nonce{};
  for (size_t i = 0; i < 4; ++i) nonce[7 + i] = static_cast<uint8_t>(index >> (24 - 8 * i));
  nonce[11] = last ? 1 : 0;
  return nonce;
}

Secret32 derived(const Secret32& key, std::string_view label, const Hash& ctx) {
  return derive_secret(key.view(), label, {ctx});
}

}  // namespace

Hash BodyContext::value() const {
  constexpr uint8_t suite[] = {suite_1 >> 8, suite_1 & 0xff};
  constexpr uint8_t container[] = {0};
  return hash("edx1/body-ctx", {realm, suite, sender, doc_uuid, container});
}

Secret32 make_document_key(Random& random, const Secret32& hedge, const Hash& container_hash, const DocUuid& doc_uuid) {
  Secret32 fresh = make_secret(random);
  Secret32 hedged = derive_secret(hedge.view(), "edx1/hedge", {container_hash, doc_uuid});
  return derive_secret(fresh.view(), "edx1/dk", {hedged.view()});
}

BodyKeys::BodyKeys(const Secret32& document_key, const BodyContext& context)
    : dk_(document_key.clone()), ctx_(context.value()) {
  body_key_ = derived(dk_, "edx1/body", ctx_);
  meta_key_ = derived(dk_, "edx1/meta", ctx_);
}

Hash BodyKeys::commit() const { return keyed_hash(dk_.view(), "edx1/commit", {ctx_}); }
Hash BodyKeys::meta_commit() const { return keyed_hash(dk_.view(), "edx1/meta-commit", {ctx_}); }

void BodyKeys::seal_chunk(uint32_t index, bool last, BytesView plain, std::span<uint8_t> out) const {
  TRAM_CHECK(!plain.empty() && plain.size() <= limits::chunk_bytes && (last || plain.size() == limits::chunk_bytes));
  detail::aead_seal(body_key_.view(), chunk_nonce(index, last), {}, plain, out);
}

Result<void> BodyKeys::open_chunk(uint32_t index, bool last, BytesView sealed, std::span<uint8_t> out) const {
  bool full = sealed.size() == limits::sealed_chunk_bytes;
  if (sealed.size() <= limits::chunk_overhead_bytes || sealed.size() > limits::sealed_chunk_bytes || (!last && !full)) {
    return fail(ErrorCode::bad_format, "chunk: length");
  }
  TRAM_CHECK(out.size() == sealed.size() - limits::chunk_overhead_bytes);
  if (!detail::aead_open(body_key_.view(), chunk_nonce(index, last), {}, sealed, out)) {
    return fail(ErrorCode::cannot_open, "chunk");
  }
  return {};
}

Result<Bytes> BodyKeys::seal_metadata(BytesView metadata) const {
  if (metadata.size() > limits::metadata_bytes - metadata_prefix_bytes) return fail(ErrorCode::too_large, "metadata");
  SecretBytes plain(limits::metadata_bytes);
  plain.span()[0] = 0;
  plain.span()[1] = static_cast<uint8_t>(metadata.size() >> 8);
  plain.span()[2] = static_cast<uint8_t>(metadata.size());
  if (!metadata.empty()) std::memcpy(plain.span().data() + metadata_prefix_bytes, metadata.data(), metadata.size());
  Bytes out(limits::enc_metadata_bytes);
  detail::aead_seal(meta_key_.view(), zero_nonce, {}, plain.view(), out);
  return out;
}

Result<Bytes> BodyKeys::open_metadata(BytesView enc_metadata) const {
  if (enc_metadata.size() != limits::enc_metadata_bytes) return fail(ErrorCode::bad_format, "metadata: length");
  SecretBytes plain(limits::metadata_bytes);
  if (!detail::aead_open(meta_key_.view(), zero_nonce, {}, enc_metadata, plain.span())) {
    return fail(ErrorCode::cannot_open, "metadata");
  }
  Reader in(plain.view());
  if (in.u8() != 0) return fail(ErrorCode::unsupported_version, "metadata: layer");
  size_t bytes = in.u16();
  if (bytes > in.left()) return fail(ErrorCode::bad_format, "metadata: length");
  Bytes metadata = to_bytes(in.raw(bytes));
  for (uint8_t b : in.raw(in.left())) {
    if (b != 0) return fail(ErrorCode::bad_format, "metadata: padding");
  }
  return metadata;
}

Bytes BodyKeys::recipient_leaf(const PartyId& recipient) const {
  Bytes leaf;
  leaf.reserve(PartyId::size + Hash::size);
  Writer(leaf).raw(recipient).raw(keyed_hash(dk_.view(), "edx1/rcpt", {recipient}));
  return leaf;
}

Hash BodyKeys::recipients_root(std::span<const PartyId> recipients) const {
  Frontier tree;
  for (const PartyId& recipient : recipients) tree.append(merkle_leaf(recipient_leaf(recipient)));
  return tree.root();
}

}  // namespace tram::crypto
