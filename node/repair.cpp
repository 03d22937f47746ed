// A node's store with rows that do not carry their code (3.9). What other rows say too is made anew from them; what brokers,
// senders or the new incarnation bring again is dropped; what exists nowhere else (registers, sent documents and where they
// stand, counters, our receipts, the log) is not guessed at: a backup has it. The store is at rest, and a recovery follows:
// all open envelopes are issued anew, senders hear where our channels stand, brokers are greeted as strangers (R13, R21).
#include <algorithm>

#include "audit/views.h"
#include "audit/witness.h"
#include "base/limits.h"
#include "directory/repair.h"
#include "directory/rows.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {
namespace {

constexpr size_t named_max = 8;

bool is(const DamagedRow& row, const Table& table) { return row.table.name == table.name; }
template <class... Tables>
bool is_one_of(const DamagedRow& row, const Tables&... tables) {
  return (is(row, tables) || ...);
}
bool is_directory(const DamagedRow& row) {
  const auto tables = directory::tables();
  return std::any_of(tables.begin(), tables.end(), [&](const Table& one) { return one.name == row.table.name; });
}

/// Rows that say all they say by being there.
bool only_key(const DamagedRow& row) {
  using namespace table;
  return is_one_of(row, sealing, open_envelope, timer, recover_mail, to_post, undeliverable);
}
/// Caches, and what the new incarnation makes again: custody and its work queues, what brokers said of themselves, backups
/// told, lives of others, heads, cosigned views, feeds, uploads and answers of the API that a client may ask for again.
bool comes_again(const DamagedRow& row) {
  using namespace table;
  return is_one_of(row, custody, pending, channel_out, broker_state, backed_up, peer_backup, peer_life, mail_seen, mail_out, number_seen,
                   kx_private, upload, idempotency, token, scrub, damaged, attempt, quarantine, head_in, audit::log_seen_table, audit::view_table,
                   directory::rows::kx);
}

class Repair {
 public:
  Repair(WriteTxn& txn, Time now, const std::vector<DamagedRow>& rows) : txn_(txn), now_(now), rows_(rows) {}

  Result<void> run() {
    TRAM_OK(refuse_what_has_no_copy());
    TRAM_TRY(self, node::load<proto::NodeRecord>(txn_, table::self, view("self")));
    self_ = self;
    bool directory_damaged = false;
    for (const DamagedRow& row : rows_) {
      directory_damaged = directory_damaged || (is_directory(row) && !is(row, directory::rows::kx));
      if (only_key(row)) TRAM_OK(txn_.put(row.table, row.key, {}));
      else TRAM_OK(txn_.erase(row.table, row.key));
    }
    if (directory_damaged) TRAM_OK(directory::rebuild(txn_, self_.realm, now_));
    for (const DamagedRow& row : rows_) TRAM_OK(mend(row));
    return save(txn_, table::self, view("self"), self_);
  }

 private:
  Result<void> refuse_what_has_no_copy() {
    std::string lost;
    size_t named = 0;
    for (const DamagedRow& row : rows_) {
      TRAM_TRY(copy, has_copy(row));
      if (copy) continue;
      if (named++ < named_max) lost += (lost.empty() ? "" : ", ") + describe(row);
    }
    if (lost.empty()) return {};
    return fail(ErrorCode::store_corrupt, lost + (named > named_max ? " and others" : "") + ": exists nowhere else; restore a backup");
  }

  bool damaged(const Table& table, BytesView key) const {
    return std::any_of(rows_.begin(), rows_.end(), [&](const DamagedRow& row) { return is(row, table) && equal(row.key, key); });
  }
  /// A value that may be read: there, and not among the damaged.
  template <class Record>
  Result<std::optional<Record>> sound(const Table& table, BytesView key) {
    if (damaged(table, key)) return std::optional<Record>{};
    return find<Record>(txn_, table, key);
  }
  /// Rows of a table that can be read, whatever lies between them.
  template <class Visit>
  Result<void> each_sound(const Table& table, BytesView prefix, Visit&& visit) {
    Bytes from = to_bytes(prefix);
    const Bytes until = prefix_end(prefix);
    for (;;) {
      TRAM_TRY(page, txn_.check(table, from, 256));
      const auto run = [&](const Bytes& first, const Bytes& end) -> Result<void> {
        const bool beyond = !until.empty() && (end.empty() || until < end);
        TRAM_TRY(rows, txn_.scan(table, first, beyond ? until : end, 256));
        for (const Row& row : rows) TRAM_OK(visit(row));
        return {};
      };
      Bytes at = from;
      for (const Bytes& bad : page.damaged) {
        if (at < bad) TRAM_OK(run(at, bad));
        at = bad;
        at.push_back(0);
      }
      TRAM_OK(run(at, page.next));
      if (page.next.empty() || (!until.empty() && !(page.next < until))) return {};
      from = page.next;
    }
  }

