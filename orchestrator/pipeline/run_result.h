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
  std::string reason;    ///< why it ran, was skipped or was cancelled
  double seconds = 0;    ///< in this run
  double started_s = 0;  ///< since the run began
  unsigned attempts = 0;
  bool allowed = false;   ///< it failed, and may
  CacheEntry::Cost cost;  ///< of the stage's own work, this time or when it was cached
  std::uint64_t input_bytes = 0;
  std::vector<std::size_t> dependencies;
  struct Log {
    std::string what;  ///< "convert", "eval for gate kld"
    std::string file;
  };
  std::vector<Log> logs;
  std::vector<std::string> keys;  ///< cache entries that were used, measurements included
  CacheEntry entry;
  std::vector<GateOutcome> gates;
  std::vector<std::string> figures;  ///< "perplexity 2.3325": metrics for people
  std::string printed;               ///< the beginning of what the stage printed
  std::optional<Error> error;
};

/// A table of the report, filled in.
struct TableResult {
  std::string title;
  std::vector<std::string> columns;  ///< the first is the combination
  std::vector<std::string> units;
  std::vector<std::vector<Json>> rows;  ///< null where a figure is missing
  std::string chart_x;
  std::string chart_y;
};
Json to_json(const TableResult& table);

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
  std::vector<TableResult> tables;
  std::optional<Error> error;  ///< the first failure
  double seconds = 0;
  int exit_code() const;
};

Json to_json(const StageResult& stage);

}  // namespace apr::pipeline
