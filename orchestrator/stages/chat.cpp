// apr chat: a conversation, in a terminal or line by line through pipes.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/conversation.h"
#include "orchestrator/stages/generation.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::size_t kMaxLineBytes = std::size_t{16} << 20;
constexpr std::size_t kShownChoices = 5;

VerbInfo describe() {
  VerbInfo info;
  info.name = "chat";
  info.summary = "talk with a model";
  info.details =
      "In a terminal: type a message and Enter. Ctrl-C stops an answer, not the program. With "
      "standard input from a pipe or file every line is one message, and only answers are "
      "printed. --json prints one JSON object per line and turn.\n\n"
      "Commands: /help, /clear (forget the conversation), /system TEXT (a new system message; "
      "forgets the conversation), /quit. A message that begins with a slash is written with two.";
  info.params.push_back(model_param());
  info.params.push_back(
      flag_param("inspect",
                 "show the prompt's ids and, for each token of the answer, how likely it and the "
                 "likeliest five were, from the same computation"));
  add_generation_params(info.params);
  info.params.push_back(mode_param(Mode::deterministic));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {{"apr chat tiny.apr", "a conversation in the terminal"},
                   {"printf 'My name is Anna.\\nWhat is my name?\\n' | apr chat tiny.apr",
                    "two turns through a pipe"},
                   {"apr chat tiny.apr --inspect --temperature 0.7", "with probabilities"}};
  info.reproducible = false;
  return info;
}

/// Ctrl-C while chatting: the first ends the answer, a second before anyone has looked ends all.
volatile std::sig_atomic_t g_stop_answer = 0;

void on_stop(int) {
  if (g_stop_answer != 0) {
    remove_temporary_files();
    ::_exit(exit_code(ErrorCode::interrupted));
  }
  g_stop_answer = 1;
}

class StopHandler {
 public:
  StopHandler() {
    struct sigaction action{};
    action.sa_handler = on_stop;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, &previous_);
  }
  ~StopHandler() { ::sigaction(SIGINT, &previous_, nullptr); }
  StopHandler(const StopHandler&) = delete;
  StopHandler& operator=(const StopHandler&) = delete;

 private:
  struct sigaction previous_{};
};

bool stop_wanted() {
  return g_stop_answer != 0 || g_interrupted.load();
}

enum class Input { line, end, stopped };

