// A store that was put back to an earlier time: a new incarnation, the senders told, what was lost sent again; and what
// we do when another node says so (R6, R13, R20-R23).
//
//   none --a backup was restored, or our own log is known to be longer--> asking
//   asking --W brokers said which incarnation they know, with proof--> telling   (inc is above all of them)
//   telling --W brokers have every notice for our senders--> none                (only now anything is acknowledged)
#include <algorithm>
#include <tuple>

#include "base/limits.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t redeliver_page_rows = 400;
constexpr size_t reissue_page_rows = 200;
constexpr Duration telling_max = minutes(10);  // what a full mailbox refuses must not keep us silent for ever
constexpr size_t lives_kept_max = 8;
constexpr Duration later_life_answers = seconds(30);  // else what its earlier life took goes out again
constexpr Time lives_counted_from{1577836800000};  // 2020
constexpr Duration since_margin = days(1);  // receipts are repeated from so long before the backup: clocks differ

/// A row of table::redeliver: what a recipient asked for, and how far we are.
struct Redelivery {
  uint32_t inc = 0;
  uint64_t seq = 0;
  enum Stage : uint8_t { documents = 0, receipts = 1 } stage = documents;
  Bytes cursor;
};
Bytes encode(const Redelivery& one) {
  Bytes value;
  Writer(value).u32(one.inc).u64(one.seq).u8(one.stage).raw(one.cursor);
  return value;
}
Result<Redelivery> decode_redelivery(BytesView value) {
  Reader reader(value);
  Redelivery one;
  one.inc = reader.u32();
  one.seq = reader.u64();
  one.stage = static_cast<Redelivery::Stage>(reader.u8());
  one.cursor = to_bytes(reader.raw(reader.left()));
  if (!reader.finish()) return fail(ErrorCode::store_corrupt, "redeliver");
  return one;
}

/// When the store was last written, by the first `size` entries of its own log.
Result<Time> entry_time(ReadTxn& txn, uint64_t size) {
  if (size == 0) return Time{};
  TRAM_TRY(last, audit::read_entry(txn, size - 1));
  return last ? last->time : Time{};
}
/// The last position of a channel, incarnation and number, up to which all was had: what was passed over in a gap, because of a
/// recovery or as its sender began a new incarnation may still have come when the copy was made, while its envelope lived
/// (R11, R13, R21).
Result<std::pair<uint32_t, uint64_t>> had_until(ReadTxn& txn, const PartyId& sender, Lane lane, const proto::ChannelIn& channel, Time now) {
  std::pair<uint32_t, uint64_t> until{channel.inc, channel.next_seq - 1};
  TRAM_OK(for_each(txn, table::skipped, row_key(sender, lane), [&](const Row& row) -> Result<void> {
    const uint32_t inc = Reader(BytesView(row.key).subspan(PartyId::size + 1)).u32();
    Reader value(row.value);
    const uint64_t first = value.u64();
    const EnvelopeId meant{value.array<EnvelopeId::size>()};
    const Time since{value.left() >= 8 ? static_cast<int64_t>(value.u64()) : 0};
    const bool lives = now - since < limits::time_to_live + limits::grace;
    if (meant.is_zero() && lives && first > 0) until = std::min(until, {inc, first - 1});
    return {};
  }));
  return until;
}
}  // namespace

// ---- our own store was put back ---------------------------------------------------------------------------------

Result<void> Node::mark_restored(WriteTxn& txn) {
  TRAM_TRY(record, node::load<proto::NodeRecord>(txn, table::self, view("self")));
  audit::Log log;
  TRAM_OK(log.load(txn));
  TRAM_TRY(time, entry_time(txn, log.size()));
  record.recovery = proto::Recovery::asking;
  record.store_time = time;
  return save(txn, table::self, view("self"), record);
}

