#include "tests/bench/measure.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/resource.h>

namespace bench {

namespace {

double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

double wall_seconds() { return seconds_of(CLOCK_MONOTONIC); }
double process_cpu_seconds() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }
double thread_cpu_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

double percentile(std::vector<double> samples, double percent) {
  if (samples.empty()) return 0;
  std::sort(samples.begin(), samples.end());
  const auto at = std::llround(percent / 100.0 * static_cast<double>(samples.size() - 1));
  return samples[std::min(static_cast<size_t>(at), samples.size() - 1)];
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

void line(std::string_view json) {
  std::printf("%.*s\n", static_cast<int>(json.size()), json.data());
  std::fflush(stdout);
}

void figure(std::string_view name, std::span<const double> runs, std::string_view unit) {
  std::vector<double> sorted(runs.begin(), runs.end());
  must(!sorted.empty(), name);
  std::sort(sorted.begin(), sorted.end());
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"runs\":%zu",
                percentile(sorted, 50), sorted.front(), sorted.back(), sorted.size());
  line("{\"name\":" + json_string(name) + "," + numbers + ",\"unit\":" + json_string(unit) + "}");
}

void figure(std::string_view name, double value, std::string_view unit) { figure(name, std::span(&value, 1), unit); }

std::vector<double> core_us(const std::function<void()>& operation, double seconds, int runs) {
  operation();
  long calls = 1;
  std::vector<double> out;
  while (static_cast<int>(out.size()) < runs) {
    const double before = thread_cpu_seconds();
    for (long i = 0; i < calls; ++i) operation();
    const double spent = thread_cpu_seconds() - before;
    if (spent < seconds / 2) {
      calls = spent <= 0 ? calls * 2
                         : static_cast<long>(static_cast<double>(calls) * std::min(100.0, 1.2 * seconds / spent)) + 1;
      continue;
    }
    out.push_back(spent * 1e6 / static_cast<double>(calls));
  }
  return out;
}

void must(bool ok, std::string_view what) {
  if (ok) return;
  std::fprintf(stderr, "bench: %.*s failed (%s)\n", static_cast<int>(what.size()), what.data(), std::strerror(errno));
  std::exit(1);
}

Arguments::Arguments(int count, char** values, std::span<const std::string_view> known) {
  for (int i = 1; i < count; ++i) {
    const std::string_view name = values[i];
    const bool is_known =
        name.starts_with("--") && std::find(known.begin(), known.end(), name.substr(2)) != known.end();
    if (!is_known || i + 1 >= count) {
      std::fprintf(stderr, "usage: %s", values[0]);
      for (const auto one : known) std::fprintf(stderr, " --%.*s VALUE", static_cast<int>(one.size()), one.data());
      std::fprintf(stderr, "\n");
      std::exit(2);
    }
    given_.emplace_back(name.substr(2), values[++i]);
  }
}

std::string Arguments::text(std::string_view name, std::string_view otherwise) const {
  for (const auto& [key, value] : given_)
    if (key == name) return value;
  return std::string(otherwise);
}

double Arguments::number(std::string_view name, double otherwise) const {
  const auto found = text(name);
  return found.empty() ? otherwise : std::strtod(found.c_str(), nullptr);
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : given_)
    if (key == name) out.push_back(value);
  return out;
}

bool Arguments::has(std::string_view name) const {
  return std::any_of(given_.begin(), given_.end(), [&](const auto& one) { return one.first == name; });
}

}  // namespace bench
