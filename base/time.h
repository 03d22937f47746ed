// Time as milliseconds since 1970-01-01 UTC. Steps get it as a parameter; only io/ reads a clock.
// Clocks serve lifetimes, evidence and alarms, never order, dedupe or the safety of garbage collection.
#pragma once
#include <compare>
#include <cstdint>

namespace tram {

struct Duration {
  int64_t ms = 0;
  auto operator<=>(const Duration&) const = default;
};
constexpr Duration milliseconds(int64_t n) { return {n}; }
constexpr Duration seconds(int64_t n) { return {n * 1000}; }
constexpr Duration minutes(int64_t n) { return seconds(n * 60); }
constexpr Duration hours(int64_t n) { return minutes(n * 60); }
constexpr Duration days(int64_t n) { return hours(n * 24); }
constexpr Duration operator+(Duration a, Duration b) { return {a.ms + b.ms}; }
constexpr Duration operator*(Duration a, int64_t n) { return {a.ms * n}; }

struct Time {
  int64_t ms = 0;
  auto operator<=>(const Time&) const = default;
  uint64_t wire() const { return static_cast<uint64_t>(ms); }
};
constexpr Time operator+(Time t, Duration d) { return {t.ms + d.ms}; }
constexpr Time operator-(Time t, Duration d) { return {t.ms - d.ms}; }
constexpr Duration operator-(Time a, Time b) { return {a.ms - b.ms}; }

}  // namespace tram
