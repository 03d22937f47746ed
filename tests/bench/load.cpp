// Drives one sending node through its local API and watches its receipts there.
// sustained: connections submit as fast as answers come, with at most `open` documents without a verified receipt; the
//            figure is documents from the first submission to the last receipt, and the rate of the middle.
// latency:   one document every 1/rate seconds, each watched until it is accepted and until its receipt is here.
// once:      one document to `--to`; seconds until every recipient is accepted (and, with --wait delivered, delivered).
// usage: bench_load --socket PATH --to CODE [--to CODE ...] --phase sustained|latency|once [--documents N]
//        [--connections N] [--open N] [--bytes N] [--rate N] [--seconds N] [--wait accepted|delivered]
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/bench/http_client.h"
#include "tests/bench/measure.h"

namespace {

using bench::HttpClient;
using bench::must;
using bench::wall_seconds;
using Json = nlohmann::json;

constexpr size_t inline_bytes_max = 512u << 10;

std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : digits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

/// Makes and submits documents; every one has its own number, key and bytes, in this run and in any other.
class Author {
 public:
  Author(const std::string& socket, std::vector<std::string> to, size_t bytes)
      : client_(socket),
        to_(std::move(to)),
        bytes_(bytes),
        random_(uint64_t{std::random_device{}()} << 32 | std::random_device{}()),
        first_number_(10000000000ull + random_() % 80000000000ull) {}

  /// The id of the submitted document.
  std::string submit() {
    const bool staged = bytes_ > inline_bytes_max;
    std::string content(staged ? "%PDF-1.7\n" : "Kinh gui\n");
    std::array<uint64_t, 512> block;  // repeated: the bench's own processor time is not the exchange's
    for (uint64_t& word : block) {
      word = random_();
      if (!staged) word = (word & 0x0f0f0f0f0f0f0f0full) | 0x4040404040404040ull;  // text without zeros
    }
    content.reserve(bytes_);
    while (content.size() < bytes_)
      content.append(reinterpret_cast<const char*>(block.data()), std::min(sizeof block, bytes_ - content.size()));
    ++made_;
    Json document;
    document["metadata"] = {{"number", std::to_string(first_number_ + made_)},
                            {"symbol", "UBND-VX"},
                            {"type_code", "22"},
                            {"type_name", "Công văn"},
                            {"subject", "Về việc đo tốc độ"}};
    document["to"] = to_;
    if (staged)
      document["files"] = {{{"name", "van-ban.pdf"}, {"upload", upload(content)}}};
    else
      document["files"] = {{{"name", "van-ban.txt"}, {"content", base64(content)}}};
    posted_at_ = wall_seconds();
    const auto response =
        client_.request("POST", "/v1/documents", {{"Content-Type", "application/json"}, {"Idempotency-Key", new_key()}},
                        document.dump());
    must(response.status == 202, "POST /v1/documents: " + std::to_string(response.status) + " " + response.body);
    return Json::parse(response.body).at("id").get<std::string>();
  }
  /// When the last document was posted; its files were uploaded before.
  double posted_at() const { return posted_at_; }

 private:
  std::string new_key() { return std::to_string(random_()) + "-" + std::to_string(random_()); }
  std::string upload(const std::string& content) {
    const auto made = client_.request("POST", "/v1/uploads",
                                      {{"Tus-Resumable", "1.0.0"},
                                       {"Upload-Length", std::to_string(content.size())},
                                       {"Upload-Metadata", "filename " + base64("van-ban.pdf")},
                                       {"Idempotency-Key", new_key()}});
    must(made.status == 201 && !made.location.empty(),
         "POST /v1/uploads: " + std::to_string(made.status) + " " + made.body);
    const auto sent = client_.request(
        "PATCH", made.location,
        {{"Tus-Resumable", "1.0.0"}, {"Upload-Offset", "0"}, {"Content-Type", "application/offset+octet-stream"}},
        content);
    must(sent.status == 204, "PATCH of an upload: " + std::to_string(sent.status) + " " + sent.body);
    return made.location.substr(made.location.rfind('/') + 1);
  }

