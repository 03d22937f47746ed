// sign, merge, status, explain, accept, discard: a proposed entry on its way into the directory.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/io/clock.h"
#include "directory/io/commands.h"

namespace tram::authority {
namespace {

constexpr size_t sentences_max = 40;

/// Runs a command that returns Result<void>.
template <class F>
int finish(const Global& global, F&& command) {
  auto done = command();
  return done ? 0 : report(done.error(), global);
}

/// The realm's folder when there is one; signing works without.
std::unique_ptr<RealmFolder> realm_if_any(const Global& global) {
  auto folder = RealmFolder::open(global.realm);
  return folder ? std::move(*folder) : nullptr;
}

directory::NameOf names_of(RealmFolder* folder) {
  if (!folder) return {};
  return [folder](const PartyId& id) { return folder->name_of(id, io::wall_now()); };
}

void add_signature(Pending& pending, const OfficerKey& officer) {
  auto& signatures = pending.entry.signatures;
  std::erase_if(signatures, [&](const proto::EntrySignature& held) { return held.signer == officer.id; });
  signatures.push_back(directory::sign_entry(pending.entry.payload, officer.id, officer.key));
}

Result<void> sign(const Global& global, const SignOptions& options) {
  auto folder = realm_if_any(global);
  std::vector<Pending> entries;
  for (const std::string& file : options.pending) {
    TRAM_TRY(pending, read_entry_file(file));
    entries.push_back(std::move(pending));
  }
  if (options.pending.empty() && folder) entries = folder->pending();
  if (entries.empty()) return fail(ErrorCode::not_found, "nothing to sign: name the pending entry's file");
  size_t changes = 0;
  for (const Pending& pending : entries) changes += pending.payload.changes.size();
  std::printf(global.vietnamese ? "%zu mục, %zu thay đổi:\n" : "%zu entries, %zu changes:\n", entries.size(), changes);
  size_t left = sentences_max;
  for (const Pending& pending : entries) {
    if (left == 0) break;
    std::printf("#%llu %s\n", static_cast<unsigned long long>(pending.payload.index),
                format_moment(pending.payload.created).c_str());
    print_entry(global, pending.payload, names_of(folder.get()), left);
    left -= std::min(left, pending.payload.changes.size());
  }
  if (!options.yes) {
    TRAM_TRY(agreed, confirm(global.vietnamese ? "Ký?" : "Sign?"));
    if (!agreed) return fail(ErrorCode::wrong_state, "not signed");
  }
  Passphrases passphrases(options.passphrase_fds);
  for (const std::string& file : options.keys) {
    TRAM_TRY(officer, open_officer_key(file, passphrases));
    for (Pending& pending : entries) add_signature(pending, officer);
  }
  for (const Pending& pending : entries) TRAM_OK(write_public_file(pending.path, proto::encode_entry(pending.entry)));
  std::printf(global.vietnamese ? "Đã ký %zu mục.\n" : "Signed %zu entries.\n", entries.size());
  return {};
}

/// The pending entry of the realm that has the same payload.
const Pending* same_pending(const RealmFolder& folder, const Pending& copy) {
  for (const Pending& pending : folder.pending())
    if (pending.entry.payload == copy.entry.payload) return &pending;
  return nullptr;
}

Result<size_t> merge_into(RealmFolder& folder, const Pending& copy) {
  const Pending* ours = same_pending(folder, copy);
  if (!ours) return fail(ErrorCode::not_found, copy.path + " is a copy of no pending entry of this realm");
  Pending merged = *ours;
  size_t added = 0;
  for (const auto& signature : copy.entry.signatures) {
    const bool held = std::any_of(merged.entry.signatures.begin(), merged.entry.signatures.end(),
                                  [&](const auto& other) { return other.signer == signature.signer; });
    if (held) continue;
    merged.entry.signatures.push_back(signature);
    ++added;
  }
  if (added) TRAM_OK(folder.store_pending(merged));
  return added;
}

Result<void> merge(const Global& global, const std::vector<std::string>& files) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  size_t added = 0;
  for (const std::string& file : files) {
    TRAM_TRY(copy, read_entry_file(file));
    TRAM_TRY(count, merge_into(*folder, copy));
    added += count;
  }
  std::printf(global.vietnamese ? "Thêm %zu chữ ký.\n" : "%zu signatures added.\n", added);
  return {};
}

Result<void> status(const Global& global) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  const Time now = io::wall_now();
  auto rows = nlohmann::json::array();
  for (const Pending& pending : folder->pending()) {
    // Only the first can be judged in full: the others are judged after those before them.
    const bool first = &pending == &folder->pending().front();
    nlohmann::json row{{"index", pending.payload.index},
                       {"file", pending.path},
                       {"changes", pending.payload.changes.size()},
                       {"signatures", pending.entry.signatures.size()}};
    std::vector<std::string> problems;
    if (first) {
      TRAM_TRY(state, directory::examine_entry(folder->txn(), folder->directory(), pending.entry, now));
      row["needed"] = state.needed;
      row["valid"] = state.valid_signers.size();
      row["problems"] = problems = state.problems;
    }
    if (!global.json) {
      std::printf("#%llu  %zu %s, %zu %s", static_cast<unsigned long long>(pending.payload.index),
                  pending.payload.changes.size(), global.vietnamese ? "thay đổi" : "changes",
                  pending.entry.signatures.size(), global.vietnamese ? "chữ ký" : "signatures");
      if (first)
        std::printf(global.vietnamese ? " (hợp lệ %zu, cần %zu)" : " (%zu valid, %zu needed)",
                    row["valid"].get<size_t>(), row["needed"].get<size_t>());
      std::printf("  %s\n", pending.path.c_str());
      for (const std::string& problem : problems) std::printf("    %s\n", problem.c_str());
    }
    rows.push_back(std::move(row));
  }
  const auto& directory = folder->directory();
  if (global.json) {
    std::printf("%s\n", nlohmann::json{{"realm", directory.realm().hex()},
                                       {"size", directory.size()},
                                       {"root", directory.root().hex()},
                                       {"practice", folder->practice()},
                                       {"pending", rows}}
                            .dump()
                            .c_str());
    return {};
  }
  std::printf(global.vietnamese ? "Mạng %s%s: %llu mục trong danh bạ, %zu mục chờ.\n"
                                : "Realm %s%s: %llu entries, %zu pending.\n",
              directory.realm().hex().c_str(),
              folder->practice() ? (global.vietnamese ? " (THỰC HÀNH)" : " (PRACTICE)") : "",
              static_cast<unsigned long long>(directory.size()), folder->pending().size());
  return {};
}

