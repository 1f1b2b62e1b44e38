// A job: one stage with its values, ready to be looked up in the cache or run.
//
// The key of a job is SHA-256 over everything that decides its result and nothing else: the stage
// and the program, the CPU's level, the digests of the plugins whose code is used, the parameters
// that affect the result (defaults filled in), the digests of the inputs, and which outputs are
// wanted. No path, time or thread count is part of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plugin/host.h"
#include "orchestrator/pipeline/cache.h"
#include "orchestrator/pipeline/content.h"
#include "orchestrator/pipeline/executor.h"
#include "orchestrator/pipeline/secrets.h"
#include "orchestrator/stages/verb.h"

namespace apr::pipeline {

struct Job {
  std::string label;  ///< "shrink-int8", "shrink-int8: gate kld"
  Stage* verb = nullptr;
  Json params = Json::object();    ///< without outputs; input paths absolute
  std::vector<std::string> ports;  ///< outputs to be made
};

struct InputUse {
  std::string path;
  Digest digest;
  Artifact artifact;
  std::uint64_t size = 0;
  bool foreign = false;  ///< not an output of a stage: it goes into the lock file
};

struct PluginUse {
  std::string name;    ///< "quantizer/block"
  std::string plugin;  ///< "block 0.1.0"
  Digest digest;
};

struct PreparedJob {
  Job job;
  Values values;  ///< checked and complete except for outputs
  std::vector<InputUse> inputs;
  std::vector<PluginUse> plugins;
  std::uint64_t input_bytes = 0;
  Json components;
  std::string key;
};

/// How a job is run; none of it decides the result.
struct WorkLimits {
  unsigned threads = 0;
  std::optional<std::uint64_t> timeout_ms;
};

/// What a job that really ran left beside its result. Filled in on failure, too.
struct WorkNotes {
  std::string printed;  ///< the beginning of what a failed one printed
  std::string log;      ///< file with all it printed; empty if it did not run
  bool timed_out = false;
  std::uint64_t peak_memory_bytes = 0;
  double cpu_seconds = 0;
};

struct JobResult {
  bool cached = false;
  CacheEntry entry;
  int exit_code = 0;  ///< 5: a measuring stage whose checks failed; such results are not kept
};

/// Everything jobs share. Safe to use from many threads.
class Workshop {
 public:
  /// Without an executor nothing can be run, only looked up.
  Workshop(PluginHost& plugins, State& state, Executor* executor = nullptr)
      : plugins_(plugins),
        state_(state),
        executor_(executor),
        book_(state.digest_file()),
        cache_(state) {}

  /// Before any job: values of secrets, variables that stages see, and where logs go.
  void set_secrets(Secrets secrets) { secrets_ = std::move(secrets); }
  void set_environment(const Json& environment);
  void set_log_folder(std::string folder) { log_folder_ = std::move(folder); }
  const Secrets& secrets() const { return secrets_; }

  /// Digests of inputs and plugins, and the key.
  Result<PreparedJob> prepare(Job job);

  /// The cached result, if there is one that may be used.
  std::optional<CacheEntry> find(const PreparedJob& job);

  /// From the cache, or by running the stage, which `on_work` is told. Equal jobs at the same time
  /// run once.
  Result<JobResult> run(const PreparedJob& job, const WorkLimits& limits, Progress& progress,
                        const std::function<void()>& on_work, WorkNotes& notes);

  /// Digest of an input that may be a stage's output.
  Result<InputUse> input(const std::string& path);
  /// Makes outputs known, so that they are never read again to find their digest.
  void learn(const CacheEntry& entry);

  /// What is known of an output by its path.
  std::optional<Output> known_output(const std::string& path);

  DigestBook& book() { return book_; }
  PluginHost& plugins() { return plugins_; }

 private:
  Result<JobResult> execute(const PreparedJob& job, const WorkLimits& limits, Progress& progress,
                            WorkNotes& notes);
  Status keep_texts(const PreparedJob& job, const std::string& work, WorkNotes& notes);
  Status check_inputs_unchanged(const PreparedJob& job);
  std::shared_ptr<std::mutex> lock_for(const std::string& key);
  Result<PluginUse> plugin(const std::string& kind, const std::string& id);
  Result<std::string> program_digest();

  PluginHost& plugins_;
  State& state_;
  Executor* executor_;
  Secrets secrets_;
  Json environment_;  ///< digests of the variables' values
  std::string log_folder_;
  DigestBook book_;
  Cache cache_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<std::mutex>> running_;
  std::map<std::string, Output> outputs_;  ///< by path
  std::map<std::string, PluginUse> plugin_digests_;
  std::string program_digest_;
};

/// The beginning of what a stage printed, or an empty text.
std::string printed_by(const CacheEntry& entry);

/// One part of a key that differs: "parameter 'quantize'", "\"int8\"", "\"int4\"".
struct KeyDifference {
  std::string part;
  std::string before;
  std::string now;
};
std::vector<KeyDifference> key_differences(const Json& before, const Json& now);

/// The first difference in words: "parameter 'quantize' changed from \"int8\" to \"int4\"", "input
/// 'model' changed", …; empty if equal.
std::string difference(const Json& before, const Json& now);

}  // namespace apr::pipeline
