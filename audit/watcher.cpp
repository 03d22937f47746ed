#include "audit/watcher.h"

#include <algorithm>

#include "base/limits.h"

namespace tram::audit {
namespace {

constexpr Duration list_every = seconds(20);
constexpr Duration directory_every = seconds(30);
constexpr size_t fetches_waiting_max = 100000;
constexpr Duration tour_again_after = seconds(3);
constexpr size_t shown_per_page_max = 256;
constexpr size_t settled_max = 200000;

}  // namespace

Watcher::Watcher(PartyId self, std::shared_ptr<const crypto::LogKey> key, directory::Directory& directory,
                 ::tram::Log& log)
    : self_(self), directory_(directory), log_(log),
      witness_(directory.realm(), crypto::cosigner_name(directory.realm(), crypto::LogKind::witness, self), key, log),
      views_(directory, log, crypto::LogKind::witness, self, key) {}

Result<void> Watcher::start(WriteTxn& txn, Time now) { return views_.start(txn, now); }

uint64_t Watcher::send(const PartyId& broker, proto::FrameBody body, Effects& effects) {
  effects.sends.push_back({broker, proto::Frame{++requests_, std::move(body)}});
  return requests_;
}

Result<void> Watcher::step(WriteTxn& txn, Time now, std::span<Event> events, Effects& effects) {
  for (Event& event : events) {
    if (auto* up = std::get_if<BrokerUp>(&event)) {
      links_[up->broker] = {};
      proto::Hello hello;
      hello.directory_size = directory_.size();
      TRAM_TRY(known, witness_.known(txn, up->broker));
      if (known) hello.seen = std::move(known->note);
      hello.software = std::string("tram-witness ") + TRAM_VERSION;
      send(up->broker, std::move(hello), effects);
    } else if (auto* down = std::get_if<BrokerDown>(&event)) {
      links_.erase(down->broker);
    } else if (auto* arrived = std::get_if<FrameArrived>(&event)) {
      TRAM_OK(on_frame(txn, now, *arrived, effects));
    } else {
      // A store that was put back learns first what it cosigned since.
      if (std::any_of(links_.begin(), links_.end(), [](const auto& one) { return one.second.told; })) {
        const auto before = views_.notes();
        TRAM_OK(views_.sign_if_due(txn, now));
        // Whoever has no view that holds waits for this word: it is brought at once.
        if (views_.notes() != before)
          for (auto& [broker, link] : links_) link.asked_directory = {};
      }
      for (auto& [broker, link] : links_) {
        if (!link.greeted) continue;
        if (now < std::max({link.asked_directory, link.asked_list, link.fetch_asked}))  // the clock was set back
          link.asked_directory = link.asked_list = link.fetch_asked = {}, link.tour.reset();
        if (now - link.asked_directory >= directory_every) {
          link.asked_directory = now;
          send(broker, proto::DirectoryGet{directory_.size(), views_.notes()}, effects);
        }
        if (now - link.asked_list >= list_every && !link.fetch && link.waiting.empty()) {
          link.asked_list = now;
          send(broker, proto::CheckpointList{{}, link.toured}, effects);
        }
        if (link.fetch && now - link.fetch_asked >= answer_overdue) link.fetch.reset();
        const Duration tour_over = link.tour && link.tour->request != 0 ? answer_overdue : tour_again_after;
        if (!link.toured && (!link.tour || now - link.tour->asked >= tour_over)) begin_tour(now, broker, link, effects);
        next_fetch(now, broker, link, effects);
      }
    }
  }
  return {};
}

Result<void> Watcher::on_frame(WriteTxn& txn, Time now, FrameArrived& arrived, Effects& effects) {
  const auto it = links_.find(arrived.broker);
  if (it == links_.end()) return {};
  Link& link = it->second;
  link.heard = now;
  if (std::holds_alternative<proto::HelloReply>(arrived.frame.body)) {
    link.greeted = true;
    link.asked_directory = link.asked_list = now;
    send(arrived.broker, proto::DirectoryGet{directory_.size(), views_.notes()}, effects);
    begin_tour(now, arrived.broker, link, effects);
  } else if (auto* page = std::get_if<proto::CheckpointPage>(&arrived.frame.body)) {
    for (const Bytes& note : page->notes) {
      const Hash id = crypto::sha256({note});
      if (const auto settled = settled_.find(id); settled != settled_.end() && now < settled->second) continue;
      if (const auto shown = crypto::decode_signed_checkpoint(note))
        TRAM_OK(on_note(txn, now, arrived.broker, link, note, *shown, effects));
    }
    PartyId last;
    for (size_t i = page->notes.size(); i > 0 && last.is_zero(); --i)
      if (const auto shown = crypto::decode_signed_checkpoint(page->notes[i - 1])) last = shown->checkpoint.origin.party;
    if (link.tour && link.tour->request == arrived.frame.request)
      TRAM_OK(go_on_tour(txn, now, arrived.broker, link, *page, last, effects));
    else if (page->more && !last.is_zero())
      send(arrived.broker, proto::CheckpointList{last}, effects);
    next_fetch(now, arrived.broker, link, effects);
  } else if (auto* leaves = std::get_if<proto::LeavesData>(&arrived.frame.body)) {
    TRAM_OK(on_leaves(txn, now, arrived.broker, link, *leaves, effects));
  } else if (const auto* entries = std::get_if<proto::DirectoryEntries>(&arrived.frame.body)) {
    TRAM_OK(on_entries(txn, now, arrived.broker, *entries, effects));
    link.told = link.told || directory_.size() >= entries->size;
    TRAM_OK(views_.take(txn, now, entries->views));
  }
  return {};
}

void Watcher::begin_tour(Time now, const PartyId& broker, Link& link, Effects& effects) {
  link.tour = Link::Tour{send(broker, proto::CheckpointList{}, effects), {}, false, now};
}

/// Shows the broker what its page lacks of the logs from the last page to this one's end.
Result<void> Watcher::go_on_tour(ReadTxn& txn, Time now, const PartyId& broker, Link& link, const proto::CheckpointPage& page,
                                 const PartyId& last, Effects& effects) {
  Link::Tour& tour = *link.tour;
  std::map<PartyId, std::pair<uint32_t, uint64_t>> listed;
  for (const Bytes& note : page.notes)
    if (const auto shown = crypto::decode_signed_checkpoint(note)) listed[shown->checkpoint.origin.party] = rank(shown->checkpoint);
  const bool more = page.more && !last.is_zero();
  TRAM_TRY(known, witness_.list(txn, tour.after, shown_per_page_max));
  bool all = known.size() < shown_per_page_max;
  for (const KnownLog& one : known) {
    const PartyId& party = one.checkpoint.origin.party;
    if (more && last < party) {
      all = true;
      break;
    }
    const auto there = listed.find(party);
    if (party == broker || (there != listed.end() && rank(one.checkpoint) <= there->second)) continue;
    tour.lacks = true;
    send(broker, proto::CosignaturePut{one.note}, effects);
  }
  // More than a page's worth: what was shown is listed the next time.
  tour.lacks = tour.lacks || !all;
  tour.asked = now;
  if (more) {
    tour.after = last;
    tour.request = send(broker, proto::CheckpointList{last}, effects);
  } else if (tour.lacks) {
    tour.request = 0;  // again after a moment
  } else {
    link.tour.reset();
    link.toured = true;
    send(broker, proto::CheckpointList{{}, true}, effects);  // and with each list from now on
  }
  return {};
}

/// One log as a broker shows it: compared with what is known here; what is new is fetched.
Result<void> Watcher::on_note(WriteTxn& txn, Time now, const PartyId& broker, Link& link, const Bytes& note,
                              const crypto::SignedCheckpoint& shown, Effects& effects) {
  const crypto::Checkpoint& checkpoint = shown.checkpoint;
  const PartyId& party = checkpoint.origin.party;
  TRAM_TRY(owner, directory_.log_owner(txn, party, now));
  if (!owner) return {};
  TRAM_TRY(seen, witness_.see(txn, now, directory_, party, *owner, note));
  TRAM_TRY(known, witness_.known(txn, party));
  const uint32_t generation = checkpoint.origin.generation;
  Fetch fetch{party, note, generation, 0, checkpoint.size, {}};
  if (known && known->checkpoint.origin.generation == generation) {
    if (checkpoint.size < known->checkpoint.size) return {};
    if (checkpoint.size == known->checkpoint.size) {
      if (checkpoint.root != known->checkpoint.root) return {};
      if (now - known->cosigned >= cosign_again_after) return cosign(txn, now, fetch, effects);
      const bool carried = std::any_of(shown.note.signatures.begin(), shown.note.signatures.end(),
                                       [&](const auto& one) { return one.name == witness_.name(); });
      if (!carried) {
        send(broker, proto::CosignaturePut{known->note}, effects);
      } else if (seen == Witness::Seen::all_held) {
        if (settled_.size() >= settled_max) settled_.clear();
        settled_[crypto::sha256({note})] = known->cosigned + cosign_again_after;
      }
      return {};
    }
    fetch.from = known->mirrored;
  } else if (known && known->checkpoint.origin.generation > generation) {
    return {};
  }
  if (fetch.size - fetch.from > limits::leaves_refetched_max) {
    log_.warning("log.is_too_long", {{"party", party}, {"size", fetch.size}});
    return {};
  }
  const bool waits = std::any_of(link.waiting.begin(), link.waiting.end(), [&](const Fetch& one) { return one.party == party; });
  if (!waits && link.waiting.size() < fetches_waiting_max) link.waiting.push_back(std::move(fetch));
  return {};
}

void Watcher::next_fetch(Time now, const PartyId& broker, Link& link, Effects& effects) {
  if (link.fetch) return;
  while (!link.waiting.empty()) {
    Fetch next = std::move(link.waiting.front());
    link.waiting.pop_front();
    // Another broker may be telling it just now.
    const bool elsewhere = std::any_of(links_.begin(), links_.end(), [&](const auto& other) {
      return other.first != broker && other.second.fetch && other.second.fetch->party == next.party;
    });
    if (elsewhere) continue;
    link.fetch_asked = now;
    send(broker, proto::LeavesGet{next.party, next.generation, next.from}, effects);
    link.fetch = std::move(next);
    return;
  }
}

Result<void> Watcher::on_leaves(WriteTxn& txn, Time now, const PartyId& broker, Link& link, proto::LeavesData& data,
                                Effects& effects) {
  if (!link.fetch || data.party != link.fetch->party || data.generation != link.fetch->generation ||
      data.from != link.fetch->from + link.fetch->leaves.size())
    return {};
  Fetch& fetch = *link.fetch;
  const uint64_t wanted = fetch.size - data.from;
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(wanted, data.leaves.size()));
  fetch.leaves.insert(fetch.leaves.end(), data.leaves.begin(), data.leaves.begin() + static_cast<ptrdiff_t>(taken));
  if (fetch.from + fetch.leaves.size() < fetch.size) {
    if (taken == 0) {  // its mirror is behind its checkpoint: next time
      link.fetch.reset();
    } else {
      link.fetch_asked = now;
      send(broker, proto::LeavesGet{fetch.party, fetch.generation, fetch.from + fetch.leaves.size()}, effects);
      return {};
    }
  } else {
    TRAM_OK(cosign(txn, now, fetch, effects));
    link.fetch.reset();
  }
  next_fetch(now, broker, link, effects);
  return {};
}

