// The limits of this machine, from the raw libraries and none of our own code: public-key operations, AEAD and hashes,
// CURVE over loopback, LMDB commits, fdatasync. The bound (bound.py) is computed from these figures.
// Costs are core-microseconds (processor time, kernel work of the process included); latencies are wall time.
// usage: bench_anchors --dir SCRATCH [--phase all|latency]   (latency: only what the latency rows are compared with)
#include <array>
#include <cstring>
#include <fcntl.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/measure.h"

namespace {

using bench::core_us;
using bench::figure;
using bench::must;
using bench::wall_seconds;

using Buffer = std::vector<uint8_t>;

Buffer random_bytes(size_t n) {
  Buffer out(n);
  randombytes_buf(out.data(), n);
  return out;
}

std::string size_name(size_t bytes) {
  if (bytes >= 1048576) return std::to_string(bytes >> 20) + " MiB";
  if (bytes >= 1024) return std::to_string(bytes >> 10) + " KiB";
  return std::to_string(bytes) + " B";
}

// ---- public-key operations --------------------------------------------------------------------------------------

/// The HMAC calls of RFC 9180 for one single-shot seal or open: 2 in the KEM's extract and expand, 7 in the key
/// schedule.
void hpke_key_schedule(const uint8_t* secret, uint8_t* key) {
  static const Buffer info = random_bytes(340);
  uint8_t round[32];
  std::memcpy(round, secret, 32);
  for (int i = 0; i < 9; ++i) {
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, round, 32);
    crypto_auth_hmacsha256_update(&state, info.data(), i == 3 ? info.size() : 60);
    crypto_auth_hmacsha256_final(&state, round);
  }
  std::memcpy(key, round, 32);
}

void public_key_operations() {
  std::array<uint8_t, 32> public_key{}, seed{};
  std::array<uint8_t, 64> secret_key{}, signature{};
  crypto_sign_keypair(public_key.data(), secret_key.data());
  const auto message = random_bytes(50);  // LP("edx1/sig") || LP(label) || id
  figure("sign", core_us([&] {
           crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), secret_key.data());
         }),
         "core-us");
  figure("verify", core_us([&] {
           must(crypto_sign_verify_detached(signature.data(), message.data(), message.size(), public_key.data()) == 0,
                "verify");
         }),
         "core-us");

  std::array<uint8_t, 32> mine{}, mine_public{}, other{}, other_public{}, shared{}, key{};
  randombytes_buf(mine.data(), 32);
  randombytes_buf(other.data(), 32);
  crypto_scalarmult_base(mine_public.data(), mine.data());
  crypto_scalarmult_base(other_public.data(), other.data());
  figure("x25519",
         core_us([&] { must(crypto_scalarmult(shared.data(), mine.data(), other_public.data()) == 0, "x25519"); }),
         "core-us");
  figure("x25519 of the base point", core_us([&] { crypto_scalarmult_base(mine_public.data(), mine.data()); }),
         "core-us");
  for (const size_t plain : {size_t{32}, size_t{1474}}) {
    const auto text = random_bytes(plain);
    Buffer sealed(plain + 16), opened(plain);
    const std::array<uint8_t, 12> nonce{};
    const std::string name = plain == 32 ? "HPKE of a key" : "HPKE of a cell";
    figure(name + ", seal", core_us([&] {
             randombytes_buf(seed.data(), 32);
             crypto_scalarmult_base(mine_public.data(), seed.data());
             must(crypto_scalarmult(shared.data(), seed.data(), other_public.data()) == 0, "x25519");
             hpke_key_schedule(shared.data(), key.data());
             crypto_aead_chacha20poly1305_ietf_encrypt(sealed.data(), nullptr, text.data(), plain, nullptr, 0, nullptr,
                                                       nonce.data(), key.data());
           }),
           "core-us");
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed.data(), nullptr, text.data(), plain, nullptr, 0, nullptr,
                                              nonce.data(), key.data());
    const auto right_key = key;
    figure(
        name + ", open", core_us([&] {
          must(crypto_scalarmult(shared.data(), other.data(), mine_public.data()) == 0, "x25519");
          hpke_key_schedule(shared.data(), key.data());
          must(crypto_aead_chacha20poly1305_ietf_decrypt(opened.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                         nullptr, 0, nonce.data(), right_key.data()) == 0,
               "open");
        }),
        "core-us");
  }
}

// ---- sealing and hashing ----------------------------------------------------------------------------------------

