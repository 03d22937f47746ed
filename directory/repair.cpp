#include "directory/repair.h"

#include "directory/rows.h"

namespace tram::directory {
namespace {
constexpr size_t page_rows = 256;
}

Result<uint64_t> rebuild(WriteTxn& txn, const RealmId& realm, Time now) {
  std::vector<Bytes> kept;
  for (;;) {
    TRAM_TRY(entry, txn.get(rows::entries, rows::index_key(kept.size())));
    if (!entry) break;
    kept.push_back(std::move(*entry));
  }
  for (const Table& table : tables()) {
    if (table.name == rows::kx.name) continue;
    for (;;) {
      TRAM_TRY(page, txn.scan(table, {}, {}, page_rows));
      for (const Row& row : page) TRAM_OK(txn.erase(table, row.key));
      if (page.size() < page_rows) break;
    }
  }
  Directory fresh(realm);
  for (const Bytes& entry : kept) {
    auto applied = fresh.apply(txn, entry, now);
    if (!applied && error_info(applied.error().code).retry == Retry::fatal) return fail(applied.error());
    if (!applied) break;
  }
  if (fresh.known_brokers().empty()) return fail(ErrorCode::store_corrupt, "directory: no broker is left in it to ask for the rest; restore a backup");
  return fresh.size();
}

}  // namespace tram::directory
