#include "core/plugin/host_manifest.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "core/plugin/check_build.h"

namespace apr {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxManifestBytes = 256 << 10;
constexpr std::size_t kMaxProvisions = 256;
constexpr std::size_t kMaxText = 1000;

/// Reads members of one manifest and remembers the first thing that is wrong.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {}

  std::string text(std::string_view key, bool may_be_empty = false) {
    const Json* value = object_.find(key);
    if (value == nullptr) {
      if (!may_be_empty) complain(cat("field '", key, "' is missing"));
      return {};
    }
    if (!value->is_string()) {
      complain(cat("field '", key, "' is of the kind ", value->kind_name(), ", not a string"));
      return {};
    }
    const std::string& string = value->as_string();
    if (string.empty() && !may_be_empty) complain(cat("field '", key, "' is empty"));
    if (string.size() > kMaxText) {
      complain(cat("field '", key, "' is longer than ", kMaxText, " bytes"));
      return {};
    }
    for (const char c : string) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        complain(cat("field '", key, "' holds a control character"));
        return {};
      }
    }
    return string;
  }

  std::int64_t integer(std::string_view key, std::int64_t maximum) {
    const Json* value = object_.find(key);
    if (value == nullptr || !value->is_integer() || value->as_integer() < 0 ||
        value->as_integer() > maximum) {
      complain(cat("field '", key, "' is not a whole number from 0 to ", maximum));
      return 0;
    }
    return value->as_integer();
  }

  void complain(std::string text) {
    if (problem_.empty()) problem_ = std::move(text);
  }
  const std::string& problem() const { return problem_; }

 private:
  const Json& object_;
  std::string problem_;
};

std::vector<PluginInfo::Provided> read_provides(const Json& list, Fields& fields) {
  std::vector<PluginInfo::Provided> provides;
  if (!list.is_array() || list.size() > kMaxProvisions) {
    fields.complain(cat("field 'provides' is not a list of at most ", kMaxProvisions, " entries"));
    return provides;
  }
  for (const Json& entry : list.as_array()) {
    Fields member(entry);
    PluginInfo::Provided provided{member.text("kind"), member.text("id"),
                                  member.text("summary", true)};
    if (!member.problem().empty()) {
      fields.complain(cat("an entry of 'provides': ", member.problem()));
      return provides;
    }
    provides.push_back(std::move(provided));
  }
  return provides;
}

/// Anyone who may write a plugin may run code as whoever starts apr.
std::string writable_by_anyone(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  const bool sticky_folder = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  if ((status.st_mode & S_IWOTH) == 0 || sticky_folder) return {};
  return cat("anyone on this machine may write ", path, "; chmod o-w it");
}

/// The library beside the manifest, as a path without links; otherwise the reason in `refusal`.
std::string resolve_library(const std::string& folder, const std::string& name,
                            std::string& refusal) {
  if (name.find('/') != std::string::npos || name == "." || name == "..") {
    refusal = cat("its library '", name,
                  "' is not a plain file name; a library lies beside its manifest");
    return {};
  }
  const std::string path = join_path(folder, name);
  const auto status = file_status(path);
  if (!status) {
    refusal = status.error().to_string();
    return {};
  }
  if (status->kind == FileKind::missing) {
    refusal = cat("its library ", path, " does not exist; build it again, or remove the manifest");
    return {};
  }
  if (status->kind != FileKind::file) {
    refusal = cat("its library ", path, " is not a file");
    return {};
  }
  std::error_code failed;
  const fs::path real = fs::canonical(path, failed);
  const fs::path home = failed ? fs::path() : fs::canonical(folder, failed);
  if (failed) {
    refusal = cat("its library ", path, " cannot be resolved: ", failed.message());
    return {};
  }
  if (real.parent_path() != home) {
    refusal = cat("its library ", path, " is a link to ", real.string(), ", outside its folder");
    return {};
  }
  return real.string();
}

/// "libapr_quantizer_block.json" -> "quantizer_block": what to call a plugin whose manifest is
/// unreadable.
std::string name_from_file(std::string_view file_name) {
  const std::size_t dot = file_name.rfind('.');
  std::string_view stem = file_name.substr(0, dot);
  if (stem.starts_with("lib")) stem.remove_prefix(3);
  if (stem.starts_with("apr_")) stem.remove_prefix(4);
  return std::string(stem);
}

