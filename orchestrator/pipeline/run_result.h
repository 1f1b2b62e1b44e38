// What a run did, stage by stage.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"
#include "orchestrator/pipeline/cache.h"
#include "orchestrator/pipeline/gates.h"
#include "orchestrator/pipeline/job.h"

namespace apr::pipeline {

enum class StageState { waiting, running, cached, ran, skipped, failed, cancelled };
std::string_view name_of(StageState state);

struct StageResult {
  std::string name;
  std::string verb;
  StageState state = StageState::waiting;
  std::string reason;  ///< why it ran, was skipped or was cancelled
  double seconds = 0;  ///< in this run
  CacheEntry entry;
  std::vector<GateOutcome> gates;
  std::vector<std::string> figures;  ///< "perplexity 2.3325": metrics for people
  std::string printed;               ///< the beginning of what the stage printed
  std::optional<Error> error;
};

struct Published {
  std::string name;
  std::string target;
  Digest digest;
  std::uint64_t size = 0;
  bool written = false;  ///< false: it was there already
};

struct RunResult {
  std::string id;
  std::vector<StageResult> stages;  ///< as in the file
  std::vector<Published> published;
  std::optional<Error> error;  ///< the first failure
  double seconds = 0;
  int exit_code() const;
};

Json to_json(const StageResult& stage);

}  // namespace apr::pipeline
