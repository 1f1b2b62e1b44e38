// A run as people see it: one line when a stage ends, and on a terminal a bar for each that runs.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <ostream>
#include <string>

#include "orchestrator/cli/terminal.h"
#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

class Display final : public Observer {
 public:
  struct Options {
    bool lines = true;  ///< a line for every stage that starts or ends
    bool bars = false;  ///< standard error is a terminal
    Style style;        ///< of `out`
    std::size_t width = 80;
  };
  Display(std::ostream& out, Options options, std::size_t name_width);
  ~Display() override;

  void started(const StageResult& stage) override;
  void working(const std::string& stage, std::string_view what) override;
  void progress(const std::string& stage, std::string_view what, std::uint64_t done,
                std::uint64_t total) override;
  void retrying(const std::string& stage, unsigned attempt, const Error& why,
                std::uint64_t delay_ms) override;
  void finished(const StageResult& stage) override;

 private:
  void erase_bars();
  void draw_bars();

  std::ostream& out_;
  Options options_;
  std::size_t name_width_;
  std::mutex mutex_;
  struct Bar {
    std::string task;  ///< "convert", "eval for gate kld"
    std::string what;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    std::uint64_t since = 0;
  };
  std::map<std::string, Bar> bars_;
  std::size_t drawn_ = 0;
  std::uint64_t drawn_at_ = 0;
};

/// The last lines of a run: outputs and the count of stages by what happened to them.
void print_summary(const RunResult& result, std::ostream& out, Style style);

}  // namespace apr::pipeline
