#include "directory/io/officer_keys.h"

#include "base/io/system_random.h"
#include "directory/io/realm_folder.h"

namespace tram::authority {
namespace {

constexpr size_t key_file_bytes_max = 4096;
constexpr size_t public_file_bytes_max = 1024;

Result<std::vector<std::string>> public_fields(const std::string& path, std::string_view kind, size_t count) {
  TRAM_TRY(bytes, io::read_file(path, public_file_bytes_max));
  std::string_view line = text(bytes);
  line = line.substr(0, line.find('\n'));
  std::vector<std::string> fields;
  while (fields.size() + 1 < count) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) break;
    fields.emplace_back(line.substr(0, space));
    line.remove_prefix(space + 1);
  }
  fields.emplace_back(line);
  if (fields.size() != count || fields.front() != kind)
    return fail(ErrorCode::bad_format, path + " is no " + std::string(kind) + " line");
  return fields;
}

Result<crypto::KeyRing> open_ring(const std::string& path, Passphrases& passphrases) {
  TRAM_TRY(file, io::read_private_file(path, key_file_bytes_max));
  TRAM_TRY(secret, passphrases.next(path, false));
  return crypto::open_key_file(file.view(), secret);
}

}  // namespace

Result<BytesView> Passphrases::next(const std::string& for_what, bool confirm) {
  if (fds_.empty()) {
    TRAM_TRY(typed, io::prompt_passphrase("Passphrase of " + for_what + ": ", confirm));
    read_.push_back(std::move(typed));
    return read_.back().view();
  }
  if (used_ < fds_.size()) {
    TRAM_TRY(given, io::read_secret_fd(fds_[used_++]));
    read_.push_back(std::move(given));
  }
  return read_.back().view();
}

Result<void> generate_key(const KeygenOptions& options, Passphrases& passphrases) {
  for (char c : options.name)
    if (static_cast<uint8_t>(c) < 0x20) return fail(ErrorCode::bad_request, "the name has control characters");
  if (options.name.empty()) return fail(ErrorCode::bad_request, "the name is empty");
  io::SystemRandom random;
  crypto::KeyRing ring;
  std::string line;
  if (options.publisher) {
    ring.curve_secret = crypto::make_secret(random);
    line =
        "tram-publisher-1 " + crypto::curve_pair_from(ring.curve_secret).public_key.hex() + " " + options.name + "\n";
  } else {
    ring.sig_seed = crypto::make_secret(random);
    line = "tram-officer-1 " + random.id<PartyId>().hex() + " " + crypto::SigningKey(ring.sig_seed).public_key().hex() +
           " " + options.name + "\n";
  }
  TRAM_TRY(secret, passphrases.next(options.out, true));
  crypto::UnlockCost cost;
  cost.memory_bytes = options.memory_bytes;
  TRAM_TRY(sealed, crypto::seal_key_file(ring, crypto::UnlockKind::passphrase, secret, cost, random));
  TRAM_OK(io::write_private_file_atomic(options.out, sealed, io::Replace::refused));
  return write_public_file(options.out + ".pub", view(line));
}

Result<proto::RootOfficer> read_officer_public(const std::string& path) {
  TRAM_TRY(fields, public_fields(path, "tram-officer-1", 4));
  const auto id = PartyId::parse(fields[1]);
  const auto key = SigPublic::parse(fields[2]);
  if (!id || !key) return fail(ErrorCode::bad_format, path);
  return proto::RootOfficer{*id, fields[3], *key};
}

Result<CurvePublic> read_publisher_public(const std::string& path) {
  TRAM_TRY(fields, public_fields(path, "tram-publisher-1", 3));
  const auto key = CurvePublic::parse(fields[1]);
  if (!key) return fail(ErrorCode::bad_format, path);
  return *key;
}

Result<OfficerKey> open_officer_key(const std::string& path, Passphrases& passphrases) {
  TRAM_TRY(shown, read_officer_public(path + ".pub"));
  TRAM_TRY(ring, open_ring(path, passphrases));
  OfficerKey officer{shown.id, shown.name, crypto::SigningKey(ring.sig_seed)};
  if (officer.key.public_key() != shown.key) return fail(ErrorCode::bad_format, path + ".pub belongs to another key");
  return officer;
}

Result<crypto::Secret32> open_publisher_key(const std::string& path, Passphrases& passphrases) {
  TRAM_TRY(shown, read_publisher_public(path + ".pub"));
  TRAM_TRY(ring, open_ring(path, passphrases));
  if (crypto::curve_pair_from(ring.curve_secret).public_key != shown)
    return fail(ErrorCode::bad_format, path + ".pub belongs to another key");
  return std::move(ring.curve_secret);
}

}  // namespace tram::authority
