// keygen, create, and what every command that proposes an entry ends with.
#include <cstdio>

#include "base/io/clock.h"
#include "base/limits.h"
#include "directory/io/commands.h"

namespace tram::authority {

int run_keygen(const Global& global, const KeygenOptions& options, const std::vector<int>& passphrase_fds) {
  Passphrases passphrases(passphrase_fds);
  if (auto made = generate_key(options, passphrases); !made) return report(made.error(), global);
  std::printf(global.vietnamese ? "Đã tạo %s (giữ kín) và %s.pub (gửi cho cơ quan quản lý danh bạ).\n"
                                : "Made %s (keep it secret) and %s.pub (give it to the authority).\n",
              options.out.c_str(), options.out.c_str());
  return 0;
}

Result<std::string> read_text(const std::string& path, size_t bytes_max) {
  TRAM_TRY(bytes, io::read_file(path, bytes_max));
  return to_text(bytes);
}

void print_entry(const Global& global, const proto::EntryPayload& payload, const directory::NameOf& name_of,
                 size_t lines_max) {
  const auto lines = directory::describe_entry(
      payload, global.vietnamese ? directory::Language::vietnamese : directory::Language::english, name_of);
  for (size_t i = 0; i < lines.size() && i < lines_max; ++i) std::printf("  %zu. %s\n", i + 1, lines[i].c_str());
  if (lines.size() > lines_max)
    std::printf(global.vietnamese ? "  ... và %zu thay đổi nữa (xem tất cả: tram-authority explain)\n"
                                  : "  ... and %zu more (all of them: tram-authority explain)\n",
                lines.size() - lines_max);
}

Result<PartyId> signing_party(RealmFolder& folder, const std::string& by, Time now) {
  if (by.empty() || by == "root") return PartyId{};
  for (const auto& registrar : folder.directory().registrars())
    if (registrar.name == by || registrar.id.hex() == by) return registrar.id;
  if (auto agency = folder.find_code(by, now)) return *agency;
  return fail(ErrorCode::bad_request, "--by " + by + " is neither a registrar nor an agency's code");
}

Result<void> sign_and_accept(RealmFolder& folder, const SignWith& with) {
  if (!folder.practice())
    return fail(ErrorCode::forbidden, "--sign-with is for practice realms: here each officer signs alone");
  Passphrases passphrases(with.passphrase_fds);
  std::vector<OfficerKey> officers;
  for (const std::string& file : with.keys) {
    TRAM_TRY(officer, open_officer_key(file, passphrases));
    officers.push_back(std::move(officer));
  }
  Progress progress("sign", folder.pending().size());
  const size_t total = folder.pending().size();
  while (!folder.pending().empty()) {
    Pending pending = folder.pending().front();
    for (const OfficerKey& officer : officers) {
      bool signed_already = false;
      for (const auto& signature : pending.entry.signatures) signed_already |= signature.signer == officer.id;
      if (!signed_already)
        pending.entry.signatures.push_back(directory::sign_entry(pending.entry.payload, officer.id, officer.key));
    }
    TRAM_OK(folder.store_pending(pending));
    TRAM_OK(folder.accept_first());
    progress.step(total - folder.pending().size());
  }
  return {};
}

namespace {

void print_json_result(const RealmFolder& folder, size_t entries) {
  std::printf("{\"proposed\":%zu,\"pending\":%zu,\"size\":%llu}\n", entries, folder.pending().size(),
              static_cast<unsigned long long>(folder.directory().size()));
}

Result<void> propose_at_end(const Global& global, RealmFolder& folder, const std::vector<proto::Change>& changes,
                            const PartyId& registrar, const SignWith& with) {
  const Time now = io::wall_now();
  directory::Chain chain = folder.chain(now);
  chain.registrar = registrar;
  TRAM_TRY(payloads, directory::pack_entries(changes, chain));
  // Nothing is written that the directory would refuse whoever signs it.
  std::vector<proto::Entry> entries;
  for (const Pending& pending : folder.pending()) entries.push_back(pending.entry);
  for (const Bytes& payload : payloads) entries.push_back({payload, {}});
  TRAM_TRY(refused, folder.directory().foresee(folder.txn(), entries));
  if (refused && refused->place >= folder.pending().size()) return fail(std::move(refused->error));
  const bool first = folder.pending().empty();
  TRAM_TRY(paths, folder.propose(payloads));
  if (!global.json) {
    TRAM_TRY(payload, proto::decode_entry_payload(payloads.front()));
    print_entry(
        global, payload, [&](const PartyId& id) { return folder.name_of(id, now); }, 20);
  }
  if (!with.keys.empty()) {
    if (auto accepted = sign_and_accept(folder, with); !accepted) {
      // What a script proposed and could not sign does not stay behind.
      if (first && !folder.pending().empty()) TRAM_OK(folder.discard(folder.pending().front().payload.index));
      return accepted;
    }
    if (global.json)
      print_json_result(folder, paths.size());
    else
      std::printf(global.vietnamese ? "Đã ký và đưa vào danh bạ: %zu mục.\n" : "Signed and accepted: %zu entries.\n",
                  paths.size());
    return {};
  }
  if (global.json) {
    print_json_result(folder, paths.size());
    return {};
  }
  for (size_t i = 0; i < paths.size() && i < 5; ++i) std::printf("%s\n", paths[i].c_str());
  if (paths.size() > 5) std::printf("... %zu\n", paths.size());
  std::printf(
      global.vietnamese
          ? "Tiếp theo: mỗi cán bộ chạy `tram-authority sign TỆP --officer-key KHÓA`, rồi `tram-authority accept`.\n"
          : "Next: each officer runs `tram-authority sign FILE --officer-key KEY`, then `tram-authority accept`.\n");
  return {};
}

}  // namespace

Result<void> finish_proposal(const Global& global, RealmFolder& folder, const std::vector<proto::Change>& changes,
                             const PartyId& registrar, const SignWith& with, bool urgent) {
  if (!urgent || folder.pending().empty()) return propose_at_end(global, folder, changes, registrar, with);
  const std::vector<Pending> waiting = folder.pending();
  if (waiting.front().payload.index == 0) return fail(ErrorCode::wrong_state, "the first entry is not accepted yet");
  TRAM_OK(folder.discard(waiting.front().payload.index));
  auto proposed = propose_at_end(global, folder, changes, registrar, with);
  for (const Pending& pending : waiting) {
    const directory::Chain chain = folder.chain(pending.payload.created);
    proto::EntryPayload payload = pending.payload;
    payload.index = chain.next_index;
    payload.previous = chain.previous;
    TRAM_OK(folder.propose({proto::encode_entry_payload(payload)}));
  }
  std::fprintf(stderr,
               global.vietnamese ? "%zu mục đang chờ được xếp sau và phải ký lại.\n"
                                 : "%zu pending entries now come after it and must be signed again.\n",
               waiting.size());
  return proposed;
}

namespace {

Result<void> create(const Global& global, const CreateOptions& options) {
  proto::RootChange root;
  root.realm_name = options.name;
  root.practice = options.practice;
  root.threshold = options.threshold;
  root.root_threshold = options.root_threshold ? options.root_threshold : options.threshold;
  for (const std::string& file : options.officers) {
    TRAM_TRY(officer, read_officer_public(file));
    root.officers.push_back(std::move(officer));
  }
  for (const std::string& file : options.publishers) {
    TRAM_TRY(publisher, read_publisher_public(file));
    root.publishers.push_back(publisher);
  }
  if (!options.sign_with.keys.empty() && !options.practice)
    return fail(ErrorCode::forbidden, "--sign-with is for practice realms: here each officer signs alone");
  proto::EntryPayload genesis;
  genesis.created = io::wall_now();
  genesis.changes.push_back({Time{}, root});
  proto::Entry entry;
  entry.payload = proto::encode_entry_payload(genesis);
  directory::StagedTxn empty;
  TRAM_TRY(examined, directory::Directory(directory::realm_of(entry.payload)).examine(empty, entry));
  if (examined.refusal) return fail(*examined.refusal);
  TRAM_OK(RealmFolder::create(global.realm, genesis));
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  if (!options.sign_with.keys.empty()) TRAM_OK(sign_and_accept(*folder, options.sign_with));
  if (global.json) {
    std::printf("{\"realm\":\"%s\",\"size\":%llu}\n", folder->directory().realm().hex().c_str(),
                static_cast<unsigned long long>(folder->directory().size()));
    return {};
  }
  std::printf("%s %s\n", global.vietnamese ? "Mạng:" : "Realm:", folder->directory().realm().hex().c_str());
  print_entry(global, genesis, {}, 5);
  if (options.sign_with.keys.empty())
    std::printf(global.vietnamese ? "Tiếp theo: %u cán bộ ký %s/pending/000000.entry, rồi `tram-authority accept`.\n"
                                  : "Next: %u officers sign %s/pending/000000.entry, then `tram-authority accept`.\n",
                root.root_threshold, global.realm.c_str());
  return {};
}

}  // namespace

int run_create(const Global& global, const CreateOptions& options) {
  auto done = create(global, options);
  return done ? 0 : report(done.error(), global);
}

}  // namespace tram::authority
