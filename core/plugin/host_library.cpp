#include "core/plugin/host_library.h"

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>
#include <exception>
#include <filesystem>
#include <mutex>
#include <utility>
#include <vector>

#include "core/base/cat.h"
#include "core/platform/file.h"

namespace apr {

namespace {

/// Never destroyed, so that no library is ever unloaded, not even while the process ends.
struct LoadedLibraries {
  std::mutex mutex;
  std::vector<boost::dll::shared_library> libraries;
};
LoadedLibraries& loaded_libraries() {
  static auto& libraries = *std::make_unique<LoadedLibraries>().release();
  return libraries;
}

}  // namespace

Result<const PluginDescriptor*> load_descriptor(const std::string& library, std::string_view name) {
  using boost::dll::load_mode::type;
  try {
    // Without a folder in the path the loader would search the system's.
    const std::filesystem::path path = std::filesystem::canonical(library);
    boost::dll::shared_library loaded(path, type::rtld_now | type::rtld_local);
    const std::string symbol = cat("apr_plugin_", name, "_v1");
    if (!loaded.has(symbol)) {
      return make_error(ErrorCode::load, cat("the library has no symbol ", symbol), library,
                        cat("is its plugin really called '", name,
                            "'? The name in APR_PLUGIN and in apr_add_plugin must be the same"));
    }
    const PluginDescriptor* descriptor = loaded.get<const PluginDescriptor*()>(symbol)();
    if (descriptor == nullptr) {
      return make_error(ErrorCode::load, cat(symbol, " returned no descriptor"), library,
                        "use the APR_PLUGIN macro of core/plugin/plugin.h");
    }
    LoadedLibraries& all = loaded_libraries();
    const std::lock_guard lock(all.mutex);
    all.libraries.push_back(std::move(loaded));
    return descriptor;
  } catch (const std::exception& problem) {
    return make_error(ErrorCode::load, cat("the library cannot be loaded: ", problem.what()),
                      library, "rebuild the plugin against this apr");
  }
}

Result<Digest> digest_of_file(const std::string& path) {
  APR_ASSIGN(const auto mapping, FileMapping::open(path));
  return sha256(mapping->bytes());
}

}  // namespace apr
