#include "orchestrator/pipeline/run.h"

#include <algorithm>
#include <sstream>
#include <thread>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/cpu.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/html_report.h"
#include "orchestrator/pipeline/publish.h"

namespace apr::pipeline {
namespace {

Error interrupted() {
  return make_error(ErrorCode::interrupted, "stopped by the user", "",
                    "what is finished is kept; `apr-pipeline resume` goes on from here");
}

bool stop_requested() {
  return g_interrupted.load(std::memory_order_relaxed);
}

bool is_good(StageState state) {
  return state == StageState::cached || state == StageState::ran || state == StageState::skipped;
}

double seconds_since(std::uint64_t start) {
  return static_cast<double>(monotonic_ns() - start) / 1e9;
}

}  // namespace

Run::Run(const RunRequest& request, State& state, PluginHost& plugins, Observer& observer)
    : request_(request),
      state_(state),
      plugins_(plugins),
      in_process_(plugins),
      workshop_(plugins, state, request.executor == nullptr ? &in_process_ : request.executor),
      outer_(observer),
      observer_({&outer_, &events_}),
      results_(request.checked.stages.size()),
      facts_(request.checked.stages.size()),
      needs_(request.checked.stages.size()),
      waiting_for_(request.checked.stages.size()),
      taken_(request.checked.stages.size()) {}

FactsOf Run::facts_of() const {
  return [this](std::size_t index) { return &facts_[index]; };
}

Result<RunResult> Run::run() {
  began_ns_ = monotonic_ns();
  APR_TRY(prepare());
  APR_ASSIGN(result_.id, state_.make_run());
  workshop_.set_log_folder(cat(state_.run_folder(result_.id), "/logs"));
  event_file_.open(cat(state_.run_folder(result_.id), "/events.jsonl"), std::ios::binary);
  started_ = unix_seconds();
  observer_.run_started(result_.id, pipeline().name);
  APR_TRY(write_run("running"));
  run_stages();
  fill_tables();
  result_.stages = results_;
  sort_published();
  if (!result_.error && stop_requested()) result_.error = interrupted();
  result_.seconds = seconds_since(began_ns_);
  if (!result_.error) finish_lock();
  const bool stopped = result_.error && result_.error->code == ErrorCode::interrupted;
  APR_TRY(write_run(stopped ? "interrupted" : result_.error ? "failed" : "ok"));
  APR_TRY(workshop_.book().save(state_));
  observer_.run_finished(result_);
  return std::move(result_);
}

Status Run::prepare() {
  now_.pipeline = pipeline().name;
  now_.apr = APR_VERSION;
  now_.params = Json::object();
  // Paths are written as the lock file writes them, so that a moved folder is no difference.
  for (const auto& [name, value] : request_.params.given.as_object()) {
    const ParamSpec* spec = pipeline().find_param(name);
    const bool path = spec != nullptr && spec->is_path;
    now_.params.set(name, path ? Json(lock_path(value.as_string(), pipeline().folder)) : value);
  }
  APR_ASSIGN(Secrets secrets, Secrets::read(pipeline()));
  workshop_.set_secrets(std::move(secrets));
  workshop_.set_environment(request_.params.environment);
  APR_TRY(check_inputs(request_, workshop_, &now_));
  if (request_.options.locked) {
    APR_ASSIGN(locked_, LockFile::read(request_.options.lock_file));
    APR_TRY(hold_to_lock());
  }
  threads_ = thread_budget(pipeline(), request_.options);
  memory_ = memory_budget(pipeline());
  APR_TRY(preflight());
  for (std::size_t i = 0; i < results_.size(); ++i) {
    results_[i].name = stage(i).spec->name;
    results_[i].verb = stage(i).verb->info().name;
    results_[i].dependencies = stage(i).dependencies;
    waiting_for_[i] = stage(i).dependencies.size();
    facts_[i].output = [this, i](std::string_view port) {
      const Output* output = results_[i].entry.find(port);
      return output == nullptr ? std::string() : output->path;
    };
  }
  return {};
}

/// What can be known to go wrong before any work is done.
Status Run::preflight() {
  {
    APR_ASSIGN(const FileLock lock, state_.lock_places());
    record_ = state_.record(pipeline().name);
    if (request_.options.publish) APR_TRY(check_places(request_, record_, workshop_));
  }
  const auto plan = plan_pipeline(request_, state_, plugins_);
  if (!plan) return {};  // the stage itself says it best
  for (const PlannedStage& planned : plan->stages) {
    if (const StageSpec* spec = pipeline().find_stage(planned.name)) {
      needs_[pipeline().index_of(*spec)] = planned.needs;
    }
  }
  return check_resources(request_, state_, *plan);
}

Status Run::hold_to_lock() {
  if (!locked_) return {};
  const auto differences = lock_differences(*locked_, now_);
  if (differences.empty()) return {};
  lock_broken_ = true;
  std::string text = differences.front();
  if (differences.size() > 1) text += cat(" (and ", differences.size() - 1, " more)");
  return make_error(ErrorCode::validation, cat("--locked refuses a difference: ", text),
                    request_.options.lock_file, "run without --locked to accept it");
}

void Run::run_stages() {
  jobs_ = request_.options.jobs == 0 ? available_processors() : request_.options.jobs;
  const std::size_t count = std::min<std::size_t>(jobs_, results_.size());
  std::vector<std::jthread> workers;
  for (std::size_t i = 1; i < count; ++i) workers.emplace_back([this] { work(); });
  work();
}

/// A worker: takes whatever can run now, until nothing is left.
void Run::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (done_ < results_.size()) {
    const auto index = pick();
    if (!index) {
      changed_.wait(lock);
      continue;
    }
    taken_[*index] = true;
    const StageNeeds& needs = needs_[*index];
    ++running_;
    memory_in_use_ += needs.memory_bytes;
    threads_in_use_ += needs.threads;
    if (needs.threads == 0) ++sharing_;
    lock.unlock();
    work_on(*index);
    lock.lock();
    --running_;
    memory_in_use_ -= needs.memory_bytes;
    threads_in_use_ -= needs.threads;
    if (needs.threads == 0) --sharing_;
    ++done_;
    for (std::size_t other = 0; other < results_.size(); ++other) {
      const auto& needed = stage(other).dependencies;
      if (std::find(needed.begin(), needed.end(), *index) != needed.end()) --waiting_for_[other];
    }
    changed_.notify_all();
  }
}

