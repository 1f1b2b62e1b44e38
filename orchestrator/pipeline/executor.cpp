#include "orchestrator/pipeline/executor.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/file.h"
#include "orchestrator/process/descriptor.h"

namespace apr::pipeline {
namespace {

constexpr int kLookMs = 50;
/// Between the request to stop and the end by force.
constexpr std::uint64_t kGraceNs = 2'000'000'000;

Error failed(std::string_view what) {
  return make_error(ErrorCode::io, cat("cannot ", what, ": ", std::strerror(errno)), "",
                    "are there too many processes?");
}

std::vector<std::string> environment_of(const std::vector<std::string>& more) {
  std::vector<std::string> list;
  for (const auto* names : {&base_environment(), &more}) {
    for (const std::string& name : *names) {
      if (const char* value = std::getenv(name.c_str())) list.push_back(cat(name, "=", value));
    }
  }
  return list;
}

Result<Descriptor> in_memory(const std::string& text) {
  Descriptor file(::memfd_create("apr-stage", MFD_CLOEXEC));
  if (file.get() < 0) return failed("hand over the order");
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t count = ::write(file.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed("hand over the order");
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

Error error_from(const Json& json) {
  const std::int64_t code = json["code"].as_integer(1);
  return make_error(static_cast<ErrorCode>(code), json["message"].as_string(),
                    json["context"].as_string(), json["hint"].as_string());
}

/// The lines that a stage's process writes.
class Listener {
 public:
  explicit Listener(Progress& progress) : progress_(progress) {}

  void take(std::string_view bytes) {
    rest_ += bytes;
    std::size_t start = 0;
    for (std::size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1) {
      line(std::string_view(rest_).substr(start, end - start));
    }
    rest_.erase(0, start);
  }
  const std::optional<Json>& result() const { return result_; }

 private:
  void line(std::string_view text) {
    auto json = parse_json(text);
    if (!json) return;
    if (json->contains("outcome") || json->contains("error")) {
      result_ = *std::move(json);
    } else {
      progress_.update((*json)["what"].as_string(),
                       static_cast<std::uint64_t>((*json)["done"].as_integer()),
                       static_cast<std::uint64_t>((*json)["total"].as_integer()));
    }
  }

  Progress& progress_;
  std::string rest_;
  std::optional<Json> result_;
};

Error died(int status, const std::string& folder) {
  const auto stray = read_file(cat(folder, "/stray.txt"), std::uint64_t{1} << 20);
  std::string last;
  if (stray && !stray->empty()) {
    const std::size_t end = stray->find_last_not_of("\r\n");
    const std::size_t start = end == std::string::npos ? end : stray->rfind('\n', end);
    if (end != std::string::npos) {
      last = stray->substr(start == std::string::npos ? 0 : start + 1,
                           end - (start == std::string::npos ? 0 : start + 1) + 1);
    }
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    return make_error(ErrorCode::generic, "the stage's process was killed", "",
                      "the system does that when memory runs out: run fewer stages at a time with "
                      "-j 1, or state what they take with 'resources'");
  }
  const std::string how = WIFSIGNALED(status) ? cat("by signal ", WTERMSIG(status), " (",
                                                    ::strsignal(WTERMSIG(status)), ")")
                                              : cat("with exit code ", WEXITSTATUS(status));
  return make_error(ErrorCode::generic,
                    cat("the stage's process ended ", how, " and left no result"), "",
                    last.empty() ? "this is a fault of the stage or of a plugin" : last);
}

struct Child {
  pid_t pid = -1;
  Descriptor lines;
};

Result<Child> start(const WorkOrder& order, const std::vector<std::string>& plugin_path,
                    const std::vector<std::string>& variables) {
  Json json = Json::object();
  json.set("verb", order.verb->info().name);
  json.set("values", order.values.json());
  json.set("folder", order.folder);
  json.set("threads", std::uint64_t{order.threads});
  json.set("parent", std::int64_t{::getpid()});
  Json paths = Json::array();
  for (const std::string& path : plugin_path) paths.push_back(path);
  json.set("plugin_path", std::move(paths));
  APR_ASSIGN(const Descriptor input, in_memory(json.dump()));

  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return failed("start a stage");
  Child child;
  child.lines = Descriptor(ends[0]);
  const Descriptor write_end(ends[1]);
  const std::string stray_path = cat(order.folder, "/stray.txt");
  const Descriptor stray(
      ::open(stray_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (stray.get() < 0) return make_error(ErrorCode::io, std::strerror(errno), stray_path);

  std::vector<std::string> environment = environment_of(variables);
  std::vector<char*> env_pointers;
  for (std::string& text : environment) env_pointers.push_back(text.data());
  env_pointers.push_back(nullptr);
  std::string program = "/proc/self/exe";
  std::string name = "apr-pipeline";
  std::string command(kWorkerCommand);
  char* const words[] = {name.data(), command.data(), nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, input.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, stray.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, stray.get(), 2);
  ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), 3);
  // A process group of its own: Ctrl-C reaches us alone, and we pass it on once.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error =
      ::posix_spawn(&child.pid, program.c_str(), &actions, &attributes, words, env_pointers.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    return failed("start a stage");
  }
  return child;
}

Outcome outcome_from(const Json& json) {
  Outcome outcome;
  outcome.report = json["outcome"];
  outcome.exit_code = static_cast<int>(json["exit_code"].as_integer());
  return outcome;
}

/// Runs the verb with its texts going to files of the folder.
Result<Outcome> run_here(Stage& verb, const Values& values, const std::string& folder,
                         unsigned threads, PluginHost& plugins, Progress& progress) {
  std::ofstream out(cat(folder, "/out.txt"), std::ios::binary);
  std::ofstream notes(cat(folder, "/notes.txt"), std::ios::binary);
  if (!out || !notes) return make_error(ErrorCode::io, "cannot write here", folder);
  RunContext context{.params = values,
                     .plugins = plugins,
                     .progress = progress,
                     .out = out,
                     .notes = notes,
                     .threads = threads};
  Result<Outcome> outcome = Outcome{};
  try {
    outcome = verb.run(context);
  } catch (const std::bad_alloc&) {
    outcome =
        make_error(ErrorCode::generic, "out of memory", "", "run fewer stages at a time with -j 1");
  } catch (const std::exception& exception) {
    outcome = make_error(ErrorCode::generic, cat("unexpected failure: ", exception.what()));
  }
  out.flush();
  if (outcome && !out) {
    return make_error(ErrorCode::io, "what the stage printed could not be written", folder,
                      "is the disk full?");
  }
  return outcome;
}

}  // namespace

const std::vector<std::string>& base_environment() {
  static const std::vector<std::string> names{
      "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "XDG_DATA_HOME",
      "APR_CPU", "APR_PLUGIN_PATH",
      // Of the tools that watch programs.
      "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LLVM_PROFILE_FILE",
      "GCOV_PREFIX", "GCOV_PREFIX_STRIP"};
  return names;
}

WorkDone InProcess::run(const WorkOrder& order, Progress& progress) {
  WorkDone done;
  done.outcome =
      run_here(*order.verb, order.values, order.folder, order.threads, plugins_, progress);
  return done;
}

WorkDone ChildProcess::run(const WorkOrder& order, Progress& progress) {
  WorkDone done;
  auto child = start(order, plugin_path_, variables_);
  if (!child) {
    done.outcome = std::move(child).error();
    return done;
  }
  const std::uint64_t began = monotonic_ns();
  std::uint64_t asked_at = 0;  // when it was asked to stop
  Listener listener(progress);
  while (true) {
    pollfd watched{child->lines.get(), POLLIN, 0};
    const int ready = ::poll(&watched, 1, kLookMs);
    if (ready > 0) {
      char buffer[4096];
      const ssize_t count = ::read(child->lines.get(), buffer, sizeof buffer);
      if (count == 0) break;  // it has ended
      if (count > 0) listener.take({buffer, static_cast<std::size_t>(count)});
    }
    const std::uint64_t now = monotonic_ns();
    const bool late = order.timeout_ms && now - began > *order.timeout_ms * 1'000'000;
    const bool stop = g_interrupted.load(std::memory_order_relaxed);
    if (asked_at == 0 && (late || stop)) {
      done.timed_out = late && !stop;
      asked_at = now;
      ::kill(child->pid, SIGINT);
    } else if (asked_at != 0 && now - asked_at > kGraceNs) {
      ::kill(child->pid, SIGKILL);
    }
  }
  int status = 0;
  rusage used{};
  while (::wait4(child->pid, &status, 0, &used) < 0 && errno == EINTR) {
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  done.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  const auto& result = listener.result();
  if (done.timed_out) {
    done.outcome = make_error(ErrorCode::generic,
                              cat("took longer than its timeout of ",
                                  static_cast<double>(*order.timeout_ms) / 1000, " s"),
                              "", "give it more time with 'timeout', or fewer neighbours with -j");
  } else if (result && result->contains("outcome")) {
    done.outcome = outcome_from(*result);
    done.peak_memory_bytes =
        static_cast<std::uint64_t>((*result)["peak_memory_bytes"].as_integer());
  } else if (result) {
    done.outcome = error_from((*result)["error"]);
  } else if (asked_at != 0) {
    done.outcome = make_error(ErrorCode::interrupted, "stopped by the user");
  } else {
    done.outcome = died(status, order.folder);
  }
  return done;
}

}  // namespace apr::pipeline