Result<void> explain(const Global& global, const std::string& file) {
  TRAM_TRY(pending, read_entry_file(file));
  auto folder = realm_if_any(global);
  const Hash hash = directory::entry_hash(pending.entry.payload);
  std::printf("#%llu %s\n", static_cast<unsigned long long>(pending.payload.index), hash.hex().c_str());
  print_entry(global, pending.payload, names_of(folder.get()), SIZE_MAX);
  for (const auto& signature : pending.entry.signatures) {
    const std::string name = folder ? folder->name_of(signature.signer, io::wall_now()) : "";
    std::printf("  %s %s %s\n", global.vietnamese ? "ký:" : "signed:", signature.signer.hex().c_str(), name.c_str());
  }
  if (!folder) {
    std::printf(global.vietnamese ? "Không có thư mục mạng (--realm): không kiểm tra được chữ ký.\n"
                                  : "No realm folder (--realm): the signatures were not checked.\n");
    return {};
  }
  if (pending.payload.index < folder->directory().size()) {
    TRAM_TRY(held, folder->directory().entry(folder->txn(), pending.payload.index));
    TRAM_TRY(ours, proto::decode_entry(held));
    if (ours.payload != pending.entry.payload)
      return fail(ErrorCode::rollback, "the directory holds another entry at this index");
    std::printf(global.vietnamese ? "Mục này đã nằm trong danh bạ.\n" : "This entry is in the directory.\n");
    return {};
  }
  TRAM_TRY(state, directory::examine_entry(folder->txn(), folder->directory(), pending.entry, io::wall_now()));
  std::printf(global.vietnamese ? "Chữ ký hợp lệ: %zu, cần %u.\n" : "Valid signatures: %zu, needed %u.\n",
              state.valid_signers.size(), state.needed);
  for (const std::string& problem : state.problems) std::printf("  ! %s\n", problem.c_str());
  if (state.problems.empty())
    std::printf(global.vietnamese ? "Có thể đưa vào danh bạ: tram-authority accept\n"
                                  : "Ready: tram-authority accept\n");
  return {};
}

