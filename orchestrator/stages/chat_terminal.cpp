// Line editing by libedit. Two things are added to it: characters are read with short waits, so
// that Ctrl-C is noticed whichever thread its signal comes to; and the marks that terminals put
// around pasted text ("bracketed paste") are understood, so that a paste of many lines stays in the
// line being edited instead of sending each line off.
#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/stages/chat_input.h"

namespace apr {

namespace {

constexpr int kHistoryEntries = 1000;
constexpr std::string_view kPasteEnd = "\033[201~";
constexpr const char* kPasteOn = "\033[?2004h";
constexpr const char* kPasteOff = "\033[?2004l";

/// libedit hands no context to the functions it calls; there is one terminal.
std::string g_prompt;

char* prompt_of(EditLine*) {
  return g_prompt.data();
}

volatile std::sig_atomic_t g_continued = 0;
struct sigaction g_previous_suspend{};
struct sigaction g_previous_continue{};
termios g_shell_terminal{};

void on_continue(int) {
  g_continued = 1;
}

/// Ctrl-Z: the shell gets its terminal back as it was, and then this process stops.
void on_suspend(int) {
  const int error = errno;
  if (::write(STDOUT_FILENO, kPasteOff, std::strlen(kPasteOff)) > 0) {
    ::tcsetattr(STDIN_FILENO, TCSANOW, &g_shell_terminal);
  }
  struct sigaction stop{};
  stop.sa_handler = SIG_DFL;
  ::sigemptyset(&stop.sa_mask);
  struct sigaction own{};
  ::sigaction(SIGTSTP, &stop, &own);
  sigset_t only{};
  sigset_t before{};
  ::sigemptyset(&only);
  ::sigaddset(&only, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &only, &before);  // stops here
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::sigaction(SIGTSTP, &own, nullptr);
  errno = error;
}

/// Back from a Ctrl-Z while a line is edited: the terminal is set up again and the line drawn.
void resume_editing(EditLine* editor) {
  g_continued = 0;
  std::fputs(kPasteOn, stdout);
  std::fflush(stdout);
  el_set(editor, EL_PREP_TERM, 0);  // libedit thinks that nothing changed
  el_set(editor, EL_PREP_TERM, 1);
  el_set(editor, EL_REFRESH);
}

/// One character of UTF-8. 1: read, 0: the end, -1: nothing, because somebody wants to stop.
int read_character(EditLine* editor, wchar_t* out) {
  std::mbstate_t state{};
  for (int bytes = 0; bytes < 4; ++bytes) {
    constexpr int kPieceMilliseconds = 50;
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (true) {
      if (stop_wanted()) return -1;
      if (g_continued != 0) resume_editing(editor);
      const int ready = ::poll(&input, 1, kPieceMilliseconds);
      if (ready > 0) break;
      if (ready < 0 && errno != EINTR) return -1;
    }
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) {
      --bytes;
      continue;
    }
    if (got <= 0) return static_cast<int>(got);
    wchar_t wide = 0;
    const std::size_t used = std::mbrtowc(&wide, &byte, 1, &state);
    if (used == static_cast<std::size_t>(-2)) continue;
    *out = used == static_cast<std::size_t>(-1) ? L'\xFFFD' : wide;
    return 1;
  }
  *out = L'\xFFFD';
  return 1;
}

/// Everything up to the end mark goes into the line; line ends stay, other control characters do
/// not.
unsigned char paste(EditLine* editor, int) {
  std::string text;
  char byte = 0;
  while (!text.ends_with(kPasteEnd)) {
    if (el_getc(editor, &byte) != 1) return CC_EOF;
    text += byte;
  }
  text.resize(text.size() - kPasteEnd.size());
  std::string clean;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto code = static_cast<unsigned char>(text[i]);
    if (code == '\r') {
      if (i + 1 == text.size() || text[i + 1] != '\n') clean += '\n';
    } else if (code == '\t') {
      clean += "    ";  // a tab would be drawn at another width than libedit thinks
    } else if (code == '\n' || (code >= 0x20 && code != 0x7F)) {
      clean += text[i];
    }
  }
  if (!clean.empty() && el_insertstr(editor, clean.c_str()) < 0) return CC_ERROR;
  return CC_REFRESH;
}

