// When a loop waits for company before its next transaction: only while events come in great number, so that one
// request alone is never delayed, and many share one sync (R1). Thread: the loop's.
#pragma once
#include "base/limits.h"

namespace tram::io {

class GroupCommit {
 public:
  explicit GroupCommit(size_t busy_window_events_min) : busy_min_(busy_window_events_min) {}
  /// Notes a step with this many events.
  void stepped(size_t events, Time monotonic) {
    if (monotonic - window_ >= limits::load_window) {
      busy_ = counted_ >= busy_min_ && monotonic - window_ < limits::load_window + limits::load_window;
      window_ = monotonic;
      counted_ = 0;
    }
    counted_ += events;
  }
  /// How long to gather before the next step.
  Duration wait() const { return busy_ ? limits::group_commit_wait : Duration{}; }

 private:
  size_t busy_min_;
  Time window_;
  size_t counted_ = 0;
  bool busy_ = false;
};

}  // namespace tram::io
