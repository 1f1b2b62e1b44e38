#include "orchestrator/stages/chat_input.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/verb.h"

namespace apr {

namespace {

constexpr std::size_t kMaxLineBytes = std::size_t{16} << 20;

volatile std::sig_atomic_t g_stop_answer = 0;
struct sigaction g_previous_action{};
termios g_terminal_before{};
bool g_has_terminal = false;

/// Only what may be called in a signal handler.
void on_stop(int) {
  if (g_stop_answer == 0) {
    g_stop_answer = 1;
    return;
  }
  remove_temporary_files();
  if (g_has_terminal) ::tcsetattr(STDIN_FILENO, TCSANOW, &g_terminal_before);
  ::_exit(exit_code(ErrorCode::interrupted));
}

/// Lines of standard input. A read that a signal ended is told apart from the end.
class PipeInput final : public ChatInput {
 public:
  Result<Kind> next(std::string_view, std::string& message) override {
    while (true) {
      const std::size_t newline = pending_.find('\n', searched_);
      if (newline != std::string::npos) {
        message = pending_.substr(0, newline);
        pending_.erase(0, newline + 1);
        searched_ = 0;
        if (message.ends_with('\r')) message.pop_back();
        return Kind::message;
      }
      searched_ = pending_.size();
      if (pending_.size() > kMaxLineBytes) {
        return make_error(ErrorCode::usage, cat("a line has more than ", kMaxLineBytes, " bytes"),
                          "standard input");
      }
      if (!wait_for_input()) return Kind::stopped;
      char buffer[65536];
      const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return make_error(ErrorCode::io, "cannot be read", "standard input");
      if (got == 0) {
        if (pending_.empty()) return Kind::end;
        message = std::exchange(pending_, {});
        searched_ = 0;
        return Kind::message;
      }
      pending_.append(buffer, static_cast<std::size_t>(got));
    }
  }

 private:
  /// False when somebody wants to stop. A signal may come just before the wait, or be delivered to
  /// another thread, and then interrupts nothing: so the wait is cut into short pieces.
  static bool wait_for_input() {
    constexpr int kPieceMilliseconds = 100;
    while (!stop_wanted()) {
      pollfd input{STDIN_FILENO, POLLIN, 0};
      if (::poll(&input, 1, kPieceMilliseconds) > 0) return true;
    }
    return false;
  }

  std::string pending_;
  std::size_t searched_ = 0;
};

}  // namespace

StopHandler::StopHandler() {
  g_stop_answer = 0;
  g_has_terminal = ::tcgetattr(STDIN_FILENO, &g_terminal_before) == 0;
  struct sigaction action{};
  action.sa_handler = on_stop;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &g_previous_action);
}

StopHandler::~StopHandler() {
  ::sigaction(SIGINT, &g_previous_action, nullptr);
}

bool stop_wanted() {
  return g_stop_answer != 0 || g_interrupted.load();
}

void forget_stop() {
  g_stop_answer = 0;
}

std::unique_ptr<ChatInput> make_pipe_input() {
  return std::make_unique<PipeInput>();
}

std::string default_history_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return join_path(state, "apr/chat_history");
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') return {};
  return join_path(home, ".local/state/apr/chat_history");
}

}  // namespace apr