void evp_seal(EVP_CIPHER_CTX* context, const uint8_t* key, const Buffer& in, Buffer& out) {
  static const std::array<uint8_t, 12> nonce{};
  int written = 0, rest = 0;
  must(EVP_EncryptInit_ex(context, nullptr, nullptr, key, nonce.data()) == 1, "EVP");
  must(EVP_EncryptUpdate(context, out.data(), &written, in.data(), static_cast<int>(in.size())) == 1, "EVP");
  must(EVP_EncryptFinal_ex(context, out.data() + written, &rest) == 1, "EVP");
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out.data() + in.size()) == 1, "EVP");
}

void sealing_and_hashing() {
  const auto key = random_bytes(32);
  const auto nonce = random_bytes(24);
  auto* cipher = EVP_CIPHER_CTX_new();
  must(EVP_EncryptInit_ex(cipher, EVP_chacha20_poly1305(), nullptr, nullptr, nullptr) == 1, "EVP");
  auto* digest = EVP_MD_CTX_new();
  for (const size_t size : {size_t{64}, size_t{1024}, size_t{4096}, size_t{65536}, size_t{262144}, size_t{1048576}}) {
    const auto in = random_bytes(size);
    Buffer out(size + 16);
    uint8_t hash[32];
    const auto name = size_name(size);
    figure("ChaCha20-Poly1305, libsodium, " + name, core_us([&] {
             crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, in.data(), size, nullptr, 0, nullptr,
                                                       nonce.data(), key.data());
           }),
           "core-us");
    figure("ChaCha20-Poly1305, OpenSSL, " + name, core_us([&] { evp_seal(cipher, key.data(), in, out); }), "core-us");
    figure("XChaCha20-Poly1305, libsodium, " + name, core_us([&] {
             crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, in.data(), size, nullptr, 0, nullptr,
                                                        nonce.data(), key.data());
           }),
           "core-us");
    figure("BLAKE2b-256, " + name, core_us([&] { crypto_generichash(hash, 32, in.data(), size, nullptr, 0); }),
           "core-us");
    figure("SHA-256, OpenSSL, " + name, core_us([&] {
             unsigned length = 0;
             EVP_DigestInit_ex(digest, EVP_sha256(), nullptr);
             EVP_DigestUpdate(digest, in.data(), size);
             EVP_DigestFinal_ex(digest, hash, &length);
           }),
           "core-us");
    figure("SHA-256, libsodium, " + name, core_us([&] { crypto_hash_sha256(hash, in.data(), size); }), "core-us");
  }
  EVP_MD_CTX_free(digest);
  EVP_CIPHER_CTX_free(cipher);
}

// ---- CURVE ------------------------------------------------------------------------------------------------------

struct CurveKeys {
  char public_key[41], secret_key[41];
  CurveKeys() { must(zmq_curve_keypair(public_key, secret_key) == 0, "CURVE keys"); }
};

void* make_socket(void* context, int type, int queue, const CurveKeys& own, const CurveKeys* server) {
  void* socket = zmq_socket(context, type);
  const int zero = 0, one = 1;
  zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
  zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
  zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue);
  if (server == nullptr) {
    zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
  } else {
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server->public_key, 40);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own.public_key, 40);
  }
  must(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own.secret_key, 40) == 0, "CURVE option");
  return socket;
}

/// Client and server with a context each, as two processes would have; `serve` runs in a thread of its own.
class CurvePair {
 public:
  explicit CurvePair(int queue) : server_context_(zmq_ctx_new()), client_context_(zmq_ctx_new()) {
    server = make_socket(server_context_, ZMQ_ROUTER, queue, server_keys_, nullptr);
    must(zmq_bind(server, "tcp://127.0.0.1:*") == 0, "bind");
    char endpoint[128];
    size_t length = sizeof endpoint;
    zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &length);
    client = make_socket(client_context_, ZMQ_DEALER, queue, client_keys_, &server_keys_);
    must(zmq_connect(client, endpoint) == 0, "connect");
  }
  ~CurvePair() {
    zmq_close(client);
    zmq_close(server);
    zmq_ctx_term(client_context_);
    zmq_ctx_term(server_context_);
  }
  CurvePair(const CurvePair&) = delete;
  CurvePair& operator=(const CurvePair&) = delete;

  void* server;
  void* client;

 private:
  CurveKeys server_keys_, client_keys_;
  void* server_context_;
  void* client_context_;
};

