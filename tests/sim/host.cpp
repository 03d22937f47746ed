#include "tests/sim/host.h"

namespace tram::sim {

namespace {
MemStoreOptions options(std::span<const Table> tables) {
  MemStoreOptions options;
  for (const Table& table : tables) options.tables.emplace_back(table.name);
  return options;
}
}  // namespace

Host::Host(World& world, Network& network, HostFaults& faults, const Realm& realm, const Party& party,
           std::span<const Table> tables, uint64_t seed)
    : world_(world), network_(network), faults_(faults), realm_(realm), party_(party), store_(options(tables)),
      log_(world, party.name), random_(seed) {}

void Host::use_codec(std::unique_ptr<ValueCodec> codec) {
  codec_ = std::move(codec);
  store_.use_codec(*codec_);
}

CrashPoint Host::pick_crash(bool collecting) {
  const bool here = collecting && faults_.crash_in_collection_per_mille && world_.random.chance(faults_.crash_in_collection_per_mille);
  if (here) world_.injected(Fault::crash_in_collection);
  else if (!faults_.crash_per_100000 || world_.random.below(100000) >= faults_.crash_per_100000) return CrashPoint::none;
  const auto point = static_cast<CrashPoint>(1 + world_.random.below(3));
  if (!here)
    world_.injected(point == CrashPoint::before_commit    ? Fault::crash_before_commit
                    : point == CrashPoint::before_effects ? Fault::crash_before_effects
                                                          : Fault::crash_among_effects);
  return point;
}

bool Host::is_paused() {
  if (world_.now() >= paused_until_) return false;
  const uint64_t life = life_;
  step_planned_ = true;
  world_.at(paused_until_, [this, life] {
    if (life != life_ || !up_) return;
    step_planned_ = false;
    step();
  });
  return true;
}

void Host::when_on_disk(std::function<void()> let_out) {
  if (!commit_max_.ms) return let_out();
  const Duration delay = world_.random.within({}, commit_max_);
  pause(delay);
  const uint64_t life = life_;
  world_.after(delay, [this, life, let_out = std::move(let_out)] {
    if (life == life_ && up_) let_out();
  });
}

void Host::crash(bool power_cut) {
  ++life_;
  if (!up_) return;
  world_.trace(name(), power_cut ? "-- power cut" : "-- killed");
  up_ = false;
  paused_until_ = {};
  wake_at_.reset();
  step_planned_ = tick_due_ = false;
  // A job that was running may have done its writes; nobody hears of it.
  auto works = std::move(works_);
  works_.clear();
  for (auto& [id, work] : works)
    if (world_.random.chance(500)) work(false);
  if (power_cut) bodies_.power_cut(world_.random);
  forget();
}

void Host::crash_and_return(bool power_cut) {
  crash(power_cut);
  return_after(world_.random.within(faults_.down_min, faults_.down_max));
}

void Host::return_after(Duration delay) {
  const uint64_t life = life_;
  world_.after(delay, [this, life] {
    if (!up_ && life == life_) boot();
  });
}

void Host::poke() {
  if (!up_ || step_planned_) return;
  step_planned_ = true;
  const uint64_t life = life_;
  world_.after(milliseconds(static_cast<int64_t>(world_.random.below(3))), [this, life] {
    if (life != life_ || !up_) return;
    step_planned_ = false;
    step();
  });
}

void Host::wake(Time at_own_clock) {
  // A wish in the past is heeded after a moment, so that a confused clock cannot stop virtual time.
  const Time when = world_.now() + std::max(at_own_clock - clock(), milliseconds(1));
  if (wake_at_ && *wake_at_ <= when) return;
  wake_at_ = when;
  const uint64_t life = life_;
  world_.repeat(when - world_.now(), [this, life, when] {
    if (life != life_ || !up_ || wake_at_ != when) return;
    tick_due_ = true;
    poke();
  });
}

void Host::start_ticking() {
  const uint64_t life = life_;
  world_.repeat(faults_.tick, [this, life] {
    if (life != life_ || !up_) return;
    tick_due_ = true;
    poke();
    start_ticking();
  });
}

void Host::run_later(std::function<void(bool)> work) {
  const uint64_t id = next_work_++;
  works_.emplace(id, std::move(work));
  Duration delay = world_.random.within(milliseconds(0), faults_.job_max);
  if (faults_.slow_job_per_mille && world_.random.chance(faults_.slow_job_per_mille))
    delay = world_.random.within(milliseconds(100), seconds(3));
  world_.after(delay, [this, id] {
    auto it = works_.find(id);
    if (it == works_.end()) return;
    auto now = std::move(it->second);
    works_.erase(it);
    now(true);
  });
}

}  // namespace tram::sim
