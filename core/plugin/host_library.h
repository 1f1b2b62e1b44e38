// The one place that loads shared libraries: Boost.DLL, its exceptions turned into errors.
#pragma once

#include <string>
#include <string_view>

#include "core/base/hash.h"
#include "core/base/result.h"
#include "core/plugin/plugin.h"

namespace apr {

/// Loads the library (all symbols at once, none visible to others) and calls apr_plugin_<name>_v1.
/// The library stays loaded until the process ends: objects made by it have nowhere else to live.
Result<const PluginDescriptor*> load_descriptor(const std::string& library, std::string_view name);

Result<Digest> digest_of_file(const std::string& path);

}  // namespace apr
