// What the preloaded recorder (preload.cpp), the checker (check_image.cpp) and the sweep (sweep.py) share: the records
// of a trace and the control block of a fault. Plain structures of one machine; nothing is kept between runs.
#pragma once
#include <cstdint>

namespace tram::crash {

enum class Kind : uint32_t {
  write = 1,         // id: inode, offset, data
  write_synced = 2,  // the same through a descriptor opened with O_DSYNC
  truncate = 3,      // offset: the new length
  allocate = 4,      // offset: the length it reaches at least
  sync = 5,          // of a file's data and length, or of a directory's entries
  sync_all = 6,      // syncfs
  create = 7,        // path
  make_directory = 8,
  rename = 9,        // data: the old path
  unlink = 10,
  frame = 20,        // a ZeroMQ frame is about to leave; offset: zmq_send's flags
  http_out = 21,     // bytes of the local API are about to leave; id: descriptor
  http_in = 22,      // the beginning of what was received there
};

/// Followed by the path and the data.
struct RecordHead {
  uint32_t kind = 0;
  uint32_t path_bytes = 0;
  uint64_t id = 0;
  uint64_t offset = 0;
  uint64_t data_bytes = 0;
};

enum class FaultKind : uint32_t { none = 0, kill = 1, eio = 2, enospc = 3 };

/// Mapped by the daemon and by the test.
struct Control {
  uint32_t kind = 0;
  uint32_t at = 0;     // strike the at-th change or sync, from 1
  uint32_t count = 0;  // changes and syncs so far
  uint32_t fired = 0;
  uint32_t sync = 0;   // what was struck: a sync, and of what
  uint32_t sent = 0;      // frames that left after it
  uint32_t answered = 0;  // answers of the local API that said yes to a write asked for after it
  char path[228] = {};
};
static_assert(sizeof(Control) == 256);

}  // namespace tram::crash
