#include "base/scrub.h"

#include "base/limits.h"

namespace tram {
namespace {

constexpr Duration save_every = minutes(10);  // a sync each second would be work of its own
constexpr Duration turn_every = seconds(1);
constexpr size_t damaged_named_max = 100;
constexpr std::string_view row_key = "scrub";

void write(Writer& out, const ScrubCounts& counts) {
  out.u64(counts.rows).u64(counts.bodies).u64(counts.bytes).u64(counts.damaged_rows).u64(counts.damaged_bodies);
}
ScrubCounts read_counts(Reader& in) {
  ScrubCounts counts;
  counts.rows = in.u64();
  counts.bodies = in.u64();
  counts.bytes = in.u64();
  counts.damaged_rows = in.u64();
  counts.damaged_bodies = in.u64();
  return counts;
}

}  // namespace

Result<void> Scrub::load(ReadTxn& txn) {
  auto named = std::move(damaged_);  // still so, whatever became of the transaction
  *this = Scrub(tables_, home_, every_);
  damaged_ = std::move(named);
  auto row = txn.get(home_, view(row_key));
  if (!row && row.error().code == ErrorCode::io_failed) return fail(row.error());
  if (!row || !*row) return {};
  Reader reader(**row);
  Scrub found(tables_, home_, every_);
  found.began_ = Time{static_cast<int64_t>(reader.u64())};
  found.under_way_ = reader.u8() != 0;
  found.place_ = reader.u32();
  const uint32_t tables = reader.u32();
  found.counts_ = read_counts(reader);
  found.last_ended_ = Time{static_cast<int64_t>(reader.u64())};
  found.last_ = read_counts(reader);
  found.cursor_ = to_bytes(reader.raw(reader.left()));
  if (!reader.finish() || found.place_ > tables_.size()) return {};
  // A later version may keep more tables: the pass begins anew.
  if (tables != tables_.size()) found.under_way_ = false, found.began_ = {};
  found.damaged_ = std::move(damaged_);
  *this = std::move(found);
  return {};
}

Result<void> Scrub::save(WriteTxn& txn, Time now) {
  saved_ = now;
  Bytes value;
  Writer out(value);
  out.u64(began_.wire()).u8(under_way_ ? 1 : 0).u32(place_).u32(static_cast<uint32_t>(tables_.size()));
  write(out, counts_);
  out.u64(last_ended_.wire());
  write(out, last_);
  out.raw(cursor_);
  return txn.put(home_, view(row_key), value);
}

Result<void> Scrub::begin(WriteTxn& txn, Time now) {
  began_ = now;
  under_way_ = true;
  place_ = 0;
  cursor_.clear();
  counts_ = {};
  damaged_.clear();
  return save(txn, now);
}

bool Scrub::turn_due(Time now) {
  if (turned_.ms != 0 && now >= turned_ && now - turned_ < turn_every) return false;
  turned_ = now;
  return true;
}

Result<std::vector<DamagedRow>> Scrub::turn(WriteTxn& txn, Time now, bool busy) {
  std::vector<DamagedRow> damaged;
  bodies_due_ = false;
  // A clock that was set back must not put the next pass off.
  const bool due = began_.ms == 0 || now - began_ >= every_ || now < began_;
  if (!under_way_) {
    if (!due) return damaged;
    TRAM_OK(begin(txn, now));
  }
  if (busy && put_off_ < limits::scrub_put_off_max) {
    ++put_off_;
    return damaged;
  }
  put_off_ = 0;
  size_t left = limits::scrub_rows_per_second;
  while (left > 0 && place_ < tables_.size()) {
    auto page = txn.check(tables_[place_], cursor_, left);
    if (!page && page.error().code == ErrorCode::io_failed) return fail(page.error());
    if (!page) return fail(page.error().code, std::string(tables_[place_].name) + ": " + page.error().detail);
    counts_.rows += page->rows;
    counts_.damaged_rows += page->damaged.size();
    for (Bytes& key : page->damaged) {
      damaged.push_back({tables_[place_], std::move(key)});
      if (damaged_.size() < damaged_named_max) damaged_.push_back(damaged.back());
    }
    left -= std::min(left, std::max<size_t>(page->rows, 1));
    cursor_ = std::move(page->next);
    if (cursor_.empty()) ++place_;
  }
  bodies_due_ = place_ == tables_.size() && !job_out_;
  if (!damaged.empty() || now - saved_ >= save_every || now < saved_) TRAM_OK(save(txn, now));
  return damaged;
}

Result<void> Scrub::bodies_done(WriteTxn& txn, Time now, Bytes next, uint64_t bodies, uint64_t bytes, uint64_t damaged) {
  job_out_ = false;
  if (!under_way_ || place_ != tables_.size()) return {};  // of a pass before an aborted step
  counts_.bodies += bodies;
  counts_.bytes += bytes;
  counts_.damaged_bodies += damaged;
  cursor_ = std::move(next);
  if (!cursor_.empty()) return damaged > 0 ? save(txn, now) : Result<void>{};
  under_way_ = false;
  last_ = counts_;
  last_ended_ = now;
  return save(txn, now);
}

}  // namespace tram
