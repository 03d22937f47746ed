// Waiting work by lane and session, taken out by deficit round robin 8:4:2:1 over the lanes and in turn over the
// sessions of a lane (R39). One item is one unit: a chunk, or one small document.
// Invariants: order of one session and lane is kept; an empty or blocked lane costs the others nothing.
// Thread: the step's.
#pragma once
#include <deque>
#include <map>
#include <optional>

#include "base/limits.h"
#include "broker/jobs.h"

namespace tram::broker {

template <class Item>
class FairQueue {
 public:
  void push(Lane lane, const SessionKey& session, Item item) {
    lanes_[static_cast<size_t>(lane)][session].push_back(std::move(item));
    ++pending_[session];
    ++size_;
  }

  /// The next item of a session for which `ready` holds.
  template <class Ready>
  std::optional<Item> pop(Ready ready) {
    for (size_t tries = 0; tries <= lane_count && size_ > 0; ++tries) {
      if (credit_ == 0) {
        lane_ = (lane_ + 1) % lane_count;
        credit_ = limits::lane_weight[lane_];
      }
      if (auto item = take(lane_, ready)) {
        --credit_;
        return item;
      }
      credit_ = 0;
    }
    return std::nullopt;
  }

  size_t pending(const SessionKey& session) const {
    auto it = pending_.find(session);
    return it == pending_.end() ? 0 : it->second;
  }
  void drop(const SessionKey& session) {
    size_ -= pending(session);
    pending_.erase(session);
    for (auto& lane : lanes_) lane.erase(session);
  }
  size_t size() const { return size_; }
  /// Whether pop(ready) would find something.
  template <class Ready>
  bool any(Ready ready) const {
    for (const auto& [session, count] : pending_) {
      if (count > 0 && ready(session)) return true;
    }
    return false;
  }

 private:
  using Sessions = std::map<SessionKey, std::deque<Item>>;

  template <class Ready>
  std::optional<Item> take(size_t lane, Ready& ready) {
    Sessions& sessions = lanes_[lane];
    if (sessions.empty()) return std::nullopt;
    auto it = sessions.upper_bound(last_[lane]);
    for (size_t seen = 0; seen < sessions.size(); ++seen, ++it) {
      if (it == sessions.end()) it = sessions.begin();
      if (!ready(it->first)) continue;
      last_[lane] = it->first;
      Item item = std::move(it->second.front());
      it->second.pop_front();
      --size_;
      if (auto count = pending_.find(it->first); --count->second == 0) pending_.erase(count);
      if (it->second.empty()) sessions.erase(it);
      return item;
    }
    return std::nullopt;
  }

  std::array<Sessions, lane_count> lanes_;
  std::array<SessionKey, lane_count> last_{};
  std::map<SessionKey, size_t> pending_;
  size_t size_ = 0;
  size_t lane_ = lane_count - 1;
  uint32_t credit_ = 0;
};

}  // namespace tram::broker