Result<void> read_backup_marks(ReadTxn& txn, BackupMarks& backup) {
  TRAM_TRY(record, node::load<proto::NodeRecord>(txn, table::self, view("self")));
  backup.rinc = record.rinc;
  audit::Log log;
  TRAM_OK(log.load(txn));
  TRAM_TRY(time, entry_time(txn, log.size()));
  return for_each(txn, table::channel_in, {}, [&](const Row& row) -> Result<void> {
    proto::ChannelIn channel;
    TRAM_OK(proto::decode_record(row.value, channel));
    const auto sender = id_at<PartyId>(row.key, 0);
    const auto lane = static_cast<Lane>(row.key[PartyId::size]);
    TRAM_TRY(until, had_until(txn, sender, lane, channel, time));
    if (until.second > 0) backup.marks.push_back({sender, lane, until.first, until.second});
    return {};
  });
}

Result<void> Node::begin_recovery(WriteTxn& txn, Time now, Effects& effects) {
  if (self_.recovery != proto::Recovery::none) return {};
  recovered_ = true;
  // What a copy wrote before it knew is of no account: nothing of it was signed.
  TRAM_TRY(time, entry_time(txn, std::min(own_log_.checkpoint_size(), audit_.size())));
  self_.store_time = time;
  self_.recovery = proto::Recovery::asking;
  self_dirty_ = true;
  reports_.clear();
  arrivals_.clear();
  fetches_.clear();
  log_.warning("recovery.begun", {{"inc", self_.inc}, {"rinc", self_.rinc}});
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::recovery_begun, {u64_value(self_.rinc)}));
  for (auto& [broker, link] : links_) {
    link.greeted = false;
    if (link.connected) TRAM_OK(greet(txn, now, broker, link, effects));
  }
  return {};
}

/// W brokers, or all where there are fewer.
size_t Node::answers_wanted(Time now) const {
  return std::min<size_t>(std::max(1u, directory_.policy(now).custody_quorum), links_.size());
}

/// What a broker says of us counts only with our own signature (R13); else it could use up the numbers.
Result<void> Node::hear_incarnation(WriteTxn& txn, Time now, const PartyId& broker, const proto::HelloReply& hello, Effects& effects) {
  Report report;
  if (!hello.incarnation.empty()) {
    auto envelope = crypto::decode_envelope(hello.incarnation);
    bool ours = envelope && envelope->sender == config_.self && envelope->realm == config_.realm;
    if (ours) {
      TRAM_TRY(by_us, signed_by_us(txn, envelope->dir_size, envelope->created, [&](const SigPublic& key) { return crypto::verify_envelope(*envelope, key); }));
      ours = by_us;
    }
    if (ours) report.inc = envelope->inc;
    else log_.warning("incarnation.not_proved", {{"broker", broker}});
  }
  if (!hello.recovery.empty()) {
    auto notice = crypto::decode_notice(hello.recovery);
    bool ours = notice && notice->kind == crypto::NoticeKind::recover && notice->issuer == config_.self && notice->realm == config_.realm;
    if (ours) {
      TRAM_TRY(by_us, signed_by_us(txn, directory_.size(), notice->time, [&](const SigPublic& key) { return crypto::verify_notice(*notice, key); }));
      ours = by_us;
    }
    const auto rinc = ours ? crypto::rinc_of(notice->env_id) : Result<uint32_t>(0u);
    if (ours && rinc) report.rinc = *rinc;
    else log_.warning("incarnation.not_proved", {{"broker", broker}});
  }
  reports_[broker] = report;
  return open_incarnation(txn, now, effects);
}

