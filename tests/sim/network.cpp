#include "tests/sim/network.h"

#include <iterator>

namespace tram::sim {

namespace {
constexpr size_t to_client_max = 64;
constexpr Duration noticed_min = seconds(5), noticed_max = seconds(20);
}  // namespace

std::string frame_text(const proto::Frame& frame) {
  static constexpr const char* names[] = {"Hello", "HelloReply", "Refused", "Put", "PutReply", "Offer", "OfferReply", "ChunkPut",
                                          "ChunkDone", "Reconcile", "ReconcileReply", "Announce", "Fetch", "Content", "ManifestGet",
                                          "ManifestData", "ChunkGet", "ChunkData", "AckPut", "AckReply", "MailPost", "MailPosted",
                                          "MailDeliver", "MailDone", "DirectoryGet", "DirectoryEntries", "DirectoryPut", "KxPut",
                                          "KxGet", "KxFeeds", "CheckpointPut", "CheckpointReply", "CheckpointGet",
                                          "CheckpointData", "LeavesGet", "LeavesData", "CheckpointList", "CheckpointPage",
                                          "CosignaturePut", "Ping", "Done"};
  static_assert(std::size(names) == std::variant_size_v<proto::FrameBody>);
  std::string text = names[frame.body.index()];
  auto ids = [&](const auto& list, auto id_of) {
    for (const auto& one : list) text += " " + brief(id_of(one));
  };
  auto same = [](const auto& id) { return id; };
  if (const auto* put = std::get_if<proto::Put>(&frame.body))
    ids(put->items, [](const proto::PutItem& item) { return crypto::decode_envelope(item.envelope).value().id; });
  if (const auto* reply = std::get_if<proto::PutReply>(&frame.body))
    for (const auto& one : reply->results) text += " " + brief(one.env_id) + (one.refusal ? " refused" : "");
  if (const auto* announce = std::get_if<proto::Announce>(&frame.body))
    ids(announce->items, [](const proto::AnnouncedItem& item) { return crypto::decode_envelope(item.envelope).value().id; });
  if (const auto* fetch = std::get_if<proto::Fetch>(&frame.body)) ids(fetch->env_ids, same);
  if (const auto* content = std::get_if<proto::Content>(&frame.body))
    text += " " + brief(content->env_id) + (content->refusal ? " refused" : "");
  if (const auto* reply = std::get_if<proto::AckReply>(&frame.body)) ids(reply->stored, same);
  if (const auto* reply = std::get_if<proto::MailPosted>(&frame.body)) ids(reply->ids, same);
  if (const auto* done = std::get_if<proto::MailDone>(&frame.body)) ids(done->ids, same);
  if (const auto* get = std::get_if<proto::KxGet>(&frame.body)) ids(get->agencies, same);
  if (const auto* feeds = std::get_if<proto::KxFeeds>(&frame.body)) text += " x" + std::to_string(feeds->feeds.size());
  if (const auto* refused = std::get_if<proto::Refused>(&frame.body)) {
    const auto* info = find_error(refused->code);
    text += " " + std::string(info ? info->name : "?");
  }
  return text;
}

Wire::Wire(Network& network, ClientEnd& client, PartyId client_party, ServerEnd& server, PartyId server_party,
           proto::Endpoint endpoint)
    : network_(network), world_(network.world), client_(client), client_party_(client_party), server_(server),
      server_party_(server_party), endpoint_(endpoint) {}

void Wire::start() {
  wanted_ = true;
  retry(world_.random.within(milliseconds(5), milliseconds(300)));
}

void Wire::retry(Duration delay) {
  const uint64_t attempt = ++attempt_;
  world_.repeat(delay, [this, attempt] {
    if (attempt == attempt_) try_connect();
  });
}

void Wire::try_connect() {
  if (!wanted_ || client_up_) return;
  if (!client_.runs() || !server_.runs() || blocked() || !server_.admits(client_party_, client_.curve_key()))
    return retry(world_.random.within(milliseconds(500), seconds(4)));
  session_ = ++network_.sessions;
  stands_ = client_up_ = true;
  up_ = down_ = {};
  client_.link_up(*this);
}

void Wire::drop(Duration client_learns, Duration server_learns) {
  if (!stands_) return;
  stands_ = false;
  dead_sessions_[session_] = world_.now() + server_learns;
  // What was sent before may still come out of the pipe, until the server has noticed that nobody is at its other end.
  if (!up_blocked_ && world_.random.chance(500)) {
    const broker::SessionKey key{endpoint_, session_};
    for (auto& one : up_.queue) {
      auto late = std::make_shared<Frame>(std::move(one));
      world_.at(late->due, [this, key, late] {
        const auto dead = dead_sessions_.find(key.id);
        if (server_.runs() && dead != dead_sessions_.end() && world_.now() < dead->second) server_.receive(*this, key, std::move(late->frame), std::move(late->chunk));
      });
    }
  }
  up_ = down_ = {};
  if (!client_up_) return;
  const uint64_t lost = session_;
  world_.after(client_learns, [this, lost] {
    if (stands_ || !client_up_ || lost != session_) return;
    client_up_ = false;
    if (!client_.runs()) return;
    client_.link_down(*this);
    retry(world_.random.within(milliseconds(500), seconds(4)));
  });
}

void Wire::cut() { drop(world_.random.within(milliseconds(0), seconds(2)), world_.random.within(milliseconds(0), seconds(2))); }

void Wire::client_died() {
  wanted_ = client_up_ = false;
  ++attempt_;
  drop({}, world_.random.within(milliseconds(0), noticed_max));
}

void Wire::server_died() {
  drop(world_.random.within(milliseconds(0), seconds(3)), {});
  dead_sessions_.clear();
}

void Wire::hurry() {
  held_up_ = {};
  bytes_per_second_ = 0;
  if (std::max(up_.last, down_.last) > world_.now() + minutes(1)) cut();
}

void Wire::half_open(Duration for_so_long) { drop(for_so_long, for_so_long); }

void Wire::block(bool up, bool down) {
  if (up == up_blocked_ && down == down_blocked_) return;
  up_blocked_ = up;
  down_blocked_ = down;
  const uint64_t turn = ++block_turn_;
  if (blocked())
    world_.after(world_.random.within(noticed_min, noticed_max), [this, turn] {
      if (turn == block_turn_) drop({}, world_.random.within(milliseconds(0), noticed_max));
    });
  pump(true);
  pump(false);
}

bool Wire::send_to_server(Bytes frame, Bytes chunk) {
  if (!client_up_) return false;
  if (stands_) carry(true, std::move(frame), std::move(chunk));
  return true;  // lost when the client only believes in the connection
}

SendOutcome Wire::send_to_client(uint64_t session, Bytes frame, Bytes chunk) {
  if (!stands_ || session != session_) {
    auto dead = dead_sessions_.find(session);
    return dead != dead_sessions_.end() && world_.now() < dead->second ? SendOutcome::sent : SendOutcome::unreachable;
  }
  if (down_.queue.size() >= to_client_max) return SendOutcome::busy;
  carry(false, std::move(frame), std::move(chunk));
  return SendOutcome::sent;
}

void Wire::carry(bool to_server, Bytes frame, Bytes chunk) {
  Direction& way = to_server ? up_ : down_;
  const uint64_t bytes = frame.size() + chunk.size();
  const Duration line = bytes_per_second_ ? milliseconds(static_cast<int64_t>(bytes * 1000 / bytes_per_second_)) : Duration{};
  way.last = std::max(way.last, world_.now() + world_.random.within(network_.delay_min, network_.delay_max)) + line;
  if (to_server) way.last = way.last + std::exchange(held_up_, {});
  way.queue.push_back({way.last, std::move(frame), std::move(chunk)});
  if (network_.swap_per_mille && way.queue.size() > 1 && world_.random.chance(network_.swap_per_mille)) {
    world_.injected(Fault::frames_swapped);
    auto& one = way.queue.back();
    auto& other = way.queue[way.queue.size() - 2];
    std::swap(one.frame, other.frame);
    std::swap(one.chunk, other.chunk);
  }
  world_.at(way.last, [this, to_server] { pump(to_server); });
}

void Wire::pump(bool to_server) {
  while (stands_ && !(to_server ? up_blocked_ : down_blocked_)) {
    Direction& way = to_server ? up_ : down_;
    if (way.queue.empty() || way.queue.front().due > world_.now()) return;
    Frame one = std::move(way.queue.front());
    way.queue.pop_front();
    auto happens = [&](uint64_t rate, uint64_t of) { return rate && world_.random.below(of) < rate; };
    if (happens(network_.repeat_per_mille, 1000)) {
      world_.injected(Fault::frame_repeated);
      carry(to_server, one.frame, one.chunk);
    }
    if (happens(network_.lose_per_100000, 100000)) {
      world_.injected(Fault::frame_lost);
      return cut();  // a connection loses no frame and lives
    }
    if (happens(network_.corrupt_per_100000, 100000)) {
      world_.injected(Fault::frame_corrupted);
      return cut();  // CURVE refuses it
    }
    deliver(to_server, std::move(one));
  }
}

void Wire::deliver(bool to_server, Frame one) {
  world_.mix(one.frame);
  const broker::SessionKey key{endpoint_, session_};
  if (to_server) {
    if (server_.runs()) server_.receive(*this, key, std::move(one.frame), std::move(one.chunk));
    return;
  }
  if (client_.runs() && client_up_) client_.receive(*this, std::move(one.frame), std::move(one.chunk));
  if (server_.runs()) server_.drained(key);
}

}  // namespace tram::sim
