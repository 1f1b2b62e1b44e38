// The plugins linked into a static program.
#pragma once

#include <span>

#include "core/plugin/plugin.h"

namespace apr {

/// Defined by a source that CMake generates for each static program (apr_static_plugins()).
std::span<const PluginEntry> static_plugins();

/// Registers them all.
inline Status register_static_plugins(Registry& registry) {
  for (const PluginEntry entry : static_plugins()) {
    if (auto status = register_plugin(registry, *entry()); !status) return status;
  }
  return {};
}

}  // namespace apr