/// When enough brokers have said what they know, and the directory is theirs again: all who may have sent are in it.
Result<void> Node::open_incarnation(WriteTxn& txn, Time now, Effects& effects) {
  if (self_.recovery != proto::Recovery::asking) return {};
  if (reports_.size() < answers_wanted(now)) return {};
  for (const auto& [id, link] : links_)
    if (link.greeted && link.directory_size > directory_.size()) return {};
  // One number for both: who receives only is fenced too, and no life takes the number of one that sent nothing.
  uint32_t known = std::max(self_.inc, self_.rinc);
  for (const auto& [from, one] : reports_) known = std::max({known, one.inc, one.rinc});
  reports_.clear();
  // Not simply the next one: brokers that were put back as well have forgotten it, and a peer that was not compares lives.
  const int64_t by_clock = std::clamp<int64_t>((now - lives_counted_from).ms / 1000, 0, UINT32_MAX);
  self_.inc = self_.rinc = std::max(known + 1, static_cast<uint32_t>(by_clock));
  // Feeds are numbered: brokers hold some that this store no longer knows.
  self_.kx_feed = std::max(self_.kx_feed, uint64_t{self_.rinc} << 32);
  self_.recovery = proto::Recovery::telling;
  self_dirty_ = true;
  telling_since_ = now;
  log_.warning("incarnation.opened", {{"inc", self_.inc}, {"rinc", self_.rinc}});
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::incarnation_opened, {u64_value(self_.inc)}));
  kx_feed_.clear();
  TRAM_OK(rotate_kx(txn, now, effects));
  old_envelopes_from_ = Bytes{};
  // What an earlier life had to tell brokers may have taken meanwhile: nobody would say so again.
  TRAM_OK(for_each(txn, table::recover_mail, {}, [&](const Row& row) { return txn.erase(table::recover_mail, row.key); }));
  TRAM_OK(tell_senders(txn, now, effects));
  TRAM_OK(kick_all_channels(txn, now, effects));
  return end_telling(txn, now, effects);
}

Result<void> Node::tell(WriteTxn& txn, Time now, const PartyId& sender, Lane lane, uint32_t inc, uint64_t seq, Effects& effects) {
  crypto::Notice notice = new_notice(crypto::NoticeKind::recover, sender, now);
  notice.env_id = crypto::rinc_field(self_.rinc);
  notice.lane = lane;
  notice.inc = inc;
  notice.seq = seq;
  TRAM_TRY(mail, post_notice(txn, now, std::move(notice), effects));
  return txn.put(table::recover_mail, mail, {});
}

/// Everybody who could have sent us something: who did so after the backup we cannot know (R21).
Result<void> Node::tell_senders(WriteTxn& txn, Time now, Effects& effects) {
  TRAM_TRY(allowed, directory_.allow_list(txn, now));  // suspended and lately closed ones too
  std::set<PartyId> members;
  for (const auto& [key, party] : allowed) members.insert(party);
  for (const PartyId& sender : members) {
    TRAM_TRY(state, agency_of(txn, now, sender));
    if (sender == config_.self || !*state || !(*state)->agency.keys) continue;
    std::map<Lane, proto::ChannelIn> known;
    for (Lane lane : {Lane::urgent, Lane::normal, Lane::bulk}) {
      TRAM_TRY(channel, find<proto::ChannelIn>(txn, table::channel_in, row_key(sender, lane)));
      if (channel) known.emplace(lane, *channel);
    }
    // A backup of a day to come was made under a wrong clock: all receipts that are still of use.
    const Time since = self_.store_time > now ? now - limits::retention : self_.store_time - since_margin;
    TRAM_OK(tell(txn, now, sender, Lane::control, known.empty() ? 1 : 0, std::max<int64_t>(0, since.ms), effects));
    if (known.empty()) continue;
    for (Lane lane : {Lane::urgent, Lane::normal, Lane::bulk}) {
      const auto it = known.find(lane);
      std::pair<uint32_t, uint64_t> until{0, 0};
      if (it != known.end()) {
        TRAM_TRY(had, had_until(txn, sender, lane, it->second, self_.store_time));
        until = had;
      }
      TRAM_OK(tell(txn, now, sender, lane, until.first, until.second, effects));
    }
  }
  return {};
}

Result<void> Node::recover_mail_posted(WriteTxn& txn, Time now, const Hash& mail, size_t brokers, Effects& effects) {
  if (self_.recovery != proto::Recovery::telling || brokers < answers_wanted(now)) return {};
  TRAM_OK(txn.erase(table::recover_mail, mail));
  return end_telling(txn, now, effects);
}

