// A store whose values pass through a ValueCodec: the one place where every value is coded and checked.
#include "base/limits.h"
#include "base/ports.h"

namespace tram {
namespace {

Result<std::optional<Bytes>> decode_value(ValueCodec& codec, const Table& table, BytesView key,
                                          Result<std::optional<Bytes>> coded) {
  TRAM_TRY(value, std::move(coded));
  if (!value) return std::optional<Bytes>{};
  TRAM_TRY(plain, codec.decode(table, key, *value));
  return std::optional<Bytes>(std::move(plain));
}

Result<CheckedRows> check_values(ValueCodec& codec, const Table& table, Result<std::vector<Row>> coded, size_t limit) {
  TRAM_TRY(rows, std::move(coded));
  CheckedRows checked;
  checked.rows = rows.size();
  for (Row& row : rows)
    if (!codec.decode(table, row.key, row.value)) checked.damaged.push_back(row.key);
  if (rows.size() == limit) {
    checked.next = std::move(rows.back().key);
    checked.next.push_back(0);
  }
  return checked;
}

Result<std::vector<Row>> decode_rows(ValueCodec& codec, const Table& table, Result<std::vector<Row>> coded) {
  TRAM_TRY(rows, std::move(coded));
  for (Row& row : rows) {
    TRAM_TRY(plain, codec.decode(table, row.key, row.value));
    row.value = std::move(plain);
  }
  return rows;
}

class CodedReadTxn final : public ReadTxn {
 public:
  CodedReadTxn(std::unique_ptr<ReadTxn> raw, ValueCodec& codec) : raw_(std::move(raw)), codec_(codec) {}
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    return decode_value(codec_, table, key, raw_->get(table, key));
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    return decode_rows(codec_, table, raw_->scan(table, from, until, limit, direction));
  }
  Result<CheckedRows> check(const Table& table, BytesView from, size_t limit) override {
    return check_values(codec_, table, raw_->scan(table, from, {}, limit, Direction::forward), limit);
  }

 private:
  std::unique_ptr<ReadTxn> raw_;
  ValueCodec& codec_;
};

class CodedWriteTxn final : public WriteTxn {
 public:
  CodedWriteTxn(std::unique_ptr<WriteTxn> raw, ValueCodec& codec) : raw_(std::move(raw)), codec_(codec) {}
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    return decode_value(codec_, table, key, raw_->get(table, key));
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    return decode_rows(codec_, table, raw_->scan(table, from, until, limit, direction));
  }
  Result<CheckedRows> check(const Table& table, BytesView from, size_t limit) override {
    return check_values(codec_, table, raw_->scan(table, from, {}, limit, Direction::forward), limit);
  }
  Result<void> put(const Table& table, BytesView key, BytesView value) override {
    if (value.size() + 64 > limits::value_bytes_max) return fail(ErrorCode::too_large, std::string(table.name));
    return raw_->put(table, key, codec_.encode(table, key, value));
  }
  Result<void> erase(const Table& table, BytesView key) override { return raw_->erase(table, key); }
  Result<void> commit() override { return raw_->commit(); }

 private:
  std::unique_ptr<WriteTxn> raw_;
  ValueCodec& codec_;
};

class CodedStore final : public Store {
 public:
  CodedStore(Store& raw, ValueCodec& codec) : raw_(raw), codec_(codec) {}
  Result<std::unique_ptr<ReadTxn>> begin_read() override {
    TRAM_TRY(txn, raw_.begin_read());
    return std::unique_ptr<ReadTxn>(std::make_unique<CodedReadTxn>(std::move(txn), codec_));
  }
  Result<std::unique_ptr<WriteTxn>> begin_write() override {
    TRAM_TRY(txn, raw_.begin_write());
    return std::unique_ptr<WriteTxn>(std::make_unique<CodedWriteTxn>(std::move(txn), codec_));
  }

 private:
  Store& raw_;
  ValueCodec& codec_;
};

}  // namespace

Bytes prefix_end(BytesView prefix) {
  Bytes end = to_bytes(prefix);
  while (!end.empty() && end.back() == 0xff) end.pop_back();
  if (!end.empty()) ++end.back();
  return end;
}

std::unique_ptr<Store> coded_store(Store& raw, ValueCodec& codec) {
  return std::make_unique<CodedStore>(raw, codec);
}

Result<CheckedRows> ReadTxn::check(const Table& table, BytesView from, size_t limit) {
  TRAM_TRY(rows, scan(table, from, {}, limit));
  CheckedRows checked;
  checked.rows = rows.size();
  if (rows.size() == limit) {
    checked.next = std::move(rows.back().key);
    checked.next.push_back(0);
  }
  return checked;
}

std::string describe(const DamagedRow& row) { return std::string(row.table.name) + " " + to_hex(row.key); }

Result<RowCheck> check_rows(ReadTxn& txn, std::span<const Table> tables) {
  constexpr size_t page = 256;
  RowCheck check;
  for (const Table& table : tables) {
    Bytes from;
    do {
      TRAM_TRY(read, txn.check(table, from, page));
      check.rows += read.rows;
      for (Bytes& key : read.damaged) check.damaged.push_back({table, std::move(key)});
      from = std::move(read.next);
    } while (!from.empty());
  }
  return check;
}

}  // namespace tram
