// Who watches a run: the terminal, the event log.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/pipeline/run_result.h"

namespace apr::pipeline {

/// Shows a run while it goes on. Called from many threads.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void run_started(const std::string& /*id*/, const std::string& /*pipeline*/) {}
  virtual void started(const StageResult& stage) = 0;
  /// Something is not in the cache: a verb runs, for the stage itself or for one of its gates.
  virtual void working(const std::string& stage, std::string_view what) = 0;
  virtual void progress(const std::string& stage, std::string_view what, std::uint64_t done,
                        std::uint64_t total) = 0;
  virtual void gate_done(const std::string& /*stage*/, const GateOutcome& /*outcome*/) {}
  virtual void retrying(const std::string& /*stage*/, unsigned /*attempt*/, const Error& /*why*/,
                        std::uint64_t /*delay_ms*/) {}
  virtual void finished(const StageResult& stage) = 0;
  virtual void published(const Published& /*output*/) {}
  virtual void run_finished(const RunResult& /*result*/) {}
};

/// Tells everything to several.
class Observers final : public Observer {
 public:
  explicit Observers(std::vector<Observer*> list) : list_(std::move(list)) {}
  void run_started(const std::string& id, const std::string& pipeline) override;
  void started(const StageResult& stage) override;
  void working(const std::string& stage, std::string_view what) override;
  void progress(const std::string& stage, std::string_view what, std::uint64_t done,
                std::uint64_t total) override;
  void gate_done(const std::string& stage, const GateOutcome& outcome) override;
  void retrying(const std::string& stage, unsigned attempt, const Error& why,
                std::uint64_t delay_ms) override;
  void finished(const StageResult& stage) override;
  void published(const Published& output) override;
  void run_finished(const RunResult& result) override;

 private:
  std::vector<Observer*> list_;
};

/// One JSON object per line and event: {"event", "time", …}.
class EventLog final : public Observer {
 public:
  explicit EventLog(std::ostream& out) : out_(out) {}
  void run_started(const std::string& id, const std::string& pipeline) override;
  void started(const StageResult& stage) override;
  void working(const std::string& stage, std::string_view what) override;
  void progress(const std::string& stage, std::string_view what, std::uint64_t done,
                std::uint64_t total) override;
  void gate_done(const std::string& stage, const GateOutcome& outcome) override;
  void retrying(const std::string& stage, unsigned attempt, const Error& why,
                std::uint64_t delay_ms) override;
  void finished(const StageResult& stage) override;
  void published(const Published& output) override;
  void run_finished(const RunResult& result) override;

 private:
  void write(std::string_view event, Json members);
  std::ostream& out_;
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> told_at_;  ///< progress, by stage
};

}  // namespace apr::pipeline
