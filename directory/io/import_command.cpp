// import: agencies from CSV files, or the national lists of provinces and communes.
#include <cstdio>

#include "base/io/clock.h"
#include "base/io/system_random.h"
#include "directory/import.h"
#include "directory/io/commands.h"

namespace tram::authority {
namespace {

constexpr size_t csv_bytes_max = 64u << 20;
constexpr size_t provinces_expected = 34, communes_expected = 3321;

Result<directory::CsvTable> read_table(const std::string& path) {
  TRAM_TRY(text, read_text(path, csv_bytes_max));
  auto table = directory::CsvTable::parse(text);
  if (!table) return fail(table.error().code, path + ": " + table.error().detail);
  return table;
}

Result<void> import(const Global& global, const ImportOptions& options) {
  const Time start = io::monotonic_now(), now = io::wall_now();
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(registrar, signing_party(*folder, options.by, now));
  io::SystemRandom random;
  // The codes of pending entries are gathered once: looking through thousands of them for each row would be slow.
  std::map<std::string, PartyId, std::less<>> waiting;
  for (const Pending& pending : folder->pending())
    for (const proto::Change& change : pending.payload.changes)
      if (const auto* agency = std::get_if<proto::AgencyChange>(&change.body))
        for (const auto& code : agency->agency.codes) waiting[code.code] = agency->agency.id;
  const directory::FindCode find = [&](std::string_view code) -> std::optional<PartyId> {
    if (auto found = folder->directory().find_code(folder->txn(), code, now); found && *found) return *found;
    const auto pending = waiting.find(code);
    return pending == waiting.end() ? std::nullopt : std::optional(pending->second);
  };
  std::vector<proto::Change> changes;
  size_t present = 0, rows = 0;
  if (options.national) {
    TRAM_TRY(provinces, read_table(options.provinces));
    TRAM_TRY(communes, read_table(options.communes));
    std::optional<directory::CsvTable> ministries;
    if (!options.ministries.empty()) {
      TRAM_TRY(table, read_table(options.ministries));
      ministries = std::move(table);
    }
    TRAM_TRY(made,
             directory::national_agencies(provinces, communes, ministries ? &*ministries : nullptr, find, random));
    if (!global.json)
      std::printf(global.vietnamese ? "Tỉnh: %zu (x3). Xã: %zu (x3). Trung ương: %zu.\n"
                                    : "Provinces: %zu (x3). Communes: %zu (x3). Central: %zu.\n",
                  made.provinces, made.communes, made.central);
    if (made.provinces != provinces_expected || made.communes != communes_expected)
      return fail(ErrorCode::bad_request, "the lists must give 34 provinces and 3,321 communes, not " +
                                              std::to_string(made.provinces) + " and " + std::to_string(made.communes));
    TRAM_TRY(effective, parse_moment(options.effective, directory::reform_of_2025));
    for (auto& agency : made.agencies) changes.push_back({effective, proto::AgencyChange{std::move(agency)}});
    present = made.present;
    rows = changes.size() + present;
  }
  for (const std::string& file : options.files) {
    TRAM_TRY(table, read_table(file));
    TRAM_TRY(effective, parse_moment(options.effective, now));
    auto made = directory::agencies_from_csv(table, Time{}, find, random);
    if (!made) return fail(made.error().code, file + ": " + made.error().detail);
    for (auto& agency : made->agencies) {
      for (const auto& code : agency.codes) waiting[code.code] = agency.id;
      changes.push_back({effective, proto::AgencyChange{std::move(agency)}});
    }
    present += made->present;
    rows += table.rows();
  }
  if (!global.json)
    std::printf(
        global.vietnamese ? "Đọc %zu cơ quan: %zu mới, %zu đã có.\n" : "%zu agencies read: %zu new, %zu present.\n",
        rows, changes.size(), present);
  if (changes.empty()) {
    if (global.json)
      std::printf("{\"proposed\":0,\"pending\":%zu,\"size\":%llu}\n", folder->pending().size(),
                  static_cast<unsigned long long>(folder->directory().size()));
    return {};
  }
  TRAM_OK(finish_proposal(global, *folder, changes, registrar, options.sign_with));
  if (!global.json) std::printf("%.1f s\n", static_cast<double>((io::monotonic_now() - start).ms) / 1000.0);
  return {};
}

}  // namespace

int run_import(const Global& global, const ImportOptions& options) {
  auto done = import(global, options);
  return done ? 0 : report(done.error(), global);
}

}  // namespace tram::authority
