// What apr convert and apr quantize share: they differ in how the scheme is spelled.
#pragma once

#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "core/platform/file.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

Param scheme_param(std::string name);
std::string conversion_details();
Result<Outcome> run_conversion(RunContext& context, const std::string& input,
                               const std::string& scheme);
void print_conversion(const Json& report, std::ostream& out, bool terminal);

class ConversionStage : public Stage {
 public:
  ConversionStage(VerbInfo info, std::string scheme_name)
      : info_(std::move(info)), scheme_name_(std::move(scheme_name)) {}
  const VerbInfo& info() const final { return info_; }
  Estimate estimate(const Values& params) const final {
    const auto status = file_status(params.text("model"));
    const std::uint64_t size = status && status->kind == FileKind::file ? status->size : 0;
    return {.memory_bytes = 64u << 20, .output_bytes = size};
  }
  std::vector<std::pair<std::string, std::string>> plugins_used(const Values& params) const final {
    return {{"quantizer", params.text(scheme_name_)}};
  }
  Result<Outcome> run(RunContext& context) final {
    return run_conversion(context, context.params.text("model"), context.params.text(scheme_name_));
  }
  void print(const Json& report, std::ostream& out, bool terminal) const final {
    print_conversion(report, out, terminal);
  }

 private:
  VerbInfo info_;
  std::string scheme_name_;
};

}  // namespace apr
