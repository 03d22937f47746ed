// A disk that forgets: the tree below a daemon's home as a crash may leave it. Fed with the records of a trace it keeps
// what is durable apart from what is not yet, and makes images of a crash at this very point.
// The model: a write counts from the sync of its file (or at once, with O_DSYNC); until then any subset of writes may be
// on the disk, each torn at 512 bytes, in any order. A file's length is synced with it; until then it may be any of the
// lengths it had, and what lies beyond is lost. A name (create, rename, unlink, mkdir) counts from the sync of its folder
// or of the file system; until then any subset of these changes, or only the first of them, may be there; a rename is
// one change, and becomes durable with the folder it leads to. A process' own death drops nothing, which is the image
// with everything.
// Thread: one.
#pragma once
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "tests/crash/trace_format.h"

namespace tram::crash {

struct Record {
  Kind kind;
  uint64_t id = 0, offset = 0;
  std::string path;
  BytesView data;  // of the trace, which outlives it
  bool changes_disk() const { return kind < Kind::frame; }
};

/// The records of a trace file's bytes; stops at a record that was cut short.
std::vector<Record> read_trace(BytesView trace);

using Content = std::shared_ptr<const Bytes>;
/// Path below the home -> content; a folder has none.
using Image = std::map<std::string, Content>;

enum class Syncs { honoured, ignored };  // ignored: a disk that lies, to show that the checks see it

class Disk {
 public:
  /// `home` as it was before the trace; the file <home>.inodes says which inodes the trace means.
  Disk(const std::string& home, Syncs syncs);
  void apply(const Record&);
  /// What a crash now may leave; each call is another one.
  Image crash(std::mt19937_64& random) const;
  /// What is there without a crash.
  Image whole() const;
  /// Writes and changes of names that a crash may drop now.
  size_t pending() const;

 private:
  struct Write {
    uint64_t offset = 0;
    BytesView data;
    enum class What { data, length, at_least } what = What::data;
    bool synced = false;  // O_DSYNC: durable as soon as the next record comes
  };
  struct File {
    std::shared_ptr<Bytes> durable = std::make_shared<Bytes>();
    std::vector<Write> pending;
  };
  struct Change {
    Kind kind;
    std::string path, from;
    uint64_t id = 0;
  };
  using Names = std::map<std::string, uint64_t>;  // path -> inode; 0 is a folder

  static void write(Bytes& into, const Write&);
  static void change(Names&, const Change&);
  void settle(File&);
  void settle_last();
  Image image(const Names&, const std::map<uint64_t, Content>&) const;

  Syncs syncs_;
  std::map<uint64_t, File> files_;
  Names names_;
  std::vector<Change> changes_;
  uint64_t last_synced_write_ = 0;  // inode whose O_DSYNC write is still going on
};

}  // namespace tram::crash