size_t receive_at_server(void* server, std::array<char, 64>& peer, int& peer_length) {
  peer_length = zmq_recv(server, peer.data(), peer.size(), 0);
  zmq_msg_t message;
  zmq_msg_init(&message);
  must(zmq_msg_recv(&message, server, 0) >= 0, "receive");
  const size_t size = zmq_msg_size(&message);
  zmq_msg_close(&message);
  return size;
}

void send_copy(void* socket, const Buffer& bytes) {
  zmq_msg_t message;
  zmq_msg_init_size(&message, bytes.size());
  std::memcpy(zmq_msg_data(&message), bytes.data(), bytes.size());
  must(zmq_msg_send(&message, socket, 0) >= 0, "send");
}

void curve_throughput(size_t size) {
  std::vector<double> rate, cost;
  const long count = size <= 1024 ? 60000 : size <= 8192 ? 20000 : size <= 65536 ? 4000 : size <= 262144 ? 1200 : 300;
  const auto bytes = random_bytes(size);
  for (int run = 0; run < 5; ++run) {
    CurvePair pair(size >= 65536 ? 16 : 1000);
    double begin = 0, cpu_begin = 0, wall = 0, cpu = 0;
    std::thread serve([&] {
      std::array<char, 64> peer{};
      int peer_length = 0;
      for (long i = 0; i <= count; ++i) {
        receive_at_server(pair.server, peer, peer_length);
        if (i == 0) {
          begin = wall_seconds();
          cpu_begin = bench::process_cpu_seconds();
        }
      }
      wall = wall_seconds() - begin;
      cpu = bench::process_cpu_seconds() - cpu_begin;
      zmq_send(pair.server, peer.data(), static_cast<size_t>(peer_length), ZMQ_SNDMORE);
      zmq_send(pair.server, "x", 1, 0);
    });
    for (long i = 0; i <= count; ++i) send_copy(pair.client, bytes);
    char end;
    zmq_recv(pair.client, &end, 1, 0);
    serve.join();
    rate.push_back(static_cast<double>(count) / wall);
    cost.push_back(cpu * 1e6 / static_cast<double>(count));
  }
  figure("CURVE message, " + size_name(size), cost, "core-us");
  figure("CURVE messages a second, " + size_name(size), rate, "1/s");
}

void curve_round_trip(size_t size) {
  std::vector<double> medians;
  const int count = size >= 1048576 ? 150 : 1500, warm = 100;
  const auto bytes = random_bytes(size);
  for (int run = 0; run < 5; ++run) {
    CurvePair pair(64);
    std::thread serve([&] {
      std::array<char, 64> peer{};
      int peer_length = 0;
      for (int i = 0; i < count + warm; ++i) {
        receive_at_server(pair.server, peer, peer_length);
        zmq_send(pair.server, peer.data(), static_cast<size_t>(peer_length), ZMQ_SNDMORE);
        send_copy(pair.server, bytes);
      }
    });
    std::vector<double> samples;
    for (int i = 0; i < count + warm; ++i) {
      const double begin = wall_seconds();
      send_copy(pair.client, bytes);
      zmq_msg_t message;
      zmq_msg_init(&message);
      must(zmq_msg_recv(&message, pair.client, 0) >= 0, "receive");
      zmq_msg_close(&message);
      if (i >= warm) samples.push_back((wall_seconds() - begin) * 1e6);
    }
    serve.join();
    medians.push_back(bench::percentile(samples, 50));
  }
  figure("CURVE round trip p50, " + size_name(size), medians, "us");
}

// ---- LMDB and the disk ------------------------------------------------------------------------------------------

class Environment {
 public:
  explicit Environment(std::string path) : path_(std::move(path)) {
    remove();
    must(mdb_env_create(&env_) == 0, "mdb_env_create");
    must(mdb_env_set_mapsize(env_, 4ull << 30) == 0, "mdb_env_set_mapsize");
    must(mdb_env_open(env_, path_.c_str(), MDB_NOSUBDIR, 0600) == 0, "mdb_env_open");
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, 0, &txn) == 0 && mdb_dbi_open(txn, nullptr, 0, &dbi_) == 0 &&
             mdb_txn_commit(txn) == 0,
         "mdb_dbi_open");
  }
  ~Environment() {
    mdb_env_close(env_);
    remove();
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  void commit(int puts, const Buffer& value) {
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, 0, &txn) == 0, "mdb_txn_begin");
    for (int i = 0; i < puts; ++i) {
      uint64_t key = __builtin_bswap64(next_++);
      MDB_val k{sizeof key, &key}, v{value.size(), const_cast<uint8_t*>(value.data())};
      must(mdb_put(txn, dbi_, &k, &v, 0) == 0, "mdb_put");
    }
    must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
  }

 private:
  void remove() {
    unlink(path_.c_str());
    unlink((path_ + "-lock").c_str());
  }
  std::string path_;
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  uint64_t next_ = 1;
};

