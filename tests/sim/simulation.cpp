#include "tests/sim/simulation.h"

#include <algorithm>

#include "base/limits.h"

namespace tram::sim {

namespace {
constexpr Time epoch_start{1772500000000};  // March 2026
constexpr Duration week = days(7);
constexpr Duration calm_max = minutes(10);  // I16
constexpr Duration under_way_max = seconds(60);
constexpr Duration looks_every = seconds(2);
constexpr Duration burst_settles = seconds(25);
constexpr uint64_t kind_per_mille = 300, once_per_mille = 500, restored_per_mille = 345, apart_per_mille = 250, split_per_mille = 450;
/// One a kind. The seeds that are recorded in tests/mutants draw none of the kinds after the first: they stay what they were.
constexpr std::array<uint64_t, fault_count - drawn_apart_from> apart_salts{0, 10 << 20, 14 << 20, 43 << 20};

DocUuid uuid_of(SimRandom& random) { return random.id<DocUuid>(); }
}  // namespace

Simulation::Simulation(const Options& options)
    : world_(options.seed * 2 + 1, epoch_start + milliseconds(static_cast<int64_t>(options.seed * 7919 % 86400) * 1000), options.print),
      network_{world_} {
  for (const uint64_t salt : apart_salts) apart_.emplace_back(options.seed * 2 + 0x5eed + salt);
  plan_week();
  // One seed in twenty is left in peace: what fails there needs no fault.
  if (options.seed % 20 != 0 || options.only) {
    plan_faults(options);
    plan_apart(options);
  }
  plan_documents();
  build();
}

void Simulation::plan_faults(const Options& options) {
  auto& random = world_.random;
  for (size_t i = 0; i < drawn_apart_from; ++i) {
    const auto fault = static_cast<Fault>(i);
    const bool once = fault == Fault::agency_joins || fault == Fault::broker_added || fault == Fault::broker_retired;
    plan_.on[i] = random.chance(once ? once_per_mille : fault == Fault::node_restored ? restored_per_mille : kind_per_mille);
    if (options.only) plan_.on[i] = *options.only == fault;
  }
  // A restored node tells the agencies that are active by its old directory, no other: these three do not go together yet.
  if (plan_.has(Fault::node_restored) || plan_.has(Fault::node_in_silence))
    plan_.on[static_cast<size_t>(Fault::agency_suspended)] = plan_.on[static_cast<size_t>(Fault::agency_joins)] = false;
  plan_.faults = 8 + random.below(20);
  plan_.ends_in_calm = random.chance(500);
  plan_.slow_links = random.chance(200);
  plan_.slow_jobs = random.chance(200);
  plan_.short_life = random.chance(150);
  late_agency_ = plan_.has(Fault::agency_joins);
  late_broker_ = plan_.has(Fault::broker_added);
  habits_.may_be_suspended = plan_.has(Fault::agency_suspended);
  hostile_broker_ = random.below(3);
  hostile_node_ = random.below(3);
  if (plan_.slow_links) network_.delay_max = random.within(milliseconds(50), milliseconds(800));
  host_faults_.wraps_in_jobs = plan_.has(Fault::wrong_key) || plan_.has(Fault::wrong_recipient_key) || plan_.has(Fault::sequence_reused);
  if (plan_.slow_jobs) host_faults_.slow_job_per_mille = 20 + random.below(200);
  if (plan_.has(Fault::crash_before_commit) || plan_.has(Fault::crash_before_effects) || plan_.has(Fault::crash_among_effects))
    step_crashes_ = 50 + random.below(600);
  if (plan_.has(Fault::crash_in_collection)) host_faults_.crash_in_collection_per_mille = 300;
  if (plan_.has(Fault::frame_repeated)) network_.repeat_per_mille = 2 + random.below(30);
  if (plan_.has(Fault::frame_lost)) network_.lose_per_100000 = 50 + random.below(1000);
  if (plan_.has(Fault::frame_corrupted)) network_.corrupt_per_100000 = 50 + random.below(500);
  if (plan_.has(Fault::frames_swapped)) network_.swap_per_mille = 2 + random.below(60);
}

void Simulation::plan_apart(const Options& options) {
  for (size_t i = drawn_apart_from; i < fault_count; ++i) {
    const auto fault = static_cast<Fault>(i);
    plan_.on[i] = options.only ? *options.only == fault : dice(fault).chance(fault == Fault::directory_split ? split_per_mille : apart_per_mille);
  }
  if (plan_.ends_in_calm) plan_.on[static_cast<size_t>(Fault::directory_split)] = false;
  habits_.groups_vary = habits_.may_be_suspended || plan_.has(Fault::agencies_merged) || plan_.has(Fault::agency_split);
}

void Simulation::plan_week() {
  auto& random = world_.random;
  const size_t bursts = 2 + random.below(3);
  for (size_t i = 0; i < bursts; ++i) {
    const Time from = world_.now() + (i ? random.within(minutes(5), week) : seconds(2));
    plan_.bursts.push_back({from, from + random.within(seconds(5), seconds(40))});
  }
}

void Simulation::plan_documents() {
  auto& random = world_.random;
  const size_t agencies = (late_agency_ ? 4 : 3) + random.below(late_agency_ ? 2 : 3);
  const size_t count = 6 + random.below(12);
  const size_t large = plan_.has(Fault::body_flipped) || plan_.has(Fault::crash_in_collection) ? 2 : random.below(3);
  habits_.may_refuse_recall = random.chance(300);
  RealmPlan realm;
  realm.agencies = agencies;
  realm.brokers = late_broker_ || plan_.has(Fault::broker_retired) ? 4 : 3;
  realm.late_agency = late_agency_;
  realm.late_broker = late_broker_;
  realm.witness = plan_.has(Fault::witness_killed) || plan_.has(Fault::witness_lost) || plan_.has(Fault::witness_lies) ||
                  plan_.has(Fault::log_forked) || plan_.has(Fault::all_put_back);
  realm.policy.custody_quorum = 2;
  realm.policy.body_floor_bytes = limits::body_floor_bytes;
  realm.policy.recall_refusal_allowed = habits_.may_refuse_recall;
  if (plan_.short_life) realm.policy.time_to_live_ms = static_cast<uint64_t>(random.within(minutes(20), hours(6)).ms);
  realm_ = std::make_unique<Realm>(realm, random, world_.now());
  for (size_t i = 0; i < count; ++i) {
    PlannedDocument document;
    document.uuid = uuid_of(random);
    const Burst& burst = plan_.bursts[random.below(plan_.bursts.size())];
    document.at = burst.from + random.within({}, burst.until - burst.from);
    document.sender = random.below(realm.late_agency ? agencies - 1 : agencies);
    document.group = random.chance(80);
    for (size_t to = 0; to < agencies; ++to)
      if (to != document.sender && (document.group || random.chance(350))) document.recipients.push_back(to);
    const bool only_late = realm.late_agency && document.recipients == std::vector<size_t>{agencies - 1};
    if (document.recipients.empty() || only_late) document.recipients = {(document.sender + 1) % (agencies - 1)};
    if (document.recipients[0] == document.sender) document.recipients = {(document.sender + 1) % (agencies - 1)};
    if (document.recipients[0] == document.sender) document.recipients = {document.sender ? 0u : 1u};
    document.urgent = random.chance(200);
    document.file_bytes = i < large ? 300 * 1024 + random.below(500 * 1024) : 200 + random.below(random.chance(700) ? 4000 : 30000);
    if (random.chance(130)) document.recall_at = document.at + random.within(milliseconds(0), seconds(60));
    documents_.push_back(std::move(document));
  }
}

void Simulation::build() {
  auto& random = world_.random;
  checker_ = std::make_unique<Checker>(world_, *realm_);
  for (const auto& party : realm_->brokers())
    brokers_.push_back(std::make_unique<BrokerHost>(world_, network_, host_faults_, *realm_, party, *checker_, random.next()));
  for (const auto& party : realm_->agencies())
    nodes_.push_back(std::make_unique<NodeHost>(world_, network_, host_faults_, *realm_, party, *checker_, random.next()));
  if (habits_.groups_vary) checker_->expect_smaller_groups();
  checker_->watch(nodes_, brokers_, witnesses_, documents_);
  for (auto& broker : brokers_) {
    const bool late = late_broker_ && broker == brokers_.back();
    if (!late) checker_->joined(*broker);
    if (!late) broker->install();
    for (auto& peer : brokers_)
      if (peer != broker) broker->connect_to(*peer);
  }
  const bool spoils = plan_.has(Fault::wrong_key) || plan_.has(Fault::wrong_recipient_key) || plan_.has(Fault::sequence_reused);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    NodeHost& node = *nodes_[i];
    node.install();
    for (auto& broker : brokers_) node.connect_to(*broker);
    if (spoils) node.spoil = [this, &node](node::Job& job) { spoil(node, job); };
    clerks_.push_back(std::make_unique<Clerk>(world_, node, i, *realm_, documents_, habits_));
  }
  for (const auto& party : realm_->witnesses()) {
    witnesses_.push_back(std::make_unique<WitnessHost>(world_, network_, host_faults_, *realm_, party, random.next()));
    witnesses_.back()->install();
    witnesses_.back()->is_forged = [this](const Bytes& note) { return forged_.contains(note); };
    for (auto& broker : brokers_) witnesses_.back()->connect_to(*broker);
  }
}