/// Back to work when all have it, or when those that are left can take no mail.
Result<void> Node::end_telling(WriteTxn& txn, Time now, Effects& effects) {
  TRAM_TRY(left, txn.scan(table::recover_mail, {}, {}, 1));
  if (!left.empty()) {
    if (now - telling_since_ < telling_max) return {};
    log_.warning("recovery.not_all_told");
    TRAM_OK(for_each(txn, table::recover_mail, {}, [&](const Row& row) { return txn.erase(table::recover_mail, row.key); }));
  }
  self_.recovery = proto::Recovery::none;
  self_dirty_ = true;
  log_.warning("recovery.ended", {{"inc", self_.inc}, {"rinc", self_.rinc}});
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::recovery_ended, {u64_value(self_.inc), u64_value(self_.rinc)}));
  for (auto& [broker, link] : links_)
    if (link.connected) TRAM_OK(greet(txn, now, broker, link, effects));  // what waits for us is announced again
  return {};
}

/// Envelopes of an earlier incarnation are refused by every broker that knows the new one: they are issued anew (R20).
Result<void> Node::reissue_old_envelopes(WriteTxn& txn, Time now, Effects& effects) {
  if (!old_envelopes_from_ || self_.recovery == proto::Recovery::asking) return {};
  TRAM_TRY(rows, txn.scan(table::open_envelope, *old_envelopes_from_, {}, reissue_page_rows));
  for (const Row& row : rows) {
    const auto env_id = id_at<EnvelopeId>(row.key, 0);
    TRAM_TRY(record, find_envelope(txn, env_id));
    if (!record) continue;
    TRAM_TRY(envelope, crypto::decode_envelope(record->envelope));
    if (envelope.inc < self_.inc) TRAM_OK(reissue(txn, now, env_id, effects));
  }
  if (rows.size() < reissue_page_rows) {
    old_envelopes_from_.reset();
    return {};
  }
  old_envelopes_from_ = rows.back().key;
  old_envelopes_from_->push_back(0);
  effects.wake_at = now;
  return {};
}

// ---- another node's store was put back --------------------------------------------------------------------------

Result<void> Node::on_recover(WriteTxn& txn, Time now, const crypto::Notice& notice, Effects& effects) {
  const auto rinc = crypto::rinc_of(notice.env_id);
  if (!rinc) return {};
  log_.warning("recipient.recovers", {{"agency", notice.issuer}, {"lane", static_cast<uint64_t>(notice.lane)}, {"seq", notice.seq}});
  const bool receipts_only = notice.lane == Lane::control && notice.inc == 0;
  Redelivery wanted{notice.inc, notice.seq, receipts_only ? Redelivery::receipts : Redelivery::documents, {}};
  effects.wake_at = now;
  const Bytes key = row_key(notice.issuer, notice.lane);
  TRAM_TRY(asked, txn.get(table::redeliver, key));
  if (asked) {  // two lives of it, in any order: what either lacks
    TRAM_TRY(before, decode_redelivery(*asked));
    if (before.stage == Redelivery::documents) wanted.stage = Redelivery::documents;
    if (notice.lane == Lane::control) wanted.seq = std::min(wanted.seq, before.seq);
    else std::tie(wanted.inc, wanted.seq) = std::min(std::pair(wanted.inc, wanted.seq), std::pair(before.inc, before.seq));
  }
  TRAM_OK(txn.put(table::redeliver, key, encode(wanted)));
  if (receipts_only) return {};
  TRAM_OK(note_life(txn, notice, *rinc));
  for (Lane lane : {Lane::urgent, Lane::normal, Lane::bulk})
    if (notice.lane == Lane::control || notice.lane == lane) TRAM_OK(tell_passed(txn, now, notice, lane, effects));
  return {};
}

