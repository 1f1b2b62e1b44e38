#include "core/plugin/plugin.h"

#include "core/base/cat.h"
#include "core/plugin/check_build.h"

namespace apr {

namespace {

constexpr std::size_t kMaxProvisions = 256;

bool is_identifier(std::string_view name) {
  if (name.empty() || name.size() > 64 || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!fine) return false;
  }
  return true;
}

Error incomplete(std::string_view plugin, std::string_view what) {
  return make_error(ErrorCode::load, cat("its descriptor has no ", what), cat("plugin ", plugin),
                    "use the APR_PLUGIN macro of core/plugin/plugin.h to describe the plugin");
}

}  // namespace

Status check_plugin_build(std::string_view name, std::uint32_t api, std::string_view build_tag) {
  if (api != kPluginApi) {
    return make_error(
        ErrorCode::load,
        cat("built for plugin interface ", api, ", this apr has interface ", kPluginApi),
        cat("plugin ", name),
        "rebuild the plugin with the headers of this apr (find_package(apr))");
  }
  if (build_tag != kBuildTag) {
    return make_error(ErrorCode::load, cat("built with ", build_tag, ", this apr with ", kBuildTag),
                      cat("plugin ", name),
                      cat("rebuild the plugin with the compiler and standard library of this apr (",
                          kBuildTag, ")"));
  }
  return {};
}

Status check_descriptor(const PluginDescriptor& descriptor) {
  const std::string_view name = descriptor.name == nullptr ? "" : descriptor.name;
  if (!is_identifier(name)) {
    return make_error(ErrorCode::load, "its name is not a lower-case C identifier",
                      cat("plugin ", name), "give APR_PLUGIN a name such as my_quantizer");
  }
  if (descriptor.build_tag == nullptr) return incomplete(name, "build tag");
  if (descriptor.version == nullptr) return incomplete(name, "version");
  if (descriptor.license == nullptr) return incomplete(name, "license");
  if (descriptor.summary == nullptr) return incomplete(name, "summary");
  if (descriptor.add == nullptr) return incomplete(name, "add function");
  if (descriptor.provides == nullptr || descriptor.provides_count == 0 ||
      descriptor.provides_count > kMaxProvisions) {
    return incomplete(name, "list of what it provides");
  }
  for (const Provision& provision : std::span(descriptor.provides, descriptor.provides_count)) {
    if (provision.kind == nullptr || provision.id == nullptr || provision.summary == nullptr) {
      return incomplete(name, "kind, id or summary for something it provides");
    }
  }
  return {};
}

Status register_plugin(Registry& registry, const PluginDescriptor& descriptor) {
  APR_TRY(check_descriptor(descriptor));
  APR_TRY(check_plugin_build(descriptor.name, descriptor.api, descriptor.build_tag));
  registry.set_current_plugin(cat(descriptor.name, " ", descriptor.version));
  auto added = descriptor.add(registry);
  registry.set_current_plugin({});
  if (!added) return std::move(added).error().within(cat("plugin ", descriptor.name));
  return {};
}

}  // namespace apr
