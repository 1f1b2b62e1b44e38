// What a run would do, and why, without doing it.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

struct PlannedStage {
  enum class Action { cached, run, skip, open };
  std::string name;
  std::string verb;
  Action action = Action::run;
  std::string reason;
  std::vector<std::string> after;  ///< stages it waits for
  std::vector<std::string> gates;  ///< "size max 4MiB"
  std::vector<std::string> ports;
  Estimate estimate;
  std::string key;  ///< empty if it cannot be known yet
};
std::string_view name_of(PlannedStage::Action action);

Result<std::vector<PlannedStage>> plan_pipeline(const RunRequest& request, State& state,
                                                PluginHost& plugins);
Json to_json(const PlannedStage& stage);

}  // namespace apr::pipeline