  Result<bool> has_copy(const DamagedRow& row) {
    using namespace table;
    if (only_key(row) || comes_again(row) || is_directory(row)) return true;
    if (is_one_of(row, outgoing_by_doc, todo, incoming_by_doc, incoming_held, channel_in, skipped, redeliver)) return true;
    if (is(row, receipt)) {  // others issue theirs again; ours nobody can
      const auto self_row = sound<proto::NodeRecord>(self, view("self"));
      if (!self_row) return fail(self_row.error());
      return *self_row && id_at<PartyId>(row.key, DocId::size) != (*self_row)->party;
    }
    if (is(row, incoming)) {
      TRAM_TRY(only, received_only(row.key));
      TRAM_TRY(known, answered_as(read_u64(row.key)));
      return only && known;
    }
    if (is(row, body_inline)) {
      TRAM_TRY(arrival, damaged(incoming_by_doc, row.key) ? Result<std::optional<uint64_t>>{} : find_u64(txn_, incoming_by_doc, row.key));
      return arrival.has_value();
    }
    if (is(row, answer)) {
      TRAM_TRY(record, received_as(id_at<EnvelopeId>(row.key, 0)));
      return record.has_value();
    }
    return false;
  }

  Result<std::optional<proto::InRecord>> received_as(const EnvelopeId& env_id) {
    std::optional<proto::InRecord> found;
    const auto walked = each_sound(table::incoming, {}, [&](const Row& row) -> Result<void> {
      proto::InRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (record.env_id == env_id) found = std::move(record);
      return {};
    });
    TRAM_OK(walked);
    return found;
  }

  /// Which document an unreadable row was, and whether the clerk had not done anything with it yet: then it can come again.
  Result<std::optional<DocId>> document_of(BytesView arrival) {
    std::optional<DocId> doc_id;
    TRAM_OK(each_sound(table::incoming_by_doc, {}, [&](const Row& row) -> Result<void> {
      if (equal(row.value, arrival)) doc_id = id_at<DocId>(row.key, 0);
      return {};
    }));
    return doc_id;
  }
  Result<bool> received_only(BytesView arrival) {
    TRAM_TRY(doc_id, document_of(arrival));
    if (!doc_id) return false;
    bool only = true;
    TRAM_OK(each_sound(table::receipt, *doc_id, [&](const Row& row) -> Result<void> {
      const uint16_t event = Reader(BytesView(row.key).subspan(DocId::size + PartyId::size + EnvelopeId::size)).u16();
      only = only && event == static_cast<uint16_t>(crypto::ReceiptEvent::received);
      return {};
    }));
    return only;
  }

  /// Whether an answer of ours says whose it was.
  Result<bool> answered_as(uint64_t arrival) {
    bool known = false;
    const auto walked = each_sound(table::answer, {}, [&](const Row& row) -> Result<void> {
      proto::AnswerRecord answered;
      TRAM_OK(proto::decode_record(row.value, answered));
      known = known || answered.arrival == arrival;
      return {};
    });
    TRAM_OK(walked);
    return known;
  }

  Result<void> mend(const DamagedRow& row) {
    using namespace table;
    if (is(row, outgoing_by_doc)) return mend_outgoing_by_doc(row);
    if (is(row, todo)) return mend_todo(row);
    if (is(row, incoming_by_doc)) return mend_incoming_by_doc(row);
    if (is(row, incoming_held)) return mend_held(row);
    if (is(row, skipped)) return txn_.put(skipped, row.key, row_key(uint64_t{1}, EnvelopeId{}));  // more may come late than did
    if (is(row, redeliver)) return mend_redeliver(row);
    if (is(row, incoming)) return mend_incoming(row);
    if (is(row, body_inline)) return Node::note_damaged(txn_, now_, id_at<DocId>(row.key, 0), false);
    if (is(row, answer)) return mend_answer(row);
    return {};
  }

