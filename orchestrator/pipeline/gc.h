// What a state folder may lose: old runs, and results that no kept run used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {

struct Leftover {
  enum class Kind { run, result };
  Kind kind = Kind::run;
  std::string name;  ///< of the run, or the key
  std::string path;
  std::uint64_t bytes = 0;  ///< not counting what also lies at an output's place
};

struct Garbage {
  std::vector<Leftover> items;
  std::size_t kept_runs = 0;
  std::size_t kept_results = 0;
};

/// Keeps the newest `keep` runs of each pipeline, the newest successful one in any case, and every
/// result that they used.
Result<Garbage> find_garbage(const State& state, std::size_t keep);

}  // namespace apr::pipeline
