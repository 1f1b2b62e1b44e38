// A step is a child process in a group of its own: its input is written and its two outputs are
// read as it goes, so that no pipe fills up; when its time is over, the group is ended.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/playbook/pattern.h"
#include "orchestrator/playbook/playbook.h"
#include "orchestrator/process/descriptor.h"
#include "orchestrator/process/fresh_folder.h"
#include "orchestrator/stages/verb.h"

namespace apr::playbook {

namespace {

constexpr std::size_t kMaxOutputBytes = std::size_t{16} << 20;

Error system_error(std::string_view what) {
  return make_error(ErrorCode::io, cat(what, ": ", std::strerror(errno)), "playbook");
}

Result<std::pair<Descriptor, Descriptor>> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("no pipe could be made");
  return std::pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

struct Ended {
  int exit_code = 0;
  bool timed_out = false;
  double seconds = 0;
  std::string output;
  std::string error_output;
};

std::vector<std::string> environment_for(const Step& step, const std::string& folder) {
  std::map<std::string, std::string> all = {{"HOME", folder},
                                            {"PATH", "/usr/bin:/bin"},
                                            {"LC_ALL", "C.UTF-8"},
                                            {"NO_COLOR", "1"},
                                            {"COLUMNS", "100"}};
  for (const auto& [name, value] : step.environment) all[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) lines.push_back(cat(name, "=", value));
  return lines;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

class Child {
 public:
  Result<Ended> run(const Step& step, const std::string& program, const std::string& folder,
                    double timeout) {
    APR_ASSIGN(auto input, make_pipe());
    APR_ASSIGN(auto output, make_pipe());
    APR_ASSIGN(auto errors, make_pipe());
    APR_TRY(start(step, program, folder,
                  {input.first.get(), output.second.get(), errors.second.get()}));
    input.first.reset();
    output.second.reset();
    errors.second.reset();
    return talk(step.stdin_text, std::move(input.second), std::move(output.first),
                std::move(errors.first), timeout);
  }

 private:
  Status start(const Step& step, const std::string& program, const std::string& folder,
               const std::array<int, 3>& descriptors) {
    const std::string inside = step.folder.empty() ? folder : join_path(folder, step.folder);
    APR_TRY(make_folders(inside));
    std::vector<std::string> words = step.command;
    std::vector<std::string> variables = environment_for(step, folder);
    const auto arguments = pointers_to(words);
    const auto environment = pointers_to(variables);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3; ++i) {
      ::posix_spawn_file_actions_adddup2(&actions, descriptors[static_cast<std::size_t>(i)], i);
    }
    ::posix_spawn_file_actions_addchdir_np(&actions, inside.c_str());
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    begin_ = monotonic_ns();  // before: the child may be done before this process goes on
    const int failed = ::posix_spawnp(&process_, program.c_str(), &actions, &attributes,
                                      arguments.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (failed == 0) return {};
    return make_error(ErrorCode::io, cat("cannot be started: ", std::strerror(failed)), program);
  }

  Result<Ended> talk(std::string_view text, Descriptor input, Descriptor output, Descriptor errors,
                     double timeout) {
    Ended ended;
    const auto seconds = [&] { return static_cast<double>(monotonic_ns() - begin_) * 1e-9; };
    ::fcntl(input.get(), F_SETFL, O_NONBLOCK);
    if (text.empty()) input.reset();
    while (output.get() >= 0 || errors.get() >= 0) {
      if (seconds() > timeout || g_interrupted.load()) {
        ended.timed_out = true;
        ::kill(-process_, SIGKILL);
        break;
      }
      pollfd all[3] = {
          {input.get(), POLLOUT, 0}, {output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
      constexpr int kPieceMilliseconds = 100;
      if (::poll(all, 3, kPieceMilliseconds) < 0 && errno != EINTR) break;
      if (input.get() >= 0 && all[0].revents != 0) write_some(input, text);
      if (output.get() >= 0 && all[1].revents != 0) read_some(output, ended.output);
      if (errors.get() >= 0 && all[2].revents != 0) read_some(errors, ended.error_output);
    }
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
    ::kill(-process_, SIGKILL);  // whatever the step left running
    ended.seconds = seconds();
    ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (g_interrupted.load())
      return make_error(ErrorCode::interrupted, "the playbook was interrupted");
    return ended;
  }

  static void write_some(Descriptor& to, std::string_view& text) {
    const ssize_t done = ::write(to.get(), text.data(), text.size());
    if (done < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (done > 0) text.remove_prefix(static_cast<std::size_t>(done));
    if (done < 0 || text.empty()) to.reset();
  }

  static void read_some(Descriptor& from, std::string& text) {
    char buffer[65536];
    const ssize_t got = ::read(from.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) {
      from.reset();
      return;
    }
    const std::size_t room = kMaxOutputBytes - std::min(kMaxOutputBytes, text.size());
    text.append(buffer, std::min(static_cast<std::size_t>(got), room));
  }

  ::pid_t process_ = 0;
  std::uint64_t begin_ = 0;
};

/// What is not as expected; empty: all is.
std::string problem_of(const Expectations& expect, const StepResult& result) {
  const auto lacks = [](const std::string& text, const std::string& wanted) {
    return text.find(wanted) == std::string::npos;
  };
  for (const std::string& wanted : expect.output) {
    if (lacks(result.output, wanted)) return cat("the output lacks '", wanted, "'");
  }
  for (const std::string& wanted : expect.error_output) {
    if (lacks(result.error_output, wanted)) return cat("standard error lacks '", wanted, "'");
  }
  for (const std::string& unwanted : expect.absent) {
    if (!lacks(result.output, unwanted) || !lacks(result.error_output, unwanted)) {
      return cat("the output holds '", unwanted, "'");
    }
  }
  for (const std::string& pattern : expect.output_matches) {
    const auto found = pattern_found(pattern, result.output);
    if (!found) return cat("output_matches '", pattern, "': ", found.error().message);
    if (!*found) {
      return cat("the output does not match '", pattern, "'");
    }
  }
  if (expect.output_not_empty && result.output.find_first_not_of(" \n\t") == std::string::npos) {
    return "the output is empty";
  }
  if (expect.max_seconds && result.seconds > *expect.max_seconds) {
    return cat("it took ", human_seconds(result.seconds), ", more than ",
               human_seconds(*expect.max_seconds));
  }
  return {};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    const bool plain = !word.empty() && word.find_first_of(" \t\n'\"\\") == std::string::npos;
    text += cat(text.empty() ? "" : " ", plain ? word : cat("'", word, "'"));
  }
  return text;
}

Status prepare(const Playbook& playbook, const RunOptions& options, const std::string& folder) {
  for (const auto& [name, content] : playbook.files) {
    const std::string path = join_path(folder, name);
    APR_TRY(make_folders(parent_path(path)));
    APR_ASSIGN(AtomicFile file, AtomicFile::create(path, false));
    APR_TRY(file.write(content));
    APR_TRY(file.commit());
  }
  if (options.model.empty()) return {};
  std::error_code failed;
  const auto target = std::filesystem::absolute(options.model, failed);
  if (!failed) {
    std::filesystem::create_symlink(target, std::filesystem::path(folder) / "model.apr", failed);
  }
  if (!failed) return {};
  return make_error(ErrorCode::io, cat("cannot be shown to the session: ", failed.message()),
                    options.model);
}

}  // namespace

Result<PlaybookResult> run_playbook(const Playbook& playbook, const RunOptions& options) {
  APR_ASSIGN(const FreshFolder folder, FreshFolder::create("apr-playbook"));
  APR_TRY(prepare(playbook, options, folder.path()));
  PlaybookResult result{playbook.file, playbook.name, playbook.category, true, 0, {}, {}};
  for (const Step& step : playbook.steps) {
    StepResult done;
    if (!result.steps.empty()) done = result.steps.back();
    done.name = step.name;
    if (!step.command.empty()) {
      const double left = playbook.timeout_seconds - result.seconds;
      const double timeout = std::min(step.timeout_seconds, left);
      const std::string& name = step.command.front();
      const bool own = name == "apr" || name == "apr-pipeline";
      const std::string program = own ? join_path(options.programs, name) : name;
      APR_ASSIGN(Ended ended, Child().run(step, program, folder.path(), timeout));
      done = {step.name,       joined(step.command), false,        {},
              ended.exit_code, ended.seconds,        ended.output, ended.error_output};
      result.seconds += ended.seconds;
      const int wanted = step.expect.exit_code.value_or(0);
      if (ended.timed_out) {
        done.problem = cat("it was still running after ", human_seconds(timeout));
      } else if (ended.exit_code != wanted) {
        done.problem = cat("exit code ", ended.exit_code, ", wanted ", wanted);
      }
    }
    if (done.problem.empty()) done.problem = problem_of(step.expect, done);
    done.passed = done.problem.empty();
    result.passed = result.passed && done.passed;
    result.steps.push_back(std::move(done));
    if (!result.passed) break;
  }
  for (std::size_t i = result.steps.size(); i < playbook.steps.size(); ++i) {
    result.not_run.push_back(playbook.steps[i].name);
  }
  return result;
}

}  // namespace apr::playbook
