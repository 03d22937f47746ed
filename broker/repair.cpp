// A store with rows that do not carry their code (3.9): each is dropped with all that belongs to it, or made anew from rows
// that say the same. What senders and authors hold, they bring again, since a new epoch follows (R7, R8). What exists
// nowhere else, the broker's own log and what it witnessed, is not guessed at: then the store is given up.
// Works in transactions of its own, the store at rest; killed on the way, the next recovery finds the rest.
#include <algorithm>

#include "broker/state.h"
#include "directory/repair.h"
#include "directory/rows.h"

namespace tram::broker {
namespace {

constexpr size_t rows_per_page = 128;
constexpr size_t named_max = 8;
constexpr uint8_t mark[] = {1};

bool is_directory(const Table& table) {
  const auto tables = directory::tables();
  return std::any_of(tables.begin(), tables.end(), [&](const Table& one) { return one.name == table.name; });
}
bool has_copy(const Table& table) {
  constexpr std::array ours{&table::party,  &table::body,     &table::body_inline, &table::lease,    &table::access,
                            &table::envelope, &table::queue,  &table::position,    &table::conflict,
                            &table::incarnation, &table::recovery, &table::mail,   &table::mail_id,  &table::timer,
                            &table::scrub,  &table::damaged};
  // Cosigned views come again with the others' entries.
  return is_directory(table) || table.name == audit::view_table.name || std::any_of(ours.begin(), ours.end(), [&](const Table* one) { return one->name == table.name; });
}

PartyId party_at(BytesView key, size_t offset) { return *PartyId::from(key.subspan(offset, PartyId::size)); }
EnvelopeId env_of(BytesView key) { return *EnvelopeId::from(key.last(EnvelopeId::size)); }

/// Every row of a table, a page a transaction.
template <class Visit>
Result<void> each_row(Broker::State& state, Store& store, Time now, const Table& table, Visit&& visit) {
  Bytes from;
  for (;;) {
    TRAM_TRY(txn, store.begin_write());
    TRAM_TRY(rows, txn->scan(table, from, {}, rows_per_page));
    Effects effects;
    Step step{*txn, now, effects, {}, {}, {}, false, false};
    for (const Row& row : rows) TRAM_OK(visit(step, row));
    TRAM_OK(state.write_parties(step));
    TRAM_OK(state.audit_log.store_head(*txn));
    TRAM_OK(txn->commit());
    if (rows.size() < rows_per_page) return {};
    from = rows.back().key;
    from.push_back(0);
  }
}

/// What is counted about parties, from the rows that are counted.
struct Counted {
  PartyRecord counts;
  uint64_t position = 0;  // of its queue, as far as rows tell
  Hash queue_head;
  uint32_t inc = 0, rinc = 0;
};

template <class Visit>
Result<void> read_all(ReadTxn& txn, const Table& table, Visit&& visit) {
  Bytes from;
  for (;;) {
    TRAM_TRY(rows, txn.scan(table, from, {}, rows_per_page));
    for (const Row& row : rows) TRAM_OK(visit(row));
    if (rows.size() < rows_per_page) return {};
    from = rows.back().key;
    from.push_back(0);
  }
}

Result<void> count_bodies(ReadTxn& txn, std::map<PartyId, Counted>& parties) {
  return read_all(txn, table::body, [&](const Row& row) -> Result<void> {
    if (!table::is_body_key(row.key)) return {};
    BodyRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    TRAM_TRY(pins, txn.scan(table::pin, table::pins_from(row.key), prefix_end(row.key), 1));
    PartyRecord& counts = parties[party_at(row.key, 0)].counts;
    (pins.empty() ? counts.unpinned_bytes : counts.pinned_bytes) += record.bytes;
    return {};
  });
}

Result<std::map<PartyId, Counted>> count(ReadTxn& txn) {
  std::map<PartyId, Counted> parties;
  TRAM_OK(count_bodies(txn, parties));
  const auto see = [](Counted& one, uint64_t position, const Hash& head) {
    if (position > one.position) one.position = position, one.queue_head = head;
  };
  const auto envelope_walked = read_all(txn, table::envelope, [&](const Row& row) -> Result<void> {
    StoredEnvelope record;
    TRAM_OK(proto::decode_record(row.value, record));
    if (record.state == EnvelopeState::gone) return {};
    if (record.state == EnvelopeState::stored) ++parties[sender_in(record)].counts.unacked;
    Bytes padded = record.custody;
    padded.resize(padded.size() + Signature::size);
    if (const auto custody = crypto::decode_custody(padded)) see(parties[recipient_in(record)], custody->position, custody->queue_head);
    return {};
  });
  TRAM_OK(envelope_walked);
  TRAM_OK(read_all(txn, table::queue, [&](const Row& row) -> Result<void> {
    Reader value(row.value);
    value.raw(EnvelopeId::size);
    see(parties[party_at(row.key, 0)], Reader(BytesView(row.key).last(8)).u64(), Hash{value.array<32>()});
    return {};
  }));
  TRAM_OK(read_all(txn, table::position, [&](const Row& row) -> Result<void> {
    Counted& sender = parties[party_at(row.key, 0)];
    sender.inc = std::max(sender.inc, Reader(BytesView(row.key).subspan(2 * PartyId::size + 1)).u32());
    return {};
  }));
  TRAM_OK(read_all(txn, table::conflict, [&](const Row& row) -> Result<void> {
    ++parties[party_at(row.key, 0)].counts.conflicts;
    return {};
  }));
  TRAM_OK(read_all(txn, table::incarnation, [&](const Row& row) -> Result<void> {
    if (const auto envelope = crypto::decode_envelope(row.value)) {
      Counted& sender = parties[party_at(row.key, 0)];
      sender.inc = std::max(sender.inc, envelope->inc);
    }
    return {};
  }));
  TRAM_OK(read_all(txn, table::recovery, [&](const Row& row) -> Result<void> {
    const auto notice = crypto::decode_notice(row.value);
    const auto rinc = notice ? crypto::rinc_of(notice->env_id) : Result<uint32_t>(0u);
    if (rinc) parties[party_at(row.key, 0)].rinc = *rinc;
    return {};
  }));
  const auto mail_walked = read_all(txn, table::mail, [&](const Row& row) -> Result<void> {
    StoredMail mail;
    TRAM_OK(proto::decode_record(row.value, mail));
    ++parties[mail.author].counts.mail_sent;
    ++parties[party_at(row.key, 0)].counts.mail_waiting;
    return {};
  });
  TRAM_OK(mail_walked);
  return parties;
}

}  // namespace

Result<void> Broker::State::write_parties(Step& step) {
  for (const PartyId& id : touched_parties) {
    CachedParty& cached = parties.at(id);
    cached.touched = false;
    if (cached.record == cached.written) continue;
    TRAM_OK(step.txn.put(table::party, id, proto::encode_record(cached.record)));
    cached.written = cached.record;
  }
  touched_parties.clear();
  return {};
}

/// Without a tombstone: Reconcile reports it missing, its sender puts it again.
Result<void> Broker::State::drop_envelope(Step& step, const EnvelopeId& env_id, const StoredEnvelope& record) {
  if (record.state == EnvelopeState::stored) TRAM_OK(leave_queue(step, record));
  TRAM_OK(step.txn.erase(table::pin, table::pin_key(sender_in(record), doc_in(record), record.pin)));
  TRAM_OK(step.txn.erase(table::access, table::access_key(recipient_in(record), doc_in(record), env_id)));
  TRAM_OK(step.txn.erase(table::position, record.position));
  return step.txn.erase(table::envelope, env_id);
}

Result<uint64_t> Broker::State::repair(Store& store, Time now, const std::vector<DamagedRow>& rows) {
  std::string lost;
  size_t named = 0;
  for (const DamagedRow& row : rows) {
    log.error("row.was_damaged", {{"table", row.table.name}, {"key", to_hex(row.key)}});
    if (has_copy(row.table)) continue;
    if (named++ < named_max) lost += (lost.empty() ? "" : ", ") + describe(row);
  }
  if (!lost.empty())
    return fail(ErrorCode::store_corrupt, lost + (named > named_max ? " and others" : "") +
                                              ": exists nowhere else; restore a backup, or begin with an empty store (accept)");
  bool directory_damaged = false;
  {
    TRAM_TRY(txn, store.begin_write());
    for (const DamagedRow& row : rows) {
      // A timer says all it says by being there.
      const bool only_key = row.table.name == table::timer.name;
      directory_damaged = directory_damaged || (is_directory(row.table) && row.table.name != directory::rows::kx.name);
      if (only_key) TRAM_OK(txn->put(row.table, row.key, mark));
      else TRAM_OK(txn->erase(row.table, row.key));
    }
    if (directory_damaged) TRAM_OK(directory::rebuild(*txn, config.realm, now));
    TRAM_OK(txn->commit());
  }
  {
    TRAM_TRY(txn, store.begin_read());
    TRAM_OK(forget_caches(*txn));
  }
  uint64_t dropped = 0;
  // Envelopes: whole with their body and pin, or dropped; rows that only repeat what they say are written again.
  const auto envelope_walked = each_row(*this, store, now, table::envelope, [&](Step& step, const Row& row) -> Result<void> {
    StoredEnvelope record;
    TRAM_OK(proto::decode_record(row.value, record));
    const EnvelopeId env_id = *EnvelopeId::from(row.key);
    TRAM_TRY(position, step.txn.get(table::position, record.position));
    if (!position) TRAM_OK(step.txn.put(table::position, record.position, env_id));
    if (record.state == EnvelopeState::gone) return {};
    const Bytes key = table::body_key(sender_in(record), doc_in(record));
    TRAM_TRY(of, body(step.txn, key));
    TRAM_TRY(pin, step.txn.get(table::pin, table::pin_key(sender_in(record), doc_in(record), record.pin)));
    bool complete = of && pin;
    if (complete && of->inline_body && of->inline_chunk.empty()) {
      TRAM_TRY(chunk, step.txn.get(table::body_inline, key));
      complete = chunk.has_value();
    }
    if (!complete) {
      ++dropped;
      TRAM_OK(drop_envelope(step, env_id, record));
      return body_unpinned(step, sender_in(record), doc_in(record));
    }
    if (!of->inline_body)
      TRAM_OK(step.txn.put(table::access, table::access_key(recipient_in(record), doc_in(record), env_id), sender_in(record)));
    if (record.state != EnvelopeState::stored) return {};
    TRAM_TRY(queued, step.txn.get(table::queue, record.queue));
    if (queued) return {};
    TRAM_OK(enqueue(step, env_id, sender_in(record), recipient_in(record), static_cast<Lane>(record.queue[PartyId::size]), record));
    return keep(step, env_id, record);
  });
  TRAM_OK(envelope_walked);
  // What speaks of rows that are gone goes too.
  const auto body_walked = each_row(*this, store, now, table::body, [&](Step& step, const Row& row) -> Result<void> {
    if (table::is_body_key(row.key)) {
      BodyRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      TRAM_TRY(lease_row, step.txn.get(table::lease, row.key));
      if (record.inline_body || lease_row) return {};
      LeaseRecord lease;  // what is there is found by reading it
      lease.until = now + limits::lease;
      lease.have.assign((record.chunks + 7) / 8, 0xff);
      TRAM_OK(step.txn.put(table::lease, row.key, proto::encode_record(lease)));
      return step.txn.put(table::timer, table::timer_key(lease.until, table::TimerKind::lease_end, row.key), mark);
    }
    TRAM_TRY(envelope, step.txn.get(table::envelope, table::env_of_pin(row.value)));
    if (envelope) return {};
    TRAM_OK(step.txn.erase(table::pin, row.key));
    return body_unpinned(step, party_at(row.key, 0), *DocId::from(BytesView(row.key).subspan(PartyId::size, DocId::size)));
  });
  TRAM_OK(body_walked);
  const auto erase_if_alone = [&](const Table& table, auto env_id_of) {
    return each_row(*this, store, now, table, [&, env_id_of](Step& step, const Row& row) -> Result<void> {
      TRAM_TRY(envelope, step.txn.get(table::envelope, env_id_of(row)));
      return envelope ? Result<void>{} : step.txn.erase(table, row.key);
    });
  };
  TRAM_OK(erase_if_alone(table::queue, [](const Row& row) { return *EnvelopeId::from(BytesView(row.value).first(EnvelopeId::size)); }));
  TRAM_OK(erase_if_alone(table::access, [](const Row& row) { return env_of(row.key); }));
  TRAM_OK(erase_if_alone(table::position, [](const Row& row) { return *EnvelopeId::from(row.value); }));
  TRAM_OK(each_row(*this, store, now, table::body_inline, [&](Step& step, const Row& row) -> Result<void> {
    TRAM_TRY(record, step.txn.get(table::body, row.key));
    return record ? Result<void>{} : step.txn.erase(table::body_inline, row.key);
  }));
  TRAM_OK(each_row(*this, store, now, table::lease, [&](Step& step, const Row& row) -> Result<void> {
    TRAM_TRY(record, step.txn.get(table::body, row.key));
    return record ? Result<void>{} : step.txn.erase(table::lease, row.key);
  }));
  TRAM_OK(each_row(*this, store, now, table::mail_id, [&](Step& step, const Row& row) -> Result<void> {
    const PartyId addressee = party_at(row.key, Hash::size);
    TRAM_TRY(mail, step.txn.get(table::mail, table::mail_key(addressee, Reader(row.value).u64())));
    return mail ? Result<void>{} : step.txn.erase(table::mail_id, row.key);
  }));
  const auto mail_walked = each_row(*this, store, now, table::mail, [&](Step& step, const Row& row) -> Result<void> {
    StoredMail mail;
    TRAM_OK(proto::decode_record(row.value, mail));
    return step.txn.put(table::mail_id, table::mail_id_key(mail.id, party_at(row.key, 0)), BytesView(row.key).last(8));
  });
  TRAM_OK(mail_walked);
  TRAM_TRY(txn, store.begin_write());
  TRAM_TRY(counted, count(*txn));
  // Those that no row speaks of any more, but that had one, count nothing.
  TRAM_OK(read_all(*txn, table::party, [&](const Row& row) -> Result<void> {
    counted.try_emplace(party_at(row.key, 0));
    return {};
  }));
  const auto was_damaged = [&](const PartyId& id) {
    return std::any_of(rows.begin(), rows.end(), [&](const DamagedRow& row) { return row.table.name == table::party.name && equal(row.key, id); });
  };
  for (const auto& [id, one] : counted) {
    PartyRecord record;
    TRAM_TRY(row, txn->get(table::party, id));
    if (row) TRAM_OK(proto::decode_record(*row, record));
    PartyRecord anew = one.counts;
    anew.inc = std::max(record.inc, one.inc);
    anew.rinc = std::max(record.rinc, one.rinc);
    anew.position = record.position;
    anew.queue_head = record.queue_head;
    if (was_damaged(id) && one.position > anew.position) anew.position = one.position, anew.queue_head = one.queue_head;
    TRAM_OK(txn->put(table::party, id, proto::encode_record(anew)));
  }
  TRAM_OK(txn->commit());
  parties.clear();
  return dropped;
}

}  // namespace tram::broker
