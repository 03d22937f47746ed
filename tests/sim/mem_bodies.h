// Body files in memory, with what a crash does to them: Bodies for the simulator.
// Invariants: the contract of base/ports.h; what sync() confirmed survives; of what was written since, a power cut keeps
// any part, torn anywhere; a file that was never synced may be gone or full of zeros; a removed one may be back (D1).
// Thread: one, the simulator's.
#pragma once
#include "tests/sim/world.h"

namespace tram::sim {

class MemBodies final : public Bodies {
 public:
  Result<void> create(std::string_view name, uint64_t bytes) override;
  Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) override;
  Result<void> sync(std::string_view name) override;
  Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) override;
  Result<void> remove(std::string_view name) override;
  Result<std::vector<std::string>> list() override;

  void power_cut(SimRandom& random);
  void lose_all();
  /// Flips one bit of the durable content of the file that `choice` picks; false when there is none.
  bool flip_bit(uint64_t choice);
  /// Whether the byte that was last flipped is still wrong: its file neither went nor was written anew.
  bool rotten() const;
  void set_capacity_bytes(uint64_t bytes) { capacity_ = bytes; }
  uint64_t used_bytes() const { return used_; }
  /// Another number after each change to what a power cut would leave.
  uint64_t version(std::string_view name) const;
  /// The durable content of every file, for a backup, and such a backup in its place.
  std::map<std::string, Bytes> dump() const;
  void restore(const std::map<std::string, Bytes>& files);
  /// What a power cut at this instant would certainly leave.
  Result<void> read_durable(std::string_view name, uint64_t offset, std::span<uint8_t> out) const;

 private:
  struct File {
    Bytes now;
    Bytes durable;
    uint64_t version = 0;
    bool entry_durable = false;
    std::vector<std::pair<uint64_t, uint64_t>> unsynced;  // offset, bytes
  };
  std::map<std::string, File, std::less<>> files_;
  std::vector<std::pair<std::string, Bytes>> removed_;  // durable ones whose removal is not certain yet
  struct Flip {
    std::string name;
    uint64_t byte = 0;
    uint8_t was = 0;
  };
  std::optional<Flip> flip_;
  uint64_t capacity_ = UINT64_MAX;
  uint64_t used_ = 0;
  uint64_t versions_ = 0;
};

}  // namespace tram::sim
