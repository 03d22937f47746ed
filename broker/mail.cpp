// Small mail: receipt cells and notices, durable here until the addressee confirms (R18, R46), and cancels (R16).
#include <algorithm>

#include "broker/state.h"

namespace tram::broker {

Result<void> Broker::State::on_mail_post(Step& step, FrameReceived& event, proto::MailPost& post) {
  const Asker asker{event.session, event.peer, event.frame.request};
  auto no = [&](ErrorCode code, Duration retry_after = {}) {
    refuse(step, asker, code, retry_after);
    return Result<void>{};
  };
  if (post.items.empty()) return no(ErrorCode::bad_request);
  TRAM_TRY(author, info(step, event.peer));
  if (!author.has_keys) return no(ErrorCode::no_node);
  if (!take_tokens(event.peer, step.now, post.items.size())) return no(ErrorCode::quota, seconds(1));
  const bool cells_only = std::all_of(post.items.begin(), post.items.end(),
                                      [](const auto& item) { return item.content.size() == limits::cell_bytes; });
  VerifyMailJob job{asker, std::move(post), {author.sig}, false};
  if (cells_only) {
    VerifyMailDone done;
    for (const auto& item : job.post.items) done.parts.push_back({mail_id(item.content), std::nullopt, 0});
    done.asked = std::move(job);
    return on_mail_verified(step, done);
  }
  if (acks_in_flight + job.post.items.size() > puts_in_flight_max) return no(ErrorCode::busy, milliseconds(500));
  acks_in_flight += job.post.items.size();
  started.acks += job.post.items.size();
  job.counted = true;
  step.out.jobs.push_back(std::move(job));
  return {};
}

Result<void> Broker::State::on_mail_verified(Step& step, VerifyMailDone& done) {
  const Asker asker = done.asked.asker;
  const auto& items = done.asked.post.items;
  if (done.asked.counted) acks_in_flight -= std::min(acks_in_flight, items.size());
  if (!done.asked.again) {
    std::vector<std::pair<uint64_t, Time>> views;
    for (const auto& part : done.parts) {
      if (part.refusal == number(ErrorCode::bad_signature) && part.notice && views.size() < 8) {
        views.emplace_back(directory.size(), part.notice->time);
      }
    }
    TRAM_TRY(keys, other_keys(step, asker.peer, done.asked.keys, views));
    if (!keys.empty()) {
      VerifyMailJob job = std::move(done.asked);
      job.again = true;
      job.keys.insert(job.keys.end(), keys.begin(), keys.end());
      acks_in_flight += job.post.items.size();
      started.acks += job.post.items.size();
      step.out.jobs.push_back(std::move(job));
      return {};
    }
  }
  proto::MailPosted reply;
  uint16_t refusal = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto& part = done.parts[i];
    uint16_t refused = part.refusal;
    if (refused != 0) ++counters.hostile;
    if (refused == 0 && part.notice && part.notice->realm != config.realm) refused = number(ErrorCode::wrong_realm);
    if (refused == 0 && part.notice && part.notice->kind == crypto::NoticeKind::cancel) {
      TRAM_OK(cancel(step, *part.notice));
    } else if (refused == 0) {
      TRAM_TRY(stored_as, store_mail(step, asker.peer, items[i].to, items[i].content, part.id));
      refused = stored_as;
      if (refused == 0 && part.notice && part.notice->kind == crypto::NoticeKind::recover) TRAM_OK(on_recover(step, *part.notice, items[i].content));
      if (refused == 0 && part.notice && part.notice->kind == crypto::NoticeKind::backed_up) TRAM_OK(on_backed_up(step, *part.notice));
    }
    if (refused == 0) {
      reply.ids.push_back(part.id);
    } else {
      refusal = refused;
    }
  }
  if (reply.ids.empty() && refusal != 0) {
    refuse(step, asker, static_cast<ErrorCode>(refusal), seconds(30));
  } else {
    send(step, asker, std::move(reply));
  }
  return {};
}

Result<uint16_t> Broker::State::store_mail(Step& step, const PartyId& author, const PartyId& to, BytesView content,
                                           const Hash& id) {
  const Bytes id_key = table::mail_id_key(id, to);
  TRAM_TRY(known, step.txn.get(table::mail_id, id_key));
  if (known) return uint16_t{0};
  TRAM_TRY(addressee, info(step, to));
  if (addressee.kind != PeerKind::agency) return number(ErrorCode::unknown_agency);
  TRAM_TRY(from, party(step, author));
  TRAM_TRY(into, party(step, to));
  if (from->mail_sent >= config.quotas.mail_per_party_max || into->mail_waiting >= config.quotas.mail_per_party_max) {
    return number(ErrorCode::quota);
  }
  ++from->mail_sent;
  ++into->mail_waiting;
  const uint64_t serial = self.next_mail++;
  self_dirty = true;
  StoredMail row;
  row.id = id;
  row.author = author;
  row.content = to_bytes(content);
  row.expires = step.now + limits::time_to_live + limits::grace;
  Bytes number_bytes;
  Writer(number_bytes).u64(serial);
  constexpr uint8_t mark[] = {1};
  const Bytes key = table::mail_key(to, serial);
  TRAM_OK(step.txn.put(table::mail, key, proto::encode_record(row)));
  TRAM_OK(step.txn.put(table::mail_id, id_key, number_bytes));
  TRAM_OK(step.txn.put(table::timer, table::timer_key(row.expires, table::TimerKind::mail_end, key), mark));
  TRAM_OK(append(step, audit::LeafKind::mail_stored, {id, to}));
  ++counters.mails;
  if (auto box = mailboxes.find(to); box != mailboxes.end()) {
    box->second.mail_more = true;
    dirty_mailboxes.insert(to);
  }
  return uint16_t{0};
}

