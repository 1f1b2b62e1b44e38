#include "orchestrator/stages/history.h"

#include <catch2/catch.hpp>

using namespace apr;

namespace {

Digest digest(std::string_view text) {
  return sha256(text);
}

LineageRecord record(std::string stage, std::vector<LineageRecord::Input> inputs) {
  LineageRecord made;
  made.stage = std::move(stage);
  made.tool = "apr 0.1.0";
  made.inputs = std::move(inputs);
  return made;
}

Package package_with(std::vector<LineageRecord> lineage, std::string_view root,
                     std::map<std::string, std::string, std::less<>> files = {}) {
  Package::Parts parts;
  parts.path = "model.apr";
  parts.format = "apr";
  parts.lineage = std::move(lineage);
  parts.files = std::move(files);
  parts.content_root = digest(root);
  auto made = Package::from(std::move(parts));
  REQUIRE(made);
  return *std::move(made);
}

AprVerification sound() {
  AprVerification found;
  found.trust_section = true;
  return found;
}

}  // namespace

TEST_CASE("a chain of two steps") {
  const Package package = package_with({record("import", {{"config.json", digest("{}")}}),
                                        record("convert", {{"parent", digest("parent root")}})},
                                       "root", {{"config.json", "{}"}});
  const History history = check_history(package, sound(), {});
  CHECK(history.verified());
  REQUIRE(history.steps.size() == 2);
  CHECK(history.steps[0].inputs[0].status == LinkStatus::verified);
  CHECK(history.steps[0].gave == digest("parent root").hex());
  CHECK(history.steps[1].gave == digest("root").hex());
  CHECK(history.steps[1].gave_status == LinkStatus::verified);
}

TEST_CASE("a file that was exchanged inside the model") {
  const Package package = package_with({record("import", {{"config.json", digest("{}")}})}, "root",
                                       {{"config.json", "{ }"}});
  const History history = check_history(package, sound(), {});
  CHECK_FALSE(history.verified());
  CHECK(history.steps[0].inputs[0].status == LinkStatus::broken);
  CHECK(history.problems[0].find("config.json") != std::string::npos);
}

TEST_CASE("a step that names no parent breaks the chain") {
  const Package package = package_with(
      {record("import", {{"config.json", digest("{}")}}), record("convert", {})}, "root");
  const History history = check_history(package, sound(), {});
  CHECK_FALSE(history.verified());
  CHECK(history.steps[0].gave_status == LinkStatus::broken);
}

TEST_CASE("a first step from nowhere") {
  const History history = check_history(package_with({record("import", {})}, "root"), sound(), {});
  CHECK_FALSE(history.verified());
  CHECK(history.lost.size() == 1);
}

TEST_CASE("a parent whose own history is another one") {
  const Package child = package_with({record("import", {{"config.json", digest("{}")}}),
                                      record("convert", {{"parent", digest("parent root")}})},
                                     "root");
  const Package parent =
      package_with({record("import", {{"config.json", digest("other")}})}, "parent root");
  const std::vector<Relative> relatives = {{&parent, parent.content_root(), {}}};
  const History history = check_history(child, sound(), relatives);
  CHECK_FALSE(history.verified());
  CHECK(history.problems[0].find("is not what comes before step 2") != std::string::npos);
}

TEST_CASE("damage found by reading everything") {
  AprVerification found = sound();
  found.problems = {"tensor x differs from its digest"};
  const History history =
      check_history(package_with({record("import", {{"a", digest("a")}})}, "root"), found, {});
  CHECK_FALSE(history.verified());
  CHECK(history.steps[0].gave_status == LinkStatus::broken);
}
