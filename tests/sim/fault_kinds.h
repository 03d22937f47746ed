// The faults of protocol.md 5.4 that the simulator knows, each under one name: the plan of a seed, the census of a run
// and the tables in the documents speak of the same kinds.
// Not here: a node whose disk lost its last commits (only heads could tell it, R14), releases of another format.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tram::sim {

enum class Fault : uint8_t {
  // process
  kill, power_cut, crash_before_commit, crash_before_effects, crash_among_effects, crash_in_collection, pause, away, all_off,
  machine_cloned,
  // store
  disk_lost, old_backup, old_backup_in_silence, commits_lost, store_full, commit_failed, commit_unsure, value_flipped,
  body_flipped, slow_disk, node_restored,
  node_in_silence, node_commit_failed, node_commit_unsure,
  // network
  frame_lost, frame_repeated, frames_swapped, frame_delayed, frame_corrupted, partition, partition_of_two, one_way,
  flapping, swizzle, slow_link, cut, half_open,
  // time
  skew, jump_hour, jump_month, stopped_clock,
  // Byzantine
  wrong_key, wrong_recipient_key, altered_body, sequence_reused, chunk_spam, no_answer, forged_answer, withheld, hidden, reordered,
  replayed, false_custody, directory_frozen, log_forked, witness_killed, witness_lost, witness_lies,
  // operations
  agency_joins, agency_suspended, broker_added, broker_retired, policy_changed,
  // drawn apart, each at a time of its own
  all_put_back, agencies_merged, agency_split, directory_rolled_back, keys_renewed, directory_split,
};
inline constexpr std::array fault_names{
    std::string_view("process: killed"), std::string_view("process: power cut"), std::string_view("process: killed before a commit"),
    std::string_view("process: killed after a commit, before its effects"), std::string_view("process: killed among effects"),
    std::string_view("process: killed while collecting garbage"), std::string_view("process: stopped for 1 to 120 s"),
    std::string_view("process: machine off for hours"), std::string_view("process: everything off for days"),
    std::string_view("process: a node's machine cloned, both run"),
    std::string_view("store: deleted"), std::string_view("store: replaced by an old backup"),
    std::string_view("store: replaced by an old backup, in silence"), std::string_view("store: last commits lost"),
    std::string_view("store: full, then freed"), std::string_view("store: commit failed"),
    std::string_view("store: commit failed, yet on disk"), std::string_view("store: bit flipped in a value"),
    std::string_view("store: bit flipped in a body"), std::string_view("store: slow disk"),
    std::string_view("store: a node's replaced by its backup"), std::string_view("store: a node's replaced by its backup, in silence"),
    std::string_view("store: a node's commit failed"), std::string_view("store: a node's commit failed, yet on disk"),
    std::string_view("network: frame lost"), std::string_view("network: frame repeated"), std::string_view("network: frames swapped"),
    std::string_view("network: frame late by up to 1 h"), std::string_view("network: frame corrupted"),
    std::string_view("network: one cut off from all"), std::string_view("network: one cut off from one"),
    std::string_view("network: one way only"), std::string_view("network: flapping"), std::string_view("network: swizzle-clog"),
    std::string_view("network: 64 kbit/s"), std::string_view("network: connection cut"), std::string_view("network: half-open"),
    std::string_view("clock: up to 10 min off"), std::string_view("clock: jumps 1 h"), std::string_view("clock: jumps 30 d"),
    std::string_view("clock: stands still"),
    std::string_view("sender: wrong key wrapped"), std::string_view("sender: wrapped to a wrong key"),
    std::string_view("sender: other content, same header"), std::string_view("sender: sequence number again"),
    std::string_view("sender: chunk spam"), std::string_view("recipient: does not answer"), std::string_view("recipient: forged answer"),
    std::string_view("broker: withholds"), std::string_view("broker: hides what is for one recipient"),
    std::string_view("broker: reorders"), std::string_view("broker: replays"),
    std::string_view("broker: signs false custody"), std::string_view("broker: freezes the directory"),
    std::string_view("broker: shows another log"),
    std::string_view("witness: killed"), std::string_view("witness: store lost"), std::string_view("witness: lies"),
    std::string_view("operation: agency joins"), std::string_view("operation: agency suspended, reinstated"),
    std::string_view("operation: broker added"), std::string_view("operation: broker retired"), std::string_view("operation: policy changed"),
    std::string_view("store: all brokers' and a node's old copies at once"),
    std::string_view("operation: agencies merged"), std::string_view("operation: agency split"),
    std::string_view("broker: shows an older directory"), std::string_view("operation: keys of an agency renewed"),
    std::string_view("directory: officers sign two"),
};
/// From here on each kind is drawn from dice of its own, so that it leaves the rest of the seed as it is without it.
inline constexpr size_t drawn_apart_from = static_cast<size_t>(Fault::all_put_back);
inline constexpr size_t fault_count = static_cast<size_t>(Fault::directory_split) + 1;
static_assert(fault_names.size() == fault_count);
constexpr std::string_view name_of(Fault fault) { return fault_names[static_cast<size_t>(fault)]; }

}  // namespace tram::sim
