// Where stages do their work: in processes of their own, so that they can be stopped, measured and
// kept from what they may not see. Tests run their small stages in this process.
//
// The process of a stage is this program again (`apr-pipeline stage-worker`). It gets its order as
// JSON on standard input, tells progress and its result as lines of JSON on descriptor 3, and dies
// with the one that started it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plugin/host.h"
#include "orchestrator/stages/verb.h"

namespace apr::pipeline {

struct WorkOrder {
  Stage* verb = nullptr;
  Values values;       ///< complete, secrets as they are
  std::string folder;  ///< gets out.txt, notes.txt and stray.txt beside the outputs
  unsigned threads = 0;
  std::optional<std::uint64_t> timeout_ms;
};

struct WorkDone {
  Result<Outcome> outcome = Outcome{};
  bool timed_out = false;
  std::uint64_t peak_memory_bytes = 0;  ///< 0: not measured
  double cpu_seconds = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;
  virtual WorkDone run(const WorkOrder& order, Progress& progress) = 0;
};

/// In this process: no timeout, no measuring.
class InProcess final : public Executor {
 public:
  explicit InProcess(PluginHost& plugins) : plugins_(plugins) {}
  WorkDone run(const WorkOrder& order, Progress& progress) override;

 private:
  PluginHost& plugins_;
};

class ChildProcess final : public Executor {
 public:
  /// `variables`: what stages see of the environment beside `base_environment()`.
  ChildProcess(std::vector<std::string> plugin_path, std::vector<std::string> variables)
      : plugin_path_(std::move(plugin_path)), variables_(std::move(variables)) {}
  WorkDone run(const WorkOrder& order, Progress& progress) override;

 private:
  std::vector<std::string> plugin_path_;
  std::vector<std::string> variables_;
};

/// Variables that every stage sees.
const std::vector<std::string>& base_environment();

inline constexpr std::string_view kWorkerCommand = "stage-worker";
/// The body of a stage's process.
int run_stage_worker();

}  // namespace apr::pipeline
