#include "orchestrator/cli/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <string>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"

namespace apr {

namespace {

constexpr std::uint64_t kEstimateAfterNs = 2'000'000'000;  ///< before, a guess would jump about

class NoProgress final : public Progress {
 public:
  void update(std::string_view, std::uint64_t, std::uint64_t) override {}
  void finish() override {}
};

class Bar final : public Progress {
 public:
  ~Bar() override { finish(); }

  void update(std::string_view what, std::uint64_t done, std::uint64_t total) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::uint64_t now = monotonic_ns();
    if (started_ == 0) started_ = now;
    // Quick work never flashes a bar, and slow work redraws ten times a second.
    if (now - started_ < 300'000'000 || now - drawn_ < 100'000'000) return;
    drawn_ = now;
    std::fputs(cat("\r", line(what, done, total, now - started_), "\x1b[K").c_str(), stderr);
    std::fflush(stderr);
    shown_ = true;
  }

  void finish() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (shown_) {
      std::fputs("\r\x1b[K", stderr);
      std::fflush(stderr);
    }
    shown_ = false;
    started_ = 0;
    drawn_ = 0;
  }

 private:
  static std::string line(std::string_view what, std::uint64_t done, std::uint64_t total,
                          std::uint64_t elapsed) {
    const std::size_t width = terminal_width(STDERR_FILENO) - 1;
    if (total == 0) return shortened(printable(what), width);
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    constexpr std::size_t kCells = 24;
    const auto full = static_cast<std::size_t>(share * kCells);
    std::string cells;
    for (std::size_t i = 0; i < kCells; ++i) cells += i < full ? "█" : "░";
    const auto percent = static_cast<int>(share * 100);
    const std::string number = cat(percent < 10 ? "  " : percent < 100 ? " " : "", percent, " % ");
    std::string left;
    if (elapsed > kEstimateAfterNs && share > 0.02 && share < 1) {
      const double seconds = static_cast<double>(elapsed) / 1e9 * (1 - share) / share;
      const auto whole = static_cast<std::uint64_t>(std::ceil(seconds));
      const std::string time = whole < 100 ? cat(whole, " s") : human_seconds(seconds);
      left = cat("about ", time, " left  ");
    }
    return cat(cells, number, shortened(cat(left, printable(what)), width - kCells - 6));
  }

  std::mutex mutex_;
  std::uint64_t started_ = 0;
  std::uint64_t drawn_ = 0;
  bool shown_ = false;
};

}  // namespace

std::unique_ptr<Progress> make_progress(bool quiet) {
  if (quiet || !is_terminal(STDERR_FILENO)) return std::make_unique<NoProgress>();
  return std::make_unique<Bar>();
}

}  // namespace apr
