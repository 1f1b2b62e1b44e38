// Lint: whether a pipeline makes sense, found out before anything runs.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/pipeline/diagnostic.h"
#include "orchestrator/pipeline/pipeline.h"
#include "orchestrator/pipeline/values.h"
#include "orchestrator/stages/verb.h"

namespace apr::pipeline {

/// Where stages come from; tests bring their own.
struct VerbTable {
  std::function<Verb*(std::string_view)> find;
  std::vector<std::string> stage_names;
};
VerbTable all_stages();
/// What only pipelines use: measures how far a tokenizer gives recorded ids.
Stage& tokenizer_parity_stage();

struct CheckedStage {
  const StageSpec* spec = nullptr;
  Stage* verb = nullptr;
  std::vector<std::string> ports;  ///< outputs to be made: the required ones and those in use
  std::vector<std::size_t> dependencies;  ///< indexes into the stages, ascending
};

/// A pipeline that can be run if there are no errors among the diagnostics.
struct CheckedPipeline {
  std::vector<CheckedStage> stages;  ///< as in the file
  std::vector<std::size_t> order;    ///< every stage after what it depends on
};

/// Points into `pipeline`, which must outlive the result.
CheckedPipeline check_pipeline(const Pipeline& pipeline, const ParamValues& params,
                               const VerbTable& verbs, Diagnostics& diagnostics);

/// The output of a stage that gates and `size` mean when nothing else is said; empty if it makes
/// none.
std::string main_port(const Verb& verb);

}  // namespace apr::pipeline
