// Playbooks from strangers: what their text may ask of the reader.
#include "orchestrator/playbook/playbook.h"

#include <catch2/catch.hpp>

using namespace apr;

namespace {

/// The first remark on a playbook of one step with this pattern; empty if there is none.
std::string remark_on(const std::string& pattern) {
  pipeline::Diagnostics found;
  const auto playbook = playbook::read_playbook_text(
      "name: x\nsteps:\n  - {command: apr --help, output_matches: '" + pattern + "'}\n", "p.yaml",
      found);
  REQUIRE(playbook.ok());
  return found.all().empty() ? std::string() : found.all().front().message;
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Patterns are bounded before anything recurses over them") {
  CHECK(remark_on("^a+(b|c){2,5}[[:digit:]]*$").empty());
  CHECK(remark_on(std::string(200, '(') + "a" + std::string(200, ')')).empty());
  const std::string deep = std::string(50'000, '(') + "a" + std::string(50'000, ')');
  CHECK(holds(remark_on(deep), "is no regular expression"));
  CHECK(holds(remark_on("[a"), "is no regular expression"));
  static_cast<void>(remark_on("(a)\\17777777777777777777"));  // whatever it means: no overflow
  static_cast<void>(remark_on("a{3,99999999999999999999}"));
}

TEST_CASE("A playbook's text is YAML under the limits of pipelines") {
  pipeline::Diagnostics found;
  const auto bomb = playbook::read_playbook_text("a: &a [1]\nb: [*a, *a]\n", "p.yaml", found);
  REQUIRE_FALSE(bomb.ok());
  CHECK(bomb.error().context == "p.yaml:1:4");
}
