// Watches every daemon and knows what was asked of the exchange: the invariants I1-I5 and I16 of the protocol, checked
// at each commit, at each frame that leaves, now and then over the stores, and at the end.
// Invariants held here: the watcher reads committed state only and changes nothing.
// Thread: one.
#pragma once
#include "tests/sim/broker_host.h"
#include "tests/sim/clerks.h"
#include "tests/sim/witness_host.h"

namespace tram::sim {

class Checker final : public Observer {
 public:
  explicit Checker(World& world, const Realm& realm) : world_(world), realm_(realm) {}
  void watch(std::vector<std::unique_ptr<NodeHost>>& nodes, std::vector<std::unique_ptr<BrokerHost>>& brokers,
             std::vector<std::unique_ptr<WitnessHost>>& witnesses, std::vector<PlannedDocument>& documents);

  void node_committed(NodeHost&, const node::Effects&) override;
  void node_sends(NodeHost&, const node::Send&) override;
  void broker_sends(BrokerHost&, const PartyId& peer, const broker::Send&) override;

  /// A wrap of this document for this recipient was spoilt on purpose: it will be rejected.
  void expect_rejected(const DocUuid& uuid, const PartyId& recipient) { rejected_.insert({uuid, recipient}); }
  /// This epoch's custody is no longer true, and nobody was told: a disk put back in silence, a broker that lies.
  void expect_false_custody(BrokerHost& broker, const Epoch& epoch);
  /// A Byzantine sender: what it sends is promised nothing.
  void excuse(const NodeHost& sender) { excused_.insert(sender.party().id); }
  /// A Byzantine broker: there will be evidence against its log.
  void forks_its_log(const BrokerHost& broker) { forkers_.insert(broker.party().id); }
  /// A suspended agency is of no group.
  void expect_smaller_groups() { groups_vary_ = true; }
  /// Brokers that the directory names.
  void joined(const BrokerHost& broker) { in_force_.insert(&broker); }
  void retired(const BrokerHost& broker) { in_force_.erase(&broker), retired_.insert(broker.party().id); }
  size_t in_force() const { return in_force_.size(); }
  bool in_force(const BrokerHost& broker) const { return in_force_.contains(&broker); }
  /// sweep(), unless nothing was committed since the last one.
  void hourly();
  /// An operator puts a backup in the place of this node's store: what it said since is forgotten there, and only there.
  void node_will_be_restored(NodeHost&);
  void node_was_restored(NodeHost&);
  /// A second machine says what it likes in this node's name.
  void cloned(const NodeHost& host) { restored_.insert(host.party().id); }
  /// Watches such machines: nothing is asked of them, and what they answered is known.
  Observer& of_copies() { return of_copies_; }
  /// Custody and copies, over all stores (I1, I4).
  void sweep();
  /// Nothing is on its way any more; says what is, else is empty.
  std::string unfinished();
  /// Everything that was asked for has happened, everywhere the same (I1, I2, I3, I16).
  void finish();

 private:
  struct OfCopies final : Observer {
    explicit OfCopies(Checker& all) : checker(all) {}
    void node_committed(NodeHost&, const node::Effects&) override {}
    void node_sends(NodeHost&, const node::Send&) override;
    void broker_sends(BrokerHost&, const PartyId&, const broker::Send&) override {}
    Checker& checker;
  };
  struct Seen {
    proto::InState state = proto::InState::held;
    uint64_t arrival = 0;
  };
  struct Handed {
    uint64_t seq = 0;
    bool any = false;
  };
  void check_accused(BrokerHost&);
  void check_convicted(Host&);
  void check_custody(BrokerHost&, const crypto::Custody&, std::string_view when);
  void check_accepted(NodeHost&, ReadTxn&, const proto::ItemRecord&, bool at_once);
  void check_stored(NodeHost&, const EnvelopeId&, const DocId&, bool acknowledged);
  bool body_durable(const MemBodies&, const std::string& name, const crypto::Manifest&);
  template <class Record>
  std::optional<crypto::Manifest> manifest_of(NodeHost&, const Record&, const std::string& body_name);
  bool is_chunk(const Bytes& chunk, const ChunkId&);
  bool is_manifest(const Bytes& manifest, const ManifestId&);
  bool broker_holds(BrokerHost&, ReadTxn&, const PartyId& sender, const DocId&);
  bool node_keeps(NodeHost&, ReadTxn&, const proto::OutRecord&);
  void check_incoming(NodeHost&);
  void check_document(const PlannedDocument&);
  void check_given_up(const PlannedDocument&, const proto::OutRecord&, const proto::ItemRecord&, NodeHost& sender, NodeHost& recipient);
  void check_item(const PlannedDocument&, const proto::OutRecord&, const proto::ItemRecord&, NodeHost& sender, NodeHost& recipient);
  NodeHost& node(const PartyId&);
  std::string explain_channel(const PartyId& sender, const PartyId& recipient, Lane lane);

  World& world_;
  const Realm& realm_;
  std::vector<std::unique_ptr<NodeHost>>* nodes_ = nullptr;
  std::vector<std::unique_ptr<BrokerHost>>* brokers_ = nullptr;
  std::vector<std::unique_ptr<WitnessHost>>* witnesses_ = nullptr;
  std::vector<PlannedDocument>* documents_ = nullptr;

  std::map<std::pair<PartyId, DocId>, Seen> incoming_;
  std::map<std::tuple<PartyId, PartyId, Lane, uint32_t>, Handed> handed_;       // recipient, sender, lane, inc
  std::map<std::tuple<PartyId, PartyId, Lane, uint32_t, uint64_t>, EnvelopeId> positions_;
  struct Sent {
    PartyId sender, recipient;
    Time not_after;
  };
  std::map<EnvelopeId, Sent> sent_;
  std::map<std::pair<PartyId, DocId>, EnvelopeId> first_sent_;  // by recipient and document
  std::set<std::pair<PartyId, DocId>> sent_again_;             // in more than one envelope
  std::map<EnvelopeId, Hash> statements_;
  std::map<EnvelopeId, PartyId> fetched_from_;
  std::set<EnvelopeId> reissued_;
  std::map<std::tuple<PartyId, Epoch, EnvelopeId>, Hash> custodies_;
  std::map<std::tuple<PartyId, Epoch, PartyId, uint64_t>, EnvelopeId> queue_places_;
  std::map<std::tuple<PartyId, Epoch, uint32_t>, uint64_t> log_sizes_;  // told in greetings, of each generation
  std::set<std::pair<DocUuid, PartyId>> rejected_;
  std::set<std::pair<PartyId, Epoch>> lapsed_;
  std::set<PartyId> excused_, forkers_, retired_;
  std::set<const BrokerHost*> in_force_;
  bool groups_vary_ = false;
  uint64_t commits_swept_ = 0;
  std::map<const NodeHost*, uint64_t> directory_sizes_;
  std::map<std::pair<const MemBodies*, std::string>, std::pair<uint64_t, std::vector<ChunkId>>> bodies_seen_;  // whole when last read
  std::map<ChunkId, Bytes> chunks_seen_;
  std::map<ManifestId, Bytes> manifests_seen_;
  std::set<PartyId> restored_;
  std::set<EnvelopeId> answered_;
  OfCopies of_copies_{*this};
};

}  // namespace tram::sim
