// One stage of a run: attempts, the work itself, and the gates after it.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/pipeline/run.h"

namespace apr::pipeline {
namespace {

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

bool may_retry(const RetrySpec& retry, const Error& error, bool timed_out) {
  const std::string cause(timed_out ? "timeout" : name_of(error.code));
  return std::find(retry.on.begin(), retry.on.end(), cause) != retry.on.end();
}

/// False if the user stopped the run meanwhile.
bool wait_for(std::uint64_t milliseconds) {
  const std::uint64_t end = monotonic_ns() + milliseconds * 1'000'000;
  while (!stop_requested() && monotonic_ns() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return !stop_requested();
}

/// What a check that failed reports belongs to what it printed.
Status add_to_log(const std::string& file, std::string_view text) {
  if (file.empty()) return {};
  std::ofstream log(file, std::ios::app | std::ios::binary);
  log << text;
  if (log.flush()) return {};
  return make_error(ErrorCode::io, "the log cannot be written", file);
}

}  // namespace

void Run::attempt_until_done(std::size_t index, StageResult& result) {
  const RetrySpec& retry = stage(index).spec->retry;
  while (true) {
    ++result.attempts;
    bool timed_out = false;
    Status status = run_stage(index, result, timed_out);
    if (status) return;
    Error error = std::move(status).error().within(cat("stage '", result.name, "'"));
    const bool again = result.attempts <= retry.count && may_retry(retry, error, timed_out) &&
                       error.code != ErrorCode::interrupted && !stop_requested();
    if (again) {
      observer_.retrying(result.name, result.attempts, error, retry.delay_ms);
      if (wait_for(retry.delay_ms)) {
        result.gates.clear();
        result.printed.clear();
        continue;
      }
    }
    if (result.attempts > 1) error.message += cat(" (in attempt ", result.attempts, ")");
    result.state = StageState::failed;
    result.error = std::move(error);
    return;
  }
}

Status Run::run_stage(std::size_t index, StageResult& result, bool& timed_out) {
  const CheckedStage& checked = stage(index);
  const auto lookup = make_lookup(pipeline(), request_.params, checked.spec->matrix, facts_of());
  APR_ASSIGN(ResolvedStage resolved, resolve_stage(pipeline(), checked, lookup));
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
  result.input_bytes = prepared.input_bytes;
  StageProgress progress(observer_, result.name);
  WorkLimits limits;
  limits.timeout_ms = checked.spec->timeout_ms;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    limits.threads = threads_for(index);
  }
  WorkNotes notes;
  auto done = workshop_.run(
      prepared, limits, progress, [&] { observer_.working(result.name, result.verb); }, notes);
  timed_out = notes.timed_out;
  if (!notes.log.empty()) result.logs.push_back({result.verb, notes.log});
  if (!done) {
    result.printed = notes.printed;
    return std::move(done).error();
  }
  result.entry = done->entry;
  result.cost = done->entry.cost;
  if (done->exit_code != 0) {
    result.cost.cpu_seconds = notes.cpu_seconds;
    result.cost.peak_memory_bytes = notes.peak_memory_bytes;
  }
  result.keys.push_back(prepared.key);
  if (done->exit_code != 0) {
    result.printed = notes.printed;
    result.figures = key_figures(checked.verb->info(), done->entry);
    std::ostringstream text;
    checked.verb->print(done->entry.report, text, false);
    result.printed += text.str();
    APR_TRY(add_to_log(notes.log, text.str()));
    return make_error(
        static_cast<ErrorCode>(done->exit_code), "its checks failed", "",
        cat("`apr-pipeline logs ", base_name(pipeline().file), " ", result.name, "` shows which"));
  }
  result.printed = printed_by(done->entry);
  result.figures = key_figures(checked.verb->info(), done->entry);
  if (done->cached) {
    result.reason.clear();
    result.logs = {{result.verb, cat(done->entry.folder, "/out.txt")}};
  } else {
    note_rate(prepared, done->entry);
  }
  if (request_.options.gates) APR_TRY(hold_gates(index, result, timed_out));
  APR_TRY(note_outputs(result));
  result.state = done->cached ? StageState::cached : StageState::ran;
  return {};
}

std::string Run::why(const PreparedJob& prepared) {
  if (!prepared.job.verb->info().reproducible) return "its result is not reproducible";
  const std::lock_guard<std::mutex> lock(mutex_);
  const Json& before = record_["stages"][prepared.job.label];
  if (record_["failed"][prepared.job.label].as_boolean(false)) return "failed last time";
  if (before.is_null()) return "never ran";
  const std::string what = difference(before, prepared.components);
  return what.empty() ? "its result is no longer in the cache" : what;
}

/// Seconds and bytes of all work of a verb so far: what later estimates of time are made from.
void Run::note_rate(const PreparedJob& prepared, const CacheEntry& entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::string& verb = prepared.job.verb->info().name;
  Json rates = record_["rates"];
  const Json& before = rates[verb];
  rates.set(verb, Json::object({{"seconds", before["seconds"].as_number() + entry.cost.seconds},
                                {"bytes", before["bytes"].as_number() +
                                              static_cast<double>(prepared.input_bytes)}}));
  record_.set("rates", std::move(rates));
}

Status Run::note_plugins(const PreparedJob& prepared) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const PluginUse& use : prepared.plugins) {
    now_.plugins[use.name] = {use.plugin, use.digest.hex()};
  }
  for (const InputUse& use : prepared.inputs) {
    if (use.foreign) now_.inputs[lock_path(use.path, pipeline().folder)] = use.digest.hex();
  }
  return hold_to_lock();
}