/// The week: when the world is awake, when a fault strikes, when backups are made.
void Simulation::schedule() {
  auto& random = world_.random;
  for (const Burst& burst : plan_.bursts) {
    const Duration busy = burst.until - burst.from + burst_settles;
    world_.at(burst.from, [this, busy] {
      world_.stay_awake(busy);
      host_faults_.crash_per_100000 = step_crashes_;
    });
    world_.at(burst.from + busy, [this] { host_faults_.crash_per_100000 = 0; });
    world_.at(burst.from + random.within(seconds(10), minutes(30)), [this] {
      for (auto& broker : brokers_)
        if (broker->up() && !broker->damaged()) backups_[broker.get()] = broker->image();
      if (!plan_.has(Fault::node_restored) && !plan_.has(Fault::node_in_silence) && !plan_.has(Fault::all_put_back)) return;
      for (auto& node : nodes_)
        if (node->up() && world_.random.chance(700)) back_up(*node);
    });
  }
  for (const auto& document : documents_)
    if (document.recall_at) world_.at(*document.recall_at, [this] { world_.stay_awake(seconds(10)); });
  for (size_t i = 0; i < plan_.faults; ++i) {
    const Burst& burst = plan_.bursts[random.below(plan_.bursts.size())];
    const Time at = random.chance(750) ? burst.from + random.within({}, burst.until - burst.from + seconds(15))
                                       : plan_.bursts[0].from + random.within({}, week);
    world_.at(at, [this] {
      if (!calm_) inject_one();
    });
  }
  // These happen once, a body's file is there for an hour only, and a copy must lack what witnesses have seen: not left to a
  // throw among all kinds.
  for (Fault fault : {Fault::agency_joins, Fault::broker_added, Fault::broker_retired, Fault::body_flipped, Fault::node_in_silence, Fault::machine_cloned,
                      Fault::agency_suspended})
    if (plan_.has(fault)) {
      const Burst& burst = plan_.bursts[random.below(plan_.bursts.size())];
      const bool soon = fault == Fault::body_flipped || fault == Fault::machine_cloned;
      world_.at(burst.from + random.within(seconds(10), soon ? minutes(2) : hours(30)), [this, fault] {
        if (calm_) return;
        world_.stay_awake(seconds(8));
        inject(fault);
      });
    }
}