void lmdb(const std::string& directory, std::span<const size_t> sizes) {
  for (const size_t size : sizes) {
    const auto value = random_bytes(size);
    std::vector<double> latency, single_cost, rate, cost;
    for (int run = 0; run < 5; ++run) {
      Environment env(directory + "/anchor.mdb");
      std::vector<double> samples;
      double cpu = bench::thread_cpu_seconds();
      for (int i = 0; i < 300; ++i) {
        const double begin = wall_seconds();
        env.commit(1, value);
        samples.push_back((wall_seconds() - begin) * 1e6);
      }
      single_cost.push_back((bench::thread_cpu_seconds() - cpu) * 1e6 / 300);
      latency.push_back(bench::percentile(samples, 50));
      const double begin = wall_seconds();
      cpu = bench::thread_cpu_seconds();
      for (int i = 0; i < 60; ++i) env.commit(100, value);
      rate.push_back(6000 / (wall_seconds() - begin));
      cost.push_back((bench::thread_cpu_seconds() - cpu) * 1e6 / 6000);
    }
    figure("LMDB commit of one p50, " + size_name(size), latency, "us");
    figure("LMDB commit of one, " + size_name(size), single_cost, "core-us");
    figure("LMDB puts a second, 100 a commit, " + size_name(size), rate, "1/s");
    figure("LMDB put, 100 a commit, " + size_name(size), cost, "core-us");
  }
}

void disk(const std::string& directory) {
  const auto path = directory + "/anchor.file";
  const auto page = random_bytes(4096);
  const auto chunk = random_bytes(262144);
  std::vector<double> small, large, large_cost;
  for (int run = 0; run < 5; ++run) {
    const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    must(fd >= 0 && posix_fallocate(fd, 0, 4 << 20) == 0 && fsync(fd) == 0, "preallocated file");
    std::vector<double> samples;
    for (int i = 0; i < 200; ++i) {
      const double begin = wall_seconds();
      must(pwrite(fd, page.data(), page.size(), (i % 512) * 4096) == 4096 && fdatasync(fd) == 0, "fdatasync");
      samples.push_back((wall_seconds() - begin) * 1e6);
    }
    small.push_back(bench::percentile(samples, 50));
    close(fd);
    samples.clear();
    const double cpu = bench::thread_cpu_seconds();
    for (int i = 0; i < 40; ++i) {
      const double begin = wall_seconds();
      const auto name = path + std::to_string(i);
      const int body = open(name.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      must(body >= 0 && posix_fallocate(body, 0, 4 * 262144) == 0, "body file");
      for (int c = 0; c < 4; ++c) must(pwrite(body, chunk.data(), chunk.size(), c * 262144) == 262144, "pwrite");
      must(fdatasync(body) == 0, "fdatasync");
      close(body);
      samples.push_back((wall_seconds() - begin) * 1e6);
    }
    large_cost.push_back((bench::thread_cpu_seconds() - cpu) * 1e6 / 40);
    large.push_back(bench::percentile(samples, 50));
    for (int i = 0; i < 40; ++i) unlink((path + std::to_string(i)).c_str());
  }
  unlink(path.c_str());
  figure("fdatasync of 4 KiB p50", small, "us");
  figure("new file of 1 MiB and fdatasync p50", large, "us");
  figure("new file of 1 MiB and fdatasync", large_cost, "core-us");
}

}  // namespace

int main(int count, char** values) {
  constexpr std::string_view known[] = {"dir", "phase"};
  const bench::Arguments arguments(count, values, known);
  const auto directory = arguments.text("dir", ".");
  must(sodium_init() >= 0, "sodium_init");
  must(mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST, "scratch directory");
  if (arguments.text("phase", "all") == "latency") {
    curve_round_trip(1024);
    lmdb(directory, std::array<size_t, 2>{1024, 6144});
    return 0;
  }
  public_key_operations();
  sealing_and_hashing();
  for (const size_t size : {size_t{64}, size_t{1024}, size_t{8192}, size_t{65536}, size_t{262144}, size_t{1048576}})
    curve_throughput(size);
  for (const size_t size : {size_t{1024}, size_t{65536}, size_t{1048576}}) curve_round_trip(size);
  lmdb(directory, std::array<size_t, 3>{256, 1024, 6144});
  disk(directory);
  return 0;
}
