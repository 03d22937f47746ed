// Redis streams with appendfsync always as a peer: XADD pipelined by 1 and 16 producers until every reply is here, and
// XREADGROUP + XACK + XDEL beside it. The server answers after its fsync, one for each turn of its event loop.
// usage: bench_redis --port N --bytes N [--seconds S] [--runs N]
#include <atomic>
#include <hiredis/hiredis.h>
#include <random>
#include <thread>

#include "tests/bench/measure.h"

namespace {

using bench::must;
using bench::wall_seconds;

int port = 0;

class Client {
 public:
  Client() : context_(redisConnect("127.0.0.1", port)) {
    must(context_ != nullptr && context_->err == 0, "connect to Redis");
  }
  ~Client() { redisFree(context_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  redisContext* operator*() { return context_; }
  void take_reply() {
    void* reply = nullptr;
    must(redisGetReply(context_, &reply) == REDIS_OK && static_cast<redisReply*>(reply)->type != REDIS_REPLY_ERROR,
         "reply");
    freeReplyObject(reply);
  }

 private:
  redisContext* context_;
};

double publish(const std::string& stream, int producers, size_t bytes, double seconds) {
  std::atomic<long> total{0};
  std::vector<std::thread> threads;
  const int window = producers == 1 ? 1024 : 128;
  const double begin = wall_seconds();
  for (int i = 0; i < producers; ++i)
    threads.emplace_back([&, i] {
      Client client;
      std::mt19937_64 random(static_cast<unsigned>(i));
      std::string body(bytes, '\0');
      for (auto& c : body) c = static_cast<char>(random());
      int open = 0;
      while (wall_seconds() - begin < seconds) {
        for (int n = 0; n < window / 4; ++n)
          redisAppendCommand(*client, "XADD %s * b %b", stream.c_str(), body.data(), body.size());
        for (int flushed = 0; flushed == 0;) must(redisBufferWrite(*client, &flushed) == REDIS_OK, "write");
        for (open += window / 4; open > window * 3 / 4; --open) client.take_reply();
        total += window / 4;
      }
      for (; open > 0; --open) client.take_reply();
    });
  for (auto& thread : threads) thread.join();
  return static_cast<double>(total) / (wall_seconds() - begin);
}

}  // namespace

int main(int count, char** values) {
  constexpr std::string_view known[] = {"port", "bytes", "seconds", "runs"};
  const bench::Arguments arguments(count, values, known);
  port = static_cast<int>(arguments.number("port", 0));
  const auto bytes = static_cast<size_t>(arguments.number("bytes", 1024));
  const double seconds = arguments.number("seconds", 2);
  const int runs = static_cast<int>(arguments.number("runs", 3));
  const auto size = std::to_string(bytes >> 10) + " KiB";
  int generation = 0;
  for (const int producers : {1, 16}) {
    std::vector<double> rate;
    for (int run = 0; run < runs; ++run) {
      const auto stream = "bench" + std::to_string(++generation);
      rate.push_back(publish(stream, producers, bytes, seconds));
      Client client;
      redisAppendCommand(*client, "DEL %s", stream.c_str());
      client.take_reply();
    }
    bench::figure(
        "Redis streams, appendfsync always, XADD a second, " + size + ", " + std::to_string(producers) + " producers",
        rate, "1/s");
  }
  return 0;
}
