#include "tests/sim/simulation.h"

#include "base/limits.h"

namespace tram::sim {

namespace {
constexpr Time epoch_start{1772500000000};  // March 2026
constexpr Duration calm_max = minutes(30);

DocUuid uuid_of(SimRandom& random) { return random.id<DocUuid>(); }
}  // namespace

Simulation::Simulation(uint64_t seed, bool print)
    : world_(seed * 2 + 1, epoch_start + milliseconds(static_cast<int64_t>(seed * 7919 % 86400) * 1000), print), network_{world_} {
  // One seed in twenty is left in peace: what fails there needs no fault.
  if (seed % 20 != 0) plan_faults();
  plan_documents();
  build();
}

void Simulation::plan_faults() {
  auto& random = world_.random;
  auto some = [&](uint64_t per_mille) { return random.chance(per_mille); };
  plan_.partitions = some(600);
  plan_.crashes = some(500);
  plan_.step_crashes = some(500);
  plan_.disk_loss = some(300);
  plan_.restores = some(250);
  plan_.silent_restores = some(120);
  plan_.full_stores = some(300);
  plan_.skew = some(300);
  plan_.slow_links = some(300);
  plan_.repeats = some(300);
  plan_.slow_jobs = some(300);
  plan_.broken_wraps = some(250);
  plan_.late_agency = some(250);
  plan_.short_life = some(200);
  plan_.long_absence = plan_.short_life && some(700);
  plan_.long_night = !plan_.long_absence && some(150);
  plan_.lasts = random.within(seconds(40), seconds(240));
  if (plan_.slow_links) network_.delay_max = random.within(milliseconds(50), milliseconds(800));
  if (plan_.slow_jobs) host_faults_.slow_job_per_mille = 20 + random.below(200);
}

void Simulation::plan_documents() {
  auto& random = world_.random;
  const size_t agencies = 3 + random.below(4);
  const size_t count = 10 + random.below(31);
  const size_t large = random.below(3);
  habits_.may_refuse_recall = random.chance(300);
  RealmPlan realm;
  realm.agencies = agencies;
  realm.late_agency = plan_.late_agency && agencies > 3;
  realm.policy.custody_quorum = 2;
  realm.policy.body_floor_bytes = limits::body_floor_bytes;
  realm.policy.recall_refusal_allowed = habits_.may_refuse_recall;
  if (plan_.short_life) realm.policy.time_to_live_ms = static_cast<uint64_t>(random.within(minutes(20), minutes(40)).ms);
  realm_ = std::make_unique<Realm>(realm, random, world_.now());
  for (size_t i = 0; i < count; ++i) {
    PlannedDocument document;
    document.uuid = uuid_of(random);
    document.at = world_.now() + random.within(seconds(2), plan_.lasts);
    document.sender = random.below(realm.late_agency ? agencies - 1 : agencies);
    document.group = random.chance(80);
    for (size_t to = 0; to < agencies; ++to)
      if (to != document.sender && (document.group || random.chance(350))) document.recipients.push_back(to);
    const bool only_late = realm.late_agency && document.recipients == std::vector<size_t>{agencies - 1};
    if (document.recipients.empty() || only_late) document.recipients = {(document.sender + 1) % (agencies - 1)};
    if (document.recipients[0] == document.sender) document.recipients = {(document.sender + 1) % (agencies - 1)};
    if (document.recipients[0] == document.sender) document.recipients = {document.sender ? 0u : 1u};
    document.urgent = random.chance(200);
    document.file_bytes = i < large ? 300 * 1024 + random.below(700 * 1024) : 200 + random.below(random.chance(700) ? 4000 : 60000);
    if (random.chance(130)) document.recall_at = document.at + random.within(milliseconds(0), seconds(90));
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
  checker_->watch(nodes_, brokers_, documents_);
  for (auto& broker : brokers_) {
    broker->install();
    for (auto& peer : brokers_)
      if (peer != broker) broker->connect_to(*peer);
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    NodeHost& node = *nodes_[i];
    node.install();
    for (auto& broker : brokers_) node.connect_to(*broker);
    if (plan_.broken_wraps) node.spoil = [this](node::Job& job) { spoil(job); };
    clerks_.push_back(std::make_unique<Clerk>(world_, node, i, *realm_, documents_, habits_));
  }
}

Outcome Simulation::run() {
  Outcome outcome;
  try {
    for (auto& broker : brokers_) broker->return_after(world_.random.within(milliseconds(0), seconds(2)));
    for (auto& node : nodes_) node->return_after(world_.random.within(milliseconds(0), seconds(2)));
    for (auto& clerk : clerks_) clerk->start();
    const Time end = world_.now() + plan_.lasts;
    if (realm_->entries().size() > realm_->first_entries())
      world_.after(world_.random.within(seconds(5), plan_.lasts), [this] {
        world_.trace("**", "an agency joins");
        world_.count("fault: agency joins late");
        publishers_.push_back(std::make_unique<Publisher>(world_, network_, any_broker(), realm_->entries().back()));
        publishers_.back()->start();
        for (auto& broker : brokers_) broker->set_approved_entries(realm_->entries().size());
      });
    inject();
    while (world_.now() < end) {
      world_.run_until(std::min(end, world_.now() + seconds(30)));
      checker_->sweep();
    }
    if (plan_.long_absence) long_absence();
    if (plan_.long_night) long_night();
    calm();
    checker_->finish();
    outcome.passed = true;
  } catch (const Broken& broken) {
    outcome.failure = broken.what();
    world_.trace("!!", broken.what());
  }
  outcome.trace_hash = world_.trace_hash();
  outcome.counts = world_.counts();
  return outcome;
}

namespace {
/// I8: its newest checkpoint has every witness's cosignature.
bool witnessed(const audit::OwnLog& log, size_t witnesses) {
  return log.standing() == audit::OwnLog::Standing::sound && log.signs() && log.cosigners() == witnesses;
}
}  // namespace

/// Faults stop; everything must have come to its end within `calm_max`.
void Simulation::calm() {
  world_.trace("**", "calm");
  calm_ = true;
  all_up();
  for (auto& clerk : clerks_) clerk->hurry();
  // A broker put back to an older disk lost what the authority had published: it publishes to all.
  if (realm_->entries().size() > realm_->first_entries())
    for (auto& broker : brokers_) {
      publishers_.push_back(std::make_unique<Publisher>(world_, network_, *broker, realm_->entries().back()));
      publishers_.back()->start();
    }
  const Time limit = world_.now() + calm_max;
  std::string why;
  for (int quiet = 0; quiet < 2;) {
    world_.run_until(world_.now() + seconds(10));
    why = checker_->unfinished();
    for (auto& clerk : clerks_)
      if (why.empty() && !clerk->idle()) why = "a clerk is at work";
    for (auto& node : nodes_)
      if (why.empty() && !(node->runs() && witnessed(node->own_log(), brokers_.size()))) why = node->name() + "'s log is not witnessed";
    for (auto& broker : brokers_)
      if (why.empty() && !(broker->runs() && witnessed(broker->own_log(), brokers_.size() - 1))) why = broker->name() + "'s log is not witnessed";
    quiet = why.empty() ? quiet + 1 : 0;
    SIM_REQUIRE(world_.now() < limit, "I16: after", std::to_string(calm_max.ms / 60000), "minutes of calm:", why);
  }
}

}  // namespace tram::sim
