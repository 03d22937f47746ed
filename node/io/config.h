// The configuration table of tram-node. Thread: any, at start.
#pragma once
#include "base/config.h"

namespace tram::node {

/// Every key of node.toml.
std::span<const ConfigKey> config_keys();

}  // namespace tram::node
