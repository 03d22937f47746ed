#include "node/node.h"

#include "base/limits.h"
#include "node/rows.h"

namespace tram::node {

namespace {
const Bytes self_key = to_bytes(std::string_view("self"));
constexpr size_t busy_step_events = 64;
constexpr size_t going_envelopes_max = 6000;  // of a document to every commune, and some: 10 MiB

/// What `map` holds for this key, asked for when it holds nothing; an error leaves nothing behind.
template <class Map, class Ask>
Result<const typename Map::mapped_type*> remembered(Map& map, const typename Map::key_type& key, Ask&& ask) {
  auto it = map.find(key);
  if (it == map.end()) {
    TRAM_TRY(found, ask());
    it = map.emplace(key, std::move(found)).first;
  }
  return &it->second;
}
}

Node::Node(Identity config, Keys keys, directory::Directory& directory, audit::Log& audit, Log& log, Random& random)
    : config_(std::move(config)), keys_(std::move(keys)), directory_(directory), audit_(audit), log_(log), random_(random),
      own_log_(crypto::LogKind::node, config_.self, keys_.log, directory, audit, log, random), views_(directory, log),
      scrub_(table::all(), table::scrub, config_.scrub_every) {}

Result<void> Node::initialize(WriteTxn& txn, const Identity& config) {
  TRAM_TRY(held, txn.get(table::self, self_key));
  if (held) return fail(ErrorCode::wrong_state, "this store belongs to a node already");
  proto::NodeRecord record;
  record.party = config.self;
  record.realm = config.realm;
  return save(txn, table::self, self_key, record);
}

Result<void> Node::start(WriteTxn& txn, Time now, Effects& effects) {
  TRAM_TRY(self, node::load<proto::NodeRecord>(txn, table::self, self_key));
  if (self.party != config_.self || self.realm != config_.realm)
    return fail(ErrorCode::wrong_realm, "the store belongs to another agency or realm");
  self_ = self;
  recovered_ = self_.recovery != proto::Recovery::none;
  if (self_.inc > 1) old_envelopes_from_ = Bytes{};
  telling_since_ = now;
  TRAM_OK(for_each(txn, table::kx_private, {}, [&](const Row& row) -> Result<void> {
    if (row.value.size() < 32) return fail(ErrorCode::store_corrupt, "kx_private");
    auto pair = crypto::kx_pair_from(crypto::Secret32(BytesView(row.value).first(32)));
    kx_pairs_.emplace(crypto::key_id(crypto::KeyKind::kx, pair.public_key), std::move(pair));
    return {};
  }));
  TRAM_OK(look_at_own_keys(txn, now));
  if (keys_in_force_) TRAM_OK(sign_mail_again(txn));
  TRAM_OK(own_log_.start(txn, now));
  TRAM_OK(load_scrub(txn));
  TRAM_OK(load_attempts(txn));
  TRAM_OK(views_.start(txn, now));
  TRAM_OK(rotate_kx(txn, now, effects));
  TRAM_OK(refresh_links(txn, now, effects));
  TRAM_OK(for_each(txn, table::sealing, {}, [&](const Row& row) -> Result<void> {
    TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, row.key));
    return begin_sealing(txn, record, effects);
  }));
  TRAM_OK(kick_all_channels(txn, now, effects));
  TRAM_OK(repost_answers(txn, now, effects));
  last_upkeep_ = now;
  flush_wraps(now, effects);
  if (self_dirty_) TRAM_OK(save(txn, table::self, self_key, self_));
  self_dirty_ = false;
  return audit_.store_head(txn);
}

Result<void> Node::step(WriteTxn& txn, Time now, std::span<Event> events, Effects& effects) {
  struct Visitor {
    Node& node;
    WriteTxn& txn;
    Time now;
    Effects& effects;
    Result<void> operator()(BrokerUp& e) {
      Link& link = node.links_[e.broker];
      node.forget_in_flight(e.broker, link);
      link.connected = true;
      link.greeted = false;
      return node.greet(txn, now, e.broker, link, effects);
    }
    Result<void> operator()(BrokerDown& e) {
      Link& link = node.links_[e.broker];
      const bool was_greeted = link.greeted;
      link.connected = link.greeted = false;
      if (was_greeted) node.broker_lost(now);
      node.own_log_.disconnected(e.broker);
      node.forget_in_flight(e.broker, link);
      for (auto& [id, arrival] : node.arrivals_)
        if (arrival.source == e.broker) node.source_failed(now, arrival, effects);
      return {};
    }
    Result<void> operator()(FrameArrived& e) { return node.on_frame(txn, now, e, effects); }
    Result<void> operator()(Tick&) { return node.on_tick(txn, now, effects); }
    Result<void> operator()(JobResult& e) {
      return std::visit([&](auto& done) { return node.on(txn, now, done, effects); }, e);
    }
  };
  trim_memory(now);
  heed_clock(now);
  busy_ = events.size() > busy_step_events;
  Visitor visitor{*this, txn, now, effects};
  TRAM_OK(take_held_custodies(txn, now, effects));
  for (Event& event : events) TRAM_OK(std::visit(visitor, event));
  return {};
}

