// The process of one stage: takes its order, runs the verb, tells the result.
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/pipeline/check.h"
#include "orchestrator/pipeline/executor.h"

namespace apr::pipeline {
namespace {

constexpr int kLines = 3;
constexpr std::uint64_t kTellNs = 100'000'000;

void tell(const Json& json) {
  const std::string line = json.dump() + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t count = ::write(kLines, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
}

class Lines final : public Progress {
 public:
  void update(std::string_view what, std::uint64_t done, std::uint64_t total) override {
    const std::uint64_t now = monotonic_ns();
    if (now - told_at_ < kTellNs && done != total) return;
    told_at_ = now;
    tell(Json::object({{"what", what}, {"done", done}, {"total", total}}));
  }
  void finish() override {}

 private:
  std::uint64_t told_at_ = 0;
};

/// The most memory this process had at once, mapped files included; 0 if unknown.
std::uint64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

Result<Outcome> run_order(const Json& order) {
  const VerbTable verbs = all_stages();
  Verb* verb = verbs.find(order["verb"].as_string());
  if (verb == nullptr || !verb->is_stage()) {
    return make_error(ErrorCode::unsupported,
                      cat("there is no stage '", order["verb"].as_string(), "'"));
  }
  std::vector<std::string> plugin_path;
  for (const Json& path : order["plugin_path"].as_array()) plugin_path.push_back(path.as_string());
  APR_ASSIGN(const auto plugins, PluginHost::create(plugin_path));
  Lines progress;
  WorkOrder work;
  work.verb = static_cast<Stage*>(verb);
  work.values = Values(order["values"]);
  work.folder = order["folder"].as_string();
  work.threads = static_cast<unsigned>(order["threads"].as_integer());
  return InProcess(*plugins).run(work, progress).outcome;
}

}  // namespace

int run_stage_worker() {
  // Whoever started us wants nothing from us any more once it is gone.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string text{std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>()};
  const auto order = parse_json(text);
  if (!order || !(*order)["verb"].is_string()) {
    std::cerr << "apr-pipeline: error: stage-worker is started by `apr-pipeline run` only\n";
    return exit_code(ErrorCode::usage);
  }
  if (::getppid() != static_cast<pid_t>((*order)["parent"].as_integer())) return 1;
  const auto outcome = run_order(*order);
  if (outcome) {
    tell(Json::object({{"outcome", outcome->report},
                       {"exit_code", std::int64_t{outcome->exit_code}},
                       {"peak_memory_bytes", peak_memory()}}));
    return 0;
  }
  const Error& error = outcome.error();
  tell(Json::object({{"error", Json::object({{"code", std::int64_t{exit_code(error.code)}},
                                             {"message", error.message},
                                             {"context", error.context},
                                             {"hint", error.hint}})}}));
  return 0;
}

}  // namespace apr::pipeline
