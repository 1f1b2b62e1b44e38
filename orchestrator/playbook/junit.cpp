#include "orchestrator/playbook/junit.h"

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/markup.h"

namespace apr::playbook {

namespace {

constexpr std::size_t kMaxShownBytes = 64u << 10;

std::string suite(const PlaybookResult& result) {
  std::string out = cat("  <testsuite name=\"", escape_xml(result.name), "\" tests=\"",
                        result.steps.size() + result.not_run.size(), "\" failures=\"",
                        result.passed ? 0 : 1, "\" skipped=\"", result.not_run.size(), "\" time=\"",
                        fixed(result.seconds, 3), "\" file=\"", escape_xml(result.file), "\">\n");
  for (const StepResult& step : result.steps) {
    out += cat("    <testcase classname=\"", escape_xml(result.name), "\" name=\"",
               escape_xml(step.name), "\" time=\"", fixed(step.seconds, 3), "\"");
    if (step.passed) {
      out += "/>\n";
      continue;
    }
    const std::string shown = cat("$ ", step.command, "\n", step.output.substr(0, kMaxShownBytes),
                                  step.error_output.substr(0, kMaxShownBytes));
    out += cat(">\n      <failure message=\"", escape_xml(step.problem), "\">", escape_xml(shown),
               "</failure>\n    </testcase>\n");
  }
  for (const std::string& name : result.not_run) {
    out +=
        cat("    <testcase classname=\"", escape_xml(result.name), "\" name=\"", escape_xml(name),
            "\" time=\"0\">\n      <skipped message=\"a step before it failed\"/>\n    "
            "</testcase>\n");
  }
  return out + "  </testsuite>\n";
}

}  // namespace

std::string junit_xml(std::span<const PlaybookResult> results) {
  std::size_t tests = 0;
  std::size_t failures = 0;
  std::string suites;
  for (const PlaybookResult& result : results) {
    tests += result.steps.size() + result.not_run.size();
    failures += result.passed ? 0 : 1;
    suites += suite(result);
  }
  return cat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"playbooks\" tests=\"",
             tests, "\" failures=\"", failures, "\">\n", suites, "</testsuites>\n");
}

}  // namespace apr::playbook
