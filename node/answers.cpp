// What we say back and what others say to us: ACK and receipts, small mail, their effects (R15, R18, 4.2).
#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {

constexpr size_t answers_per_job_max = 16;
constexpr size_t items_per_frame = 48;
constexpr size_t receipts_of_event_max = 16;  // of one envelope
constexpr size_t mail_in_flight_max = 1000;
constexpr size_t awaited_posts_max = 4096;
constexpr size_t mail_doubted_max = 4096;
constexpr size_t mail_done_max = 4096;

Hash mail_id_of(BytesView content) { return crypto::hash("edx1/mail", {content}); }

uint16_t code_of(crypto::ReceiptEvent event) { return static_cast<uint16_t>(event); }

/// Later states outrank earlier ones, whatever order they arrive in (QD 28/2018; statuses come over several paths).
int rank(uint16_t status) {
  switch (status) {
    case 1: return 1;
    case 3: return 2;
    case 4: return 3;
    case 5: return 4;
    case 6: return 5;
    case 2: return 6;
    default: return 0;
  }
}

}  // namespace

crypto::Receipt Node::answer_to(const crypto::Envelope& envelope, BytesView envelope_bytes, crypto::ReceiptEvent event, uint16_t reason) {
  crypto::Receipt receipt;
  receipt.event = event;
  receipt.reason = reason;
  receipt.env_id = envelope.id;
  receipt.doc_id = envelope.doc_id;
  receipt.sender = envelope.sender;
  receipt.inc = envelope.inc;
  receipt.seq = envelope.seq;
  receipt.answers = crypto::answers_hash(envelope_bytes);
  return receipt;
}

Result<Node::Issued> Node::issue(WriteTxn& txn, Time now, const crypto::Receipt& answer, const proto::ReceiptText& text) {
  Issued issued{{}, answer};
  crypto::Receipt& receipt = issued.receipt;
  receipt.realm = config_.realm;
  receipt.recipient = config_.self;
  receipt.rinc = self_.rinc;
  receipt.time = now;
  receipt.clock_ok = clock_ok_;
  receipt.dir_size = directory_.size();
  receipt.dir_root = directory_.root();
  receipt.issuer = config_.self;
  receipt.issuer_key = crypto::key_id(crypto::KeyKind::sig, keys_.sig->public_key());
  receipt.log_index = audit_.size();
  TRAM_TRY(text_bytes, proto::encode_receipt_text(text));
  receipt.text = to_text(text_bytes);
  issued.bytes = crypto::encode_receipt(receipt, *keys_.sig);
  const uint64_t place = audit_.size() + 1;
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::receipt_issued, {crypto::hash("edx1/rcpt", {issued.bytes})}));
  TRAM_OK(save(txn, table::receipt, row_key(receipt.doc_id, config_.self, receipt.env_id, code_of(receipt.event)),
               proto::ReceiptRecord{issued.bytes, true, now, place}));
  return issued;
}

Result<void> Node::tell_sender(WriteTxn& txn, Time now, crypto::ReceiptEvent event, uint16_t reason, const proto::InRecord& record,
                               const proto::ReceiptText& text, Effects& effects) {
  TRAM_TRY(envelope, crypto::decode_envelope(record.envelope));
  TRAM_TRY(issued, issue(txn, now, answer_to(envelope, record.envelope, event, reason), text));
  TRAM_OK(txn.put(table::to_post, row_key(envelope.doc_id, envelope.id, code_of(event)), {}));
  return answer(txn, now, envelope.id, envelope.sender, envelope.doc_id, {}, std::move(issued.bytes), {}, effects);
}

