// What a run would do, and why, and what it will need: without doing it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

/// What a stage that is not in the cache will take. Estimates: from the verb, else from the sizes
/// of the inputs; times from earlier runs of the same verb in this state folder.
struct StageNeeds {
  std::uint64_t memory_bytes = 0;
  std::uint64_t output_bytes = 0;
  std::uint64_t input_bytes = 0;
  std::optional<double> seconds;
  unsigned threads = 0;  ///< as `resources` states; 0: a share
};

struct PlannedGate {
  enum class State { holds, fails, open };
  std::string text;  ///< "size: max 4MiB"
  State state = State::open;
  std::string message;  ///< figures, or what has to be measured
};

struct PlannedStage {
  enum class Action { cached, measure, run, skip, open };
  std::string name;
  std::string verb;
  Action action = Action::run;
  std::string reason;
  std::vector<std::string> after;  ///< stages it waits for
  std::vector<PlannedGate> gates;
  std::vector<std::string> ports;
  StageNeeds needs;
  std::string key;  ///< empty if it cannot be known yet
  Json components;  ///< what the key is made of
};
std::string_view name_of(PlannedStage::Action action);
std::string_view name_of(PlannedGate::State state);

struct Plan {
  std::vector<PlannedStage> stages;  ///< in the order they would run
  struct Place {
    std::string output;
    std::string path;
    bool there = false;
  };
  std::vector<Place> places;  ///< of the pipeline's outputs
  std::uint64_t peak_memory_bytes = 0;
  std::uint64_t disk_bytes = 0;
  std::optional<double> seconds;     ///< of all stages, one after the other
  std::vector<std::string> remarks;  ///< what makes it doubtful
  std::optional<Error> refusal;      ///< why a run would not start, or would surely fail
};

Result<Plan> plan_pipeline(const RunRequest& request, State& state, PluginHost& plugins);
Json to_json(const PlannedStage& stage);
Json to_json(const Plan& plan);

/// What the run may take: as the pipeline or the machine says.
std::uint64_t memory_budget(const Pipeline& pipeline);
unsigned thread_budget(const Pipeline& pipeline, const RunOptions& options);

/// Whether the places of outputs can be written, before any work: folders that can be made, nothing
/// foreign in the way. `record` knows what earlier runs put there.
Status check_places(const RunRequest& request, const Json& record, Workshop& workshop);
/// Whether memory and disk suffice for the plan.
Status check_resources(const RunRequest& request, const State& state, const Plan& plan);

}  // namespace apr::pipeline
