#include "orchestrator/pipeline/runner.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <sstream>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/cpu.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/publish.h"
#include "orchestrator/pipeline/resolve.h"

namespace apr::pipeline {
namespace {

Error interrupted() {
  return make_error(ErrorCode::interrupted, "stopped by the user", "",
                    "what is finished is kept; `apr-pipeline resume` goes on from here");
}

bool stop_requested() {
  return g_interrupted.load(std::memory_order_relaxed);
}

class StageProgress final : public Progress {
 public:
  StageProgress(Observer& observer, std::string stage)
      : observer_(observer), stage_(std::move(stage)) {}
  void update(std::string_view what, std::uint64_t done, std::uint64_t total) override {
    observer_.progress(stage_, what, done, total);
  }
  void finish() override {}

 private:
  Observer& observer_;
  std::string stage_;
};

class Runner {
 public:
  Runner(const RunRequest& request, State& state, PluginHost& plugins, Observer& observer)
      : request_(request),
        state_(state),
        workshop_(plugins, state),
        observer_(observer),
        results_(request.checked.stages.size()),
        facts_(request.checked.stages.size()),
        waiting_for_(request.checked.stages.size()) {}

  Result<RunResult> run() {
    const std::uint64_t start = monotonic_ns();
    APR_TRY(prepare());
    APR_ASSIGN(result_.id, state_.make_run());
    started_ = unix_seconds();
    APR_TRY(write_run("running"));
    run_stages();
    result_.stages = results_;
    sort_published();
    if (!result_.error && stop_requested()) result_.error = interrupted();
    result_.seconds = static_cast<double>(monotonic_ns() - start) / 1e9;
    if (!result_.error) finish_lock();
    const bool stopped = result_.error && result_.error->code == ErrorCode::interrupted;
    APR_TRY(write_run(stopped ? "interrupted" : result_.error ? "failed" : "ok"));
    APR_TRY(workshop_.book().save(state_));
    return std::move(result_);
  }

 private:
  const Pipeline& pipeline() const { return request_.pipeline; }
  const CheckedStage& stage(std::size_t index) const { return request_.checked.stages[index]; }

  Status prepare() {
    now_.pipeline = pipeline().name;
    now_.apr = APR_VERSION;
    now_.params = Json::object();
    // Paths are written as the lock file writes them, so that a moved folder is no difference.
    for (const auto& [name, value] : request_.params.given.as_object()) {
      const ParamSpec* spec = pipeline().find_param(name);
      const bool path = spec != nullptr && spec->is_path;
      now_.params.set(name, path ? Json(lock_path(value.as_string(), pipeline().folder)) : value);
    }
    APR_TRY(check_inputs(request_, workshop_, &now_));
    if (request_.options.locked) {
      APR_ASSIGN(locked_, LockFile::read(request_.options.lock_file));
      APR_TRY(hold_to_lock());
    }
    record_ = state_.record(pipeline().name);
    for (std::size_t i = 0; i < results_.size(); ++i) {
      results_[i].name = stage(i).spec->name;
      results_[i].verb = stage(i).verb->info().name;
      waiting_for_[i] = stage(i).dependencies.size();
      facts_[i].output = [this, i](std::string_view port) {
        const Output* output = results_[i].entry.find(port);
        return output == nullptr ? std::string() : output->path;
      };
    }
    return {};
  }

  /// Call with the mutex held, or before the threads start.
  Status hold_to_lock() {
    if (!locked_) return {};
    const auto differences = lock_differences(*locked_, now_);
    if (differences.empty()) return {};
    std::string text = differences.front();
    if (differences.size() > 1) text += cat(" (and ", differences.size() - 1, " more)");
    return make_error(ErrorCode::validation, cat("--locked refuses a difference: ", text),
                      request_.options.lock_file, "run without --locked to accept it");
  }

  void run_stages() {
    const unsigned processors = available_processors();
    jobs_ = request_.options.jobs == 0 ? processors : request_.options.jobs;
    const tbb::global_control parallelism(tbb::global_control::max_allowed_parallelism,
                                          std::max(jobs_, processors) + 1);
    tbb::task_arena arena(static_cast<int>(jobs_));
    tbb::task_group group;
    arena.execute([&] {
      for (const std::size_t index : request_.checked.order) {
        if (waiting_for_[index] == 0) start(index, group);
      }
      group.wait();
    });
  }