/// A stored document came again in a newer envelope, perhaps because its sender was put back and knows no other: what was
/// said so far is said for this one too, and what is said from now on (R20, R21).
Result<void> Node::follow_envelope(WriteTxn& txn, Time now, uint64_t arrival, const proto::InRecord& again, Effects& effects) {
  TRAM_TRY(stored, node::load<proto::InRecord>(txn, table::incoming, u64_value(arrival)));
  if (stored.state == proto::InState::held || std::pair(stored.inc, stored.seq) >= std::pair(again.inc, again.seq)) return {};
  std::vector<Bytes> said;
  const auto walked = for_each(txn, table::receipt, row_key(stored.doc_id, config_.self, stored.env_id), [&](const Row& row) -> Result<void> {
    proto::ReceiptRecord receipt;
    TRAM_OK(proto::decode_record(row.value, receipt));
    said.push_back(std::move(receipt.receipt));
    return {};
  });
  TRAM_OK(walked);
  stored.env_id = again.env_id;
  stored.inc = again.inc;
  stored.seq = again.seq;
  stored.envelope = again.envelope;
  TRAM_OK(save(txn, table::incoming, u64_value(arrival), stored));
  for (const Bytes& bytes : said) {
    TRAM_TRY(receipt, crypto::decode_receipt(bytes));
    using enum crypto::ReceiptEvent;
    if (receipt.event == received || receipt.event == rejected) continue;
    TRAM_TRY(words, proto::decode_receipt_text(view(receipt.text)));
    TRAM_OK(tell_sender(txn, now, receipt.event, receipt.reason, stored, words, effects));
  }
  return {};
}

/// Hands the receipt to a worker, which seals it to the sender's key of the day; what cannot be sealed yet waits in to_post.
Result<void> Node::answer(WriteTxn& txn, Time now, const EnvelopeId& env_id, const PartyId& sender, const DocId& doc_id, Bytes statement,
                          Bytes receipt, std::vector<PartyId> brokers, Effects& effects) {
  if (!statement.empty()) {  // a worker is sealing it already: one cell for all brokers
    auto [others, fresh] = answering_.try_emplace(env_id);
    if (!fresh) {
      others->second.insert(others->second.end(), brokers.begin(), brokers.end());
      return {};
    }
  }
  AnswerJob::Item item;
  item.env_id = env_id;
  item.sender = sender;
  item.doc_id = doc_id;
  TRAM_TRY(decoded, crypto::decode_receipt(receipt));
  item.event = code_of(decoded.event);
  item.statement = std::move(statement);
  item.receipt = std::move(receipt);
  item.brokers = std::move(brokers);
  TRAM_TRY(kx, kx_of(txn, now, sender));
  item.have_kx = kx->has_value();
  if (*kx) {
    item.kx = (*kx)->key;
  } else {
    kx_wanted_.insert(sender);
    TRAM_OK(txn.put(table::to_post, row_key(doc_id, env_id, item.event), {}));
    if (item.statement.empty()) return {};
  }
  if (!effects.jobs.empty())
    if (auto* last = std::get_if<AnswerJob>(&effects.jobs.back()); last && last->items.size() < answers_per_job_max) {
      last->items.push_back(std::move(item));
      return {};
    }
  AnswerJob job;
  job.items.push_back(std::move(item));
  effects.jobs.push_back(std::move(job));
  return {};
}

Result<void> Node::on(WriteTxn& txn, Time now, AnswerDone& done, Effects& effects) {
  std::map<PartyId, std::vector<proto::AckItem>> acks;
  for (auto& item : done.items) {
    if (item.statement.empty()) {
      if (item.cell.empty()) continue;
      TRAM_TRY(mail, post_mail(txn, now, item.sender, std::move(item.cell), effects));
      const Bytes key = row_key(item.doc_id, item.env_id, item.event);
      TRAM_OK(txn.put(table::to_post, key, mail));
      await_post(mail, key);
      continue;
    }
    if (auto others = answering_.extract(item.env_id))
      item.brokers.insert(item.brokers.end(), others.mapped().begin(), others.mapped().end());
    bool told = false;
    for (const PartyId& broker : item.brokers)
      if (links_[broker].connected) told = true, acks[broker].push_back({item.statement, item.cell});
    if (!told) {  // who holds us for closed does not send it again, for which others could be told (R31)
      TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
      if (we_closed) TRAM_OK(post_again(txn, item.doc_id, item.env_id, item.event));
    }
    if (!item.cell.empty()) keep_sealed(item.env_id, {std::move(item.statement), std::move(item.cell)}, now);
  }
  for (auto& [broker, items] : acks) send_acks(broker, items, effects);
  return {};
}

