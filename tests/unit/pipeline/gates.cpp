// Gates: each holds on something sound and fires on a planted fault.
#include "orchestrator/pipeline/gates.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "fakes.h"
#include "orchestrator/pipeline/gate_kinds.h"

using namespace apr;
using namespace apr::pipeline;
using fakes::Folder;

namespace {

/// `parent` writes "aaaaaaaaaa", `child` writes `text` and carries the gate; its output is
/// published.
std::string line(const std::string& text, const std::string& gate) {
  return fakes::pipeline(
      "  parent: {uses: write, with: {text: aaaaaaaaaa}}\n"
      "  child:\n"
      "    uses: write\n"
      "    with: {text: " +
      text +
      "}\n"
      "    gates:\n"
      "      - " +
      gate +
      "\n"
      "  after: {uses: count, with: {model: \"${stages.child.output}\"}}\n"
      "outputs: {o: {from: \"${stages.child.output}\", to: o.txt}}\n");
}

struct Held {
  bool passed;
  std::string message;
};

/// Runs the line; checks that a failed gate gives 5, stops what follows and publishes nothing.
Held hold(const std::string& text, const std::string& gate) {
  const Folder folder;
  folder.write("text.txt", "words");
  folder.write("golden.txt", "aaaaaaaaaa");
  const auto ran = fakes::run(folder, line(text, gate));
  REQUIRE_FALSE(ran.refused.has_value());
  const bool passed = ran.result.exit_code() == 0;
  CHECK(folder.exists("o.txt") == passed);
  CHECK_FALSE(ran.stage("parent").error.has_value());
  if (!passed) {
    CHECK(ran.result.exit_code() == 5);
    CHECK(ran.stage("child").state == StageState::failed);
    CHECK(ran.stage("after").state == StageState::cancelled);
    CHECK(ran.result.error->context.find("p.yaml:10:9") != std::string::npos);
  }
  const auto& gates = ran.stage("child").gates;
  return {passed, gates.empty() ? ran.result.error->message : gates[0].message};
}

}  // namespace

TEST_CASE("perplexity") {
  const std::string gate = "perplexity: {text: text.txt, max: 1.1}";
  CHECK(hold("aaaaaaaaax", gate).passed);
  const Held bad = hold("aaaaaaaaxx", gate);
  CHECK_FALSE(bad.passed);
  CHECK(bad.message == "perplexity 1.2 breaks the limit <= 1.1");
  CHECK(hold("nan", gate).message == "perplexity not a number breaks the limit <= 1.1");
  const std::string ratio =
      "perplexity: {text: text.txt, ratio_to: \"${stages.parent.output}\", max_ratio: 1.15}";
  CHECK(hold("aaaaaaaaax", ratio).passed);
  CHECK_FALSE(hold("aaaaaaaaxx", ratio).passed);
  CHECK_FALSE(hold("nan", ratio).passed);
}

TEST_CASE("kld") {
  const std::string gate =
      "kld: {parent: \"${stages.parent.output}\", text: text.txt, mean: \"<= 0.1\", top1: \">= "
      "0.9\"}";
  CHECK(hold("aaaaaaaaab", gate).passed);
  const Held bad = hold("aaaaaaaabb", gate);
  CHECK_FALSE(bad.passed);
  CHECK(bad.message ==
        "mean_kld 0.2 breaks the limit <= 0.1, top1_agreement 0.8 breaks the limit >= 0.9");
}

TEST_CASE("golden-trace") {
  CHECK(hold("aaaaaaaaaa", "golden-trace: {reference: golden.txt}").passed);
  const Held bad = hold("aaaaaaaaab", "golden-trace: {reference: golden.txt}");
  CHECK_FALSE(bad.passed);
  CHECK(bad.message ==
        "differs from the reference: first at node layer0.out of prompt 'one', difference 0.5, "
        "tolerance 0.001");
}

TEST_CASE("size") {
  CHECK(hold("aaaaaaaaaa", "size: {max: 10}").passed);
  const Held bad = hold("aaaaaaaaaaa", "size: {max: 10}");
  CHECK_FALSE(bad.passed);
  CHECK(bad.message == "11 bytes break the limit of 10");
  const std::string ratio = "size: {of: \"${stages.parent.output}\", max_ratio: 0.5}";
  CHECK(hold("aaaaa", ratio).passed);
  CHECK_FALSE(hold("aaaaaa", ratio).passed);
}

TEST_CASE("report") {
  CHECK(hold("aaaaa", "report: {bytes: \"<= 5\"}").passed);
  CHECK(hold("aaaaa", "report: {bytes: \">= 5\"}").passed);
  CHECK_FALSE(hold("aaaaaa", "report: {bytes: \"<= 5\"}").passed);
  CHECK(hold("aaaaa", "report: {bytes: \"<= ${stages.parent.report.bytes}\"}").passed);
  CHECK_FALSE(hold("aaaaaaaaaaa", "report: {bytes: \"<= ${stages.parent.report.bytes}\"}").passed);
  const Held missing = hold("aaaaa", "report: {byts: \"<= 5\"}");
  CHECK_FALSE(missing.passed);
  CHECK(missing.message == "the stage's report has no 'byts'");
  // Something that is there but no number passes nothing.
  CHECK_FALSE(hold("aaaaa", "report: {output: \">= 0\"}").passed);
}

TEST_CASE("A gate that refers to a skipped stage does not hold") {
  const Folder folder;
  folder.write("text.txt", "words");
  const auto ran = fakes::run(
      folder, fakes::pipeline(
                  "  s: {uses: write, with: {text: x}, when: false}\n"
                  "  b: {uses: write, with: {text: y}, gates: {size: {of: \"${stages.s.output}\", "
                  "max_ratio: 1}}}\n"));
  CHECK(ran.states == "s:skipped b:failed");
  CHECK(ran.result.exit_code() == 5);
}

TEST_CASE("Measurements are cached, and a moved limit does not measure again") {
  const Folder folder;
  folder.write("text.txt", "words");
  const auto run = [&](const std::string& limit) {
    return fakes::run(folder,
                      line("aaaaaaaaax", "perplexity: {text: text.txt, max: " + limit + "}"));
  };
  CHECK(run("1.2").result.exit_code() == 0);
  const int runs = fakes::g_runs.load();
  const auto tight = run("1.05");
  CHECK(tight.result.exit_code() == 5);
  CHECK(tight.stage("child").state == StageState::failed);
  CHECK(run("1.3").states == "parent:cached child:cached after:cached");
  CHECK(fakes::g_runs.load() == runs);
}

TEST_CASE("Limits") {
  const auto holds = [](const char* text, double value) {
    const auto limit = parse_limit(Json(text), Limit::Op::less_equal);
    REQUIRE(limit.ok());
    return limit->holds(value);
  };
  CHECK(holds("<= 1", 1));
  CHECK_FALSE(holds("< 1", 1));
  CHECK(holds(">= 1", 1));
  CHECK_FALSE(holds("> 1", 1));
  CHECK(holds("== 1", 1));
  CHECK(holds("1", 0.5));
  for (const char* sign : {"<= 1", "< 1", ">= 1", "> 1", "== 1"}) {
    CHECK_FALSE(holds(sign, std::nan("")));
  }
  for (const char* text : {"", "<=", "one", "<= nan", "<= inf", "=< 1", "<= 1 2", "!= 1"}) {
    INFO(text);
    CHECK_FALSE(parse_limit(Json(text), Limit::Op::less_equal).ok());
  }
  CHECK_FALSE(parse_limit(Json(true), Limit::Op::less_equal).ok());
}
