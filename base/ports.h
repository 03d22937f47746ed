// The ports through which the pure code meets the world: store, randomness, log. (Time is a plain parameter.)
// Each has a real implementation in io/ and a simulated one in tests/sim/, held to one contract test.
// Thread: a transaction belongs to the thread that began it.
#pragma once
#include <initializer_list>
#include <memory>
#include <variant>

#include "base/result.h"
#include "base/ids.h"
#include "base/time.h"

namespace tram {

// ---- store ------------------------------------------------------------------------------------------------

/// A named table; `name` is ASCII, at most 24 bytes, and is bound into every value's code (3.9).
struct Table {
  std::string_view name;
};

struct Row {
  Bytes key;
  Bytes value;
};

enum class Direction { forward, backward };

/// Rows that were looked at one after the other, whatever their values are worth.
struct CheckedRows {
  size_t rows = 0;
  std::vector<Bytes> damaged;  // keys of values that do not carry their code
  Bytes next;                  // where to go on; empty: that was the last row
};

/// Reads of one consistent snapshot. Everything is copied out (L8). Errors: store_corrupt, io_failed.
class ReadTxn {
 public:
  virtual ~ReadTxn() = default;
  virtual Result<std::optional<Bytes>> get(const Table&, BytesView key) = 0;
  /// Up to `limit` rows with from <= key < until (an empty `until` means no end), in key order or backwards.
  virtual Result<std::vector<Row>> scan(const Table&, BytesView from, BytesView until, size_t limit,
                                        Direction = Direction::forward) = 0;
  /// Up to `limit` rows from `from` on, each value checked by itself: one that is damaged hides no other (3.9).
  virtual Result<CheckedRows> check(const Table&, BytesView from, size_t limit);
};

/// The single writer's transaction: sees its own writes. Destroying it without commit aborts.
/// put errors: too_large (key 1..511 bytes, coded value <= 68 KiB), map_full, store_corrupt, io_failed.
class WriteTxn : public ReadTxn {
 public:
  virtual Result<void> put(const Table&, BytesView key, BytesView value) = 0;
  /// Removing what is not there succeeds.
  virtual Result<void> erase(const Table&, BytesView key) = 0;
  /// Durable when it returns success (R1). A failure other than storage_full/map_full is fatal (R2).
  virtual Result<void> commit() = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  virtual Result<std::unique_ptr<ReadTxn>> begin_read() = 0;
  virtual Result<std::unique_ptr<WriteTxn>> begin_write() = 0;
};

/// The end of the key range of everything that starts with `prefix` (empty when there is none).
Bytes prefix_end(BytesView prefix);

/// Codes every value: nodes seal (XChaCha20-Poly1305), brokers MAC (keyed BLAKE2b). 3.9.
class ValueCodec {
 public:
  virtual ~ValueCodec() = default;
  virtual Bytes encode(const Table&, BytesView key, BytesView plain) = 0;
  /// Error: store_corrupt (wrong key, rot, or a value moved from another place).
  virtual Result<Bytes> decode(const Table&, BytesView key, BytesView coded) = 0;
};

/// A store whose values pass through `codec`. Both must outlive it.
std::unique_ptr<Store> coded_store(Store& raw, ValueCodec& codec);

struct DamagedRow {
  Table table;
  Bytes key;
};
/// "table key", the key in hex: enough for an operator to tell one from another.
std::string describe(const DamagedRow&);
struct RowCheck {
  uint64_t rows = 0;
  std::vector<DamagedRow> damaged;
};
/// Reads every row of these tables, so that the codec checks each (3.9). Errors: io_failed; store_corrupt when the tables
/// themselves cannot be read.
Result<RowCheck> check_rows(ReadTxn&, std::span<const Table> tables);

// ---- bodies -----------------------------------------------------------------------------------------------

/// Named files of ciphertext with random access (bodies over 64 KiB, staged uploads); names are 4..128 lower-case hex digits.
/// Nothing is durable before sync() returned success (D1, D2). Errors: not_found, storage_full, io_failed.
/// Thread: any; two threads never write one name at a time.
class Bodies {
 public:
  virtual ~Bodies() = default;
  /// Makes the file with room for `bytes` (0 = grows); succeeds when it is there already.
  virtual Result<void> create(std::string_view name, uint64_t bytes) = 0;
  virtual Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) = 0;
  /// Data and name are durable.
  virtual Result<void> sync(std::string_view name) = 0;
  /// Exactly out.size() bytes, else not_found.
  virtual Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) = 0;
  /// Removing what is not there succeeds.
  virtual Result<void> remove(std::string_view name) = 0;
  virtual Result<std::vector<std::string>> list() = 0;
};

// ---- randomness -------------------------------------------------------------------------------------------

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> out) = 0;
  template <class Id>
  Id id() {
    Id value;
    fill(value.bytes);
    return value;
  }
};

// ---- log --------------------------------------------------------------------------------------------------

enum class LogLevel : uint8_t { debug, info, warning, error };

/// A field of an event. Only ids, counts, names of states: never keys, content, subjects, file names or tokens.
struct LogField {
  std::string_view key;
  std::variant<int64_t, std::string> value;
  LogField(std::string_view k, std::string_view v) : key(k), value(std::string(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string(v)) {}
  LogField(std::string_view k, int64_t v) : key(k), value(v) {}
  LogField(std::string_view k, uint64_t v) : key(k), value(static_cast<int64_t>(v)) {}
  LogField(std::string_view k, int v) : key(k), value(static_cast<int64_t>(v)) {}
  LogField(std::string_view k, uint32_t v) : key(k), value(static_cast<int64_t>(v)) {}
  template <size_t N, class Tag>
  LogField(std::string_view k, const FixedId<N, Tag>& id) : key(k), value(id.hex()) {}
};

/// Structured log; `event` is a constant `noun.past_verb`.
class Log {
 public:
  virtual ~Log() = default;
  virtual void write(LogLevel, std::string_view event, std::span<const LogField> fields) = 0;
  void debug(std::string_view event, std::initializer_list<LogField> fields = {}) { send(LogLevel::debug, event, fields); }
  void info(std::string_view event, std::initializer_list<LogField> fields = {}) { send(LogLevel::info, event, fields); }
  void warning(std::string_view event, std::initializer_list<LogField> fields = {}) { send(LogLevel::warning, event, fields); }
  void error(std::string_view event, std::initializer_list<LogField> fields = {}) { send(LogLevel::error, event, fields); }

 private:
  void send(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
    write(level, event, {fields.begin(), fields.size()});
  }
};

}  // namespace tram