void Node::send_acks(const PartyId& broker, const std::vector<proto::AckItem>& items, Effects& effects) {
  for (size_t i = 0; i < items.size(); i += items_per_frame)
    send(broker, proto::Endpoint::control,
         proto::AckPut{{items.begin() + static_cast<ptrdiff_t>(i), items.begin() + static_cast<ptrdiff_t>(std::min(items.size(), i + items_per_frame))}},
         effects);
}

void Node::keep_sealed(const EnvelopeId& env_id, proto::AckItem answer, Time now) {
  if (!sealed_.emplace(env_id, Sealed{std::move(answer), now}).second) return;
  sealed_order_.push_back(env_id);
  if (sealed_order_.size() <= limits::sealed_answers_max) return;
  sealed_.erase(sealed_order_.front());
  sealed_order_.pop_front();
}

const proto::AckItem* Node::sealed_lately(const EnvelopeId& env_id, Time now) const {
  const auto found = sealed_.find(env_id);
  if (found == sealed_.end() || now < found->second.at || now - found->second.at > limits::sealed_answer_age) return nullptr;
  return &found->second.answer;
}

Result<void> Node::repost_answers(WriteTxn& txn, Time now, Effects& effects) {
  last_repost_ = now;
  TRAM_TRY(rows, txn.scan(table::to_post, {}, {}, 512));
  const size_t enough = std::max(1u, directory_.policy(now).custody_quorum);
  for (const Row& row : rows) {
    if (!row.value.empty()) {  // sealed and on its way; anew when its time passed before enough brokers had it
      TRAM_TRY(mail, find<proto::MailRecord>(txn, table::mail_out, row.value));
      if (mail && mail->brokers.size() >= enough) TRAM_OK(txn.erase(table::to_post, row.key));
      else if (mail) await_post(id_at<Hash>(row.value, 0), row.key);
      if (mail) continue;
    }
    const auto doc_id = id_at<DocId>(row.key, 0);
    const auto env_id = id_at<EnvelopeId>(row.key, 32);
    const uint16_t event = Reader(BytesView(row.key).subspan(64)).u16();
    TRAM_TRY(record, find<proto::ReceiptRecord>(txn, table::receipt, row_key(doc_id, config_.self, env_id, event)));
    if (!record) {
      TRAM_OK(txn.erase(table::to_post, row.key));
      continue;
    }
    TRAM_TRY(receipt, crypto::decode_receipt(record->receipt));
    TRAM_OK(answer(txn, now, env_id, receipt.sender, doc_id, {}, std::move(record->receipt), {}, effects));
  }
  return {};
}

/// The receipt goes by mail at the next repost; false when it is on its way already.
Result<bool> Node::post_again(WriteTxn& txn, const DocId& doc_id, const EnvelopeId& env_id, uint16_t event) {
  const Bytes key = row_key(doc_id, env_id, event);
  TRAM_TRY(there, txn.get(table::to_post, key));
  if (!there) TRAM_OK(txn.put(table::to_post, key, {}));
  return !there;
}

void Node::await_post(const Hash& mail, BytesView to_post_key) {
  if (awaited_posts_.size() < awaited_posts_max) awaited_posts_.insert_or_assign(mail, to_bytes(to_post_key));
}

// ---- small mail -------------------------------------------------------------------------------------------------

Result<Hash> Node::post_mail(WriteTxn& txn, Time now, const PartyId& to, Bytes content, Effects& effects) {
  const Hash id = mail_id_of(content);
  TRAM_OK(save(txn, table::mail_out, id, proto::MailRecord{to, content, {}, now}));
  TRAM_OK(add_timer(txn, now + limits::time_to_live, TimerKind::mail_expiry, id));
  for (auto& [broker, link] : links_) {
    if (!link.greeted) continue;
    link.mail_in_flight.insert(id);
    auto* last = effects.sends.empty() ? nullptr : &effects.sends.back();
    if (last && last->broker == broker)
      if (auto* post = std::get_if<proto::MailPost>(&last->frame.body); post && post->items.size() < items_per_frame) {
        post->items.push_back({to, content});
        continue;
      }
    send(broker, proto::Endpoint::control, proto::MailPost{{{to, content}}}, effects);
  }
  return id;
}