/// Where the channels of that life stand; on lane 0: it has nothing of ours.
Result<void> Node::note_life(WriteTxn& txn, const crypto::Notice& notice, uint32_t rinc) {
  const bool has_nothing = notice.lane == Lane::control;
  for (Lane lane : {Lane::urgent, Lane::normal, Lane::bulk}) {
    if (!has_nothing && notice.lane != lane) continue;
    const Bytes position = has_nothing ? row_key(uint32_t{0}, uint64_t{0}) : row_key(notice.inc, notice.seq);
    TRAM_OK(txn.put(table::peer_life, row_key(notice.issuer, lane, rinc), position));
    const Bytes lives = row_key(notice.issuer, lane);
    TRAM_TRY(rows, txn.scan(table::peer_life, lives, prefix_end(lives), lives_kept_max + 1));
    if (rows.size() > lives_kept_max) TRAM_OK(txn.erase(table::peer_life, rows.front().key));
  }
  return {};
}

/// Whether a later life of the recipient has said that it does not have what this receipt is for: what an earlier one took,
/// a copy that still runs perhaps, is not with the recipient (R13, R21).
Result<bool> Node::is_forgotten(ReadTxn& txn, const crypto::Receipt& receipt, const proto::EnvelopeRecord& record) {
  TRAM_TRY(envelope, crypto::decode_envelope(record.envelope));
  TRAM_TRY(rows, later_lives(txn, receipt.issuer, envelope.lane, receipt.rinc, lives_kept_max));
  const Bytes position = row_key(envelope.inc, envelope.seq);
  return std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.value < position; });
}

/// Whether the life of the recipient that asks, or a later one, signed for this document: a `recover` may be read long after
/// it was written, by a sender that was put back itself.
Result<bool> Node::answered_by_latest_life(ReadTxn& txn, const PartyId& recipient, const DocUuid& uuid) {
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, uuid));
  const Bytes lives = row_key(recipient, record.lane);
  TRAM_TRY(rows, txn.scan(table::peer_life, lives, prefix_end(lives), lives_kept_max));
  if (rows.empty()) return false;
  const uint32_t latest = Reader(BytesView(rows.back().key).last(sizeof(uint32_t))).u32();
  bool answered = false;
  const auto walked = for_each(txn, table::receipt, row_key(record.doc_id, recipient), [&](const Row& row) -> Result<void> {
    proto::ReceiptRecord held;
    TRAM_OK(proto::decode_record(row.value, held));
    TRAM_TRY(receipt, crypto::decode_receipt(held.receipt));
    answered = answered || receipt.rinc >= latest;
    return {};
  });
  TRAM_OK(walked);
  return answered;
}

/// The envelope stays open: other brokers may have it for the later life. Where they let it go on the earlier one's word it
/// is issued anew, not at once, since the earlier one may answer that too.
Result<void> Node::wait_for_later_life(WriteTxn& txn, Time now, const crypto::Receipt& receipt, const proto::EnvelopeRecord& envelope) {
  log_.warning("receipt.of_earlier_life", {{"document", receipt.doc_id}, {"issuer", receipt.issuer}, {"event", static_cast<uint64_t>(receipt.event)}});
  if (envelope.closed) return {};
  return add_timer(txn, now + later_life_answers, TimerKind::envelope_expiry, envelope.env_id);
}

/// The recipient's channel would wait for positions that it had, lost, and will not see again.
Result<void> Node::tell_passed(WriteTxn& txn, Time now, const crypto::Notice& asked, Lane lane, Effects& effects) {
  TRAM_TRY(channel, find<proto::ChannelOut>(txn, table::channel_out, row_key(asked.issuer, lane)));
  if (!channel || channel->inc != self_.inc || channel->next_seq == 1) return {};
  crypto::Notice notice = new_notice(crypto::NoticeKind::passed, asked.issuer, now);
  notice.env_id = asked.env_id;
  notice.lane = lane;
  notice.inc = channel->inc;
  notice.seq = channel->next_seq - 1;
  TRAM_OK(post_notice(txn, now, std::move(notice), effects));
  return {};
}

