// What a broker does for a recipient whose store was put back, and what it may forget when a backup holds it (R6, R21, R22);
// the incarnations of senders, with the proof of each (R13).
#include <algorithm>

#include "broker/state.h"

namespace tram::broker {

namespace {
constexpr size_t positions_per_page = 256;
constexpr size_t envelopes_per_notice_max = 10000;  // the rest comes with the sender's re-issue, or goes with its age

bool is_ack(const StoredEnvelope& record) {
  return record.statement.size() > 4 && text(BytesView(record.statement).first(4)) == "EDXA";
}
}  // namespace

/// Visits what was acknowledged at positions in [from, until).
template <class Visit>
static Result<void> each_acknowledged(Broker::State& state, Step& step, Bytes from, const Bytes& until, Visit&& visit) {
  size_t seen = 0;
  while (seen < envelopes_per_notice_max) {
    TRAM_TRY(rows, step.txn.scan(table::position, from, until, positions_per_page));
    for (const Row& row : rows) {
      const auto env_id = EnvelopeId::from(row.value);
      if (!env_id) return fail(ErrorCode::store_corrupt, "position");
      TRAM_TRY(record, state.stored(step.txn, *env_id));
      if (record && record->state == EnvelopeState::acked && is_ack(*record)) TRAM_OK(visit(*env_id, *record));
    }
    seen += rows.size();
    if (rows.size() < positions_per_page) break;
    from = rows.back().key;
    from.push_back(0);
  }
  return {};
}

/// R21: what was answered by a store that is gone is in the queue again. A refusal stands: its sender knows what to do.
Result<void> Broker::State::on_recover(Step& step, const crypto::Notice& notice, BytesView notice_bytes) {
  const auto rinc = crypto::rinc_of(notice.env_id);
  if (!rinc) return {};
  TRAM_TRY(recipient, party(step, notice.issuer));
  if (*rinc < recipient->rinc) return {};  // of an earlier life
  if (*rinc > recipient->rinc) TRAM_OK(step.txn.put(table::recovery, notice.issuer, notice_bytes));
  recipient->rinc = *rinc;
  const bool all_lanes = notice.lane == Lane::control;
  if (all_lanes && notice.inc == 0) return {};
  Bytes from, until;
  if (all_lanes) {
    Writer(from).raw(notice.other).raw(notice.issuer);
    until = prefix_end(from);
  } else {
    from = table::position_key(notice.other, notice.issuer, notice.lane, notice.inc, notice.seq + 1);
    until = prefix_end(BytesView(from).first(2 * PartyId::size + 1));
  }
  return each_acknowledged(*this, step, std::move(from), until, [&](const EnvelopeId& env_id, StoredEnvelope& record) -> Result<void> {
    if (step.now > record.not_after + limits::grace) return {};
    TRAM_TRY(envelope, crypto::decode_envelope(record.envelope));
    TRAM_TRY(doc, doc_info(step, envelope.sender, envelope.doc_id));
    if (!doc) return {};
    record.state = EnvelopeState::stored;
    record.handed = {};
    record.statement.clear();
    record.statement_hash = {};
    TRAM_OK(enqueue(step, env_id, envelope.sender, envelope.recipient, envelope.lane, record));
    TRAM_OK(keep(step, env_id, record));
    return append(step, audit::LeafKind::requeued, {env_id, notice.id});
  });
}

/// R6: the recipient could put back what it holds; a statement of an earlier life of it frees nothing.
Result<void> Broker::State::on_backed_up(Step& step, const crypto::Notice& notice) {
  const auto rinc = crypto::rinc_of(notice.env_id);
  TRAM_TRY(recipient, party(step, notice.issuer));
  if (!rinc || *rinc < recipient->rinc || notice.lane == Lane::control) return {};
  Bytes from;
  Writer(from).raw(notice.other).raw(notice.issuer).u8(static_cast<uint8_t>(notice.lane));
  Bytes until = table::position_key(notice.other, notice.issuer, notice.lane, notice.inc, notice.seq);
  until.push_back(0);
  return each_acknowledged(*this, step, std::move(from), until, [&](const EnvelopeId& env_id, StoredEnvelope& record) {
    return retire(step, env_id, record, GoneReason::acked);
  });
}

/// R13: a later life of this agency is known, by an envelope or by its `recover` notice; 0 is none in particular.
Result<bool> Broker::State::fenced(Step& step, const PartyId& agency, uint32_t inc) {
  TRAM_TRY(known, party(step, agency));
  return inc != 0 && inc < std::max(known->inc, known->rinc);
}

/// Of the sender's highest incarnation one envelope is kept, so that a restored sender need not take our word for it.
Result<void> Broker::State::note_incarnation(Step& step, PartyRecord& sender, uint32_t inc, BytesView envelope) {
  if (inc <= sender.inc) return {};
  sender.inc = inc;
  return step.txn.put(table::incarnation, BytesView(envelope).subspan(40, PartyId::size), envelope);
}

}  // namespace tram::broker