crypto::Notice Node::new_notice(crypto::NoticeKind kind, const PartyId& other, Time now) const {
  crypto::Notice notice;
  notice.kind = kind;
  notice.realm = config_.realm;
  notice.issuer = config_.self;
  notice.other = other;
  notice.time = now;
  notice.clock_ok = clock_ok_;
  return notice;
}

Result<Hash> Node::post_notice(WriteTxn& txn, Time now, crypto::Notice notice, Effects& effects) {
  return post_mail(txn, now, notice.other, crypto::encode_notice(notice, *keys_.sig), effects);
}

/// Notices that were signed with a key after its time, before we knew, would be refused for ever (R30).
Result<void> Node::sign_mail_again(WriteTxn& txn) {
  TRAM_TRY(renewed, had_other_keys(txn));
  if (!renewed) return {};
  std::vector<std::pair<Bytes, proto::MailRecord>> changed;
  const auto walked = for_each(txn, table::mail_out, {}, [&](const Row& row) -> Result<void> {
    proto::MailRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    if (record.content.size() == limits::cell_bytes) return {};
    TRAM_TRY(again, signed_again(txn, record.content));
    if (!again) return {};
    record.content = std::move(*again);
    record.brokers.clear();
    changed.emplace_back(row.key, std::move(record));
    return {};
  });
  TRAM_OK(walked);
  for (const auto& [old, record] : changed) {
    const Hash id = mail_id_of(record.content);
    TRAM_OK(txn.erase(table::mail_out, old));
    TRAM_OK(save(txn, table::mail_out, id, record));
    TRAM_OK(add_timer(txn, record.created + limits::time_to_live, TimerKind::mail_expiry, id));
    TRAM_TRY(recovers, txn.get(table::recover_mail, old));
    if (!recovers) continue;
    TRAM_OK(txn.erase(table::recover_mail, old));
    TRAM_OK(txn.put(table::recover_mail, id, {}));
  }
  return {};
}

/// All that waits for this broker: when it was greeted, and when more waited than can be in flight.
Result<void> Node::post_pending_mail(WriteTxn& txn, const PartyId& broker, Link& link, Effects& effects) {
  link.mail_left = false;
  proto::MailPost post;
  const auto walked = for_each(txn, table::mail_out, {}, [&](const Row& row) -> Result<void> {
    const auto id = id_at<Hash>(row.key, 0);
    if (link.mail_in_flight.count(id)) return {};
    proto::MailRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    if (std::find(record.brokers.begin(), record.brokers.end(), broker) != record.brokers.end()) return {};
    if (link.mail_in_flight.size() > mail_in_flight_max) {
      link.mail_left = true;
      return {};
    }
    link.mail_in_flight.insert(id);
    post.items.push_back({record.to, std::move(record.content)});
    if (post.items.size() == items_per_frame) {
      send(broker, proto::Endpoint::control, std::move(post), effects);
      post = {};
    }
    return {};
  });
  TRAM_OK(walked);
  if (!post.items.empty()) send(broker, proto::Endpoint::control, std::move(post), effects);
  return {};
}

