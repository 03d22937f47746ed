// The same public-key operations and sealing through our own crypto library, so that the bound can take the cheaper of
// the two and the table shows what our layers add.
// usage: bench_crypto
#include "base/io/system_random.h"
#include "base/limits.h"
#include "crypto/seal.h"
#include "tests/bench/measure.h"

namespace {

using namespace tram;
using bench::core_us;
using bench::figure;
using bench::must;

}  // namespace

int main() {
  crypto::initialize();
  io::SystemRandom random;
  const auto seed = crypto::make_secret(random);
  const crypto::SigningKey key(seed);
  const auto id = random.id<Hash>();
  auto signature = key.sign(crypto::envelope_label, id);
  figure("ours: sign", core_us([&] { signature = key.sign(crypto::envelope_label, id); }), "core-us");
  figure("ours: verify",
         core_us([&] { must(crypto::verify(key.public_key(), crypto::envelope_label, id, signature), "verify"); }),
         "core-us");

  const auto kx = crypto::make_kx_pair(random);
  const auto document_key = crypto::make_secret(random);
  crypto::Envelope envelope;
  envelope.seq = 1;
  envelope.created = {1};
  envelope.not_after = {2};
  envelope.recipient_kx = crypto::key_id(crypto::KeyKind::kx, kx.public_key);
  figure("ours: HPKE of a key, seal",
         core_us([&] { must(crypto::wrap_key(envelope, document_key, kx.public_key, random).has_value(), "wrap"); }),
         "core-us");
  figure("ours: HPKE of a key, open", core_us([&] { must(crypto::unwrap_key(envelope, kx).has_value(), "unwrap"); }),
         "core-us");
  const Bytes receipt(365, 1);
  auto cell = crypto::seal_cell(receipt, kx.public_key, random);
  must(cell.has_value(), "cell");
  figure("ours: HPKE of a cell, seal", core_us([&] { cell = crypto::seal_cell(receipt, kx.public_key, random); }),
         "core-us");
  figure("ours: HPKE of a cell, open", core_us([&] { must(crypto::open_cell(*cell, kx).has_value(), "open cell"); }),
         "core-us");

  const crypto::BodyKeys keys(document_key, {});
  for (const size_t size : {size_t{1024}, limits::chunk_bytes}) {
    const Bytes plain(size, 7);
    Bytes sealed(size + 16), opened(size);
    const auto name = std::to_string(size >> 10) + " KiB";
    figure("ours: chunk seal, " + name, core_us([&] { keys.seal_chunk(0, true, plain, sealed); }), "core-us");
    figure("ours: chunk open, " + name,
           core_us([&] { must(keys.open_chunk(0, true, sealed, opened).has_value(), "open"); }), "core-us");
    figure("ours: chunk id, " + name, core_us([&] { (void)crypto::chunk_id(sealed); }), "core-us");
  }
  const auto storage = crypto::make_secret(random);
  const auto seal = crypto::make_seal_codec(storage, random);
  const auto mac = crypto::make_mac_codec(storage);
  const Bytes value(1024, 3), row(32, 4);
  const Table table{"bench"};
  figure("ours: value seal, 1 KiB", core_us([&] { (void)seal->encode(table, row, value); }), "core-us");
  figure("ours: value MAC, 1 KiB", core_us([&] { (void)mac->encode(table, row, value); }), "core-us");
  return 0;
}
