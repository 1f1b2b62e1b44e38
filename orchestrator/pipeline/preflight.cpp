// What is looked at before a run starts, and what is shown of a stage after it.
#include <algorithm>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/resolve.h"
#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

std::vector<std::string> key_figures(const VerbInfo& info, const CacheEntry& entry) {
  std::vector<std::string> figures;
  for (const std::string& metric : info.metrics) {
    const Json* value = entry.report.find(metric);
    if (value == nullptr || !value->is_number() || figures.size() == 3) continue;
    std::string name = metric;
    std::replace(name.begin(), name.end(), '_', ' ');
    if (name.ends_with(" bytes") && value->as_number() >= 0) {
      name.resize(name.size() - 6);
      figures.push_back(
          cat(name, " ", human_bytes(static_cast<std::uint64_t>(value->as_number()))));
    } else if (value->is_integer() && value->as_integer() >= 0) {
      figures.push_back(
          cat(name, " ", with_commas(static_cast<std::uint64_t>(value->as_integer()))));
    } else {
      figures.push_back(cat(name, " ", significant(value->as_number(), 5)));
    }
  }
  return figures;
}

Status check_inputs(const RunRequest& request, Workshop& workshop, LockFile* lock) {
  const Pipeline& pipeline = request.pipeline;
  if (!request.params.missing.empty()) {
    const std::string& name = request.params.missing.front();
    const ParamSpec* spec = pipeline.find_param(name);
    return make_error(ErrorCode::usage, cat("parameter '", name, "' has no value"),
                      place(pipeline.file, spec == nullptr ? Position{} : spec->at),
                      cat("give it with --set ", name, "=VALUE"));
  }
  for (const ForeignInput& foreign :
       foreign_inputs(pipeline, request.checked, request.params.values)) {
    auto input = workshop.input(foreign.path);
    if (!input) {
      Error error = std::move(input).error();
      error.context =
          cat(place(pipeline.file, foreign.at), ": stage '", foreign.stage, "': ", error.context);
      if (error.code == ErrorCode::not_found && error.hint.empty()) {
        error.hint =
            "paths in the file are relative to it, those given with --set to the current folder";
      }
      return error;
    }
    if (lock != nullptr) {
      lock->inputs[lock_path(input->path, pipeline.folder)] = input->digest.hex();
    }
  }
  return {};
}

}  // namespace apr::pipeline