/// What it was given and did not confirm: an aborted step of a broker answers nothing. mail_out keeps what was posted for
/// ten days, so it is not walked for this.
Result<void> Node::repost_mail(WriteTxn& txn, const PartyId& broker, Link& link, Effects& effects) {
  if (link.mail_left) {
    link.mail_in_flight.clear();
    return post_pending_mail(txn, broker, link, effects);
  }
  proto::MailPost post;
  size_t again = 0;
  for (auto it = link.mail_in_flight.begin(); it != link.mail_in_flight.end() && again < mail_in_flight_max;) {
    TRAM_TRY(record, find<proto::MailRecord>(txn, table::mail_out, *it));
    if (!record || std::find(record->brokers.begin(), record->brokers.end(), broker) != record->brokers.end()) {
      it = link.mail_in_flight.erase(it);
      continue;
    }
    ++it, ++again;
    post.items.push_back({record->to, std::move(record->content)});
    if (post.items.size() == items_per_frame) send(broker, proto::Endpoint::control, std::exchange(post, {}), effects);
  }
  if (!post.items.empty()) send(broker, proto::Endpoint::control, std::move(post), effects);
  return {};
}

Result<void> Node::on_mail_posted(WriteTxn& txn, Time now, const PartyId& broker, Link& link, const proto::MailPosted& posted, Effects& effects) {
  const size_t enough = std::max(1u, directory_.policy(now).custody_quorum);
  for (const Hash& id : posted.ids) {
    link.mail_in_flight.erase(id);
    TRAM_TRY(record, find<proto::MailRecord>(txn, table::mail_out, id));
    if (!record || std::find(record->brokers.begin(), record->brokers.end(), broker) != record->brokers.end()) continue;
    record->brokers.push_back(broker);
    TRAM_OK(save(txn, table::mail_out, id, *record));
    TRAM_OK(recover_mail_posted(txn, now, id, record->brokers.size(), effects));
    if (record->brokers.size() < enough) continue;
    if (const auto awaited = awaited_posts_.extract(id)) {
      TRAM_TRY(row, txn.get(table::to_post, awaited.mapped()));
      if (row && equal(*row, id)) TRAM_OK(txn.erase(table::to_post, awaited.mapped()));
    }
  }
  return {};
}

Result<void> Node::on_mail(WriteTxn& txn, Time now, const PartyId& broker, proto::MailDeliver& deliver, Effects& effects) {
  MailJob job;
  proto::MailDone done;
  for (auto& item : deliver.items) {
    const Hash id = mail_id_of(item.content);
    if (const auto opening = mail_opening_.find(id); opening != mail_opening_.end()) {
      opening->second.push_back(broker);
      continue;
    }
    TRAM_TRY(seen, mail_is_done(txn, id));
    if (seen) {
      done.ids.push_back(id);
      continue;
    }
    if (!attempts_.empty() && is_poison(id)) {
      log_.error("mail.put_aside", {{"author", item.to}});
      TRAM_OK(txn.put(table::mail_seen, id, u64_value(now.wire())));
      TRAM_OK(cleared(txn, id));
      done.ids.push_back(id);
      continue;
    }
    TRAM_TRY(key, sig_of(txn, now, item.to, directory_.size()));
    if (!*key) {
      log_.warning("mail.unknown_author", {{"author", item.to}});
      mail_waits_ = true;
      ask_directory(now, broker, links_[broker], effects);
      continue;
    }
    mail_opening_[id].push_back(broker);
    MailJob::Item out;
    out.mail_id = id;
    out.author = item.to;
    out.content = std::move(item.content);
    out.author_key = **key;
    if (out.content.size() == limits::cell_bytes)
      if (auto kid = crypto::cell_key_id(out.content))
        if (const auto* pair = find_kx(*kid)) {
          out.kx = {pair->secret.clone(), pair->public_key};
          out.have_kx = true;
        }
    job.items.push_back(std::move(out));
  }
  if (!done.ids.empty()) send(broker, proto::Endpoint::control, std::move(done), effects);
  if (!job.items.empty()) effects.jobs.push_back(std::move(job));
  return {};
}

