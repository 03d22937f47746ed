// Heads (R14): what a channel ends with is told to a recipient that has not answered, so that a broker cannot hide the
// last documents of a channel; what a recipient does that hears of one it has not got.
#include "node/heads.h"

#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t channels_per_tick_max = 256;
constexpr size_t heads_kept_max = 4096;
constexpr Duration pass_every = minutes(5);
constexpr Duration look_every = seconds(30);
constexpr Duration ask_brokers_after = minutes(1);
constexpr Duration ask_brokers_every = minutes(10);
}  // namespace

Bytes encode_head_row(const HeadRow& row) {
  return row_key(row.inc, row.seq, row.env_id, row.since, row.asked, static_cast<uint8_t>(row.said));
}

Result<HeadRow> decode_head_row(BytesView bytes) {
  Reader reader(bytes);
  HeadRow row;
  row.inc = reader.u32();
  row.seq = reader.u64();
  row.env_id = EnvelopeId{reader.array<EnvelopeId::size>()};
  row.since = Time{static_cast<int64_t>(reader.u64())};
  row.asked = Time{static_cast<int64_t>(reader.u64())};
  row.said = reader.u8() != 0;
  if (!reader.finish()) return fail(ErrorCode::store_corrupt, "head");
  return row;
}

Result<std::vector<Withheld>> withheld(ReadTxn& txn, Time now) {
  std::vector<Withheld> out;
  TRAM_TRY(rows, txn.scan(table::head_in, {}, {}, heads_kept_max));
  for (const Row& one : rows) {
    TRAM_TRY(row, decode_head_row(one.value));
    if (now - row.since >= limits::gap_release)
      out.push_back({id_at<PartyId>(one.key, 0), static_cast<Lane>(one.key[PartyId::size]), row.seq, row.since});
  }
  return out;
}

// ---- sender -----------------------------------------------------------------------------------------------------

/// After a time without any broker, and after a start, all open tails are told at once.
void Node::broker_greeted(Time now) {
  for (const auto& [broker, link] : links_)
    if (link.greeted) return;
  if (unreachable_since_.ms != 0 && now - unreachable_since_ < limits::head_after && now >= unreachable_since_) return;
  tails_at_once_ = true;
  tails_from_ = Bytes{};
}

void Node::broker_lost(Time now) {
  for (const auto& [broker, link] : links_)
    if (link.greeted) return;
  unreachable_since_ = now;
}

/// A page of the channels. No row says what was told: after a restart everything that is open is told again.
Result<void> Node::tell_heads(WriteTxn& txn, Time now, Effects& effects) {
  if (self_.recovery != proto::Recovery::none || !may_put()) return {};  // an old copy knows no end of a channel
  if (!tails_from_ && (now >= tails_next_ || tails_next_ > now + pass_every)) tails_from_ = Bytes{};
  if (!tails_from_) return {};
  TRAM_TRY(rows, txn.scan(table::channel_out, *tails_from_, {}, channels_per_tick_max));
  for (const Row& row : rows) {
    proto::ChannelOut channel;
    TRAM_OK(proto::decode_record(row.value, channel));
    TRAM_TRY(open, txn.get(table::open_envelope, channel.last));
    if (!open || channel.inc != self_.inc) {
      tails_.erase(row.key);
      continue;
    }
    Tail& tail = tails_.try_emplace(row.key, Tail{{}, {}, {}, now}).first->second;
    const bool was_told = tail.seen == tail.told;
    if (tail.seen != channel.last && was_told) tail.since = now;
    tail.seen = channel.last;
    if (tail.since > now) tail.since = now;  // the clock was set back
    if (tail.told_at > now) tail.told_at = now;
    const bool told = tail.told == channel.last;
    const bool due = told ? now - tail.told_at >= limits::head_again : now - tail.since >= limits::head_after;
    const bool after_break = tails_at_once_ && (!told || now - tail.told_at >= limits::head_after);
    if (!due && !after_break) continue;
    crypto::Notice notice = new_notice(crypto::NoticeKind::head, id_at<PartyId>(row.key, 0), now);
    notice.lane = static_cast<Lane>(row.key[PartyId::size]);
    notice.inc = channel.inc;
    notice.seq = channel.next_seq - 1;
    notice.env_id = channel.last;
    TRAM_OK(post_notice(txn, now, std::move(notice), effects));
    tail.told = channel.last;
    tail.told_at = now;
  }
  if (rows.size() == channels_per_tick_max) {
    tails_from_ = rows.back().key;
    tails_from_->push_back(0);
    effects.wake_at = now;
    return {};
  }
  tails_from_.reset();
  tails_at_once_ = false;
  tails_next_ = now + pass_every;
  return {};
}

/// The recipient has not got it: brokers are asked whether they still hold it, and who never had it is given it (R7).
Result<void> Node::on_withheld(WriteTxn& txn, Time now, const crypto::Notice& notice, Effects& effects) {
  TRAM_TRY(envelope, find_envelope(txn, notice.env_id));
  if (!envelope || envelope->closed || envelope->recipient != notice.issuer) return {};
  log_.warning("envelope.is_missed", {{"envelope", notice.env_id}, {"agency", notice.issuer}});
  for (auto& [broker, link] : links_) {
    if (!link.greeted) continue;
    TRAM_TRY(custody, find<proto::CustodyRecord>(txn, table::custody, custody_key(*envelope, broker)));
    if (custody && !custody->voided) send(broker, proto::Endpoint::control, proto::Reconcile{{notice.env_id}}, effects);
    else link.look_again();
  }
  effects.wake_at = now;
  return {};
}

