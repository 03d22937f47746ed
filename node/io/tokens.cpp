#include "node/io/tokens.h"

#include <sys/stat.h>

#include <algorithm>
#include <sstream>

#include "base/io/secret_input.h"
#include "crypto/hash.h"

namespace tram::node {

namespace {

constexpr size_t file_bytes_max = 1u << 20;
using Table = std::map<Hash, api::Principal>;

/// Lines "sha256hex role name".
Result<Table> read_table(const std::string& file) {
  Table table;
  auto content = io::read_private_file(file, file_bytes_max);
  if (!content) {
    if (content.error().code == ErrorCode::not_found) return table;
    return fail(content.error());
  }
  std::istringstream lines{to_text(content->view())};
  std::string hash, role, name;
  while (lines >> hash >> role >> name) {
    auto id = Hash::parse(hash);
    if (!id) return fail(ErrorCode::bad_format, file);
    table[*id] = {name, role};
  }
  return table;
}

Result<void> write_table(const std::string& file, const Table& table) {
  std::string text;
  for (const auto& [hash, principal] : table) text += hash.hex() + " " + principal.role + " " + principal.name + "\n";
  return io::write_private_file_atomic(file, view(text));
}

bool is_word(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_' || c == '@';
  });
}

}  // namespace

std::optional<api::Principal> Tokens::find(const Hash& token_sha256) {
  std::lock_guard lock(mutex_);
  struct stat info {};
  const int64_t changed = ::stat(file_.c_str(), &info) == 0 ? info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec : 0;
  if (changed != read_at_ns_) {
    if (auto table = read_table(file_)) tokens_ = std::move(*table);
    read_at_ns_ = changed;
  }
  auto it = tokens_.find(token_sha256);
  if (it == tokens_.end()) return std::nullopt;
  return it->second;
}

Result<std::string> Tokens::add(const std::string& file, const std::string& name, const std::string& role, Random& random) {
  if (!is_word(name)) return fail(ErrorCode::bad_request, "name: letters, digits and . - _ @, at most 64");
  if (role != "clerk" && role != "dms" && role != "operator") return fail(ErrorCode::bad_request, "role: clerk, dms or operator");
  TRAM_TRY(table, read_table(file));
  for (const auto& [hash, principal] : table)
    if (principal.name == name) return fail(ErrorCode::conflict, "a token for " + name + " exists; remove it first");
  const std::string token = random.id<Hash>().hex();
  table[crypto::sha256({view(token)})] = {name, role};
  TRAM_OK(write_table(file, table));
  return token;
}

Result<void> Tokens::remove(const std::string& file, const std::string& name) {
  TRAM_TRY(table, read_table(file));
  const auto before = table.size();
  std::erase_if(table, [&](const auto& row) { return row.second.name == name; });
  if (table.size() == before) return fail(ErrorCode::not_found, name);
  return write_table(file, table);
}

Result<std::vector<api::Principal>> Tokens::list(const std::string& file) {
  TRAM_TRY(table, read_table(file));
  std::vector<api::Principal> out;
  for (const auto& [hash, principal] : table) out.push_back(principal);
  return out;
}

}  // namespace tram::node
