#include "core/plugin/host.h"

#include <sys/auxv.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "core/platform/file.h"
#include "core/plugin/check_build.h"
#include "core/plugin/host_library.h"
#include "core/plugin/host_manifest.h"

namespace apr {

namespace {

namespace fs = std::filesystem;

/// The running program's file, also where /proc is not mounted.
std::string program_path() {
  std::error_code failed;
  fs::path path = fs::read_symlink("/proc/self/exe", failed);
  if (failed) {
    const auto* name = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
    path = name == nullptr ? fs::path() : fs::canonical(name, failed);
  }
  return failed ? std::string() : path.string();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

Status add_given_folders(const std::vector<std::string>& given, std::vector<std::string>& path) {
  for (const std::string& folder : given) {
    const auto status = file_status(folder);
    if (!status) return status.error();
    if (folder.empty() || status->kind != FileKind::folder) {
      return make_error(ErrorCode::not_found, "there is no such folder",
                        cat("--plugin-path ", folder),
                        "give the folder that holds the plugin's .so and .json files");
    }
    std::error_code failed;
    const fs::path real = fs::canonical(folder, failed);
    if (failed) return make_error(ErrorCode::io, failed.message(), cat("--plugin-path ", folder));
    path.push_back(real.string());
  }
  return {};
}

/// Like $PATH, folders that do not exist are passed over; unlike $PATH, none may depend on where
/// apr is started, so that nobody's download folder becomes a place to load code from.
Status add_environment_folders(std::vector<std::string>& path) {
  const std::string value = environment("APR_PLUGIN_PATH");
  for (std::size_t begin = 0; begin <= value.size();) {
    const std::size_t end = std::min(value.find(':', begin), value.size());
    const std::string folder = value.substr(begin, end - begin);
    begin = end + 1;
    if (folder.empty()) continue;
    if (folder[0] != '/') {
      return make_error(ErrorCode::usage, cat("'", folder, "' is not an absolute path"),
                        "environment variable APR_PLUGIN_PATH", "write the whole path, from /");
    }
    path.push_back(folder);
  }
  return {};
}

void add_standard_folders(std::vector<std::string>& path) {
  const std::string data = environment("XDG_DATA_HOME");
  const std::string home = environment("HOME");
  if (data.starts_with('/')) {
    path.push_back(cat(data, "/apr/plugins"));
  } else if (home.starts_with('/')) {
    path.push_back(cat(home, "/.local/share/apr/plugins"));
  }
  if (const std::string program = program_path(); !program.empty()) {
    path.push_back(join_path(parent_path(parent_path(program)), "lib/apr/plugins"));
  }
}

bool ends_with(std::string_view name, std::string_view suffix) {
  return name.starts_with("lib") && name.ends_with(suffix);
}

bool provides(const PluginInfo& plugin, std::string_view kind, std::string_view id) {
  return std::any_of(plugin.provides.begin(), plugin.provides.end(), [&](const auto& provided) {
    const bool kind_fits =
        provided.kind == kind || (kind == "quantizer" && !id.empty() && provided.kind == "scheme");
    return kind_fits && (id.empty() || provided.id == id);
  });
}

Error refused(const PluginInfo& plugin) {
  return make_error(ErrorCode::load, cat("plugin ", plugin.name, " is refused: ", plugin.refusal),
                    plugin.manifest.empty() ? plugin.library : plugin.manifest);
}

}  // namespace

struct PluginHost::State {
  std::vector<std::string> search_path;
  std::vector<PluginInfo> plugins;
  std::map<std::string, Status, std::less<>> loaded;  ///< by plugin name: what came of it
  Registry registry;
  std::mutex digest_mutex;
  std::map<std::string, Digest, std::less<>> digests;  ///< by library: computed, not believed