/// A sender takes back an envelope that was not handed over, or one that its recipient refused (R16, R30).
Result<void> Broker::State::cancel(Step& step, const crypto::Notice& notice) {
  TRAM_TRY(record, stored(step.txn, notice.env_id));
  const Bytes position = table::position_key(notice.issuer, notice.other, notice.lane, notice.inc, notice.seq);
  if (!record) {
    // A late copy of the envelope must not come in after its cancel.
    StoredEnvelope tombstone;
    tombstone.state = EnvelopeState::gone;
    tombstone.position = position;
    tombstone.not_after = step.now + limits::time_to_live;
    tombstone.statement_hash = notice.id;
    tombstone.reason = GoneReason::cancelled;
    constexpr uint8_t mark[] = {1};
    TRAM_OK(keep(step, notice.env_id, tombstone));
    return step.txn.put(
        table::timer,
        table::timer_key(tombstone.not_after + limits::grace, table::TimerKind::envelope_end, notice.env_id), mark);
  }
  if (record->state == EnvelopeState::gone || record->position != position) return {};
  const bool refused = record->state == EnvelopeState::acked && record->statement.size() >= 4 &&
                       text(BytesView(record->statement).first(4)) == "EDXN";
  const bool waiting = record->state == EnvelopeState::stored && record->handed.ms == 0;
  if (!refused && !waiting) return {};
  if (waiting) {
    TRAM_OK(leave_queue(step, *record));
    record->statement_hash = notice.id;
  }
  TRAM_OK(append(step, audit::LeafKind::cancelled, {notice.env_id, notice.id}));
  return retire(step, notice.env_id, *record, GoneReason::cancelled);
}

Result<void> Broker::State::deliver_mail(Step& step, const PartyId& addressee, Mailbox& box) {
  if (!box.mail_more || box.mail_outstanding >= limits::mail_window) return {};
  const size_t room = limits::mail_window - box.mail_outstanding;
  TRAM_TRY(rows,
           step.txn.scan(table::mail, table::mail_key(addressee, box.mail_delivered + 1), prefix_end(addressee), room));
  box.mail_more = rows.size() == room;
  proto::MailDeliver frame;
  const Asker to{box.session, addressee, 0};
  for (const Row& row : rows) {
    StoredMail mail;
    TRAM_OK(proto::decode_record(row.value, mail));
    Reader reader(BytesView(row.key).last(8));
    box.mail_delivered = reader.u64();
    ++box.mail_outstanding;
    frame.items.push_back({mail.author, std::move(mail.content)});
    if (frame.items.size() >= mail_items_per_frame_max) {
      send(step, to, std::move(frame));
      frame = {};
    }
  }
  if (!frame.items.empty()) send(step, to, std::move(frame));
  if (!rows.empty()) box.mail_moved = step.now;
  return {};
}

/// Mail whose answer got lost within a session would wait for the next one.
void Broker::State::deliver_mail_again(Time now) {
  for (auto& [addressee, box] : mailboxes) {
    if (box.mail_outstanding == 0 || (box.mail_moved <= now && now - box.mail_moved < limits::mail_again_after)) continue;
    box.mail_delivered = box.mail_outstanding = 0;
    box.mail_more = true;
    dirty_mailboxes.insert(addressee);
  }
}

Result<void> Broker::State::erase_mail(Step& step, const PartyId& addressee, uint64_t serial, const StoredMail& mail) {
  const Bytes key = table::mail_key(addressee, serial);
  TRAM_OK(step.txn.erase(table::mail, key));
  TRAM_OK(step.txn.erase(table::mail_id, table::mail_id_key(mail.id, addressee)));
  TRAM_OK(step.txn.erase(table::timer, table::timer_key(mail.expires, table::TimerKind::mail_end, key)));
  TRAM_TRY(from, party(step, mail.author));
  if (from->mail_sent > 0) --from->mail_sent;
  TRAM_TRY(into, party(step, addressee));
  if (into->mail_waiting > 0) --into->mail_waiting;
  auto box = mailboxes.find(addressee);
  if (box != mailboxes.end() && serial <= box->second.mail_delivered && box->second.mail_outstanding > 0) {
    --box->second.mail_outstanding;
    box->second.mail_moved = step.now;
    dirty_mailboxes.insert(addressee);
  }
  return {};
}

Result<void> Broker::State::on_mail_done(Step& step, const Asker& asker, const proto::MailDone& done) {
  for (const auto& id : done.ids) {
    TRAM_TRY(row, step.txn.get(table::mail_id, table::mail_id_key(id, asker.peer)));
    if (!row) continue;
    Reader reader(*row);
    const uint64_t serial = reader.u64();
    TRAM_TRY(value, step.txn.get(table::mail, table::mail_key(asker.peer, serial)));
    if (!value) return fail(ErrorCode::store_corrupt, "mail");
    StoredMail mail;
    TRAM_OK(proto::decode_record(*value, mail));
    TRAM_OK(append(step, audit::LeafKind::mail_done, {id, asker.peer}));
    TRAM_OK(erase_mail(step, asker.peer, serial, mail));
  }
  send(step, asker, proto::Done{});
  return {};
}

}  // namespace tram::broker