Status Run::note_outputs(const StageResult& result) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (result.entry.outputs.empty()) return {};
  for (const Output& output : result.entry.outputs) {
    now_.stages[result.name][output.port] = output.digest.hex();
  }
  return hold_to_lock();
}

Status Run::hold_gates(std::size_t index, StageResult& result, bool& timed_out) {
  const CheckedStage& checked = stage(index);
  const Output* model = result.entry.find(main_port(*checked.verb));
  // A gate may look at its own stage, which is not among the finished ones yet.
  StageFacts own;
  own.report = result.entry.report;
  own.output = [&](std::string_view port) {
    const Output* output = result.entry.find(port);
    return output == nullptr ? std::string() : output->path;
  };
  const auto lookup =
      make_lookup(pipeline(), request_.params, checked.spec->matrix,
                  [&](std::size_t other) { return other == index ? &own : &facts_[other]; });
  // One that fails does not hide the figures of the others; the first failure is told.
  std::optional<Error> failure;
  for (const GateSpec& gate : checked.spec->gates) {
    if (stop_requested()) {
      return make_error(ErrorCode::interrupted, "stopped by the user", "",
                        "what is finished is kept; `apr-pipeline resume` goes on from here");
    }
    APR_ASSIGN(const Json values, resolve_gate(pipeline(), checked, gate, lookup,
                                               model == nullptr ? "" : model->path));
    GateTools tools;
    tools.report = &result.entry.report;
    tools.size = size_of_artifact;
    tools.measure = [&](const std::string& verb, const Json& params) {
      return measure(index, result, cat(verb, " for gate ", gate.kind), verb, params, timed_out);
    };
    auto outcome = evaluate_gate(gate.kind, values, tools);
    if (!outcome) {
      Error error = std::move(outcome).error().within(
          cat(place(pipeline().file, gate.at), ": gate ", gate.kind));
      if (!failure || error.code == ErrorCode::interrupted) return error;
      continue;
    }
    const bool passed = outcome->passed;
    const std::string message = outcome->message;
    observer_.gate_done(result.name, *outcome);
    result.gates.push_back(*std::move(outcome));
    if (!passed && !failure) {
      timed_out = false;
      failure = make_error(ErrorCode::validation, cat("gate ", gate.kind, " failed: ", message),
                           place(pipeline().file, gate.at),
                           "the stage's output is not passed on; mend its cause or move the limit");
    }
  }
  if (failure) return *std::move(failure);
  return {};
}

Result<GateTools::Measurement> Run::measure(std::size_t index, StageResult& result,
                                            const std::string& what, const std::string& verb,
                                            const Json& params, bool& timed_out) {
  Verb* found = request_.verbs.find(verb);
  if (found == nullptr || !found->is_stage()) {
    return make_error(ErrorCode::unsupported, cat("there is no stage '", verb, "'"));
  }
  Job job;
  job.label = cat(result.name, ": ", what);
  job.verb = static_cast<Stage*>(found);
  job.params = params;
  APR_ASSIGN(const PreparedJob prepared, workshop_.prepare(std::move(job)));
  APR_TRY(note_plugins(prepared));
  StageProgress progress(observer_, result.name);
  WorkLimits limits;
  limits.timeout_ms = stage(index).spec->timeout_ms;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    limits.threads = threads_for(index);
  }
  WorkNotes notes;
  auto done = workshop_.run(
      prepared, limits, progress, [&] { observer_.working(result.name, what); }, notes);
  timed_out = notes.timed_out;
  if (!notes.log.empty()) result.logs.push_back({what, notes.log});
  if (!done) return std::move(done).error();
  if (done->cached) {
    result.logs.push_back({what, cat(done->entry.folder, "/out.txt")});
  } else {
    note_rate(prepared, done->entry);
  }
  result.keys.push_back(prepared.key);
  return GateTools::Measurement{std::move(done->entry.report), done->exit_code};
}

}  // namespace apr::pipeline