  void start(std::size_t index, tbb::task_group& group) {
    queued_.fetch_add(1);
    group.run([this, index, &group] {
      queued_.fetch_sub(1);
      running_.fetch_add(1);
      // While a stage waits for its own parallel work, this thread must not pick up another stage.
      tbb::this_task_arena::isolate([&] { work_on(index); });
      running_.fetch_sub(1);
      const std::lock_guard<std::mutex> lock(mutex_);
      for (std::size_t other = 0; other < results_.size(); ++other) {
        const auto& needed = stage(other).dependencies;
        const bool waits = std::find(needed.begin(), needed.end(), index) != needed.end();
        if (waits && --waiting_for_[other] == 0) start(other, group);
      }
    });
  }

  /// Threads for one stage: the processors shared by the stages that run or could run now.
  unsigned threads_now() const {
    const unsigned wide = std::clamp(running_.load() + queued_.load(), 1u, std::max(jobs_, 1u));
    return std::max(1u, available_processors() / wide);
  }

  void work_on(std::size_t index) {
    StageResult result = results_[index];
    const std::uint64_t start = monotonic_ns();
    if (may_run(index, result)) {
      result.state = StageState::running;
      observer_.started(result);
      if (Status status = run_stage(index, result); !status) {
        result.state = StageState::failed;
        result.error = std::move(status).error().within(cat("stage '", result.name, "'"));
      }
    }
    result.seconds = static_cast<double>(monotonic_ns() - start) / 1e9;
    store(index, std::move(result));
  }

  bool may_run(std::size_t index, StageResult& result) {
    const std::lock_guard<std::mutex> lock(mutex_);
    result.state = StageState::cancelled;
    for (const std::size_t needed : stage(index).dependencies) {
      const StageState state = results_[needed].state;
      if (state != StageState::failed && state != StageState::cancelled) continue;
      result.reason = cat("'", results_[needed].name, "' did not succeed");
      return false;
    }
    if (stop_requested()) {
      result.reason = "the run was stopped";
      return false;
    }
    if (result_.error && !request_.options.keep_going) {
      result.reason = "another stage failed";
      return false;
    }
    return true;
  }

  static bool is_done(StageState state) {
    return state == StageState::cached || state == StageState::ran || state == StageState::skipped;
  }

  void store(std::size_t index, StageResult result) {
    const std::lock_guard<std::mutex> lock(mutex_);
    facts_[index].skipped = result.state == StageState::skipped;
    facts_[index].report = result.entry.report;
    results_[index] = result;
    if (is_done(result.state)) {
      if (Status status = publish_what_is_ready(); !status) {
        result.state = StageState::failed;
        result.error = std::move(status).error().within(cat("stage '", result.name, "'"));
        results_[index] = result;
      }
    }
    if (result.error && !result_.error) result_.error = result.error;
    if (!result.entry.components.is_null() && result.state != StageState::failed) {
      Json stages = record_["stages"];
      stages.set(result.name, result.entry.components);
      record_.set("stages", std::move(stages));
    }
    // What is only remembered for explanations must not fail a run.
    static_cast<void>(state_.set_record(pipeline().name, record_));
    static_cast<void>(write_run("running"));
    observer_.finished(result);
  }

  Expression::Lookup lookup() {
    return make_lookup(request_.params.values, [this](std::string_view name) {
      const StageSpec* spec = pipeline().find_stage(name);
      return spec == nullptr ? nullptr
                             : &facts_[static_cast<std::size_t>(spec - pipeline().stages.data())];
    });
  }

  Status run_stage(std::size_t index, StageResult& result) {
    const CheckedStage& checked = stage(index);
    APR_ASSIGN(ResolvedStage resolved, resolve_stage(pipeline(), checked, lookup()));
    if (resolved.skip) {
      result.state = StageState::skipped;
      result.reason = resolved.reason;
      return {};
    }
    Job job;
    job.label = result.name;
    job.verb = checked.verb;
    job.params = std::move(resolved.params);
    job.ports = checked.ports;
    APR_ASSIGN(const PreparedJob prepared, workshop_.prepare(std::move(job)));
    APR_TRY(note_plugins(prepared));
    result.reason = why(prepared);
    StageProgress progress(observer_, result.name);
    APR_ASSIGN(const JobResult done,
               workshop_.run(
                   prepared, progress, threads_now(),
                   [&] { observer_.working(result.name, result.verb); }, result.printed));
    result.entry = done.entry;
    if (done.exit_code != 0) {
      result.figures = key_figures(checked.verb->info(), done.entry);
      std::ostringstream text;
      checked.verb->print(done.entry.report, text, false);
      result.printed += text.str();
      return make_error(static_cast<ErrorCode>(done.exit_code), "its checks failed", "",
                        "the report of the stage says which; see `apr-pipeline status --json`");
    }
    result.printed = printed_by(done.entry);
    result.figures = key_figures(checked.verb->info(), done.entry);
    if (done.cached) result.reason.clear();
    APR_TRY(hold_gates(checked, result));
    APR_TRY(note_outputs(result));
    result.state = done.cached ? StageState::cached : StageState::ran;
    return {};
  }