  void read_folder(const std::string& folder, bool asked_for);
  void refuse_doubles();
  const PluginInfo* by_name(std::string_view name) const;
  Status load(const PluginInfo& plugin);
  Status load_unguarded(const PluginInfo& plugin);
  Status find(std::string_view kind, std::string_view id);
  Result<Digest> checked_digest(const PluginInfo& plugin);
};

void PluginHost::State::read_folder(const std::string& folder, bool asked_for) {
  const auto status = file_status(folder);
  if (!status || status->kind != FileKind::folder) return;
  const auto names = list_folder(folder);
  if (!names) {
    PluginInfo unreadable;
    unreadable.name = folder;
    unreadable.manifest = folder;
    unreadable.asked_for = asked_for;
    unreadable.refusal = cat("the folder cannot be read: ", names.error().message);
    plugins.push_back(std::move(unreadable));
    return;
  }
  const std::size_t known = plugins.size();
  for (const std::string& name : *names) {
    if (ends_with(name, ".json")) {
      plugins.push_back(read_manifest(folder, name));
    } else if (ends_with(name, ".so") &&
               !std::binary_search(names->begin(), names->end(), manifest_path_of(name))) {
      plugins.push_back(without_manifest(folder, name));
    }
  }
  for (std::size_t i = known; i < plugins.size(); ++i) plugins[i].asked_for = asked_for;
}

/// The first plugin of a name wins, and the first that provides a thing.
void PluginHost::State::refuse_doubles() {
  std::map<std::string, const PluginInfo*, std::less<>> names;
  std::map<std::pair<std::string, std::string>, const PluginInfo*> things;
  for (PluginInfo& plugin : plugins) {
    if (plugin.sha256.empty()) continue;  // its manifest could not be read
    if (const auto [first, added] = names.try_emplace(plugin.name, &plugin); !added) {
      plugin.refusal = cat("another plugin of this name comes first on the search path: ",
                           first->second->manifest);
    }
    if (!plugin.refusal.empty()) continue;
    for (const auto& provided : plugin.provides) {
      const auto [first, added] = things.try_emplace({provided.kind, provided.id}, &plugin);
      if (!added && first->second != &plugin) {
        plugin.refusal =
            cat("it provides the ", provided.kind, " '", provided.id, "', which plugin ",
                first->second->name, " already provides; take one of them off the search path");
        break;
      }
    }
  }
}

const PluginInfo* PluginHost::State::by_name(std::string_view name) const {
  const auto found = std::find_if(plugins.begin(), plugins.end(),
                                  [&](const PluginInfo& plugin) { return plugin.name == name; });
  return found == plugins.end() ? nullptr : &*found;
}

Result<Digest> PluginHost::State::checked_digest(const PluginInfo& plugin) {
  const std::lock_guard lock(digest_mutex);
  if (const auto known = digests.find(plugin.library); known != digests.end()) return known->second;
  APR_ASSIGN(const Digest digest, digest_of_file(plugin.library));
  if (digest.hex() != plugin.sha256) {
    return make_error(ErrorCode::validation,
                      cat("the library is not the one its manifest describes (SHA-256 ",
                          digest.hex(), ", manifest ", plugin.sha256, ")"),
                      plugin.library,
                      cat("if you rebuilt it, write the manifest again: apr-plugin-manifest ",
                          plugin.name, " ", plugin.library));
  }
  digests.emplace(plugin.library, digest);
  return digest;
}

Status PluginHost::State::load_unguarded(const PluginInfo& plugin) {
  if (!plugin.refusal.empty()) return refused(plugin);
  APR_TRY(checked_digest(plugin));
  APR_ASSIGN(const PluginDescriptor* descriptor, load_descriptor(plugin.library, plugin.name));
  APR_TRY(check_descriptor(*descriptor));
  APR_TRY(check_plugin_build(descriptor->name, descriptor->api, descriptor->build_tag));
  if (const std::string reason = difference(plugin, *descriptor); !reason.empty()) {
    return make_error(
        ErrorCode::load, reason, plugin.library,
        cat("write the manifest again: apr-plugin-manifest ", plugin.name, " ", plugin.library));
  }
  return register_plugin(registry, *descriptor);
}

Status PluginHost::State::load(const PluginInfo& plugin) {
  if (const auto known = loaded.find(plugin.name); known != loaded.end()) return known->second;
  auto status = load_unguarded(plugin);
  loaded.insert_or_assign(plugin.name, status);
  return status;
}

/// Loads what provides (kind, id). Nothing found is no error here: the registry knows what there is
/// and words it. A refused plugin that would have provided it is the reason, though, and is told.
Status PluginHost::State::find(std::string_view kind, std::string_view id) {
  const PluginInfo* turned_away = nullptr;
  Status first_failure;
  for (const PluginInfo& plugin : plugins) {
    if (!provides(plugin, kind, id)) continue;
    if (!plugin.refusal.empty()) {
      if (turned_away == nullptr) turned_away = &plugin;
      continue;
    }
    auto status = load(plugin);
    if (!id.empty()) return status;
    if (!status && first_failure) first_failure = std::move(status);
  }
  if (!id.empty() && turned_away != nullptr) return refused(*turned_away);
  return first_failure;
}

PluginHost::PluginHost() : state_(std::make_unique<State>()) {}
PluginHost::~PluginHost() = default;

Result<std::unique_ptr<PluginHost>> PluginHost::create(
    const std::vector<std::string>& plugin_path) {
  std::unique_ptr<PluginHost> host(new PluginHost);
  State& state = *host->state_;
  APR_TRY(add_given_folders(plugin_path, state.search_path));
  APR_TRY(add_environment_folders(state.search_path));
  const std::size_t asked_for = state.search_path.size();
  add_standard_folders(state.search_path);

  std::set<std::string> seen;  // one folder may be named twice
  for (std::size_t i = 0; i < state.search_path.size(); ++i) {
    const std::string& folder = state.search_path[i];
    std::error_code failed;
    const fs::path real = fs::canonical(folder, failed);
    if (!failed && seen.insert(real.string()).second) state.read_folder(folder, i < asked_for);
  }
  state.refuse_doubles();
  state.registry.set_finder([&state](Registry&, std::string_view kind, std::string_view id) {
    return state.find(kind, id);
  });
  return host;
}

const std::vector<PluginInfo>& PluginHost::plugins() const {
  return state_->plugins;
}
const std::vector<std::string>& PluginHost::search_path() const {
  return state_->search_path;
}
Registry& PluginHost::registry() {
  return state_->registry;
}

Status PluginHost::load(std::string_view name) {
  const PluginInfo* plugin = state_->by_name(name);
  if (plugin != nullptr) return state_->load(*plugin);
  std::vector<std::string> names;
  for (const PluginInfo& known : state_->plugins) names.push_back(known.name);
  const std::string near = nearest_name(name, names);
  return make_error(ErrorCode::not_found, cat("there is no plugin '", name, "'"), {},
                    near.empty() ? "see `apr plugins list`" : cat("did you mean '", near, "'?"));
}

Status PluginHost::verify(const PluginInfo& plugin) {
  if (!plugin.refusal.empty()) return refused(plugin);
  {
    const std::lock_guard lock(state_->digest_mutex);
    state_->digests.erase(plugin.library);
  }
  APR_TRY(state_->checked_digest(plugin));
  return state_->load(plugin);
}

Result<Digest> PluginHost::digest_of(std::string_view kind, std::string_view id) {
  for (const PluginInfo& plugin : state_->plugins) {
    if (plugin.refusal.empty() && provides(plugin, kind, id)) return state_->checked_digest(plugin);
  }
  return make_error(ErrorCode::not_found, cat("no plugin provides the ", kind, " '", id, "'"), {},
                    "see `apr plugins list`");
}

Result<std::string> manifest_of_library(const std::string& library, std::string_view name) {
  APR_ASSIGN(const Digest digest, digest_of_file(library));
  APR_ASSIGN(const PluginDescriptor* descriptor, load_descriptor(library, name));
  APR_TRY(check_descriptor(*descriptor));
  const Json manifest = manifest_of(*descriptor, name, base_name(library), digest.hex());
  return manifest.dump(2) + "\n";
}

}  // namespace apr
