// Stages and gates with their references put in: from what is written to what is run.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/pipeline/check.h"
#include "orchestrator/pipeline/expression.h"
#include "orchestrator/pipeline/pipeline.h"

namespace apr::pipeline {

/// Values of references, given what stages gave. A skipped stage's are null.
struct StageFacts {
  bool skipped = false;  ///< or failed, and that is allowed
  Json report;
  std::function<std::string(std::string_view port)> output;  ///< path of an output; empty if none
};
/// By index; nullptr while they are not known.
using FactsOf = std::function<const StageFacts*(std::size_t stage)>;
/// The arguments must outlive the result.
Expression::Lookup make_lookup(const Pipeline& pipeline, const ParamValues& params,
                               const Json& matrix, FactsOf facts);

struct ResolvedStage {
  bool skip = false;
  std::string reason;            ///< of the skip
  Json params = Json::object();  ///< for the verb, without outputs; paths absolute
};
/// Evaluates `when` and `with`. A required parameter that is null (it comes from a skipped stage)
/// skips the stage; an optional one is left out.
Result<ResolvedStage> resolve_stage(const Pipeline& pipeline, const CheckedStage& stage,
                                    const Expression::Lookup& lookup);

/// A gate's settings; paths absolute, the model to measure filled in.
Result<Json> resolve_gate(const Pipeline& pipeline, const CheckedStage& stage, const GateSpec& gate,
                          const Expression::Lookup& lookup, const std::string& model);

/// Inputs named in the file (or by parameters) that no stage makes, with their places: what must be
/// there before anything starts.
struct ForeignInput {
  std::string path;
  Position at;
  std::string stage;
};
std::vector<ForeignInput> foreign_inputs(const Pipeline& pipeline, const CheckedPipeline& checked,
                                         const ParamValues& params);

}  // namespace apr::pipeline