class TerminalInput final : public ChatInput {
 public:
  explicit TerminalInput(std::string history_file) : history_file_(std::move(history_file)) {
    const char* locale = std::setlocale(LC_CTYPE, "");
    if (locale == nullptr || std::strcmp(locale, "C") == 0) std::setlocale(LC_CTYPE, "C.UTF-8");
    editor_ = el_init("apr", stdin, stdout, stderr);
    history_ = history_init();
    if (editor_ == nullptr || history_ == nullptr) return;
    if (::tcgetattr(STDIN_FILENO, &g_shell_terminal) == 0) {
      struct sigaction action{};
      ::sigemptyset(&action.sa_mask);
      action.sa_handler = on_continue;
      ::sigaction(SIGCONT, &action, &g_previous_continue);
      action.sa_handler = on_suspend;
      ::sigaction(SIGTSTP, nullptr, &g_previous_suspend);
      has_handlers_ = true;
      if (g_previous_suspend.sa_handler == SIG_DFL) ::sigaction(SIGTSTP, &action, nullptr);
    }
    HistEvent event{};
    history(history_, &event, H_SETSIZE, kHistoryEntries);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!history_file_.empty()) history(history_, &event, H_LOAD, history_file_.c_str());
    el_set(editor_, EL_PROMPT_ESC, &prompt_of, '\1');
    el_set(editor_, EL_SIGNAL, 0);
    el_set(editor_, EL_HIST, history, history_);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_GETCFN, &read_character);
    el_set(editor_, EL_ADDFN, "apr-paste", "insert pasted text as it is", &paste);
    el_set(editor_, EL_BIND, "\\e[200~", "apr-paste", nullptr);
    el_set(editor_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(editor_, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
    el_source(editor_, nullptr);
  }
  ~TerminalInput() override {
    if (has_handlers_) {
      ::sigaction(SIGTSTP, &g_previous_suspend, nullptr);
      ::sigaction(SIGCONT, &g_previous_continue, nullptr);
    }
    if (history_ != nullptr) history_end(history_);
    if (editor_ != nullptr) el_end(editor_);
  }
  TerminalInput(const TerminalInput&) = delete;
  TerminalInput& operator=(const TerminalInput&) = delete;

  Result<Kind> next(std::string_view prompt, std::string& message) override {
    if (editor_ == nullptr || history_ == nullptr) {
      return make_error(ErrorCode::io, "the terminal cannot be used for line editing", {},
                        "send the messages through a pipe");
    }
    message.clear();
    g_prompt = prompt;
    while (true) {
      std::string line;
      APR_ASSIGN(const Kind kind, read_line(line));
      message += line;
      if (kind != Kind::message) return kind;
      if (!message.ends_with('\\')) break;
      message.back() = '\n';
      g_prompt = "...  ";
    }
    if (message.find_first_not_of(" \t\n") != std::string::npos) remember(message);
    return Kind::message;
  }

 private:
  Result<Kind> read_line(std::string& line) {
    int length = 0;
    std::fputs(kPasteOn, stdout);
    std::fflush(stdout);
    g_continued = 0;
    el_set(editor_, EL_PREP_TERM,
           1);  // el_gets() does so after its prompt: keys in between go lost
    const char* text = el_gets(editor_, &length);
    std::fputs(kPasteOff, stdout);
    std::fflush(stdout);
    if (stop_wanted()) {
      if (const LineInfo* typed = el_line(editor_)) line.assign(typed->buffer, typed->lastchar);
      el_reset(editor_);
      return Kind::stopped;
    }
    if (text == nullptr || length <= 0) return Kind::end;
    line.assign(text, static_cast<std::size_t>(length));
    if (line.ends_with('\n')) line.pop_back();
    return Kind::message;
  }

  /// Kept at once: a chat may end by a signal.
  void remember(const std::string& message) {
    HistEvent event{};
    history(history_, &event, H_ENTER, message.c_str());
    if (history_file_.empty()) return;
    if (!make_folders(parent_path(history_file_))) return;
    const ::mode_t before = ::umask(0077);
    const std::string fresh = cat(history_file_, ".new");
    if (history(history_, &event, H_SAVE, fresh.c_str()) >= 0) {
      if (std::rename(fresh.c_str(), history_file_.c_str()) != 0) std::remove(fresh.c_str());
    }
    ::umask(before);
  }

  std::string history_file_;
  bool has_handlers_ = false;
  EditLine* editor_ = nullptr;  ///< both end in the destructor
  History* history_ = nullptr;
};

}  // namespace

std::unique_ptr<ChatInput> make_terminal_input(const std::string& history_file) {
  return std::make_unique<TerminalInput>(history_file);
}

}  // namespace apr
