#include "orchestrator/cli/signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "core/base/error.h"
#include "core/platform/file.h"
#include "orchestrator/stages/verb.h"

namespace apr {

namespace {

static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void on_interrupt(int) {
  if (g_interrupted.exchange(true)) {
    remove_temporary_files();
    ::_exit(exit_code(ErrorCode::interrupted));
  }
}

void on_closed_pipe(int) {
  remove_temporary_files();
  ::_exit(128 + SIGPIPE);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);  // no SA_RESTART: a blocked read shall notice
}

}  // namespace

void install_signal_handlers() {
  handle(SIGINT, on_interrupt);
  handle(SIGTERM, on_interrupt);
  handle(SIGHUP, on_interrupt);
  handle(SIGPIPE, on_closed_pipe);
  handle(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` then fails, and is told
}

}  // namespace apr