/// A page of what other nodes asked for; the rest with the next tick.
Result<void> Node::redeliver(WriteTxn& txn, Time now, Effects& effects) {
  TRAM_TRY(asked, txn.scan(table::redeliver, {}, {}, 1));
  if (asked.empty() || self_.recovery != proto::Recovery::none) return {};
  const auto recipient = id_at<PartyId>(asked[0].key, 0);
  const auto lane = static_cast<Lane>(asked[0].key[PartyId::size]);
  TRAM_TRY(wanted, decode_redelivery(asked[0].value));
  const bool documents = wanted.stage == Redelivery::documents;
  TRAM_TRY(rows, txn.scan(documents ? table::item : table::receipt, wanted.cursor, {}, redeliver_page_rows));
  for (const Row& row : rows) {
    if (documents) {
      if (id_at<PartyId>(row.key, DocUuid::size) != recipient) continue;
      TRAM_TRY(has_it, answered_by_latest_life(txn, recipient, id_at<DocUuid>(row.key, 0)));
      if (has_it) continue;
      TRAM_OK(redeliver_document(txn, now, row, lane, wanted.inc, wanted.seq, effects));
    } else {
      if (id_at<PartyId>(row.key, DocId::size) != config_.self) continue;
      TRAM_OK(repeat_receipt(txn, now, row, recipient, Time{static_cast<int64_t>(wanted.seq)}));
    }
  }
  effects.wake_at = now;
  if (rows.size() == redeliver_page_rows) {
    wanted.cursor = rows.back().key;
    wanted.cursor.push_back(0);
  } else if (documents && lane == Lane::control) {
    wanted.stage = Redelivery::receipts;
    wanted.cursor.clear();
  } else {
    return txn.erase(table::redeliver, asked[0].key);
  }
  return txn.put(table::redeliver, asked[0].key, encode(wanted));
}

/// What it had acknowledged and lost goes out under a new envelope, as long as we still hold it (R6, R20).
Result<void> Node::redeliver_document(WriteTxn& txn, Time now, const Row& row, Lane lane, uint32_t inc, uint64_t seq, Effects& effects) {
  proto::ItemRecord item;
  TRAM_OK(proto::decode_record(row.value, item));
  if (item.state != proto::ItemState::delivered && item.state != proto::ItemState::refused) return {};
  if (lane != Lane::control && std::pair(item.inc, item.seq) <= std::pair(inc, seq)) return {};
  TRAM_TRY(ends, ends_here(txn, now, item.recipient));
  if (ends) return {};
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, item.uuid));
  if (lane != Lane::control && record.lane != lane) return {};
  if (!record.body_kept) {
    log_.error("redelivery.too_late", {{"document", record.doc_id}, {"agency", item.recipient}});
    return {};
  }
  item.state = proto::ItemState::waiting;
  item.waiting_reason = 0;
  item.received = {};
  ++item.redeliveries;
  TRAM_OK(save(txn, table::item, row.key, item));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::redelivered, {record.doc_id, item.recipient}));
  TRAM_OK(add_todo(txn, item.recipient, record.lane, item.uuid));
  return kick_channel(txn, now, item.recipient, record.lane, effects);
}

/// Its disk damaged what it had acknowledged: the one document again (3.9, R6).
Result<void> Node::on_resend(WriteTxn& txn, Time now, const crypto::Notice& notice, Effects& effects) {
  log_.warning("recipient.lost_content", {{"agency", notice.issuer}, {"document", notice.doc_id}});
  TRAM_TRY(uuid, txn.get(table::outgoing_by_doc, notice.doc_id));
  if (!uuid) return {};
  const Bytes key = row_key(id_at<DocUuid>(*uuid, 0), notice.issuer);
  TRAM_TRY(item, txn.get(table::item, key));
  if (!item) return {};
  return redeliver_document(txn, now, {key, std::move(*item)}, Lane::control, 0, 0, effects);
}

