// Where a chat's messages come from: a terminal with line editing, or a pipe line by line.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace apr {

/// Ctrl-C while chatting: the first ends the answer, a second before anyone has looked ends the
/// program, with the terminal as it was found.
class StopHandler {
 public:
  StopHandler();
  ~StopHandler();
  StopHandler(const StopHandler&) = delete;
  StopHandler& operator=(const StopHandler&) = delete;
};
/// Ctrl-C was pressed since it was last forgotten.
bool stop_wanted();
void forget_stop();

class ChatInput {
 public:
  enum class Kind { message, end, stopped };
  virtual ~ChatInput() = default;
  /// The next message; `stopped` after Ctrl-C, with what was being typed. A line that ends with a
  /// backslash goes on with the next one.
  virtual Result<Kind> next(std::string_view prompt, std::string& message) = 0;
};

/// Lines of standard input.
std::unique_ptr<ChatInput> make_pipe_input();
/// Line editing, history (kept in `history_file` unless that is empty), pasted lines as one
/// message.
std::unique_ptr<ChatInput> make_terminal_input(const std::string& history_file);
/// $XDG_STATE_HOME/apr/chat_history or ~/.local/state/apr/chat_history; empty without a home.
std::string default_history_file();

}  // namespace apr