/// Once or more in a week, at times of their own.
void Simulation::schedule_apart() {
  for (size_t i = drawn_apart_from; i < fault_count; ++i) {
    const auto fault = static_cast<Fault>(i);
    if (!plan_.has(fault)) continue;
    auto plan = [&](Time at) {
      world_.at(at, [this, fault] {
        if (calm_) return;
        world_.stay_awake(seconds(8));
        inject(fault);
      });
    };
    if (fault == Fault::all_put_back || fault == Fault::directory_rolled_back)
      for (const Burst& burst : plan_.bursts) plan(burst.until + dice(fault).within(seconds(5), hours(20)));
    else  // an agency closes while documents are on their way to it
      plan(plan_.bursts[dice(fault).below(plan_.bursts.size())].from + dice(fault).within(milliseconds(0), seconds(3)));
  }
}

/// Each hour, or when the world wakes.
void Simulation::scan() {
  checker_->hourly();
  world_.repeat(hours(1), [this] { scan(); });
}

/// A backup; perhaps the node tells of it.
void Simulation::back_up(NodeHost& host) {
  auto image = std::make_shared<NodeHost::Image>(host.image());
  node_backups_[&host] = image;
  if (!world_.random.chance(600)) return;
  world_.count("backups told of");
  host.act([marks = host.marks(*image)](node::Node& node, WriteTxn& txn, Time now, node::Effects& effects) {
             return node.backed_up(txn, now, marks, effects);
           }, [](const Result<void>&) {});
}