/// What we answered it after its backup, it has lost too; and, where the document had gone out anew since then, the envelope
/// that the answer was for: so it is said for those as well that the backup may hold.
Result<void> Node::repeat_receipt(WriteTxn& txn, Time now, const Row& row, const PartyId& sender, Time since) {
  proto::ReceiptRecord held;
  TRAM_OK(proto::decode_record(row.value, held));
  if (!held.issued || held.stored < since) return {};
  TRAM_TRY(receipt, crypto::decode_receipt(held.receipt));
  if (receipt.sender != sender) return {};
  TRAM_OK(txn.put(table::to_post, row_key(receipt.doc_id, receipt.env_id, static_cast<uint16_t>(receipt.event)), {}));
  using enum crypto::ReceiptEvent;
  if (receipt.event == received || receipt.event == rejected) return {};

  std::map<EnvelopeId, std::pair<crypto::Receipt, bool>> others;  // earlier envelopes: their RECEIVED, and whether they have this too
  const auto walked = for_each(txn, table::receipt, row_key(receipt.doc_id, config_.self), [&](const Row& other) -> Result<void> {
    proto::ReceiptRecord record;
    TRAM_OK(proto::decode_record(other.value, record));
    TRAM_TRY(said, crypto::decode_receipt(record.receipt));
    if (!record.issued || std::pair(said.inc, said.seq) >= std::pair(receipt.inc, receipt.seq)) return {};
    auto& [answer, has_it] = others[said.env_id];
    if (said.event == received) answer = said;
    has_it = has_it || said.event == receipt.event || said.event == rejected;
    return {};
  });
  TRAM_OK(walked);
  TRAM_TRY(words, proto::decode_receipt_text(view(receipt.text)));
  for (auto& [env_id, other] : others) {
    auto& [answer, has_it] = other;
    if (has_it || answer.env_id.is_zero()) continue;
    answer.event = receipt.event;
    answer.reason = receipt.reason;
    TRAM_TRY(issued, issue(txn, now, answer, words));
    TRAM_OK(txn.put(table::to_post, row_key(answer.doc_id, env_id, static_cast<uint16_t>(answer.event)), {}));
  }
  return {};
}

// ---- backups ----------------------------------------------------------------------------------------------------

/// R22: said only of a backup that was read back and verified.
Result<void> Node::backed_up(WriteTxn& txn, Time now, const BackupMarks& backup, Effects& effects) {
  if (self_.recovery != proto::Recovery::none || backup.rinc != self_.rinc) return {};  // of an earlier life
  for (const auto& mark : backup.marks) {
    const Bytes key = row_key(mark.sender, mark.lane);
    const Bytes value = row_key(mark.inc, mark.seq);
    TRAM_TRY(told, txn.get(table::backed_up, key));
    if (told && !(*told < value)) continue;
    TRAM_OK(txn.put(table::backed_up, key, value));
    crypto::Notice notice = new_notice(crypto::NoticeKind::backed_up, mark.sender, now);
    notice.env_id = crypto::rinc_field(self_.rinc);
    notice.doc_id = *DocId::from(backup.id);
    notice.lane = mark.lane;
    notice.inc = mark.inc;
    notice.seq = mark.seq;
    TRAM_OK(post_notice(txn, now, std::move(notice), effects));
  }
  self_.last_backup = now;
  self_dirty_ = true;
  log_.info("backup.told", {{"channels", static_cast<uint64_t>(backup.marks.size())}});
  return log_leaf(txn, now, audit::LeafKind::backed_up, {backup.id});
}

/// How far a recipient has our documents in a backup; our own copies stay until RET all the same (R6).
Result<void> Node::on_backed_up(WriteTxn& txn, const crypto::Notice& notice) {
  const Bytes key = row_key(notice.issuer, notice.lane);
  const Bytes value = row_key(notice.inc, notice.seq, notice.time);
  TRAM_TRY(known, txn.get(table::peer_backup, key));
  if (known && !(*known < value)) return {};
  return txn.put(table::peer_backup, key, value);
}

}  // namespace tram::node