/// Of what the author's present keys did not sign: those of the view and time it names may have (R30), or of entries that
/// have not come yet; then it is asked for again behind them.
Result<Node::MailSignature> Node::signed_by_other_keys(ReadTxn& txn, Time now, const MailJobDone::Item& item, Effects& effects) {
  const auto size = directory_.size();
  bool behind = item.receipt && item.receipt->dir_size > size;
  if (item.receipt && !behind) {
    TRAM_TRY(key, directory_.sig_key(txn, item.author, item.receipt->dir_size, item.receipt->time));
    if (key && crypto::verify_receipt(*item.receipt, *key)) return MailSignature::good;
  } else if (item.notice) {
    TRAM_TRY(key, directory_.sig_key(txn, item.author, size, item.notice->time));
    if (key && crypto::verify_notice(*item.notice, *key)) return MailSignature::good;
  }
  // Once for each size of the directory, and while a broker has more of it than we.
  if (mail_doubted_.size() >= mail_doubted_max) mail_doubted_.clear();
  const auto [doubted, first] = mail_doubted_.try_emplace(item.mail_id, size);
  behind = behind || first || std::exchange(doubted->second, size) != size ||
           std::any_of(item.brokers.begin(), item.brokers.end(), [&](const PartyId& broker) { return links_[broker].directory_size > size; });
  if (!behind) {
    mail_doubted_.erase(doubted);
    return MailSignature::bad;
  }
  mail_waits_ = true;
  for (const PartyId& broker : item.brokers) ask_directory(now, broker, links_[broker], effects);
  return MailSignature::not_known_yet;
}

Result<bool> Node::mail_is_done(ReadTxn& txn, const Hash& id) {
  if (mail_done_.contains(id)) return true;
  TRAM_TRY(row, txn.get(table::mail_seen, id));
  return row.has_value();
}

void Node::remember_mail_done(const Hash& id) {
  if (!mail_done_.insert(id).second) return;
  mail_done_order_.push_back(id);
  if (mail_done_order_.size() <= mail_done_max) return;
  mail_done_.erase(mail_done_order_.front());
  mail_done_order_.pop_front();
}

Result<void> Node::on(WriteTxn& txn, Time now, MailJobDone& done, Effects& effects) {
  std::map<PartyId, proto::MailDone> confirm;
  for (auto& item : done.items) {
    if (auto opening = mail_opening_.extract(item.mail_id)) item.brokers = std::move(opening.mapped());
    if (!item.outcome && item.outcome.error().code == ErrorCode::bad_signature) {
      TRAM_TRY(signed_then, signed_by_other_keys(txn, now, item, effects));
      if (signed_then == MailSignature::not_known_yet) continue;
      if (signed_then == MailSignature::good) item.outcome = {};
    }
    bool held = false;
    if (!item.outcome) {
      log_.warning("mail.unreadable", {{"author", item.author}, {"error", error_info(item.outcome.error().code).name}});
    } else if (item.receipt) {
      TRAM_TRY(kept, apply_receipt(txn, now, *item.receipt, item.receipt_bytes, effects));
      held = kept;
    } else if (item.notice) {
      TRAM_OK(apply_notice(txn, now, *item.notice, effects));
    }
    // A receipt that we hold says itself that it came: opened again after a restart, it changes nothing.
    if (!held) TRAM_OK(txn.put(table::mail_seen, item.mail_id, u64_value(now.wire())));
    remember_mail_done(item.mail_id);
    TRAM_OK(cleared(txn, item.mail_id));
    for (const PartyId& broker : item.brokers) confirm[broker].ids.push_back(item.mail_id);
  }
  for (auto& [broker, message] : confirm)
    if (links_[broker].greeted) send(broker, proto::Endpoint::control, std::move(message), effects);
  return {};
}

// ---- receipts held ----------------------------------------------------------------------------------------------

