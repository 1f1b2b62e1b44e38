// The two questions every plugin is asked before anything else of it is believed.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/result.h"
#include "core/plugin/plugin.h"

namespace apr {

/// An error that says what to rebuild, unless API number and build tag are this library's own.
Status check_plugin_build(std::string_view name, std::uint32_t api, std::string_view build_tag);

/// That a descriptor is complete, whoever made it.
Status check_descriptor(const PluginDescriptor& descriptor);

}  // namespace apr
