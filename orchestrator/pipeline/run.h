// One run of a pipeline from its inner side; runner.h is the door.
#pragma once

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "orchestrator/pipeline/plan.h"
#include "orchestrator/pipeline/resolve.h"
#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

class Run {
 public:
  Run(const RunRequest& request, State& state, PluginHost& plugins, Observer& observer);
  Result<RunResult> run();

 private:
  const Pipeline& pipeline() const { return request_.pipeline; }
  const CheckedStage& stage(std::size_t index) const { return request_.checked.stages[index]; }
  FactsOf facts_of() const;

  // Before and after the stages (run.cpp).
  Status prepare();
  Status preflight();
  Status write_run(std::string_view run_state);
  void finish_lock();
  /// Call with the mutex held, or before the threads start.
  Status hold_to_lock();

  // Which stage runs when (run.cpp).
  void run_stages();
  void work();
  std::optional<std::size_t> pick();
  bool fits(std::size_t index) const;
  unsigned threads_for(std::size_t index) const;
  void work_on(std::size_t index);
  bool may_run(std::size_t index, StageResult& result);
  void store(std::size_t index, StageResult result);

  // One stage (run_stage.cpp).
  void attempt_until_done(std::size_t index, StageResult& result);
  Status run_stage(std::size_t index, StageResult& result, bool& timed_out);
  std::string why(const PreparedJob& prepared);
  void note_rate(const PreparedJob& prepared, const CacheEntry& entry);
  Status note_plugins(const PreparedJob& prepared);
  Status note_outputs(const StageResult& result);
  Status hold_gates(std::size_t index, StageResult& result, bool& timed_out);
  Result<GateTools::Measurement> measure(std::size_t index, StageResult& result,
                                         const std::string& what, const std::string& verb,
                                         const Json& params, bool& timed_out);

  // Results at their places (run_outputs.cpp).
  Status publish_what_is_ready();
  bool is_ready(const OutputSpec& output) const;
  Result<std::string> path_of(const OutputSpec& output) const;
  void read_places();
  Status publish_output(const OutputSpec& output);
  void sort_published();
  void fill_tables();

  const RunRequest& request_;
  State& state_;
  PluginHost& plugins_;
  InProcess in_process_;
  Workshop workshop_;
  Observer& outer_;
  std::ofstream event_file_;
  EventLog events_{event_file_};
  Observers observer_;
  RunResult result_;
  std::vector<StageResult> results_;
  std::vector<StageFacts> facts_;
  std::vector<StageNeeds> needs_;
  std::vector<std::size_t> waiting_for_;
  std::vector<bool> taken_;
  std::size_t done_ = 0;
  std::size_t running_ = 0;
  std::uint64_t memory_in_use_ = 0;
  unsigned threads_in_use_ = 0;  ///< by stages that state how many
  std::size_t sharing_ = 0;      ///< running stages that do not
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned jobs_ = 1;
  unsigned threads_ = 1;
  std::uint64_t memory_ = 0;
  std::int64_t started_ = 0;
  std::uint64_t began_ns_ = 0;
  Json record_;
  LockFile now_;
  std::optional<LockFile> locked_;
  bool lock_broken_ = false;
  std::set<std::string> claimed_;  ///< outputs that were published
};

}  // namespace apr::pipeline