Outcome Simulation::run() {
  Outcome outcome;
  const Time begin = world_.now();
  try {
    for (auto& broker : brokers_)
      if (checker_->in_force(*broker)) broker->return_after(world_.random.within(milliseconds(0), seconds(2)));
    for (auto& node : nodes_) node->return_after(world_.random.within(milliseconds(0), seconds(2)));
    for (auto& witness : witnesses_) witness->return_after(world_.random.within(milliseconds(0), seconds(2)));
    for (auto& clerk : clerks_) clerk->start();
    schedule();
    schedule_apart();
    world_.may_sleep(true);
    const Time end = world_.now() + week;
    scan();
    world_.run_until(end);
    world_.may_sleep(false);
    if (plan_.ends_in_calm) {
      calm(outcome);
      checker_->finish();
    } else {
      checker_->sweep();
    }
    outcome.passed = true;
  } catch (const Broken& broken) {
    outcome.failure = broken.what();
    world_.trace("!!", broken.what());
  }
  outcome.lasted = world_.now() - begin;
  outcome.trace_hash = world_.trace_hash();
  outcome.census = world_.census();
  outcome.counts = world_.counts();
  return outcome;
}

namespace {
/// I8: its newest checkpoint has the cosignature of each broker.
bool witnessed(const audit::OwnLog& log, size_t witnesses) {
  return log.standing() == audit::OwnLog::Standing::sound && log.signs() && log.cosigners() >= witnesses;
}
/// R14, R27, R28: the directory is the one that the witnesses hold now, and nothing that was announced is missed.
std::string behind(NodeHost& host, Time now) {
  if (!host.runs()) return host.name() + " is off";
  if (host.node().views().age(now) > limits::view_renewed_every + minutes(3)) return host.name() + "'s view of the directory is not confirmed";
  if (!node::withheld(*host.store().begin_read().value(), now).value().empty()) return host.name() + " misses what was announced";
  return {};
}
}  // namespace

/// The independent witness holds what this node signed last; of a log that rests it need not tell the node so.
bool Simulation::watched(const NodeHost& node) {
  return std::all_of(witnesses_.begin(), witnesses_.end(), [&](const auto& one) {
    return one->runs() && one->holds(node.party().id) >= node.own_log().checkpoint_size();
  });
}

/// Faults stop; everything must have come to its end within `calm_max`.
void Simulation::calm(Outcome& outcome) {
  world_.trace("**", "calm");
  calm_ = true;
  while (!renewing_.empty()) accept_new_keys(*renewing_.back());
  all_up();
  // What would have failed a commit later is a fault too.
  for (auto& node : nodes_) node->raw().revive();
  for (auto& broker : brokers_) broker->raw().revive();
  for (auto& clerk : clerks_) clerk->hurry();
  if (late_agency_) operate(Fault::agency_joins);
  while (!suspended_.empty()) reinstate(*suspended_.back());
  // A broker put back to an older disk lost what the authority had published: it publishes to all.
  if (realm_->entries().size() > realm_->first_entries())
    for (auto& broker : brokers_)
      if (checker_->in_force(*broker)) publish(*broker, decided());
  const Time last_fault = world_.now(), limit = last_fault + calm_max;
  std::string why, before;
  for (Time quiet_since = last_fault; world_.now() - quiet_since < seconds(20);) {
    world_.run_until(world_.now() + looks_every);
    for (auto& node : nodes_)
      if (node->up() && node->fenced()) node->recover();  // an operator sees it at a glance
    why = checker_->unfinished();
    if (!why.empty()) outcome.under_way = outcome.under_way + looks_every;
    for (auto& clerk : clerks_)
      if (why.empty() && !clerk->idle()) why = "a clerk is at work";
    if (!why.empty()) outcome.delivered = world_.now() - last_fault;
    for (auto& node : nodes_)
      if (why.empty() && !(node->runs() && witnessed(node->own_log(), checker_->in_force()) && watched(*node))) why = node->name() + "'s log is not witnessed";
    for (auto& node : nodes_)
      if (why.empty()) why = behind(*node, world_.now());
    for (auto& broker : brokers_)
      if (why.empty() && checker_->in_force(*broker) && !(broker->runs() && witnessed(broker->own_log(), checker_->in_force() - 1))) why = broker->name() + "'s log is not witnessed";
    if (why != before) world_.note("**", why.empty() ? "all is final" : "not final: " + why);
    before = why;
    if (!why.empty()) quiet_since = world_.now();
    outcome.drained = quiet_since - last_fault;
    SIM_REQUIRE(outcome.under_way <= under_way_max, "I16: under way for more than", std::to_string(under_way_max.ms / 1000), "seconds of calm:", why);
    SIM_REQUIRE(world_.now() < limit, "I16: after", std::to_string(calm_max.ms / 60000), "minutes of calm:", why);
  }
}

}  // namespace tram::sim
