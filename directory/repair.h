// A directory whose rows were damaged, made anew from its signed entries (3.9). Thread: the step's.
#pragma once
#include "directory/directory.h"

namespace tram::directory {

/// Applies the entries that are still there, up to the first that is missing, to tables that hold nothing else; brokers
/// have the rest. KX feeds stay. Error: store_corrupt (no broker is left to ask).
Result<uint64_t> rebuild(WriteTxn&, const RealmId&, Time now);

}  // namespace tram::directory
