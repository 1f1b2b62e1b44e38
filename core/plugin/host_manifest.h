// A plugin's manifest: what a library says about itself, written once when it is built, so that it
// can be listed and refused without running any of its code.
#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/plugin/host.h"
#include "core/plugin/plugin.h"

namespace apr {

inline constexpr std::int64_t kManifestFormat = 1;

/// `libapr_x.so` -> `libapr_x.json`.
std::string manifest_path_of(std::string_view library);

/// The manifest of a library whose descriptor is at hand. Of a descriptor with another API number
/// only the members that never move are read.
Json manifest_of(const PluginDescriptor& descriptor, std::string_view name,
                 std::string_view library_name, std::string_view sha256);

/// Reads `folder/file_name`. Whatever is wrong with it ends up in PluginInfo::refusal: a folder of
/// plugins with one bad manifest is still a folder of plugins.
PluginInfo read_manifest(const std::string& folder, const std::string& file_name);

/// The entry for a library that has no manifest beside it.
PluginInfo without_manifest(const std::string& folder, const std::string& library_name);

/// Why a loaded library is not what its manifest says; empty if it is.
std::string difference(const PluginInfo& manifest, const PluginDescriptor& descriptor);

}  // namespace apr
