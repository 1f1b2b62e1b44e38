#include <catch2/catch.hpp>

#include "core/plugin/plugin.h"
#include "core/plugin/registry.h"

using namespace apr;
using Catch::Matchers::Contains;

namespace {

int g_added = 0;
Status add(Registry&) noexcept {
  ++g_added;
  return {};
}
Status fail_to_add(Registry&) noexcept {
  return make_error(ErrorCode::generic, "out of luck");
}
constexpr Provision kProvides[] = {{"backend", "x", "nothing"}};

PluginDescriptor sound() {
  return {kPluginApi, kBuildTag, "mine", "1", "Apache-2.0", "A plugin.", kProvides, 1, add};
}

std::string refusal(const PluginDescriptor& descriptor) {
  Registry registry;
  g_added = 0;
  const auto status = register_plugin(registry, descriptor);
  CHECK(g_added == (status ? 1 : 0));
  return status ? std::string() : status.error().to_string();
}

}  // namespace

TEST_CASE("a descriptor is checked before any of its code runs") {
  CHECK(refusal(sound()) == "");
  auto with = [](auto edit) {
    PluginDescriptor descriptor = sound();
    edit(descriptor);
    return refusal(descriptor);
  };
  CHECK_THAT(with([](auto& d) { d.api = kPluginApi + 1; }),
             Contains("plugin mine") && Contains("rebuild"));
  CHECK_THAT(with([](auto& d) { d.build_tag = "gcc-7+libstdc++"; }), Contains("gcc-7+libstdc++"));
  CHECK_THAT(with([](auto& d) { d.build_tag = nullptr; }), Contains("build tag"));
  CHECK_THAT(with([](auto& d) { d.name = nullptr; }), Contains("identifier"));
  CHECK_THAT(with([](auto& d) { d.name = "../x"; }), Contains("identifier"));
  CHECK_THAT(with([](auto& d) { d.name = "9x"; }), Contains("identifier"));
  CHECK_THAT(with([](auto& d) { d.version = nullptr; }), Contains("version"));
  CHECK_THAT(with([](auto& d) { d.license = nullptr; }), Contains("license"));
  CHECK_THAT(with([](auto& d) { d.summary = nullptr; }), Contains("summary"));
  CHECK_THAT(with([](auto& d) { d.add = nullptr; }), Contains("add function"));
  CHECK_THAT(with([](auto& d) { d.provides = nullptr; }), Contains("provides"));
  CHECK_THAT(with([](auto& d) { d.provides_count = 0; }), Contains("provides"));
  CHECK_THAT(with([](auto& d) { d.provides_count = 1u << 30; }), Contains("provides"));
  static constexpr Provision kHollow[] = {{"backend", nullptr, ""}};
  CHECK_THAT(with([](auto& d) { d.provides = kHollow; }), Contains("provides"));
  PluginDescriptor failing = sound();
  failing.add = fail_to_add;
  Registry registry;
  const auto status = register_plugin(registry, failing);
  REQUIRE_FALSE(status);
  CHECK_THAT(status.error().to_string(), Contains("plugin mine") && Contains("out of luck"));
}
