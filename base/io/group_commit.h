// When a loop waits for company before its next transaction: only while events come in great number, so that one
// request alone is never delayed, and many share one sync (R1). Thread: the loop's.
#pragma once
#include "base/limits.h"

namespace tram::io {

class GroupCommit {
 public:
  explicit GroupCommit(size_t busy_window_events_min) : busy_min_(busy_window_events_min) {}
  /// Notes a step with this many events; one that ends many checks counts as many.
  void stepped(size_t events, Time monotonic) {
    last_ = events;
    if (monotonic - window_ >= limits::load_window) {
      busy_ = counted_ >= busy_min_ && monotonic - window_ < limits::load_window + limits::load_window;
      window_ = monotonic;
      counted_ = 0;
    }
    counted_ += events;
  }
  /// Many events share each transaction.
  bool is_busy() const { return busy_; }
  /// How long to gather before the next step. After a full one not at all: as many have come meanwhile.
  Duration wait() const { return is_busy() && last_ < full_step_events ? limits::group_commit_wait : Duration{}; }

 private:
  static constexpr size_t full_step_events = 96;

  size_t busy_min_;
  size_t last_ = 0;
  Time window_;
  size_t counted_ = 0;
  bool busy_ = false;
};

}  // namespace tram::io