Result<void> accept(const Global& global, const std::vector<std::string>& files) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  for (const std::string& file : files) {
    TRAM_TRY(copy, read_entry_file(file));
    if (copy.payload.index < folder->directory().size()) continue;
    TRAM_TRY(added, merge_into(*folder, copy));
    static_cast<void>(added);
  }
  size_t accepted = 0;
  const size_t total = folder->pending().size();
  Progress progress("accept", total);
  while (!folder->pending().empty()) {
    TRAM_TRY(idle, folder->drop_idle_signatures());
    for (const PartyId& signer : idle)
      std::fprintf(stderr,
                   global.vietnamese ? "bỏ qua: chữ ký của %s %s: sai, hoặc không có quyền ký mục này\n"
                                     : "left out: signature of %s %s: it is wrong, or not theirs to give here\n",
                   signer.hex().c_str(), folder->name_of(signer, io::wall_now()).c_str());
    if (auto done = folder->accept_first(); !done) {
      Error error = done.error();
      error.detail = folder->pending().front().path + ": " + error.detail;
      if (accepted)
        std::printf(global.vietnamese ? "Đã đưa vào danh bạ %zu mục.\n" : "%zu entries accepted.\n", accepted);
      return fail(std::move(error));
    }
    progress.step(++accepted);
  }
  if (global.json)
    std::printf("{\"accepted\":%zu,\"size\":%llu}\n", accepted,
                static_cast<unsigned long long>(folder->directory().size()));
  else
    std::printf(global.vietnamese
                    ? "Đã đưa vào danh bạ %zu mục; danh bạ có %llu mục. Tiếp theo: tram-authority publish\n"
                    : "%zu entries accepted; the directory has %llu. Next: tram-authority publish\n",
                accepted, static_cast<unsigned long long>(folder->directory().size()));
  return {};
}

Result<void> discard(const Global& global, const std::string& file) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(pending, read_entry_file(file));
  if (!same_pending(*folder, pending)) return fail(ErrorCode::not_found, file + " is not pending in this realm");
  TRAM_TRY(count, folder->discard(pending.payload.index));
  std::printf(global.vietnamese ? "Đã bỏ %zu mục chờ (mục này và các mục sau nó).\n"
                                : "%zu pending entries discarded (this and those after it).\n",
              count);
  return {};
}

}  // namespace

int run_sign(const Global& global, const SignOptions& options) {
  return finish(global, [&] { return sign(global, options); });
}
int run_merge(const Global& global, const std::vector<std::string>& files) {
  return finish(global, [&] { return merge(global, files); });
}
int run_status(const Global& global) {
  return finish(global, [&] { return status(global); });
}
int run_explain(const Global& global, const std::string& file) {
  return finish(global, [&] { return explain(global, file); });
}
int run_accept(const Global& global, const std::vector<std::string>& files) {
  return finish(global, [&] { return accept(global, files); });
}
int run_discard(const Global& global, const std::string& file) {
  return finish(global, [&] { return discard(global, file); });
}

}  // namespace tram::authority