Result<bool> Node::apply_receipt(WriteTxn& txn, Time now, const crypto::Receipt& receipt, BytesView bytes, Effects& effects) {
  TRAM_TRY(held, going_envelope(txn, receipt.env_id));
  const auto envelope = held ? std::optional(*held) : std::nullopt;
  if (!envelope || receipt.realm != config_.realm || receipt.sender != config_.self || envelope->recipient != receipt.issuer ||
      receipt.recipient != receipt.issuer || receipt.answers != crypto::answers_hash(envelope->envelope)) {
    log_.warning("receipt.unrelated", {{"issuer", receipt.issuer}});
    return false;
  }
  Bytes key = row_key(receipt.doc_id, receipt.issuer, receipt.env_id, code_of(receipt.event));
  TRAM_TRY(known, txn.scan(table::receipt, key, prefix_end(key), receipts_of_event_max));
  bool decided_again = false;
  for (const Row& row : known) {
    proto::ReceiptRecord other;
    TRAM_OK(proto::decode_record(row.value, other));
    TRAM_TRY(decoded, crypto::decode_receipt(other.receipt));
    if (decoded.id == receipt.id) return true;
    decided_again = decided_again || std::pair(decoded.rinc, decoded.time) > std::pair(receipt.rinc, receipt.time);
  }
  if (known.size() == receipts_of_event_max) return false;
  // Its store was put back, whether it knew that already or not, and it says so again: both are kept (R21).
  if (!known.empty()) key = row_key(key, receipt.rinc, receipt.time, receipt.log_index);
  TRAM_TRY(same, same_view(txn, now, receipt.issuer, receipt.dir_size, receipt.dir_root, bytes));
  if (!same) return false;
  TRAM_OK(save(txn, table::receipt, key, proto::ReceiptRecord{to_bytes(bytes), false, now, audit_.size() + 1}));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::receipt_held, {crypto::hash("edx1/rcpt", {bytes})}));
  TRAM_TRY(forgotten, is_forgotten(txn, receipt, *envelope));
  if (forgotten) {
    TRAM_OK(wait_for_later_life(txn, now, receipt, *envelope));
    return true;
  }
  if (decided_again) return true;
  // Signed but unreadable words change no state: the event itself stands (one bad peer must not stop a step).
  const proto::ReceiptText text = proto::decode_receipt_text(view(receipt.text)).value_or(proto::ReceiptText{});

  const Bytes item_key = row_key(envelope->uuid, envelope->recipient);
  TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, item_key));
  using Kind = crypto::ReceiptEvent;
  switch (receipt.event) {
    case Kind::rejected: {
      TRAM_OK(close_envelope(txn, receipt.env_id));
      if (item.env_id != receipt.env_id) break;
      // Given up already, or arrived in an earlier envelope: a receipt wins over everything.
      if (item.state != proto::ItemState::queued && item.state != proto::ItemState::accepted) break;
      if (static_cast<ErrorCode>(receipt.reason) == ErrorCode::rekey) {  // wrap again for the key of the day (R30)
        TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, envelope->uuid));
        item.state = proto::ItemState::waiting;
        item.waiting_reason = receipt.reason;
        kx_wanted_.insert(item.recipient);
        TRAM_OK(save(txn, table::item, item_key, item));
        TRAM_OK(add_todo(txn, item.recipient, record.lane, item.uuid));
        effects.changed_sent.push_back(item.uuid);
        TRAM_OK(kick_channel(txn, now, item.recipient, record.lane, effects));  // may end the item: one of us may have closed
        return true;
      }
      item.state = proto::ItemState::rejected;
      item.pending_change = 0;  // there is nothing to recall
      item.waiting_reason = receipt.reason;
      item.decided = now;
      TRAM_OK(apply_change_answer(txn, now, receipt, *envelope, text));  // a recall that was not understood waits no longer
      break;
    }
    case Kind::change_agreed:
    case Kind::change_refused:
      TRAM_OK(apply_change_answer(txn, now, receipt, *envelope, text));
      item.status = code_of(receipt.event);
      item.decided = receipt.time;
      item.reason = text.reason;
      break;
    default: {
      TRAM_OK(close_envelope(txn, receipt.env_id));
      if (!item.received.ms) item.received = receipt.time;
      const auto status = code_of(receipt.event);
      const bool settled = item.state == proto::ItemState::refused || item.state == proto::ItemState::recalled;
      if (!settled) item.state = receipt.event == Kind::refused ? proto::ItemState::refused : proto::ItemState::delivered;
      if (rank(status) > rank(item.status) && item.state != proto::ItemState::recalled) item.status = status;
      if (receipt.event == Kind::registered) {
        item.register_number = text.register_number;
        item.register_date = proto::to_text(text.register_date);
        item.person = text.person;
        item.decided = receipt.time;
      }
      if (receipt.event == Kind::refused) {
        item.reason = text.reason;
        item.person = text.person;
        item.decided = receipt.time;
        item.pending_change = 0;  // it was given back: there is nothing left to recall
      }
    }
  }
  log_.info("receipt.held", {{"document", receipt.doc_id}, {"issuer", receipt.issuer}, {"event", code_of(receipt.event)}});
  effects.changed_sent.push_back(envelope->uuid);
  TRAM_OK(save(txn, table::item, item_key, item));
  return true;
}

