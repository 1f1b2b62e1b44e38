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
  Json components;
  std::string key;
};

struct JobResult {
  bool cached = false;
  CacheEntry entry;
  int exit_code = 0;  ///< 5: a measuring stage whose checks failed; such results are not kept
};

/// Everything jobs share. Safe to use from many threads.
class Workshop {
 public:
  Workshop(PluginHost& plugins, State& state)
      : plugins_(plugins), state_(state), book_(state.digest_file()), cache_(state) {}

  /// Digests of inputs and plugins, and the key.
  Result<PreparedJob> prepare(Job job);

  /// The cached result, if there is one that may be used.
  std::optional<CacheEntry> find(const PreparedJob& job) const;

  /// From the cache, or by running the stage, which `on_work` is told. Equal jobs at the same time
  /// run once. What the stage prints is in entry.folder/out.txt; a failed one leaves it in
  /// `failed_output`.
  Result<JobResult> run(const PreparedJob& job, Progress& progress, unsigned threads,
                        const std::function<void()>& on_work, std::string& failed_output);

  /// Digest of an input that may be a stage's output.
  Result<InputUse> input(const std::string& path);
  /// Makes outputs known, so that they are never read again to find their digest.
  void learn(const CacheEntry& entry);

  /// What is known of an output by its path.
  std::optional<Output> known_output(const std::string& path);

  DigestBook& book() { return book_; }
  PluginHost& plugins() { return plugins_; }

 private:
  Result<JobResult> execute(const PreparedJob& job, Progress& progress, unsigned threads,
                            std::string& failed_output);
  Status check_inputs_unchanged(const PreparedJob& job) const;
  std::shared_ptr<std::mutex> lock_for(const std::string& key);
  Result<PluginUse> plugin(const std::string& kind, const std::string& id);
  Result<std::string> program_digest();

  PluginHost& plugins_;
  State& state_;
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

/// "parameter 'quantize' changed from \"int8\" to \"int4\"", "input 'model' changed", …; empty if
/// equal.
std::string difference(const Json& before, const Json& now);

}  // namespace apr::pipeline