Result<void> Node::settle(WriteTxn& txn, Time now, Effects& effects) {
  wrapped_ = 0;
  TRAM_OK(kick_waiting_channels(txn, now, effects));
  flush_wraps(now, effects);
  sealed_at_once_ = 0;
  flush_fetches(effects);
  request_chunks(now, effects);
  ask_kx(now, effects);
  for (auto& [broker, link] : links_)
    if (link.greeted && may_put()) TRAM_OK(pump(txn, now, broker, effects));
  if (self_dirty_) TRAM_OK(save(txn, table::self, self_key, self_));
  self_dirty_ = false;
  if (!held_.empty() && (!effects.wake_at || held_until_ < *effects.wake_at)) effects.wake_at = held_until_;
  return audit_.store_head(txn);
}

/// Not before it is known whether this store is an old copy, whose numbers may be used already (R13, R23); and what an
/// earlier incarnation left is issued anew first.
bool Node::may_put() const {
  return keys_in_force_ && self_.recovery != proto::Recovery::asking && own_log_.standing() != audit::OwnLog::Standing::unknown && !restored_since_ &&
         !old_envelopes_from_;
}

/// What is remembered from the store is what was committed: after a step that failed there is a new Node.
void Node::trim_memory(Time now) {
  if (now < looked_.since || now - looked_.since >= limits::directory_memory) {
    looked_ = {};
    looked_.since = now;
  }
  if (going_bytes_ >= limits::going_bytes_max) {
    going_bytes_ = 0;
    going_documents_.clear();
  }
  if (going_envelopes_.size() > going_envelopes_max) going_envelopes_.clear();
}

Result<const std::optional<directory::AgencyState>*> Node::agency_of(ReadTxn& txn, Time now, const PartyId& id) {
  return remembered(looked_.agencies, id, [&] { return directory_.agency(txn, id, now); });
}

Result<const std::optional<proto::KxEpoch>*> Node::kx_of(ReadTxn& txn, Time now, const PartyId& id) {
  return remembered(looked_.kx, id, [&] { return directory_.kx_epoch(txn, id, now); });
}

Result<const std::optional<SigPublic>*> Node::sig_of(ReadTxn& txn, Time now, const PartyId& id, uint64_t dir_size) {
  return remembered(looked_.sigs, {id, dir_size}, [&] { return directory_.sig_key(txn, id, dir_size, now); });
}

uint64_t Node::send(const PartyId& broker, proto::Endpoint endpoint, proto::FrameBody body, Effects& effects,
                    std::optional<ChunkSource> chunk) {
  const uint64_t request = links_[broker].next_request++;
  effects.sends.push_back({broker, endpoint, {request, std::move(body)}, std::move(chunk)});
  return request;
}

Result<void> Node::log_leaf(WriteTxn& txn, Time now, audit::LeafKind kind, std::initializer_list<BytesView> parts) {
  Bytes entry;
  for (BytesView part : parts) entry.insert(entry.end(), part.begin(), part.end());
  TRAM_TRY(index, audit_.append(txn, kind, now, entry, random_));
  (void)index;
  return {};
}

SealContext Node::seal_context(Time now) const {
  return {config_.realm, config_.self, keys_.sig, keys_.hedge, directory_.policy(now).body_floor_bytes};
}

Result<uint64_t> Node::next_order(WriteTxn&) {
  self_dirty_ = true;
  return self_.next_order++;
}

const crypto::KxKeyPair* Node::find_kx(const KeyId& id) const {
  auto it = kx_pairs_.find(id);
  return it == kx_pairs_.end() ? nullptr : &it->second;
}

std::vector<Node::BrokerView> Node::broker_views() const {
  std::vector<BrokerView> views;
  for (const auto& [id, link] : links_)
    views.push_back({id, link.greeted, link.epoch, link.clock_offset, link.last_heard});
  return views;
}

uint16_t status_code(proto::InState state) {
  using enum proto::InState;
  switch (state) {
    case held: return 0;
    case arrived: return 1;
    case refused: return 2;
    case registered: return 3;
    case assigned: return 4;
    case processing: return 5;
    case done: return 6;
    case recalled: return 13;
  }
  return 0;
}

}  // namespace tram::node
