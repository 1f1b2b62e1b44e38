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
#include "orchestrator/pipeline/run_result.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {

/// Shows a run while it goes on. Called from many threads.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void started(const StageResult& stage) = 0;
  /// Something is not in the cache: a verb runs, for the stage itself or for one of its gates.
  virtual void working(const std::string& stage, std::string_view what) = 0;
  virtual void progress(const std::string& stage, std::string_view what, std::uint64_t done,
                        std::uint64_t total) = 0;
  virtual void finished(const StageResult& stage) = 0;
};

struct RunOptions {
  unsigned jobs = 0;        ///< stages at a time; 0: one per processor
  bool force = false;       ///< replace foreign files at the places of outputs
  bool keep_going = false;  ///< after a failure, go on with what does not depend on it
  bool locked = false;      ///< refuse any difference from the lock file
  std::string lock_file;    ///< where the lock is; empty: none is written
};

struct RunRequest {
  const Pipeline& pipeline;
  const CheckedPipeline& checked;
  const ParamValues& params;
  const VerbTable& verbs;
  RunOptions options;
};

/// An Error means that nothing was started; failures of stages are in the result.
Result<RunResult> run_pipeline(const RunRequest& request, State& state, PluginHost& plugins,
                               Observer& observer);

/// The inputs that must be there before anything starts, digested; the error names file and place.
Status check_inputs(const RunRequest& request, Workshop& workshop, LockFile* lock);

/// Figures of a stage's report that people want to see.
std::vector<std::string> key_figures(const VerbInfo& info, const CacheEntry& entry);

}  // namespace apr::pipeline