/// The answer to a recall or update of ours settles the items of its targets.
Result<void> Node::apply_change_answer(WriteTxn& txn, Time, const crypto::Receipt& receipt, const proto::EnvelopeRecord& envelope,
                                       const proto::ReceiptText& text) {
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, envelope.uuid));
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  if (metadata.relation.kind == proto::RelationKind::reply) return {};
  const bool agreed = receipt.event == crypto::ReceiptEvent::change_agreed;
  for (const DocId& target : metadata.relation.targets) {
    TRAM_TRY(uuid, txn.get(table::outgoing_by_doc, target));
    if (!uuid) continue;
    const Bytes key = row_key(id_at<DocUuid>(*uuid, 0), receipt.issuer);
    TRAM_TRY(item, find<proto::ItemRecord>(txn, table::item, key));
    if (!item) continue;
    item->pending_change = 0;
    if (receipt.event != crypto::ReceiptEvent::rejected) item->decided = receipt.time;
    if (receipt.event == crypto::ReceiptEvent::change_refused) item->reason = text.reason;
    if (agreed && metadata.relation.kind == proto::RelationKind::recall) {
      item->state = proto::ItemState::recalled;
      item->status = 15;
    }
    TRAM_OK(save(txn, table::item, key, *item));
  }
  return {};
}

Result<void> Node::apply_notice(WriteTxn& txn, Time now, const crypto::Notice& notice, Effects& effects) {
  if (notice.realm != config_.realm || notice.other != config_.self) return {};
  if (notice.kind == crypto::NoticeKind::recover) return on_recover(txn, now, notice, effects);
  if (notice.kind == crypto::NoticeKind::backed_up) return on_backed_up(txn, notice);
  if (notice.kind == crypto::NoticeKind::passed) return on_passed(txn, now, notice, effects);
  if (notice.kind == crypto::NoticeKind::resend) return on_resend(txn, now, notice, effects);
  if (notice.kind == crypto::NoticeKind::head) return on_head(txn, now, notice);
  if (notice.kind == crypto::NoticeKind::nack && notice.reason == static_cast<uint16_t>(ErrorCode::withheld))
    return on_withheld(txn, now, notice, effects);
  if (notice.kind != crypto::NoticeKind::voided) return {};
  TRAM_TRY(answered, txn.get(table::answer, notice.env_id));
  if (answered) return {};
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::position_voided, {notice.env_id}));
  TRAM_TRY(channel, find<proto::ChannelIn>(txn, table::channel_in, row_key(notice.issuer, notice.lane)));
  const bool ahead = !channel || notice.inc > channel->inc || (notice.inc == channel->inc && notice.seq >= channel->next_seq);
  // Given up for its age, or because we closed: a copy that a broker still holds is late, and welcome.
  if (ahead && (notice.reason == static_cast<uint16_t>(ErrorCode::expired) || notice.reason == static_cast<uint16_t>(ErrorCode::closed_agency)))
    TRAM_OK(txn.put(table::skipped, row_key(notice.issuer, notice.lane, notice.inc, notice.seq), row_key(notice.seq, notice.env_id)));
  return consume(txn, now, notice.issuer, notice.lane, notice.inc, notice.seq, 0, effects);
}

}  // namespace tram::node
