#include "tests/sim/world.h"

#include <bit>
#include <cstdio>
#include <cstring>

namespace tram::sim {

namespace {
uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }
}  // namespace

SimRandom::SimRandom(uint64_t seed) {
  for (auto& word : state_) {  // splitmix64
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    word = z ^ z >> 31;
  }
}

uint64_t SimRandom::next() {
  const uint64_t result = rotate(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate(state_[3], 45);
  return result;
}

void SimRandom::fill(std::span<uint8_t> out) {
  static_assert(std::endian::native == std::endian::little);
  for (; !out.empty(); out = out.subspan(std::min<size_t>(8, out.size()))) {
    const uint64_t word = next();
    std::memcpy(out.data(), &word, std::min<size_t>(8, out.size()));
  }
}

void World::at(Time when, std::function<void()> what) { queue_.push({std::max(when, now_), serial_++, std::move(what)}); }

void World::repeat(Duration delay, std::function<void()> what) { repeats_.push({now_ + delay, serial_++, std::move(what)}); }

void World::stay_awake(Duration at_least) {
  awake_until_ = std::max(awake_until_, now_ + at_least);
  stride_ = stride_min;
}

void World::run_until(Time end) {
  for (;;) {
    const bool once = !queue_.empty() && (repeats_.empty() || repeats_.top() > queue_.top());
    Queue& from = once ? queue_ : repeats_;
    if (from.empty() || from.top().when > end) break;
    if (!once && may_sleep_ && from.top().when > now_ && now_ >= awake_until_) {
      const Time next = queue_.empty() ? end : std::min(end, queue_.top().when);
      now_ = std::min(next, now_ + stride_);
      stride_ = std::min(stride_max, Duration{stride_.ms * 2});
      awake_until_ = now_ + nap_wakes;
      continue;
    }
    Entry entry = std::move(const_cast<Entry&>(from.top()));
    from.pop();
    now_ = std::max(now_, entry.when);
    entry.what();
  }
  now_ = std::max(now_, end);
}

void World::mix(BytesView bytes) {
  // Of a large body some words.
  const size_t stride = bytes.size() > 4096 ? 488 : 8;
  for (size_t i = 0; i < bytes.size(); i += stride) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    mix(word);
  }
  mix(bytes.size());
}

void World::trace(std::string_view who, std::string_view what) {
  mix(view(who));
  mix(view(what));
  mix(static_cast<uint64_t>(now_.ms));
  note(who, what);
}

void World::note(std::string_view who, std::string_view what) {
  const int64_t ms = now_.ms;
  if (print_)
    std::printf("%lld.%03lld %-4.*s %.*s\n", static_cast<long long>(ms / 1000 % 10000000), static_cast<long long>(ms % 1000),
                static_cast<int>(who.size()), who.data(), static_cast<int>(what.size()), what.data());
}

void SimLog::write(LogLevel level, std::string_view event, std::span<const LogField> fields) {
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  std::string line(names[static_cast<size_t>(level)]);
  line += ' ';
  line += event;
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (const auto* number = std::get_if<int64_t>(&field.value)) line += std::to_string(*number);
    else line += std::get<std::string>(field.value).substr(0, 20);
  }
  world_.trace(name_, line);
  world_.count("log " + std::string(event));
  if (level == LogLevel::error && !expected_.contains(event)) throw Broken(name_ + ": " + line);
}

}  // namespace tram::sim
