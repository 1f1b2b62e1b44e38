#include "orchestrator/pipeline/display.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/html_report.h"

namespace apr::pipeline {
namespace {

constexpr std::uint64_t kRedrawNs = 100'000'000;
constexpr std::uint64_t kShowTimeNs = 1'000'000'000;
constexpr std::size_t kPrintedLines = 6;

std::string padded(std::string_view text, std::size_t width) {
  std::string line(text);
  const std::size_t used = display_width(text);
  if (used < width) line.append(width - used, ' ');
  return line;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string line;
  for (const std::string& text : texts) line += cat(line.empty() ? "" : ", ", text);
  return line;
}

std::string mark(StageState state, Style style) {
  switch (state) {
    case StageState::cached:
    case StageState::ran:
      return style.green("✓");
    case StageState::failed:
      return style.red("✗");
    case StageState::skipped:
      return style.dim("–");
    default:
      return style.yellow("·");
  }
}

void print_indented(std::ostream& out, const std::string& text, Style style) {
  std::size_t start = 0;
  std::size_t lines = 0;
  while (start < text.size()) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    if (lines == kPrintedLines) {
      out << "    " << style.dim("│ …") << '\n';
      return;
    }
    out << "    " << style.dim("│") << ' ' << printable(line) << '\n';
    ++lines;
  }
}

}  // namespace

Display::Display(std::ostream& out, Options options, std::size_t name_width)
    : out_(out), options_(options), name_width_(name_width) {}

Display::~Display() {
  const std::lock_guard<std::mutex> lock(mutex_);
  erase_bars();
}

void Display::erase_bars() {
  if (drawn_ == 0) return;
  for (std::size_t i = 0; i < drawn_; ++i) std::fputs("\x1b[1A\x1b[2K", stderr);
  std::fputs("\r", stderr);
  std::fflush(stderr);
  drawn_ = 0;
}

void Display::draw_bars() {
  if (!options_.bars) return;
  constexpr std::size_t kCells = 16;
  const std::uint64_t now = monotonic_ns();
  for (const auto& [name, bar] : bars_) {
    std::string line = cat("  ", padded(name, name_width_), "  ");
    if (bar.total > 0) {
      const double share =
          std::min(1.0, static_cast<double>(bar.done) / static_cast<double>(bar.total));
      const auto full = static_cast<std::size_t>(share * kCells);
      for (std::size_t i = 0; i < kCells; ++i) line += i < full ? "█" : "░";
      line += cat(" ", static_cast<int>(share * 100), " %  ");
    } else if (now - bar.since > kShowTimeNs) {
      line += cat(human_seconds(static_cast<double>(now - bar.since) / 1e9), "  ");
    }
    line += bar.task;
    if (!bar.what.empty()) line += cat(": ", printable(bar.what));
    std::fputs(cat(shortened(line, options_.width - 1), "\n").c_str(), stderr);
    ++drawn_;
  }
  std::fflush(stderr);
  drawn_at_ = now;
}

void Display::started(const StageResult& stage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bars_[stage.name].since = monotonic_ns();
}

void Display::working(const std::string& stage, std::string_view what) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = bars_.find(stage);
  if (found != bars_.end()) {
    found->second = {.task = std::string(what), .what = {}, .since = monotonic_ns()};
  }
  if (options_.bars) {
    erase_bars();
    draw_bars();
  } else if (options_.lines) {
    out_ << "· " << padded(stage, name_width_) << "  started   " << what << '\n' << std::flush;
  }
}

void Display::progress(const std::string& stage, std::string_view what, std::uint64_t done,
                       std::uint64_t total) {
  if (!options_.bars) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = bars_.find(stage);
  if (found == bars_.end()) return;
  found->second.what = what;
  found->second.done = done;
  found->second.total = total;
  if (monotonic_ns() - drawn_at_ < kRedrawNs) return;
  erase_bars();
  draw_bars();
}

void Display::retrying(const std::string& stage, unsigned attempt, const Error& why,
                       std::uint64_t delay_ms) {
  const std::lock_guard<std::mutex> lock(mutex_);
  erase_bars();
  if (options_.lines) {
    const Style style = options_.style;
    out_ << style.yellow("↻") << ' ' << style.bold(padded(stage, name_width_)) << "  attempt "
         << attempt << " failed: " << printable(why.message) << "; once more";
    if (delay_ms > 0) out_ << " in " << human_seconds(static_cast<double>(delay_ms) / 1000);
    out_ << '\n' << std::flush;
  }
  draw_bars();
}

void Display::finished(const StageResult& stage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bars_.erase(stage.name);
  erase_bars();
  if (options_.lines) {
    const Style style = options_.style;
    out_ << mark(stage.state, style) << ' ' << style.bold(padded(stage.name, name_width_)) << "  "
         << padded(name_of(stage.state), 9) << ' ';
    const bool worked = stage.state == StageState::ran || stage.state == StageState::failed;
    std::vector<std::string> rest;
    if (worked) rest.push_back(human_seconds(stage.seconds));
    rest.insert(rest.end(), stage.figures.begin(), stage.figures.end());
    if (stage.allowed) rest.emplace_back("which is allowed");
    out_ << joined(rest);
    if (!stage.reason.empty()) {
      out_ << (rest.empty() ? "" : "  ") << style.dim(cat("(", printable(stage.reason), ")"));
    }
    out_ << '\n';
    for (const GateOutcome& gate : stage.gates) {
      out_ << "    " << (gate.passed ? style.green("✓") : style.red("✗")) << " gate " << gate.kind
           << ": " << printable(gate.message) << '\n';
    }
    print_indented(out_, stage.printed, style);
    if (stage.error) {
      out_ << "    " << style.red("error:") << ' ' << printable(stage.error->to_string()) << '\n';
    }
    out_ << std::flush;
  }
  draw_bars();
}

void print_summary(const RunResult& result, std::ostream& out, Style style) {
  for (const Published& published : result.published) {
    out << style.bold("→") << ' ' << published.name << "  " << printable(published.target) << "  "
        << human_bytes(published.size) << "  " << style.dim(cat("sha256 ", published.digest.hex()))
        << (published.written ? "" : "  (unchanged)") << '\n';
  }
  for (const TableResult& table : result.tables) {
    std::vector<Table::Column> columns;
    for (const std::string& title : table.columns) {
      columns.push_back({title, columns.empty() ? Table::Align::left : Table::Align::right});
    }
    Table shown(columns);
    for (const auto& row : table.rows) {
      std::vector<std::string> cells;
      for (std::size_t i = 0; i < row.size(); ++i) {
        cells.push_back(printable(shown_figure(row[i], table.units[i])));
      }
      shown.row(std::move(cells));
    }
    out << '\n' << style.bold(table.title) << '\n' << shown.to_string(style, 2) << '\n';
  }
  std::vector<std::string> counts;
  for (const StageState state : {StageState::ran, StageState::cached, StageState::skipped,
                                 StageState::failed, StageState::cancelled}) {
    const auto count =
        std::count_if(result.stages.begin(), result.stages.end(),
                      [&](const StageResult& stage) { return stage.state == state; });
    if (count > 0) counts.push_back(cat(count, " ", name_of(state)));
  }
  out << (result.error ? style.red("stopped") : style.green("done")) << " after "
      << human_seconds(result.seconds) << ": " << joined(counts) << '\n';
}

}  // namespace apr::pipeline