void fill(PluginInfo& info, const Json& json, const std::string& folder) {
  Fields fields(json);
  const std::int64_t format = fields.integer("apr_plugin_manifest", INT32_MAX);
  if (!fields.problem().empty() || format != kManifestFormat) {
    info.refusal = format > kManifestFormat
                       ? cat("its manifest has format ", format, ", this apr reads ",
                             kManifestFormat, "; update apr, or rebuild the plugin with it")
                       : cat("not a plugin manifest: ", fields.problem());
    return;
  }
  info.name = fields.text("name");
  info.version = fields.text("version", true);
  info.license = fields.text("license", true);
  info.summary = fields.text("summary", true);
  info.api = static_cast<std::uint32_t>(fields.integer("api", UINT32_MAX));
  info.build_tag = fields.text("build_tag");
  info.sha256 = fields.text("sha256");
  const std::string library = fields.text("library");
  info.provides = read_provides(json["provides"], fields);
  if (fields.problem().empty() && !Digest::from_hex(info.sha256)) {
    fields.complain("field 'sha256' is not 64 hexadecimal digits");
  }
  if (!fields.problem().empty()) {
    info.refusal = cat("its manifest is damaged: ", fields.problem(),
                       "; write it again with apr-plugin-manifest");
    return;
  }
  info.library = resolve_library(folder, library, info.refusal);
  if (!info.refusal.empty()) return;
  if (const Status ours = check_plugin_build(info.name, info.api, info.build_tag); !ours) {
    info.refusal = cat(ours.error().message, "; ", ours.error().hint);
    return;
  }
  if (info.provides.empty()) {
    info.refusal = "its manifest lists nothing that it provides";
    return;
  }
  info.refusal = writable_by_anyone(info.library);
}

}  // namespace

std::string manifest_path_of(std::string_view library) {
  const std::size_t slash = library.rfind('/');
  const std::size_t dot = library.rfind('.');
  const bool has_suffix =
      dot != std::string_view::npos && (slash == std::string_view::npos || dot > slash + 1);
  return cat(has_suffix ? library.substr(0, dot) : library, ".json");
}

Json manifest_of(const PluginDescriptor& descriptor, std::string_view name,
                 std::string_view library_name, std::string_view sha256) {
  const auto text = [](const char* c) { return Json(c == nullptr ? "" : c); };
  Json provides = Json::array();
  for (const Provision& provision : std::span(descriptor.provides, descriptor.provides_count)) {
    provides.push_back(Json::object({{"kind", text(provision.kind)},
                                     {"id", text(provision.id)},
                                     {"summary", text(provision.summary)}}));
  }
  return Json::object({{"apr_plugin_manifest", kManifestFormat},
                       {"name", name},
                       {"version", text(descriptor.version)},
                       {"license", text(descriptor.license)},
                       {"summary", text(descriptor.summary)},
                       {"api", descriptor.api},
                       {"build_tag", text(descriptor.build_tag)},
                       {"library", library_name},
                       {"sha256", sha256},
                       {"provides", std::move(provides)}});
}

PluginInfo read_manifest(const std::string& folder, const std::string& file_name) {
  PluginInfo info;
  info.name = name_from_file(file_name);
  info.manifest = join_path(folder, file_name);
  const auto status = file_status(info.manifest);
  if (!status || status->kind != FileKind::file) {
    info.refusal = "its manifest is not a readable file";
    return info;
  }
  info.refusal = writable_by_anyone(folder);
  if (info.refusal.empty()) info.refusal = writable_by_anyone(info.manifest);
  if (!info.refusal.empty()) return info;
  const auto text = read_file(info.manifest, kMaxManifestBytes);
  if (!text) {
    info.refusal = cat("its manifest cannot be read: ", text.error().message);
    return info;
  }
  JsonLimits limits;
  limits.max_bytes = kMaxManifestBytes;
  limits.max_depth = 8;
  limits.max_values = 4096;
  const auto json = parse_json(*text, file_name, limits);
  if (!json) {
    info.refusal = cat("its manifest is not JSON: ", json.error().to_string());
    return info;
  }
  fill(info, *json, folder);
  if (info.name.empty()) info.name = name_from_file(file_name);
  return info;
}

PluginInfo without_manifest(const std::string& folder, const std::string& library_name) {
  PluginInfo info;
  info.name = name_from_file(library_name);
  info.library = join_path(folder, library_name);
  info.refusal =
      cat("it has no manifest; write one with: apr-plugin-manifest ", info.name, " ", info.library);
  return info;
}

std::string difference(const PluginInfo& manifest, const PluginDescriptor& descriptor) {
  if (descriptor.name != manifest.name) {
    return cat("the library calls itself '", descriptor.name, "', its manifest '", manifest.name,
               "'");
  }
  if (descriptor.version != manifest.version) {
    return cat("the library has version ", descriptor.version, ", its manifest says ",
               manifest.version);
  }
  const std::span provides(descriptor.provides, descriptor.provides_count);
  bool same = provides.size() == manifest.provides.size();
  for (std::size_t i = 0; same && i < provides.size(); ++i) {
    same =
        provides[i].kind == manifest.provides[i].kind && provides[i].id == manifest.provides[i].id;
  }
  return same ? std::string() : "the library provides other things than its manifest says";
}

}  // namespace apr
