// Small stages that work on text files, so that lint, cache, runner and gates can be tested without
// models.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "orchestrator/pipeline/check.h"
#include "orchestrator/pipeline/load.h"
#include "orchestrator/pipeline/runner.h"

namespace fakes {

/// write {text, times, threads} -> output; join {first, second?, suffix} -> output; pair {first} ->
/// a folder; count {model} -> report {letters, nothing}; fail {code, after?}; time {} -> output,
/// not reproducible; wait {first?} -> runs until interrupted; flaky
/// {counter, times, code}; gather {models} -> output; tell {text, fail?}; talk {} (not a stage);
/// test-model and eval with the interface of the real ones: perplexity is 1 + the share of 'x' in
/// the file, "nan" makes it NaN; mean_kld is the share of differing bytes.
apr::pipeline::VerbTable verbs();

/// How often any stage's run() was called.
extern std::atomic<int> g_runs;
/// Most stages that ran at once.
extern std::atomic<int> g_most_at_once;

/// A fresh folder, removed at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const;
  std::string read(const std::string& name) const;
  bool exists(const std::string& name) const;

 private:
  std::string path_;
};

class Quiet final : public apr::pipeline::Observer {
 public:
  void started(const apr::pipeline::StageResult&) override {}
  void working(const std::string&, std::string_view) override {}
  void progress(const std::string&, std::string_view, std::uint64_t, std::uint64_t) override {}
  void finished(const apr::pipeline::StageResult&) override {}
};

struct Ran {
  std::optional<apr::Error> refused;  ///< nothing was started
  apr::pipeline::RunResult result;
  std::string states;  ///< "a:ran b:cached"
  apr::Json run;       ///< run.json
  const apr::pipeline::StageResult& stage(std::string_view name) const;
};
/// Runs a pipeline text as if it stood in `folder`/p.yaml, with the state in `folder`/.apr.
Ran run(const Folder& folder, const std::string& yaml, const std::vector<std::string>& sets = {},
        apr::pipeline::RunOptions options = {});

/// "line:column message | hint" for each diagnostic; warnings begin with "w ".
std::vector<std::string> lint(const std::string& yaml, const std::vector<std::string>& sets = {});

/// The five lines every pipeline begins with; `stages:` is the fourth, at line 4.
std::string pipeline(const std::string& stages);

}  // namespace fakes