  HttpClient client_;
  std::vector<std::string> to_;
  size_t bytes_;
  std::mt19937_64 random_;
  double posted_at_ = 0;
  uint64_t first_number_;
  uint64_t made_ = 0;
};

/// How far a document is: recipients in custody of W brokers or further, and recipients whose receipt is verified.
struct Progress {
  size_t recipients = 0, accepted = 0, delivered = 0;
};

Progress progress_of(HttpClient& client, const std::string& id, const std::string& query = {}) {
  const auto response = client.request("GET", "/v1/documents/" + id + query);
  must(response.status == 200, "GET of a document: " + std::to_string(response.status) + " " + response.body);
  const auto json = Json::parse(response.body);
  must(json.at("state").at("name") != "failed", "sealing of a document: " + response.body);
  Progress out;
  for (const auto& [state, count] : json.at("counts").items()) {
    const auto n = count.get<size_t>();
    out.recipients += n;
    must(state != "rejected" && state != "refused" && state != "expired", "delivery of a document: " + response.body);
    if (state == "accepted" || state == "delivered") out.accepted += n;
    if (state == "delivered") out.delivered += n;
  }
  return out;
}

bool all_delivered(HttpClient& client, const std::string& id) {
  const auto progress = progress_of(client, id);
  return progress.recipients > 0 && progress.delivered == progress.recipients;
}

struct Options {
  std::string socket;
  std::vector<std::string> to;
  size_t bytes = 400, documents = 5000, connections = 16, open = 512;
  double rate = 50, seconds = 120;
  std::string wait;
};

void sustained(const Options& options) {
  std::mutex mutex;
  std::condition_variable room;
  std::deque<std::string> open;
  std::vector<std::string> all;
  std::vector<double> receipts;  // one a document, in the order of detection
  size_t submitted = 0, held = 0;
  std::vector<double> accept_times;
  const double begin = wall_seconds();
  std::vector<std::thread> authors;
  for (size_t c = 0; c < options.connections; ++c)
    authors.emplace_back([&] {
      Author author(options.socket, options.to, options.bytes);
      while (true) {
        {
          std::unique_lock lock(mutex);
          room.wait(lock, [&] { return submitted >= options.documents || submitted - held < options.open; });
          if (submitted >= options.documents) return;
          ++submitted;
        }
        const double from = wall_seconds();
        auto id = author.submit();
        std::lock_guard lock(mutex);
        accept_times.push_back((wall_seconds() - from) * 1e3);
        all.push_back(id);
        open.push_back(std::move(id));
      }
    });

  // Receipts come about in the order of submission: look at a later one first, and only at every one when all are in.
  HttpClient watcher(options.socket);
  const double deadline = begin + options.seconds;
  while (held < options.documents) {
    must(wall_seconds() < deadline, "receipts of all documents in time; " + std::to_string(held) + " of " +
                                        std::to_string(options.documents) + " are here");
    size_t step = 1;
    std::string probe;
    {
      std::lock_guard lock(mutex);
      step = std::min<size_t>(open.size(), std::max<size_t>(1, std::min<size_t>(options.open / 8, 64)));
      if (step > 0) probe = open[step - 1];
    }
    if (step == 0 || !all_delivered(watcher, probe)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    {
      std::lock_guard lock(mutex);
      open.erase(open.begin(), open.begin() + static_cast<std::ptrdiff_t>(step));
      held += step;
      receipts.insert(receipts.end(), step, wall_seconds() - begin);
    }
    room.notify_all();
  }
  const double spent = wall_seconds() - begin;
  for (auto& author : authors) author.join();
  size_t missing = 0;
  for (const auto& id : all) missing += all_delivered(watcher, id) ? 0 : 1;
  must(missing <= options.connections, "a receipt of every document counted; missing: " + std::to_string(missing));
  // Sustained: without the first and the last tenth.
  const size_t tenth = receipts.size() / 10;
  const double middle = receipts[receipts.size() - 1 - tenth] - receipts[tenth];
  bench::figure("documents a second, submitted to RECEIVED", static_cast<double>(options.documents) / spent, "1/s");
  if (middle > 0 && receipts.size() >= 200)
    bench::figure("documents a second, sustained", static_cast<double>(receipts.size() - 2 * tenth) / middle, "1/s");
  bench::figure("submission answered p50", bench::percentile(accept_times, 50), "ms");
  bench::figure("documents", static_cast<double>(options.documents), "documents");
}

/// Each document has a watcher who waits for it as a document system would: `GET ...?wait=`, which the node answers when it
/// has come so far. Asking again and again would cost the node more than the document.
void latency(const Options& options) {
  constexpr size_t watchers = 16;
  std::vector<double> accepted, delivered;
  std::mutex mutex;
  std::condition_variable more;
  std::deque<std::pair<std::string, double>> open;
  bool all_sent = false;
  const double deadline = wall_seconds() + options.seconds;
  const auto watch = [&] {
    HttpClient client(options.socket);
    while (true) {
      std::pair<std::string, double> one;
      {
        std::unique_lock lock(mutex);
        more.wait(lock, [&] { return all_sent || !open.empty(); });
        if (open.empty()) return;
        one = std::move(open.front());
        open.pop_front();
      }
      const auto [id, at] = one;
      for (const std::string state : {"accepted", "delivered"}) {
        bool is_there = false;
        while (!is_there) {
          must(wall_seconds() < deadline, "receipts in time");
          const auto progress = progress_of(client, id, "?wait=" + state);
          is_there = progress.recipients > 0 && (state == "accepted" ? progress.accepted : progress.delivered) == progress.recipients;
        }
        const double taken = (wall_seconds() - at) * 1e3;
        std::lock_guard lock(mutex);
        (state == "accepted" ? accepted : delivered).push_back(taken);
      }
    }
  };
  std::vector<std::thread> watching;
  for (size_t i = 0; i < watchers; ++i) watching.emplace_back(watch);
  Author author(options.socket, options.to, options.bytes);
  const double begin = wall_seconds();
  for (size_t i = 0; i < options.documents; ++i) {
    const double due = begin + static_cast<double>(i) / options.rate;
    if (const double wait = due - wall_seconds(); wait > 0)
      std::this_thread::sleep_for(std::chrono::duration<double>(wait));
    const double at = wall_seconds();
    auto id = author.submit();
    {
      std::lock_guard lock(mutex);
      open.emplace_back(std::move(id), at);
    }
    more.notify_one();
  }
  {
    std::lock_guard lock(mutex);
    all_sent = true;
  }
  more.notify_all();
  for (auto& one : watching) one.join();
  bench::figure("p50 to accepted", bench::percentile(accepted, 50), "ms");
  bench::figure("p99 to accepted", bench::percentile(accepted, 99), "ms");
  bench::figure("p50 to receipt", bench::percentile(delivered, 50), "ms");
  bench::figure("p99 to receipt", bench::percentile(delivered, 99), "ms");
}

void once(const Options& options) {
  Author author(options.socket, options.to, options.bytes);
  HttpClient client(options.socket);
  const double begin = wall_seconds();
  const auto id = author.submit();
  const double submitted = wall_seconds();
  double accepted = 0;
  while (true) {
    must(wall_seconds() - begin < options.seconds, "custody and receipts in time");
    const double asked = wall_seconds();
    const auto progress = progress_of(client, id);
    if (accepted == 0 && progress.recipients > 0 && progress.accepted == progress.recipients) {
      accepted = wall_seconds();
      bench::figure("submission answered", submitted - author.posted_at(), "s");
      bench::figure("accepted for every recipient", accepted - author.posted_at(), "s");
      bench::figure("recipients", static_cast<double>(progress.recipients), "recipients");
      if (options.wait != "delivered") return;
    }
    if (accepted > 0 && progress.delivered == progress.recipients) {
      bench::figure("receipts of every recipient", wall_seconds() - author.posted_at(), "s");
      return;
    }
    // Counting thousands of recipients costs the node some milliseconds: ask for a small part of the time only.
    std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.005, 8 * (wall_seconds() - asked))));
  }
}

}  // namespace

int main(int count, char** values) {
  constexpr std::string_view known[] = {"socket", "to",    "phase", "documents", "connections",
                                        "open",   "bytes", "rate",  "seconds",   "wait"};
  const bench::Arguments arguments(count, values, known);
  Options options;
  options.socket = arguments.text("socket");
  options.to = arguments.all("to");
  options.bytes = static_cast<size_t>(arguments.number("bytes", 400));
  options.documents = static_cast<size_t>(arguments.number("documents", 5000));
  options.connections = static_cast<size_t>(arguments.number("connections", 16));
  options.open = static_cast<size_t>(arguments.number("open", 512));
  options.rate = arguments.number("rate", 50);
  options.seconds = arguments.number("seconds", 120);
  options.wait = arguments.text("wait");
  const auto phase = arguments.text("phase", "sustained");
  if (phase == "latency")
    latency(options);
  else if (phase == "once")
    once(options);
  else
    sustained(options);
  return 0;
}