  Result<void> mend_outgoing_by_doc(const DamagedRow& damaged_row) {
    return each_sound(table::outgoing, {}, [&](const Row& row) -> Result<void> {
      proto::OutRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (!equal(record.doc_id, damaged_row.key)) return {};
      return txn_.put(table::outgoing_by_doc, record.doc_id, record.uuid);
    });
  }

  /// Which document waited there, follows from the items that wait without a place in the queue.
  Result<void> mend_todo(const DamagedRow& damaged_row) {
    const auto recipient = id_at<PartyId>(damaged_row.key, 0);
    std::set<Bytes> queued;
    TRAM_OK(each_sound(table::todo, recipient, [&](const Row& row) -> Result<void> {
      queued.insert(row.value);
      return {};
    }));
    return each_sound(table::item, {}, [&](const Row& row) -> Result<void> {
      proto::ItemRecord item;
      TRAM_OK(proto::decode_record(row.value, item));
      if (item.recipient != recipient || item.state != proto::ItemState::waiting || queued.contains(to_bytes(item.uuid))) return {};
      TRAM_TRY(record, node::load<proto::OutRecord>(txn_, table::outgoing, item.uuid));
      if (record.state != proto::OutState::sent) return {};
      queued.insert(to_bytes(item.uuid));
      return txn_.put(table::todo, row_key(recipient, record.lane, self_.next_order++), item.uuid);
    });
  }

  Result<void> mend_incoming_by_doc(const DamagedRow& damaged_row) {
    return each_sound(table::incoming, {}, [&](const Row& row) -> Result<void> {
      proto::InRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (!equal(record.doc_id, damaged_row.key)) return {};
      return txn_.put(table::incoming_by_doc, record.doc_id, row.key);
    });
  }

  Result<void> mend_held(const DamagedRow& damaged_row) {
    uint64_t arrival = 0;  // consumed without a document
    const auto walked = each_sound(table::incoming, {}, [&](const Row& row) -> Result<void> {
      proto::InRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (record.state == proto::InState::held && equal(row_key(record.sender, record.lane, record.inc, record.seq), damaged_row.key))
        arrival = record.arrival;
      return {};
    });
    TRAM_OK(walked);
    return txn_.put(table::incoming_held, damaged_row.key, u64_value(arrival));
  }

  /// What a restored node asked for: from the start of the lane, which is more than it asked.
  Result<void> mend_redeliver(const DamagedRow& damaged_row) {
    Bytes value;
    Writer(value).u32(0).u64(0).u8(0);
    return txn_.put(table::redeliver, damaged_row.key, value);
  }

  /// It keeps its number; its sender, whom our answer names, is asked for it when the node runs.
  Result<void> mend_incoming(const DamagedRow& damaged_row) {
    TRAM_TRY(doc_id, document_of(damaged_row.key));
    if (!doc_id) return fail(ErrorCode::store_corrupt, describe(damaged_row));
    TRAM_OK(Node::note_damaged(txn_, now_, *doc_id, false));
    std::vector<Bytes> held;
    TRAM_OK(each_sound(table::incoming_held, {}, [&](const Row& row) -> Result<void> {
      if (equal(row.value, damaged_row.key)) held.push_back(row.key);
      return {};
    }));
    for (const Bytes& key : held) TRAM_OK(txn_.put(table::incoming_held, key, u64_value(0)));
    return {};
  }

  /// The same envelope may be announced again: then it is late, and welcome, and answered anew (R11).
  Result<void> mend_answer(const DamagedRow& damaged_row) {
    const auto env_id = id_at<EnvelopeId>(damaged_row.key, 0);
    TRAM_TRY(record, received_as(env_id));
    if (!record) return {};
    return txn_.put(table::skipped, row_key(record->sender, record->lane, record->inc, record->seq), row_key(record->seq, env_id));
  }

  WriteTxn& txn_;
  Time now_;
  const std::vector<DamagedRow>& rows_;
  proto::NodeRecord self_;
};

}  // namespace

Result<void> Node::repair(WriteTxn& txn, Time now, const std::vector<DamagedRow>& rows) { return Repair(txn, now, rows).run(); }

}  // namespace tram::node
