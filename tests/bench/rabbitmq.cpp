// RabbitMQ quorum queues as a peer: persistent messages, publisher confirms, manual acknowledgements.
// publish: fresh messages until every one is confirmed, at 1 and at 16 producers. flow: producers and consumers at
// once. latency: one message at a time, 50 a second. The body starts with the send time. usage: bench_rabbitmq --port N
// [--port N ...] --phase publish|flow|latency --bytes N [--seconds S] [--runs N]
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <sys/time.h>
#include <thread>

#include "tests/bench/measure.h"

namespace {

using bench::must;
using bench::wall_seconds;

std::vector<int> ports;
std::string queue_name;

amqp_bytes_t bytes_of(const std::string& text) { return {text.size(), const_cast<char*>(text.data())}; }

/// One connection with one channel; a thread's own.
class Connection {
 public:
  explicit Connection(size_t index) : state_(amqp_new_connection()) {
    auto* socket = amqp_tcp_socket_new(state_);
    must(socket != nullptr && amqp_socket_open(socket, "127.0.0.1", ports[index % ports.size()]) == AMQP_STATUS_OK,
         "connect");
    must(amqp_login(state_, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type ==
             AMQP_RESPONSE_NORMAL,
         "login");
    amqp_channel_open(state_, 1);
    check("channel");
  }
  ~Connection() {
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  void check(const char* what) { must(amqp_get_rpc_reply(state_).reply_type == AMQP_RESPONSE_NORMAL, what); }
  amqp_connection_state_t state() { return state_; }

 private:
  amqp_connection_state_t state_;
};

class Producer {
 public:
  Producer(size_t index, size_t window) : connection_(index), window_(window) {
    amqp_confirm_select(connection_.state(), 1);
    connection_.check("confirm.select");
    properties_._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties_.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  }
  void publish(std::vector<char>& body) {
    while (open_.size() >= window_) take_confirms(10.0);
    const double now = wall_seconds();
    std::memcpy(body.data(), &now, sizeof now);
    must(amqp_basic_publish(connection_.state(), 1, amqp_empty_bytes, bytes_of(queue_name), 0, 0, &properties_,
                            {body.size(), body.data()}) == AMQP_STATUS_OK,
         "publish");
    open_.insert(open_.end(), ++last_tag_);
    if (last_tag_ % 16 == 0)
      while (take_confirms(0)) {}
  }
  void wait_for_confirms() {
    while (!open_.empty()) must(take_confirms(60.0), "confirm");
  }

 private:
  bool take_confirms(double seconds) {
    amqp_maybe_release_buffers(connection_.state());
    timeval wait{static_cast<time_t>(seconds), 0};
    amqp_frame_t frame;
    const int status = amqp_simple_wait_frame_noblock(connection_.state(), &frame, &wait);
    if (status == AMQP_STATUS_TIMEOUT) return false;
    must(status == AMQP_STATUS_OK && frame.frame_type == AMQP_FRAME_METHOD, "frame");
    must(frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "confirm (basic.ack)");
    const auto* ack = static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
    if (ack->multiple)
      open_.erase(open_.begin(), open_.upper_bound(ack->delivery_tag));
    else
      open_.erase(ack->delivery_tag);
    return true;
  }
  Connection connection_;
  size_t window_;
  amqp_basic_properties_t properties_{};
  std::set<uint64_t> open_;
  uint64_t last_tag_ = 0;
};

class Consumer {
 public:
  Consumer(size_t index, uint16_t prefetch) : connection_(index) {
    amqp_basic_qos(connection_.state(), 1, 0, prefetch, 0);
    connection_.check("qos");
    amqp_basic_consume(connection_.state(), 1, bytes_of(queue_name), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    connection_.check("consume");
  }
  /// Takes at most `max`, acknowledges them together; each one's delay in seconds goes to `delays`.
  size_t take(size_t max, std::vector<double>* delays) {
    size_t taken = 0;
    uint64_t last = 0;
    while (taken < max) {
      amqp_maybe_release_buffers(connection_.state());
      timeval wait{0, taken == 0 ? 50000 : 0};
      amqp_envelope_t envelope;
      const auto reply = amqp_consume_message(connection_.state(), &envelope, &wait, 0);
      if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT) break;
      must(reply.reply_type == AMQP_RESPONSE_NORMAL, "consume");
      if (delays != nullptr) {
        double sent = 0;
        std::memcpy(&sent, envelope.message.body.bytes, sizeof sent);
        delays->push_back(wall_seconds() - sent);
      }
      last = envelope.delivery_tag;
      amqp_destroy_envelope(&envelope);
      ++taken;
    }
    if (taken > 0) must(amqp_basic_ack(connection_.state(), 1, last, 1) == 0, "ack");
    return taken;
  }

 private:
  Connection connection_;
};

void new_queue() {
  static int generation = 0;
  Connection connection(0);
  if (generation > 0) {
    amqp_queue_delete(connection.state(), 1, bytes_of(queue_name), 0, 0);
    connection.check("queue.delete");
  }
  queue_name = "bench." + std::to_string(++generation);
  amqp_table_entry_t entry;
  entry.key = amqp_cstring_bytes("x-queue-type");
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = amqp_cstring_bytes("quorum");
  amqp_queue_declare(connection.state(), 1, bytes_of(queue_name), 0, 1, 0, 0, {1, &entry});
  connection.check("queue.declare");
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
}

std::vector<char> body_of(size_t bytes, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<char> body(std::max(bytes, sizeof(double)));
  for (auto& c : body) c = static_cast<char>(random());
  return body;
}

/// Starts `count` producers that publish until `end`; returns how many messages were confirmed.
long produce(size_t count, size_t window, size_t bytes, double seconds, long limit) {
  std::vector<std::unique_ptr<Producer>> producers;
  for (size_t i = 0; i < count; ++i) producers.push_back(std::make_unique<Producer>(i, window));
  std::atomic<long> total{0};
  std::vector<std::thread> threads;
  const double end = wall_seconds() + seconds;
  for (size_t i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      auto body = body_of(bytes, static_cast<unsigned>(i));
      while (wall_seconds() < end && total.fetch_add(1) < limit) producers[i]->publish(body);
      producers[i]->wait_for_confirms();
    });
  for (auto& thread : threads) thread.join();
  return std::min(total.load(), limit);
}

}  // namespace

int main(int count, char** values) {
  constexpr std::string_view known[] = {"port", "phase", "bytes", "seconds", "runs"};
  const bench::Arguments arguments(count, values, known);
  for (const auto& port : arguments.all("port")) ports.push_back(std::atoi(port.c_str()));
  must(!ports.empty(), "--port");
  const auto bytes = static_cast<size_t>(arguments.number("bytes", 1024));
  const double seconds = arguments.number("seconds", 3);
  const int runs = static_cast<int>(arguments.number("runs", 3));
  const auto phase = arguments.text("phase", "publish");
  const size_t window = bytes <= 4096 ? 1024 : 8;
  const long limit = static_cast<long>((768u << 20) / bytes);
  const auto size = bytes >= 1048576 ? std::to_string(bytes >> 20) + " MiB" : std::to_string(bytes >> 10) + " KiB";
  if (phase == "publish") {
    for (const size_t producers : {size_t{1}, size_t{16}}) {
      std::vector<double> rate;
      for (int run = 0; run < runs; ++run) {
        new_queue();
        const double begin = wall_seconds();
        const long done =
            produce(producers, producers == 1 ? window : std::max<size_t>(2, window / 8), bytes, seconds, limit);
        rate.push_back(static_cast<double>(done) / (wall_seconds() - begin));
      }
      bench::figure("RabbitMQ publishes a second, " + size + ", " + std::to_string(producers) + " producers", rate,
                    "1/s");
    }
  } else if (phase == "flow") {
    std::vector<double> rate, bandwidth;
    for (int run = 0; run < runs; ++run) {
      new_queue();
      std::atomic<bool> stop{false};
      std::atomic<long> taken{0};
      std::vector<std::thread> consumers;
      for (size_t i = 0; i < 2; ++i)
        consumers.emplace_back([&, i] {
          Consumer consumer(i, bytes <= 4096 ? 512 : 16);
          while (!stop) taken += static_cast<long>(consumer.take(64, nullptr));
        });
      const double begin = wall_seconds();
      const long sent = produce(4, std::max<size_t>(4, window / 8), bytes, seconds, limit);
      while (taken < sent && wall_seconds() - begin < seconds + 60)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const double spent = wall_seconds() - begin;
      stop = true;
      for (auto& thread : consumers) thread.join();
      must(taken >= sent, "delivery of everything published");
      rate.push_back(static_cast<double>(taken) / spent);
      bandwidth.push_back(static_cast<double>(taken) * static_cast<double>(bytes) / 1e6 / spent);
    }
    bench::figure("RabbitMQ in and out at once, " + size, rate, "1/s");
    bench::figure("RabbitMQ in and out at once, " + size + ", bandwidth", bandwidth, "MB/s");
  } else {
    std::vector<double> confirmed, delivered;
    for (int run = 0; run < runs; ++run) {
      new_queue();
      std::atomic<bool> stop{false};
      std::vector<double> delays, confirms;
      std::thread consuming([&] {
        Consumer consumer(0, 16);
        while (!stop) consumer.take(1, &delays);
      });
      Producer producer(0, 1);
      auto body = body_of(bytes, 1);
      const double begin = wall_seconds();
      for (int i = 0; i < 150; ++i) {
        const double due = begin + i / 50.0;
        if (const double wait = due - wall_seconds(); wait > 0)
          std::this_thread::sleep_for(std::chrono::duration<double>(wait));
        const double sent = wall_seconds();
        producer.publish(body);
        producer.wait_for_confirms();
        confirms.push_back((wall_seconds() - sent) * 1e3);
      }
      stop = true;
      consuming.join();
      for (auto& d : delays) d *= 1e3;
      confirmed.push_back(bench::percentile(confirms, 50));
      delivered.push_back(bench::percentile(delays, 50));
    }
    bench::figure("RabbitMQ p50 to confirm at 50/s, " + size, confirmed, "ms");
    bench::figure("RabbitMQ p50 to delivery at 50/s, " + size, delivered, "ms");
  }
  return 0;
}
