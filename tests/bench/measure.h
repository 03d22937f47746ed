// What every bench program shares: clocks, processor time, medians, and the one output form: a JSON object a line,
// {"name", "median", "min", "max", "unit", "runs"} for figures. Failures of the ground end the program with a message.
// Not here: what is measured. Thread: any.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

double wall_seconds();         // monotonic
double process_cpu_seconds();  // all threads of this process, kernel work included
double thread_cpu_seconds();

/// Value at `percent` of the sorted samples; 0 when there are none.
double percentile(std::vector<double> samples, double percent);

/// Prints one figure from its runs.
void figure(std::string_view name, std::span<const double> runs, std::string_view unit);
void figure(std::string_view name, double value, std::string_view unit);
/// Prints one object as it is; `json` is a complete JSON object.
void line(std::string_view json);
std::string json_string(std::string_view text);

/// Core-microseconds of one call, from several runs of at least `seconds` of thread time each.
std::vector<double> core_us(const std::function<void()>& operation, double seconds = 0.08, int runs = 5);

/// Ends the program unless `ok`.
void must(bool ok, std::string_view what);

/// "--name value" pairs; unknown names end the program.
class Arguments {
 public:
  Arguments(int count, char** values, std::span<const std::string_view> known);
  std::string text(std::string_view name, std::string_view otherwise = {}) const;
  double number(std::string_view name, double otherwise) const;
  std::vector<std::string> all(std::string_view name) const;
  bool has(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> given_;
};

}  // namespace bench
