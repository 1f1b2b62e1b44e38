// Runs a pipeline: stages in parallel as soon as what they need is there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "orchestrator/pipeline/check.h"
#include "orchestrator/pipeline/job.h"
#include "orchestrator/pipeline/lock_file.h"
#include "orchestrator/pipeline/observer.h"
#include "orchestrator/pipeline/run_result.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {

struct RunOptions {
  unsigned jobs = 0;        ///< stages at a time; 0: one per processor
  unsigned threads = 0;     ///< for all of them together; 0: the pipeline's, or one per processor
  bool force = false;       ///< replace foreign files at the places of outputs
  bool keep_going = false;  ///< after a failure, go on with what does not depend on it
  bool locked = false;      ///< refuse any difference from the lock file
  std::string lock_file;    ///< where the lock is; empty: none is written
  bool gates = true;        ///< false: results only, for a rebuild that is compared
  bool publish = true;
};

struct RunRequest {
  const Pipeline& pipeline;
  const CheckedPipeline& checked;
  const ParamValues& params;
  const VerbTable& verbs;
  RunOptions options;
  Executor* executor = nullptr;  ///< nullptr: stages run in this process
};

/// An Error means that nothing was started; failures of stages are in the result.
Result<RunResult> run_pipeline(const RunRequest& request, State& state, PluginHost& plugins,
                               Observer& observer);

/// The inputs that must be there before anything starts, digested; the error names file and place.
Status check_inputs(const RunRequest& request, Workshop& workshop, LockFile* lock);

/// Figures of a stage's report that people want to see.
std::vector<std::string> key_figures(const VerbInfo& info, const CacheEntry& entry);

}  // namespace apr::pipeline