std::optional<std::size_t> Run::pick() {
  for (const std::size_t index : request_.checked.order) {
    if (!taken_[index] && waiting_for_[index] == 0 && fits(index)) return index;
  }
  return std::nullopt;
}

/// Beside what runs now. One stage alone may always run.
bool Run::fits(std::size_t index) const {
  if (running_ == 0) return true;
  const StageNeeds& needs = needs_[index];
  // Stages that state no number of threads need at least one each.
  const std::size_t threads = threads_in_use_ + sharing_ + std::max(needs.threads, 1u);
  const bool stated = needs.threads > 0 || threads_in_use_ > 0;
  return memory_in_use_ + needs.memory_bytes <= memory_ && (!stated || threads <= threads_);
}

/// As stated, else a share of what the others leave.
unsigned Run::threads_for(std::size_t index) const {
  const unsigned stated = needs_[index].threads;
  if (stated > 0) return std::min(stated, threads_);
  std::size_t ready = 0;
  for (std::size_t i = 0; i < results_.size(); ++i) ready += !taken_[i] && waiting_for_[i] == 0;
  const auto wide =
      static_cast<unsigned>(std::clamp<std::size_t>(sharing_ + ready, 1, std::max(jobs_, 1u)));
  const unsigned left = threads_ > threads_in_use_ ? threads_ - threads_in_use_ : 1;
  return std::max(1u, left / wide);
}

void Run::work_on(std::size_t index) {
  StageResult result = results_[index];
  const std::uint64_t start = monotonic_ns();
  result.started_s = seconds_since(began_ns_);
  if (may_run(index, result)) {
    result.state = StageState::running;
    observer_.started(result);
    attempt_until_done(index, result);
  }
  result.seconds = seconds_since(start);
  store(index, std::move(result));
}

