#include "orchestrator/pipeline/observer.h"

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/cli/report_error.h"

namespace apr::pipeline {
namespace {

constexpr std::uint64_t kProgressNs = 500'000'000;

}  // namespace

void Observers::run_started(const std::string& id, const std::string& pipeline) {
  for (Observer* one : list_) one->run_started(id, pipeline);
}
void Observers::started(const StageResult& stage) {
  for (Observer* one : list_) one->started(stage);
}
void Observers::working(const std::string& stage, std::string_view what) {
  for (Observer* one : list_) one->working(stage, what);
}
void Observers::progress(const std::string& stage, std::string_view what, std::uint64_t done,
                         std::uint64_t total) {
  for (Observer* one : list_) one->progress(stage, what, done, total);
}
void Observers::gate_done(const std::string& stage, const GateOutcome& outcome) {
  for (Observer* one : list_) one->gate_done(stage, outcome);
}
void Observers::retrying(const std::string& stage, unsigned attempt, const Error& why,
                         std::uint64_t delay_ms) {
  for (Observer* one : list_) one->retrying(stage, attempt, why, delay_ms);
}
void Observers::finished(const StageResult& stage) {
  for (Observer* one : list_) one->finished(stage);
}
void Observers::published(const Published& output) {
  for (Observer* one : list_) one->published(output);
}
void Observers::run_finished(const RunResult& result) {
  for (Observer* one : list_) one->run_finished(result);
}

void EventLog::write(std::string_view event, Json members) {
  Json json = Json::object();
  json.set("event", event);
  json.set("time", unix_seconds());
  for (const auto& [key, value] : members.as_object()) json.set(key, value);
  out_ << json.dump() << '\n' << std::flush;
}

void EventLog::run_started(const std::string& id, const std::string& pipeline) {
  const std::lock_guard<std::mutex> lock(mutex_);
  write("run_started", Json::object({{"run", id}, {"pipeline", pipeline}}));
}

void EventLog::started(const StageResult& stage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  write("stage_started", Json::object({{"stage", stage.name}, {"uses", stage.verb}}));
}

void EventLog::working(const std::string& stage, std::string_view what) {
  const std::lock_guard<std::mutex> lock(mutex_);
  write("work_started", Json::object({{"stage", stage}, {"what", what}}));
}

void EventLog::progress(const std::string& stage, std::string_view what, std::uint64_t done,
                        std::uint64_t total) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::uint64_t now = monotonic_ns();
  std::uint64_t& told = told_at_[stage];
  if (now - told < kProgressNs) return;
  told = now;
  write("progress",
        Json::object({{"stage", stage}, {"what", what}, {"done", done}, {"total", total}}));
}

void EventLog::gate_done(const std::string& stage, const GateOutcome& outcome) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Json members = Json::object({{"stage", stage}});
  const Json gate = to_json(outcome);
  for (const auto& [key, value] : gate.as_object()) members.set(key, value);
  write("gate", std::move(members));
}

void EventLog::retrying(const std::string& stage, unsigned attempt, const Error& why,
                        std::uint64_t delay_ms) {
  const std::lock_guard<std::mutex> lock(mutex_);
  write("attempt_failed", Json::object({{"stage", stage},
                                        {"attempt", std::uint64_t{attempt}},
                                        {"delay_ms", delay_ms},
                                        {"error", error_as_json(why)["error"]}}));
}

void EventLog::finished(const StageResult& stage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Json members = Json::object(
      {{"stage", stage.name}, {"state", name_of(stage.state)}, {"seconds", stage.seconds}});
  if (!stage.reason.empty()) members.set("reason", stage.reason);
  if (!stage.entry.key.empty()) members.set("key", stage.entry.key);
  if (stage.error) members.set("error", error_as_json(*stage.error)["error"]);
  write("stage_finished", std::move(members));
}

void EventLog::published(const Published& output) {
  const std::lock_guard<std::mutex> lock(mutex_);
  write("published", Json::object({{"output", output.name},
                                   {"path", output.target},
                                   {"sha256", output.digest.hex()},
                                   {"size", output.size},
                                   {"written", output.written}}));
}

void EventLog::run_finished(const RunResult& result) {
  const std::lock_guard<std::mutex> lock(mutex_);
  write("run_finished", Json::object({{"run", result.id},
                                      {"ok", !result.error.has_value()},
                                      {"exit_code", std::int64_t{result.exit_code()}},
                                      {"seconds", result.seconds}}));
}

}  // namespace apr::pipeline