  std::string why(const PreparedJob& prepared) {
    if (!prepared.job.verb->info().reproducible) return "its result is not reproducible";
    const std::lock_guard<std::mutex> lock(mutex_);
    const Json& before = record_["stages"][prepared.job.label];
    if (before.is_null()) return "never ran";
    const std::string what = difference(before, prepared.components);
    return what.empty() ? "its result is no longer in the cache" : what;
  }

  Status note_plugins(const PreparedJob& prepared) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const PluginUse& use : prepared.plugins) {
      now_.plugins[use.name] = {use.plugin, use.digest.hex()};
    }
    for (const InputUse& use : prepared.inputs) {
      if (use.foreign) now_.inputs[lock_path(use.path, pipeline().folder)] = use.digest.hex();
    }
    return hold_to_lock();
  }

  Status note_outputs(const StageResult& result) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (result.entry.outputs.empty()) return {};
    for (const Output& output : result.entry.outputs) {
      now_.stages[result.name][output.port] = output.digest.hex();
    }
    return hold_to_lock();
  }

  Status hold_gates(const CheckedStage& checked, StageResult& result) {
    const Output* model = result.entry.find(main_port(*checked.verb));
    // A gate may look at its own stage, which is not among the finished ones yet.
    StageFacts own;
    own.report = result.entry.report;
    own.output = [&](std::string_view port) {
      const Output* output = result.entry.find(port);
      return output == nullptr ? std::string() : output->path;
    };
    const auto own_lookup =
        make_lookup(request_.params.values, [&](std::string_view name) -> const StageFacts* {
          if (name == result.name) return &own;
          const StageSpec* spec = pipeline().find_stage(name);
          return spec == nullptr
                     ? nullptr
                     : &facts_[static_cast<std::size_t>(spec - pipeline().stages.data())];
        });
    for (const GateSpec& gate : checked.spec->gates) {
      if (stop_requested()) return interrupted();
      APR_ASSIGN(const Json values, resolve_gate(pipeline(), checked, gate, own_lookup,
                                                 model == nullptr ? "" : model->path));
      StageProgress progress(observer_, result.name);
      GateTools tools;
      tools.report = &result.entry.report;
      tools.size = [](const std::string& path) -> Result<std::uint64_t> {
        APR_ASSIGN(const Artifact artifact, look_at_artifact(path));
        return artifact.size();
      };
      tools.measure = [&](const std::string& verb, const Json& params) {
        return measure(result.name, cat(verb, " for gate ", gate.kind), verb, params, progress);
      };
      auto outcome = evaluate_gate(gate.kind, values, tools);
      if (!outcome) {
        return std::move(outcome).error().within(
            cat(place(pipeline().file, gate.at), ": gate ", gate.kind));
      }
      const bool passed = outcome->passed;
      const std::string message = outcome->message;
      result.gates.push_back(*std::move(outcome));
      if (!passed) {
        return make_error(ErrorCode::validation, cat("gate ", gate.kind, " failed: ", message),
                          place(pipeline().file, gate.at),
                          "the stage's output is not passed on; mend its cause or move the limit");
      }
    }
    return {};
  }

  Result<GateTools::Measurement> measure(const std::string& stage, const std::string& what,
                                         const std::string& verb, const Json& params,
                                         Progress& progress) {
    Verb* found = request_.verbs.find(verb);
    if (found == nullptr || !found->is_stage()) {
      return make_error(ErrorCode::unsupported, cat("there is no stage '", verb, "'"));
    }
    Job job;
    job.label = cat(stage, ": ", what);
    job.verb = static_cast<Stage*>(found);
    job.params = params;
    APR_ASSIGN(const PreparedJob prepared, workshop_.prepare(std::move(job)));
    APR_TRY(note_plugins(prepared));
    std::string printed;
    APR_ASSIGN(JobResult done, workshop_.run(
                                   prepared, progress, threads_now(),
                                   [&] { observer_.working(stage, what); }, printed));
    return GateTools::Measurement{std::move(done.entry.report), done.exit_code};
  }

  /// Publishes every output whose stages are all done. Call with the mutex held.
  Status publish_what_is_ready() {
    for (const OutputSpec& output : pipeline().outputs) {
      if (claimed_.contains(output.name) || !is_ready(output)) continue;
      claimed_.insert(output.name);
      APR_TRY(publish_output(output));
    }
    return {};
  }

  bool is_ready(const OutputSpec& output) const {
    Problem problem;
    const auto from = TextTemplate::parse(output.from.text, problem);
    if (!from) return false;
    const auto references = from->references();
    return std::all_of(references.begin(), references.end(), [&](const Reference& reference) {
      const StageSpec* spec = pipeline().find_stage(reference.name);
      return spec != nullptr &&
             is_done(results_[static_cast<std::size_t>(spec - pipeline().stages.data())].state);
    });
  }

  Status publish_output(const OutputSpec& output) {
    APR_ASSIGN(const Json path, evaluate(output.from, lookup(), pipeline().file));
    if (path.is_null()) return {};  // from a skipped stage
    const auto made = workshop_.known_output(path.as_string());
    if (!made)
      return make_error(ErrorCode::generic, cat("output '", output.name, "' was not made"));
    Published published;
    published.name = output.name;
    published.target = resolve_path(output.to, pipeline().folder);
    published.digest = made->digest;
    published.size = made->size;
    now_.outputs[output.name] = published.digest.hex();
    APR_TRY(hold_to_lock());
    const std::string ours = record_["published"][published.target].as_string();
    APR_ASSIGN(const PlaceLock place, PlaceLock::take(state_));
    APR_ASSIGN(published.written,
               publish(*made, published.target, ours, request_.options.force, workshop_.book()));
    Json places = record_["published"];
    places.set(published.target, published.digest.hex());
    record_.set("published", std::move(places));
    result_.published.push_back(std::move(published));
    return {};
  }

  /// Outputs are published as they become ready, and told in the order of the file.
  void sort_published() {
    const auto place = [&](const Published& published) {
      return std::ranges::find(pipeline().outputs, published.name, &OutputSpec::name);
    };
    std::ranges::sort(result_.published, {}, place);
  }

  void finish_lock() {
    if (request_.options.locked || request_.options.lock_file.empty()) return;
    auto place = PlaceLock::take(state_);
    Status status = place ? publish_json(now_.to_json(), request_.options.lock_file)
                          : Status(std::move(place).error());
    if (!status) {
      result_.error = std::move(status).error();
      result_.error->hint = "choose another place with --lock FILE, or none with --no-lock";
    }
  }

  Status write_run(std::string_view run_state) {
    Json run = Json::object();
    run.set("id", result_.id);
    run.set("pipeline", pipeline().name);
    run.set("file", resolve_path(pipeline().file, current_folder()));
    run.set("set", request_.params.given);
    run.set("state", run_state);
    run.set("owner", state_.owner());
    run.set("started", started_);
    run.set("seconds", result_.seconds);
    Json stages = Json::array();
    for (const StageResult& result : results_) stages.push_back(to_json(result));
    run.set("stages", std::move(stages));
    return state_.replace(cat(state_.run_folder(result_.id), "/run.json"), run.dump(2));
  }

  const RunRequest& request_;
  State& state_;
  Workshop workshop_;
  Observer& observer_;
  RunResult result_;
  std::vector<StageResult> results_;
  std::vector<StageFacts> facts_;
  std::vector<std::size_t> waiting_for_;
  std::mutex mutex_;
  std::atomic<unsigned> running_{0};
  std::atomic<unsigned> queued_{0};
  unsigned jobs_ = 1;
  std::int64_t started_ = 0;
  Json record_;
  LockFile now_;
  std::optional<LockFile> locked_;
  std::set<std::string> claimed_;  ///< outputs that were published
};

}  // namespace

Result<RunResult> run_pipeline(const RunRequest& request, State& state, PluginHost& plugins,
                               Observer& observer) {
  return Runner(request, state, plugins, observer).run();
}

}  // namespace apr::pipeline
