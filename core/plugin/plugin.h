// How a plugin announces itself. The same source is built as a shared library and into static
// programs:
//
//   #include "core/plugin/plugin.h"
//   class MyQuantizer final : public apr::Quantizer { … };
//   static constexpr apr::Provision kProvides[] = {{"quantizer", "mine", "what it does"}};
//   static apr::Status add(apr::Registry& registry) noexcept {
//     return registry.add(std::make_unique<MyQuantizer>());
//   }
//   APR_PLUGIN(my_plugin, "1.0.0", "Apache-2.0", "One line about it.", kProvides, add)
//
// APR_PLUGIN defines the C symbol apr_plugin_<name>_v1, which returns the descriptor. Names are
// lower-case C identifiers. apr_add_plugin() in CMake builds both linkages and the manifest beside
// the library.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/plugin/registry.h"

namespace apr {

/// Changes with every change of any interface a plugin sees. No promise across numbers.
inline constexpr std::uint32_t kPluginApi = 1;

/// What else must be equal on both sides of the border: compiler, standard library, sanitizers.
#define APR_STRINGIFY_INNER(x) #x
#define APR_STRINGIFY(x) APR_STRINGIFY_INNER(x)
#if defined(__clang__)
#define APR_TAG_COMPILER "clang-" APR_STRINGIFY(__clang_major__)
#else
#define APR_TAG_COMPILER "gcc-" APR_STRINGIFY(__GNUC__)
#endif
#if defined(_LIBCPP_VERSION)
#define APR_TAG_LIBRARY "+libc++"
#else
#define APR_TAG_LIBRARY "+libstdc++"
#endif
#if defined(__SANITIZE_THREAD__)
#define APR_TAG_SANITIZER "+tsan"
#elif defined(__SANITIZE_ADDRESS__)
#define APR_TAG_SANITIZER "+asan"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define APR_TAG_SANITIZER "+asan"
#elif __has_feature(thread_sanitizer)
#define APR_TAG_SANITIZER "+tsan"
#endif
#endif
#ifndef APR_TAG_SANITIZER
#define APR_TAG_SANITIZER ""
#endif
inline constexpr const char* kBuildTag = APR_TAG_COMPILER APR_TAG_LIBRARY APR_TAG_SANITIZER;

/// One thing a plugin provides: kind "importer", "exporter", "quantizer", "backend" or
/// "architecture". For quantizers `id` is followed by one provision of kind "scheme" per scheme
/// name.
struct Provision {
  const char* kind;
  const char* id;
  const char* summary;
};

/// Plain data whose layout goes with the symbol's "_v1", so that any host can name any plugin and
/// refuse it politely. What `add` may be given depends on the API number and the build tag.
struct PluginDescriptor {
  std::uint32_t api = kPluginApi;
  const char* build_tag = kBuildTag;
  const char* name = nullptr;
  const char* version = nullptr;
  const char* license = nullptr;
  const char* summary = nullptr;
  const Provision* provides = nullptr;
  std::size_t provides_count = 0;
  Status (*add)(Registry& registry) noexcept = nullptr;
};

using PluginEntry = const PluginDescriptor* (*)();

/// Checks API number and build tag, then adds what the plugin provides. Errors say what to rebuild.
APR_API Status register_plugin(Registry& registry, const PluginDescriptor& descriptor);

}  // namespace apr

#ifdef APR_TEST_PLUGIN_API  // a plugin built as if for another API number, to test the refusal
#define APR_PLUGIN_API_NUMBER APR_TEST_PLUGIN_API
#else
#define APR_PLUGIN_API_NUMBER ::apr::kPluginApi
#endif

#define APR_PLUGIN(plugin_name, plugin_version, plugin_license, plugin_summary, plugin_provides, \
                   plugin_add)                                                                   \
  extern "C" __attribute__((visibility("default")))                                              \
  const ::apr::PluginDescriptor* apr_plugin_##plugin_name##_v1() {                               \
    static const ::apr::PluginDescriptor descriptor{                                             \
        APR_PLUGIN_API_NUMBER,                                                                   \
        ::apr::kBuildTag,                                                                        \
        #plugin_name,                                                                            \
        plugin_version,                                                                          \
        plugin_license,                                                                          \
        plugin_summary,                                                                          \
        plugin_provides,                                                                         \
        sizeof(plugin_provides) / sizeof(::apr::Provision),                                      \
        plugin_add};                                                                             \
    return &descriptor;                                                                          \
  }