// ---- recipient --------------------------------------------------------------------------------------------------

/// Whether the envelope is still to come: not once its channel has passed that position, and not once its sender has told of
/// a later life, which issues anew what it has of it and tells of that (R13).
Result<bool> Node::is_behind(ReadTxn& txn, const PartyId& sender, Lane lane, const HeadRow& head) {
  TRAM_TRY(answered, txn.get(table::answer, head.env_id));
  if (answered) return false;
  TRAM_TRY(channel, find<proto::ChannelIn>(txn, table::channel_in, row_key(sender, lane)));
  if (channel && std::pair(head.inc, head.seq) < std::pair(channel->inc, channel->next_seq)) return false;
  TRAM_TRY(later, later_lives(txn, sender, lane, head.inc, 1));
  if (!later.empty()) return false;
  TRAM_TRY(held, txn.get(table::incoming_held, row_key(sender, lane, head.inc, head.seq)));
  return !held.has_value();
}

Result<void> Node::on_head(WriteTxn& txn, Time now, const crypto::Notice& notice) {
  if (notice.seq == 0 || notice.lane == Lane::control) return {};
  const Bytes key = row_key(notice.issuer, notice.lane);
  HeadRow head{notice.inc, notice.seq, notice.env_id, now, {}, false};
  TRAM_TRY(behind, is_behind(txn, notice.issuer, notice.lane, head));
  if (!behind) return {};
  TRAM_TRY(row, txn.get(table::head_in, key));
  if (row) {
    TRAM_TRY(before, decode_head_row(*row));
    if (std::pair(head.inc, head.seq) <= std::pair(before.inc, before.seq)) return {};
    TRAM_TRY(still, is_behind(txn, notice.issuer, notice.lane, before));
    if (still) head.since = before.since;
  } else {
    TRAM_TRY(rows, txn.scan(table::head_in, {}, {}, heads_kept_max));
    if (rows.size() >= heads_kept_max) return {};
  }
  return txn.put(table::head_in, key, encode_head_row(head));
}

/// What was said to be sent and is not here: asked of the brokers again, then of its sender, then an alarm.
Result<void> Node::watch_heads(WriteTxn& txn, Time now, Effects& effects) {
  if (self_.recovery != proto::Recovery::none) return {};
  if (now < heads_looked_ + look_every && now >= heads_looked_) return {};
  heads_looked_ = now;
  TRAM_TRY(rows, txn.scan(table::head_in, {}, {}, heads_kept_max));
  bool ask_brokers = false;
  for (const Row& one : rows) {
    TRAM_TRY(row, decode_head_row(one.value));
    const auto sender = id_at<PartyId>(one.key, 0);
    const auto lane = static_cast<Lane>(one.key[PartyId::size]);
    TRAM_TRY(behind, is_behind(txn, sender, lane, row));
    // An envelope does not live so long: it was issued anew and is told anew, or a false word stands in the way of true ones.
    const bool over = now - row.since >= limits::time_to_live + limits::grace;
    if (!behind || over) {
      TRAM_OK(txn.erase(table::head_in, one.key));
      continue;
    }
    HeadRow next = row;
    if (next.since > now) next.since = now;  // the clock was set back
    if (next.asked > now) next.asked = now;
    const Duration age = now - next.since;
    const bool coming = arrivals_.contains(row.env_id);
    // Whoever has a long queue to fetch is not made to hear it from the start again.
    ask_brokers = ask_brokers || (!coming && age >= (arrivals_.empty() ? ask_brokers_after : limits::head_after));
    if (!coming && age >= limits::head_after && (next.asked.ms == 0 || now - next.asked >= limits::head_again)) {
      next.asked = now;
      crypto::Notice notice = new_notice(crypto::NoticeKind::nack, sender, now);
      notice.reason = static_cast<uint16_t>(ErrorCode::withheld);
      notice.lane = lane;
      notice.inc = row.inc;
      notice.seq = row.seq;
      notice.env_id = row.env_id;
      TRAM_OK(post_notice(txn, now, std::move(notice), effects));
    }
    if (age >= limits::gap_release && !next.said) {
      next.said = true;
      log_.warning("document.is_withheld", {{"sender", sender}, {"seq", row.seq}});
    }
    const Bytes value = encode_head_row(next);
    if (value != one.value) TRAM_OK(txn.put(table::head_in, one.key, value));
  }
  if (!ask_brokers || (now < heads_asked_ + ask_brokers_every && now >= heads_asked_)) return {};
  heads_asked_ = now;
  for (auto& [broker, link] : links_)
    if (link.greeted) TRAM_OK(greet(txn, now, broker, link, effects));  // what waits for us is announced again
  return {};
}

}  // namespace tram::node
