#include "orchestrator/pipeline/junit.h"

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/markup.h"

namespace apr::pipeline {
namespace {

class Suite {
 public:
  explicit Suite(const Json& stage) : stage_(stage), name_(stage["name"].as_string()) {
    const std::string& state = stage["state"].as_string();
    const double seconds = stage["seconds"].as_number();
    const bool gate_failed = add_gates();
    std::string inner;
    if (state == "failed" && !gate_failed) {
      inner = problem("failure", stage["error"]["message"].as_string(),
                      stage["error"]["context"].as_string());
    } else if (state == "failed") {
      // Told by its gate.
    } else if (state == "skipped" || state == "cancelled" || state == "waiting" ||
               state == "running") {
      inner = cat("<skipped message=\"", escape_xml(cat(state, ": ", stage["reason"].as_string())),
                  "\"/>");
      ++skipped_;
    }
    add_case(cat(stage["uses"].as_string()), seconds, inner, stage["printed"].as_string());
  }

  std::string text() const {
    return cat("  <testsuite name=\"", escape_xml(name_), "\" tests=\"", tests_, "\" failures=\"",
               failures_, "\" errors=\"0\" skipped=\"", skipped_, "\" time=\"",
               fixed(stage_["seconds"].as_number(), 3), "\">\n", cases_, "  </testsuite>\n");
  }
  int tests() const { return tests_; }
  int failures() const { return failures_; }
  int skipped() const { return skipped_; }

 private:
  bool add_gates() {
    bool failed = false;
    int number = 0;
    for (const Json& gate : stage_["gates"].as_array()) {
      ++number;
      const bool passed = gate["passed"].as_boolean();
      const std::string& message = gate["message"].as_string();
      failed = failed || !passed;
      add_case(cat("gate ", number, " ", gate["gate"].as_string()), 0,
               passed ? "" : problem("failure", message, gate["evidence"].dump(2)), message);
    }
    return failed;
  }

  /// A failure that the pipeline allows is told as skipped: CI shall not stop for it.
  std::string problem(std::string_view kind, const std::string& message,
                      const std::string& details) {
    if (stage_["allowed"].as_boolean()) {
      ++skipped_;
      return cat("<skipped message=\"", escape_xml(cat("failed, which is allowed: ", message)),
                 "\"/>");
    }
    ++failures_;
    return cat("<", kind, " message=\"", escape_xml(message), "\">", escape_xml(details), "</",
               kind, ">");
  }

  void add_case(const std::string& name, double seconds, const std::string& inner,
                const std::string& printed) {
    ++tests_;
    cases_ += cat("    <testcase classname=\"", escape_xml(name_), "\" name=\"", escape_xml(name),
                  "\" time=\"", fixed(seconds, 3), "\">");
    cases_ += inner;
    if (!printed.empty()) cases_ += cat("<system-out>", escape_xml(printed), "</system-out>");
    cases_ += "</testcase>\n";
  }

  const Json& stage_;
  std::string name_;
  std::string cases_;
  int tests_ = 0;
  int failures_ = 0;
  int skipped_ = 0;
};

}  // namespace

std::string junit_report(const Json& run) {
  std::string suites;
  int tests = 0;
  int failures = 0;
  int skipped = 0;
  for (const Json& stage : run["stages"].as_array()) {
    const Suite suite(stage);
    suites += suite.text();
    tests += suite.tests();
    failures += suite.failures();
    skipped += suite.skipped();
  }
  return cat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"",
             escape_xml(run["pipeline"].as_string()), "\" tests=\"", tests, "\" failures=\"",
             failures, "\" errors=\"0\" skipped=\"", skipped, "\" time=\"",
             fixed(run["seconds"].as_number(), 3), "\">\n", suites, "</testsuites>\n");
}

}  // namespace apr::pipeline
