// The configuration table of tram-broker. Thread: any, at start.
#pragma once
#include "base/config.h"

namespace tram::broker {

/// Every key of broker.toml.
std::span<const ::tram::ConfigKey> config_keys();

}  // namespace tram::broker
