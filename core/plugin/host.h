// PluginHost: finds, checks and loads plugins that are shared libraries. Not part of the runtime
// closure; static programs register their plugins from a generated table
// (core/plugin/static_plugins.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/hash.h"
#include "core/base/result.h"
#include "core/plugin/registry.h"

namespace apr {

/// What a plugin's manifest says, read without running any of its code.
struct PluginInfo {
  std::string name;
  std::string version;
  std::string license;
  std::string summary;
  std::uint32_t api = 0;
  std::string build_tag;
  struct Provided {
    std::string kind;
    std::string id;
    std::string summary;
  };
  std::vector<Provided> provides;
  std::string library;     ///< path of the shared library
  std::string manifest;    ///< path of the manifest
  std::string sha256;      ///< of the library, as the manifest records it
  std::string refusal;     ///< why it will not be loaded; empty if it can be
  bool asked_for = false;  ///< lies in a folder of --plugin-path or $APR_PLUGIN_PATH
};

/// Search order: folders given with --plugin-path, $APR_PLUGIN_PATH (colon-separated), the user's
/// data folder ($XDG_DATA_HOME or ~/.local/share, + /apr/plugins), <program>/../lib/apr/plugins.
/// Never the current folder. The first plugin of a name wins.
class APR_API PluginHost {
 public:
  static Result<std::unique_ptr<PluginHost>> create(const std::vector<std::string>& plugin_path);
  ~PluginHost();

  const std::vector<PluginInfo>& plugins() const;
  const std::vector<std::string>& search_path() const;
  /// A registry whose lookups load what they need, from any thread. Lives as long as the host.
  Registry& registry();
  /// Loads one plugin by name and registers it; loading twice is fine. Libraries are never
  /// unloaded.
  Status load(std::string_view name);
  /// Recomputes a library's digest and loads it in this process; what `apr plugins verify` does.
  Status verify(const PluginInfo& plugin);
  /// SHA-256 of the library that provides (kind, id), for cache keys.
  Result<Digest> digest_of(std::string_view kind, std::string_view id);

 private:
  PluginHost();
  struct State;
  std::unique_ptr<State> state_;
};

/// Describes a library by loading it: used at build time to write the manifest.
APR_API Result<std::string> manifest_of_library(const std::string& library, std::string_view name);

}  // namespace apr
