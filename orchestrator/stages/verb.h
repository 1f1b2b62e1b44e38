// Verb: what `apr` can do; Stage: a verb that makes an artifact or measures one, and so can run in
// a pipeline. Both are described by a schema and report through one channel.
#pragma once

#include <atomic>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/plugin/host.h"
#include "orchestrator/schema/schema.h"

namespace apr {

struct Example {
  std::string command;  ///< "apr convert model.apr --quantize int4 -o model-int4.apr"
  std::string meaning;
};

struct VerbInfo {
  std::string name;     ///< "convert", "plugins list"
  std::string summary;  ///< one line
  std::string details;  ///< a paragraph or two for --help
  std::vector<Param> params;
  std::vector<Example> examples;
  std::vector<std::string> metrics;  ///< numbers in the report that gates and tables may name
  bool reproducible = true;          ///< same inputs and parameters give the same output bytes
};

/// Long work told to whoever shows it: bars on a terminal, lines elsewhere, events in a pipeline.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void update(std::string_view what, std::uint64_t done, std::uint64_t total) = 0;
  virtual void finish() = 0;
};

/// Set by Ctrl-C; long work looks at it and returns ErrorCode::interrupted.
extern std::atomic<bool> g_interrupted;

struct RunContext {
  Values params;
  PluginHost& plugins;
  Progress& progress;
  std::ostream& out;      ///< standard output, for verbs that stream text
  std::ostream& notes;    ///< standard error, for remarks; silent with --quiet
  bool json = false;      ///< --json was given: print nothing but the report
  bool terminal = false;  ///< standard output is a terminal
  unsigned threads = 0;   ///< 0: all processors

  Registry& registry() { return plugins.registry(); }
};

/// What a verb found or made. `report` is what --json prints.
struct Outcome {
  Json report = Json::object();
  /// 0, or 5 for a measuring verb whose checks failed (the report says which).
  int exit_code = 0;
};

class Verb {
 public:
  virtual ~Verb() = default;
  virtual const VerbInfo& info() const = 0;
  virtual Result<Outcome> run(RunContext& context) = 0;
  /// Prints the report for people. Verbs that stream their output leave it empty.
  virtual void print(const Json& report, std::ostream& out, bool terminal) const = 0;
  /// A stage may run in a pipeline.
  virtual bool is_stage() const { return false; }
};

struct Estimate {
  std::uint64_t memory_bytes = 0;
  std::uint64_t output_bytes = 0;
};

class Stage : public Verb {
 public:
  bool is_stage() const final { return true; }
  /// What the run will need, from the sizes of its inputs; zeros where unknown.
  virtual Estimate estimate(const Values&) const { return {}; }
  /// Facts about the inputs that decide the result beside their content: part of the cache key.
  virtual Json key_facts(const Values&) const { return {}; }
  /// Plugins whose code decides the result, as (kind, id): part of the cache key.
  virtual std::vector<std::pair<std::string, std::string>> plugins_used(const Values&) const {
    return {};
  }
};

/// All verbs, in the order of the help page.
const std::vector<std::unique_ptr<Verb>>& all_verbs();
/// nullptr if there is none of this name.
Verb* find_verb(std::string_view name);

}  // namespace apr
