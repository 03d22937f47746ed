// A slow, endless walk over everything that a daemon keeps, so that rot is found while there are copies elsewhere (3.9,
// R24): all rows, some a turn, then all body files. A pass begins every limits::scrub_every, or as configured; where it
// stands survives a restart. Invariants: bounded work a turn; a busy second is passed over, but not for ever; a pass counts only when it
// reached the end. Not here: reading bodies (a job of the daemon), what is done about damage.
// Thread: the step's.
#pragma once
#include "base/ports.h"

namespace tram {

/// What a pass saw.
struct ScrubCounts {
  uint64_t rows = 0;
  uint64_t bodies = 0;
  uint64_t bytes = 0;  // of bodies
  uint64_t damaged_rows = 0;
  uint64_t damaged_bodies = 0;
};

class Scrub {
 public:
  /// Walks `tables`; keeps where it stands in a row of `home`.
  Scrub(std::span<const Table> tables, const Table& home, Duration every) : tables_(tables), home_(home), every_(every) {}
  /// At start-up and after an aborted transaction. What cannot be read begins anew: the walk must not stop a daemon.
  Result<void> load(ReadTxn&);

  /// Whether a second has passed since the last turn, by a clock that may be set back.
  bool turn_due(Time now);
  /// Call when turn_due(). Reads rows, unless they are done; the damaged ones. Error: io_failed.
  Result<std::vector<DamagedRow>> turn(WriteTxn&, Time now, bool busy);

  /// Whether bodies are to be read now: rows are done, no job is out, this second is not busy.
  bool bodies_due() const { return bodies_due_; }
  /// Where the walk over bodies stands: the daemon's own key, empty at the start.
  const Bytes& body_cursor() const { return cursor_; }
  void body_job_left() { bodies_due_ = false, job_out_ = true; }
  /// The job is back; `next` is where to go on, empty after the last body.
  Result<void> bodies_done(WriteTxn&, Time now, Bytes next, uint64_t bodies, uint64_t bytes, uint64_t damaged);
  /// The job was lost with its step.
  void body_job_lost() { job_out_ = false; }

  Time began() const { return began_; }            // of the pass under way, or of the last
  Time last_ended() const { return last_ended_; }  // of a whole pass; 0: none yet
  const ScrubCounts& last() const { return last_; }
  /// Rows that the pass under way or the last one found damaged, at most 100: they wait for `recover`.
  const std::vector<DamagedRow>& damaged() const { return damaged_; }
  void forget_damaged() { damaged_.clear(); }
  const ScrubCounts& now_seen() const { return counts_; }

 private:
  Result<void> save(WriteTxn&, Time now);
  Result<void> begin(WriteTxn&, Time now);

  std::span<const Table> tables_;
  Table home_;
  Duration every_;
  Time began_;               // of the pass under way, or of the last
  bool under_way_ = false;
  uint32_t place_ = 0;       // table; tables_.size(): bodies
  Bytes cursor_;
  ScrubCounts counts_, last_;
  Time last_ended_;
  Time saved_;
  Time turned_;
  std::vector<DamagedRow> damaged_;
  uint32_t put_off_ = 0;
  bool bodies_due_ = false;
  bool job_out_ = false;
};

}  // namespace tram