bool Run::may_run(std::size_t index, StageResult& result) {
  const std::lock_guard<std::mutex> lock(mutex_);
  result.state = StageState::cancelled;
  for (const std::size_t needed : stage(index).dependencies) {
    const StageResult& before = results_[needed];
    const bool failed = before.state == StageState::failed && !before.allowed;
    if (!failed && before.state != StageState::cancelled) continue;
    result.reason = cat("'", before.name, "' did not succeed");
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

void Run::store(std::size_t index, StageResult result) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool broken =
      result.error && (result.error->code == ErrorCode::interrupted || lock_broken_);
  result.allowed =
      result.state == StageState::failed && stage(index).spec->allow_failure && !broken;
  facts_[index].skipped = result.state == StageState::skipped || result.allowed;
  facts_[index].report = result.entry.report;
  results_[index] = result;
  if (is_good(result.state) || result.allowed) {
    if (Status status = publish_what_is_ready(); !status) {
      result.state = StageState::failed;
      result.allowed = false;
      result.error = std::move(status).error().within(cat("stage '", result.name, "'"));
      results_[index] = result;
    }
  }
  if (result.error && !result.allowed && !result_.error) result_.error = result.error;
  if (!result.entry.components.is_null() && result.state != StageState::failed) {
    Json stages = record_["stages"];
    stages.set(result.name, result.entry.components);
    record_.set("stages", std::move(stages));
  }
  Json failed = record_["failed"];
  failed.set(result.name, result.state == StageState::failed);
  record_.set("failed", std::move(failed));
  // What is only remembered for explanations must not fail a run.
  if (const auto places = state_.lock_places()) {
    read_places();
    static_cast<void>(state_.set_record(pipeline().name, record_));
  }
  static_cast<void>(write_run("running"));
  observer_.finished(result);
}

void Run::finish_lock() {
  if (request_.options.locked || request_.options.lock_file.empty()) return;
  if (Status status = publish_json(now_.to_json(), request_.options.lock_file); !status) {
    result_.error = std::move(status).error();
    result_.error->hint = "choose another place with --lock FILE, or none with --no-lock";
  }
}

Status Run::write_run(std::string_view run_state) {
  Json run = Json::object();
  run.set("id", result_.id);
  run.set("pipeline", pipeline().name);
  if (!pipeline().description.empty()) run.set("description", pipeline().description);
  run.set("apr", APR_VERSION);
  run.set("file", resolve_path(pipeline().file, current_folder()));
  run.set("set", request_.params.given);
  run.set("params", request_.params.values);
  run.set("state", run_state);
  run.set("owner", state_.owner());
  run.set("started", started_);
  run.set("seconds", result_.seconds);
  Json inputs = Json::object();
  for (const auto& [path, digest] : now_.inputs) inputs.set(path, digest);
  run.set("inputs", std::move(inputs));
  Json plugins = Json::object();
  for (const auto& [name, plugin] : now_.plugins) {
    plugins.set(name, Json::object({{"plugin", plugin.plugin}, {"sha256", plugin.sha256}}));
  }
  run.set("plugins", std::move(plugins));
  Json stages = Json::array();
  Json keys = Json::array();
  for (std::size_t i = 0; i < results_.size(); ++i) {
    Json json = to_json(results_[i]);
    Json after = Json::array();
    for (const std::size_t other : stage(i).dependencies) {
      after.push_back(stage(other).spec->name);
    }
    json.set("after", std::move(after));
    if (!stage(i).spec->description.empty()) json.set("description", stage(i).spec->description);
    if (!stage(i).spec->combination.empty()) json.set("group", stage(i).spec->group);
    stages.push_back(std::move(json));
    for (const std::string& key : results_[i].keys) keys.push_back(key);
  }
  run.set("stages", std::move(stages));
  run.set("keys", std::move(keys));
  Json outputs = Json::object();
  for (const Published& published : result_.published) {
    outputs.set(published.name, Json::object({{"path", published.target},
                                              {"sha256", published.digest.hex()},
                                              {"size", published.size},
                                              {"written", published.written}}));
  }
  run.set("outputs", std::move(outputs));
  Json tables = Json::array();
  for (const TableResult& table : result_.tables) tables.push_back(to_json(table));
  if (tables.size() > 0) run.set("tables", std::move(tables));
  const std::string folder = state_.run_folder(result_.id);
  APR_TRY(state_.replace(cat(folder, "/run.json"), run.dump(2)));
  if (run_state == "running") return {};
  return state_.replace(cat(folder, "/report.html"), html_report(run));
}

Result<RunResult> run_pipeline(const RunRequest& request, State& state, PluginHost& plugins,
                               Observer& observer) {
  return Run(request, state, plugins, observer).run();
}

}  // namespace apr::pipeline
