// Key files: the header is checked before any memory is taken for Argon2id; nothing opens that was not sealed.
#include "crypto/key_file.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void one_input(BytesView in) {
  const Bytes raw_key(32, 0x33);
  if (auto kind = crypto::key_file_unlock_kind(in)) {
    require(in.size() == crypto::key_file_bytes, "a key file has 234 bytes");
    require(!crypto::key_file_unlock_kind(with_one_more_byte(in)), "a longer file is refused");
    require(!crypto::key_file_unlock_kind(in.first(in.size() - 1)), "a shorter file is refused");
    Reader header(in.subspan(6));
    const uint32_t operations = header.u32();
    const uint64_t memory = header.u64();
    if (*kind == crypto::UnlockKind::raw_key) {
      require(operations == 0 && memory == 0, "a raw key costs nothing");
      auto opened = crypto::open_key_file(in, raw_key);
      require(!opened && opened.error().code == ErrorCode::wrong_passphrase, "only what was sealed opens");
    } else {
      require(operations >= 1 && operations <= 16 && memory >= (8u << 20) && memory <= (1u << 30),
              "the cost is bounded");
      require(!crypto::open_key_file(in, view("short")), "a passphrase has its length");
    }
  } else {
    require(kind.error().code == ErrorCode::bad_format || kind.error().code == ErrorCode::unsupported_version,
            "a refusal has its error");
    auto opened = crypto::open_key_file(in, raw_key);
    require(!opened && opened.error().code == kind.error().code, "what has no header does not open");
  }
  Chance chance(draw(in));
  const crypto::KeyRing ring = crypto::make_key_ring(chance);
  Bytes file = crypto::seal_key_file(ring, crypto::UnlockKind::raw_key, raw_key, {}, chance).value();
  auto back = crypto::open_key_file(file, raw_key);
  require(back && equal(back->sig_seed.view(), ring.sig_seed.view()) &&
              equal(back->hedge_secret.view(), ring.hedge_secret.view()),
          "what was sealed comes out");
  for (size_t i = 0; i < std::min<size_t>(in.size(), 8); ++i) {
    Bytes damaged = file;
    damaged[(i * 31 + in[i]) % damaged.size()] ^= static_cast<uint8_t>(in[i] | 1);
    require(!crypto::open_key_file(damaged, raw_key), "no byte of a key file can change");
  }
}

}  // namespace tram::fuzz
