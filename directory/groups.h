// The members of a group with what is known of each: whoever writes to them all need not look every one up again.
// Thread: the step's.
#pragma once
#include "directory/directory.h"

namespace tram::directory {

/// As Directory::group().
Result<std::vector<AgencyState>> members(const Directory&, ReadTxn&, std::string_view name, Time at);

}  // namespace tram::directory