/// Lines of standard input. A read that a signal ended is told apart from the end.
class LineReader {
 public:
  Result<Input> next(std::string& line) {
    while (true) {
      const std::size_t newline = pending_.find('\n', searched_);
      if (newline != std::string::npos) {
        line = pending_.substr(0, newline);
        pending_.erase(0, newline + 1);
        searched_ = 0;
        if (line.ends_with('\r')) line.pop_back();
        return Input::line;
      }
      searched_ = pending_.size();
      if (pending_.size() > kMaxLineBytes) {
        return make_error(ErrorCode::usage, cat("a line has more than ", kMaxLineBytes, " bytes"),
                          "standard input");
      }
      if (!wait_for_input()) return Input::stopped;
      char buffer[65536];
      const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return make_error(ErrorCode::io, "cannot be read", "standard input");
      if (got == 0) {
        if (pending_.empty()) return Input::end;
        line = std::exchange(pending_, {});
        searched_ = 0;
        return Input::line;
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

class Chatter {
 public:
  Chatter(RunContext& context, Conversation conversation)
      : context_(context),
        conversation_(std::move(conversation)),
        interactive_(is_terminal(STDIN_FILENO) && !context.json),
        inspect_(context.params.flag("inspect")),
        style_{context.terminal && wants_colour(STDOUT_FILENO)} {}

  Result<Outcome> run(const Model& model) {
    const StopHandler handler;
    g_stop_answer = 0;
    if (interactive_) {
      say(style_.dim(cat(model.package().path(), " (", model.executable()->description(),
                         "), context of ", conversation_.context(),
                         " tokens. /help lists commands, /quit ends.")),
          "\n\n");
    }
    bool leaving = false;  // Ctrl-C was pressed at an empty prompt
    while (true) {
      if (interactive_) say(style_.bold("You: "), "");
      std::string line;
      APR_ASSIGN(const Input input, lines_.next(line));
      if (input == Input::end) {
        if (interactive_) say("", "\n");
        return Outcome{.report = Json(), .exit_code = 0};
      }
      if (input == Input::stopped) {
        if (interactive_) say("", "\n");
        if (!interactive_ || leaving || g_interrupted.load()) {
          return make_error(ErrorCode::interrupted, "the chat was interrupted");
        }
        say(style_.dim("(Ctrl-C once more, Ctrl-D or /quit ends the chat.)"), "\n");
        leaving = true;
        g_stop_answer = 0;
        continue;
      }
      leaving = false;
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      if (line[0] == '/' && !line.starts_with("//")) {
        APR_ASSIGN(const bool more, command(line));
        if (!more) return Outcome{.report = Json(), .exit_code = 0};
        continue;
      }
      if (line[0] == '/') line.erase(0, 1);
      if (Status status = turn(line); !status) {
        if (!interactive_) return std::move(status).error();
        say(style_.red(cat("(", status.error().to_string(), ")")), "\n\n");
      }
      if (g_interrupted.load() || (!interactive_ && g_stop_answer != 0)) {
        return make_error(ErrorCode::interrupted, "the chat was interrupted");
      }
      g_stop_answer = 0;
    }
  }

 private:
  void say(const std::string& text, std::string_view end) {
    context_.out << text << end << std::flush;
  }

  /// False to end the chat.
  Result<bool> command(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (name == "/quit" || name == "/exit") return false;
    if (name == "/clear") {
      conversation_.clear();
      remark("the conversation is forgotten");
    } else if (name == "/system") {
      conversation_.set_system(rest.empty() ? std::nullopt : std::optional(rest));
      remark(rest.empty() ? "no system message any more; the conversation is forgotten"
                          : "a new system message; the conversation is forgotten");
    } else if (name == "/help") {
      remark(
          "/clear         forget the conversation\n"
          "/system TEXT   set the system message and forget the conversation\n"
          "/quit          end the chat (or Ctrl-D)\n"
          "//text         a message that begins with a slash\n"
          "Ctrl-C         stop the answer");
    } else {
      const std::string near = nearest(name, {"/help", "/clear", "/system", "/quit"});
      const std::string message = cat("unknown command ", printable(name));
      const std::string hint = near.empty()
                                   ? "/help lists the commands; // begins a message with a slash"
                                   : cat("did you mean ", near, "?");
      if (!interactive_) return make_error(ErrorCode::usage, message, {}, hint);
      remark(cat(message, "; ", hint));
    }
    return true;
  }

  void remark(const std::string& text) {
    if (interactive_) {
      say(style_.dim(text), "\n\n");
    } else if (!context_.json) {
      context_.notes << text << '\n';
    }
  }

  Status turn(const std::string& message) {
    std::vector<TokenChoices> choices;
    std::size_t printed = 0;
    bool begun = false;
    const auto show = [&](std::string_view text) {
      printed += text.size();
      if (context_.json) return;
      if (interactive_ && !begun) say(style_.bold("Assistant: "), "");
      begun = true;
      say(terminal_text(text, context_.terminal), "");
    };
    const auto on_token = [&](const GeneratedToken& token) {
      if (inspect_) choices.push_back(choices_of(token, kShownChoices));
      if (!token.text.empty()) show(token.text);
      return true;
    };
    APR_ASSIGN(const Conversation::Turn turn, conversation_.say(message, stop_wanted, on_token));
    const GenerateOutcome& outcome = turn.outcome;
    show(std::string_view(outcome.text).substr(printed));
    ++turns_;
    if (context_.json) {
      say(turn_json(turn, choices).dump(), "\n");
      return {};
    }
    say("", "\n");
    if (interactive_) {
      const std::string end = ending(outcome);
      if (!end.empty()) say(style_.dim(cat("(", end, ")")), "\n");
    }
    if (inspect_) inspected(turn, choices);
    if (interactive_) say("", "\n");
    return {};
  }

  std::string ending(const GenerateOutcome& outcome) const {
    switch (outcome.finish) {
      case FinishReason::interrupted:
        return "stopped";
      case FinishReason::max_tokens:
        return cat("cut after ", outcome.ids.size(), " tokens; --max-tokens allows more");
      case FinishReason::context_full:
        return cat("the context of ", conversation_.context(),
                   " tokens is full; /clear begins anew");
      default:
        return {};
    }
  }

  void inspected(const Conversation::Turn& turn, const std::vector<TokenChoices>& choices) {
    const std::size_t read = turn.prompt.size() - turn.reused;
    std::string ids;
    for (const TokenId id : turn.prompt) ids += cat(ids.empty() ? "" : " ", id);
    const std::size_t width = context_.terminal ? terminal_width(STDOUT_FILENO) : 100;
    say(style_.dim(cat("prompt: ", turn.prompt.size(), " tokens, ", turn.reused,
                       " of them kept from before")),
        "\n");
    say(cat("  ", wrapped(ids, width, 2)), "\n");
    print_choices(choices, conversation_.tokenizer(), context_.out, style_.on);
    say(style_.dim(cat("read ", fixed(prefill_rate(read, turn.outcome), 0), " tokens/s, wrote ",
                       fixed(decode_rate(turn.outcome), 1), " tokens/s")),
        "\n");
  }

  Json turn_json(const Conversation::Turn& turn, const std::vector<TokenChoices>& choices) const {
    Json json = Json::object({{"turn", turns_}});
    const std::size_t read = turn.prompt.size() - turn.reused;
    const Json outcome = outcome_json(turn.outcome, read);
    for (const auto& [name, value] : outcome.as_object()) json.set(name, value);
    json.set("prompt_tokens", std::uint64_t{turn.prompt.size()});
    json.set("cached_tokens", std::uint64_t{turn.reused});
    if (inspect_) {
      Json ids = Json::array();
      for (const TokenId id : turn.prompt) ids.push_back(id);
      json.set("prompt_ids", std::move(ids));
      json.set("probabilities", choices_json(choices, conversation_.tokenizer()));
    }
    return json;
  }

  RunContext& context_;
  Conversation conversation_;
  LineReader lines_;
  bool interactive_;
  bool inspect_;
  Style style_;
  std::int64_t turns_ = 0;
};

class Chat final : public Verb {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Model model, load_model(context, params.text("model"), {}));
    APR_TRY(require_causal(model, "chat"));
    auto conversation = Conversation::create(params, model);
    if (!conversation) {
      Error error = std::move(conversation).error();
      if (!model.chat_template() && error.code == ErrorCode::load) {
        error.hint = "apr run --raw continues a text without one";
      }
      return error;
    }
    return Chatter(context, *std::move(conversation)).run(model);
  }

  void print(const Json&, std::ostream&, bool) const override {}

 private:
  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_chat() {
  return std::make_unique<Chat>();
}

}  // namespace apr