Result<void> Watcher::cosign(WriteTxn& txn, Time now, const Fetch& fetch, Effects& effects) {
  TRAM_TRY(owner, directory_.log_owner(txn, fetch.party, now));
  TRAM_TRY(known, witness_.known(txn, fetch.party));
  const bool newer = known && known->checkpoint.origin.generation == fetch.generation && known->mirrored != fetch.from &&
                     !fetch.leaves.empty();
  if (!owner || newer) return {};  // told by another broker meanwhile
  TRAM_TRY(note, witness_.adopt(txn, now, fetch.party, *owner, fetch.note, fetch.leaves));
  if (!note) {
    log_.warning("checkpoint.was_not_cosigned", {{"party", fetch.party}, {"size", fetch.size}});
    return {};
  }
  ++counters_.cosigned;
  if (!known) ++counters_.logs;
  for (const auto& [broker, link] : links_)
    if (link.greeted) send(broker, proto::CosignaturePut{*note}, effects);
  return {};
}

Result<void> Watcher::on_entries(WriteTxn& txn, Time now, const PartyId& broker, const proto::DirectoryEntries& message,
                                 Effects& effects) {
  const uint64_t before = directory_.size();
  uint64_t index = message.from;
  for (const Bytes& entry : message.entries) {
    if (index++ < directory_.size()) continue;
    if (auto applied = directory_.apply(txn, entry, now); !applied) {
      if (error_info(applied.error().code).retry == Retry::fatal) return fail(applied.error());
      log_.error("entry.was_refused", {{"broker", broker}, {"error", error_info(applied.error().code).name}});
      break;
    }
  }
  if (directory_.size() == before) return {};
  settled_.clear();  // other keys
  effects.directory_changed = true;
  if (directory_.size() < message.size) send(broker, proto::DirectoryGet{directory_.size(), views_.notes()}, effects);
  return views_.settle(txn, now);
}

}  // namespace tram::audit
