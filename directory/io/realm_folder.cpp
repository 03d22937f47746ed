#include "directory/io/realm_folder.h"

#include <algorithm>
#include <filesystem>
#include <sys/stat.h>

#include "base/io/config_file.h"
#include "base/io/secret_input.h"
#include "base/limits.h"

namespace tram::authority {
namespace {

namespace fs = std::filesystem;

constexpr ConfigKey realm_keys[] = {
    {"realm", ConfigType::string, "", 64, 64, "", "H(\"edx1/realm\"; genesis payload), hexadecimal", true},
    {"name", ConfigType::string, "", 1, 400, "", "Name of the realm", true},
    {"practice", ConfigType::boolean, "false", 0, 1, "", "A practice realm is not for real documents", false},
};

const Time far{253402300799000};  // the end of the year 9999: everything scheduled is in force

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// Entry files of a folder in order of name.
Result<std::vector<std::string>> entry_files(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".entry") out.push_back(it->path().string());
  if (error) return fail(ErrorCode::io_failed, folder);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::string entry_file_name(uint64_t index) {
  std::string digits = std::to_string(index);
  return std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits + ".entry";
}

Result<Pending> read_entry_file(const std::string& path) {
  TRAM_TRY(bytes, io::read_file(path, limits::directory_entry_bytes_max));
  TRAM_TRY(entry, proto::decode_entry(bytes));
  TRAM_TRY(payload, proto::decode_entry_payload(entry.payload));
  return Pending{path, std::move(entry), std::move(payload)};
}

Result<void> write_public_file(const std::string& path, BytesView bytes) {
  TRAM_OK(io::write_private_file_atomic(path, bytes));
  if (::chmod(path.c_str(), 0644) != 0) return fail(ErrorCode::io_failed, path);
  return {};
}

Result<void> RealmFolder::create(const std::string& path, const proto::EntryPayload& genesis) {
  const auto* root = genesis.changes.empty() ? nullptr : std::get_if<proto::RootChange>(&genesis.changes.front().body);
  if (!root) return fail(ErrorCode::bad_request, "genesis");
  if (fs::exists(path + "/genesis/realm.toml")) return fail(ErrorCode::conflict, "there is a realm in " + path);
  std::error_code error;
  for (const char* folder : {"/genesis", "/entries", "/pending"}) {
    fs::create_directories(path + folder, error);
    if (error) return fail(ErrorCode::io_failed, path + folder);
  }
  proto::Entry entry;
  entry.payload = proto::encode_entry_payload(genesis);
  const std::string toml = "realm = " + toml_string(directory::realm_of(entry.payload).hex()) +
                           "\nname = " + toml_string(root->realm_name) +
                           "\npractice = " + (root->practice ? "true" : "false") + "\n";
  TRAM_OK(write_public_file(path + "/pending/" + entry_file_name(0), proto::encode_entry(entry)));
  return write_public_file(path + "/genesis/realm.toml", view(toml));
}

Result<std::unique_ptr<RealmFolder>> RealmFolder::open(const std::string& path) {
  auto config = io::read_config(path + "/genesis/realm.toml", realm_keys);
  if (!config && config.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found,
                "no realm in \"" + path + "\": give --realm DIR, or make one with `tram-authority create`");
  if (!config) return fail(std::move(config.error()));
  const auto realm = RealmId::parse(config->string("realm"));
  if (!realm) return fail(ErrorCode::bad_config, path + "/genesis/realm.toml: realm");
  std::unique_ptr<RealmFolder> folder(new RealmFolder(path, *realm));
  TRAM_OK(folder->load());
  return folder;
}

Result<void> RealmFolder::load() {
  TRAM_TRY(entries, entry_files(path_ + "/entries"));
  for (const std::string& file : entries) {
    TRAM_TRY(bytes, io::read_file(file, limits::directory_entry_bytes_max));
    if (auto applied = directory_.apply(txn_, bytes, Time{}); !applied) {
      Error error = applied.error();
      error.detail = file + ": " + error.detail;
      return fail(std::move(error));
    }
  }
  TRAM_TRY(waiting, entry_files(path_ + "/pending"));
  for (const std::string& file : waiting) {
    TRAM_TRY(pending, read_entry_file(file));
    pending_.push_back(std::move(pending));
  }
  return {};
}

bool RealmFolder::practice() const {
  if (directory_.size()) return directory_.practice();
  if (pending_.empty() || pending_.front().payload.changes.empty()) return false;
  const auto* root = std::get_if<proto::RootChange>(&pending_.front().payload.changes.front().body);
  return root && root->practice;
}

directory::Chain RealmFolder::chain(Time created) const {
  directory::Chain chain{directory_.realm(), directory_.size(), directory_.last_payload_hash(), {}, created};
  if (!pending_.empty()) {
    chain.next_index = pending_.back().payload.index + 1;
    chain.previous = directory::entry_hash(pending_.back().entry.payload);
  }
  return chain;
}

Result<std::vector<std::string>> RealmFolder::propose(const std::vector<Bytes>& payloads) {
  std::vector<std::string> paths;
  for (const Bytes& bytes : payloads) {
    TRAM_TRY(payload, proto::decode_entry_payload(bytes));
    Pending pending{path_ + "/pending/" + entry_file_name(payload.index), {bytes, {}}, std::move(payload)};
    TRAM_OK(write_public_file(pending.path, proto::encode_entry(pending.entry)));
    paths.push_back(pending.path);
    pending_.push_back(std::move(pending));
  }
  return paths;
}

Result<void> RealmFolder::store_pending(const Pending& changed) {
  for (Pending& pending : pending_)
    if (pending.payload.index == changed.payload.index) pending.entry.signatures = changed.entry.signatures;
  return write_public_file(changed.path, proto::encode_entry(changed.entry));
}

Result<void> RealmFolder::accept_first() {
  if (pending_.empty()) return fail(ErrorCode::not_found, "nothing is pending");
  const Pending& first = pending_.front();
  const Bytes bytes = proto::encode_entry(first.entry);
  TRAM_OK(directory_.apply(txn_, bytes, Time{}));
  TRAM_OK(write_public_file(path_ + "/entries/" + entry_file_name(first.payload.index), bytes));
  std::error_code error;
  fs::remove(first.path, error);
  if (error) return fail(ErrorCode::io_failed, first.path);
  pending_.erase(pending_.begin());
  return {};
}

Result<std::vector<PartyId>> RealmFolder::drop_idle_signatures() {
  std::vector<PartyId> idle;
  if (pending_.empty()) return idle;
  TRAM_TRY(examined, directory_.examine(txn_, pending_.front().entry));
  if (examined.sets.empty()) return idle;  // refused before anybody was counted
  const auto counts = [&](const PartyId& signer) {
    return std::any_of(examined.sets.begin(), examined.sets.end(), [&](const directory::SignerSet& set) {
      return std::find(set.valid_signers.begin(), set.valid_signers.end(), signer) != set.valid_signers.end();
    });
  };
  auto& signatures = pending_.front().entry.signatures;
  std::erase_if(signatures, [&](const proto::EntrySignature& signature) {
    if (counts(signature.signer)) return false;
    idle.push_back(signature.signer);
    return true;
  });
  if (!idle.empty()) TRAM_OK(store_pending(Pending(pending_.front())));
  return idle;
}

Result<size_t> RealmFolder::discard(uint64_t index) {
  size_t count = 0;
  while (!pending_.empty() && pending_.back().payload.index >= index) {
    std::error_code error;
    fs::remove(pending_.back().path, error);
    if (error) return fail(ErrorCode::io_failed, pending_.back().path);
    pending_.pop_back();
    ++count;
  }
  if (count == 0) return fail(ErrorCode::not_found, "pending entry " + std::to_string(index));
  return count;
}

std::optional<PartyId> RealmFolder::find_code(std::string_view code, Time now) {
  for (Time at : {now, far})
    if (auto found = directory_.find_code(txn_, code, at); found && *found) return **found;
  for (auto pending = pending_.rbegin(); pending != pending_.rend(); ++pending)
    for (const proto::Change& change : pending->payload.changes)
      if (const auto* agency = std::get_if<proto::AgencyChange>(&change.body))
        for (const auto& held : agency->agency.codes)
          if (held.code == code) return agency->agency.id;
  return std::nullopt;
}

std::optional<proto::Agency> RealmFolder::latest_record(const PartyId& id, Time now) {
  for (auto pending = pending_.rbegin(); pending != pending_.rend(); ++pending)
    for (auto change = pending->payload.changes.rbegin(); change != pending->payload.changes.rend(); ++change)
      if (const auto* agency = std::get_if<proto::AgencyChange>(&change->body); agency && agency->agency.id == id)
        return agency->agency;
  for (Time at : {now, far})
    if (auto state = directory_.agency(txn_, id, at); state && *state) return (*state)->agency;
  return std::nullopt;
}

std::string RealmFolder::name_of(const PartyId& id, Time now) {
  if (auto record = latest_record(id, now)) return record->name_vi;
  if (auto broker = directory_.broker(id)) return broker->record.name;
  for (const auto& registrar : directory_.registrars())
    if (registrar.id == id) return registrar.name;
  for (const auto& officer : directory_.root_change().officers)
    if (officer.id == id) return officer.name;
  for (const Pending& pending : pending_)
    for (const proto::Change& change : pending.payload.changes)
      if (const auto* root = std::get_if<proto::RootChange>(&change.body))
        for (const auto& officer : root->officers)
          if (officer.id == id) return officer.name;
  return "";
}

}  // namespace tram::authority
