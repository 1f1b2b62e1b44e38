#include "orchestrator/stages/chatter.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "core/platform/memory.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/chat_file.h"
#include "orchestrator/stages/chat_input.h"
#include "orchestrator/stages/generation.h"

namespace apr {

namespace {

constexpr std::size_t kShownChoices = 5;
constexpr std::size_t kAttentionRows = 40;

const std::vector<std::string> kCommands = {"/help", "/clear", "/system", "/save", "/load",
                                            "/set",  "/retry", "/attn",   "/quit"};
/// What /set changes; the rest is decided when the chat begins.
constexpr std::string_view kFixed[] = {"context", "system", "date"};

std::string first_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const std::size_t end = std::min(rest.find(' '), rest.size());
  std::string word(rest.substr(0, end));
  rest.remove_prefix(end);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return word;
}

class Chatter {
 public:
  Chatter(RunContext& context, const VerbInfo& info, const Model& model, Conversation conversation)
      : context_(context),
        info_(info),
        model_(model),
        conversation_(std::move(conversation)),
        record_(model.graph()),
        settings_(context.params),
        interactive_(is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO) && !context.json),
        inspect_(context.params.flag("inspect")),
        style_{context.terminal && wants_colour(STDOUT_FILENO)} {
    if (inspect_) {
      record_.choose(record_.layers() > 0 ? record_.layers() - 1 : 0);
      conversation_.record_attention(&record_);
    }
    const bool history = interactive_ && !context.params.flag("no-history");
    input_ = interactive_ ? make_terminal_input(history ? default_history_file() : std::string())
                          : make_pipe_input();
  }

  Result<Outcome> run() {
    const StopHandler handler;
    if (interactive_) {
      say(style_.dim(cat(model_.package().path(), " (", model_.executable()->description(),
                         "), context of ", conversation_.context(),
                         " tokens. /help lists commands, /quit ends.")),
          "\n\n");
    }
    const std::string prompt =
        style_.on ? "\1\033[1m\1You:\1\033[0m\1 " : "You: ";  // \1 … \1: takes no columns
    bool leaving = false;  // Ctrl-C was pressed at an empty prompt
    while (true) {
      std::string line;
      APR_ASSIGN(const ChatInput::Kind kind, input_->next(prompt, line));
      if (kind == ChatInput::Kind::end) {
        if (interactive_) say("", "\n");
        return Outcome{.report = Json(), .exit_code = 0};
      }
      if (kind == ChatInput::Kind::stopped) {
        if (interactive_) say("", "\n");
        if (!interactive_ || g_interrupted.load()) return interrupted();
        if (!line.empty()) {  // what was being typed is thrown away, as in a shell
          leaving = false;
          forget_stop();
          continue;
        }
        if (leaving) return interrupted();
        say(style_.dim("(Ctrl-C once more, Ctrl-D or /quit ends the chat.)"), "\n");
        leaving = true;
        forget_stop();
        continue;
      }
      leaving = false;
      if (line.find_first_not_of(" \t\n") == std::string::npos) continue;
      const bool is_command = line[0] == '/' && !line.starts_with("//");
      if (line.starts_with("//")) line.erase(0, 1);
      if (is_command) line.erase(line.find_last_not_of(" \t\n") + 1);
      if (line == "/quit" || line == "/exit") return Outcome{.report = Json(), .exit_code = 0};
      if (Status status = is_command ? command(line) : turn(line); !status) {
        if (!interactive_) return std::move(status).error();
        say(style_.red(cat("(", status.error().to_string(), ")")), "\n\n");
      }
      if (g_interrupted.load() || (!interactive_ && stop_wanted())) return interrupted();
      forget_stop();
    }
  }

 private:
  static Error interrupted() {
    return make_error(ErrorCode::interrupted, "the chat was interrupted");
  }

  void say(const std::string& text, std::string_view end) {
    context_.out << text << end << std::flush;
  }

  Status command(const std::string& line) {
    std::string_view rest = line;
    const std::string name = first_word(rest);
    for (const std::string_view alone : {"/help", "/clear", "/retry", "/quit", "/exit"}) {
      if (name == alone && !rest.empty()) {
        return make_error(ErrorCode::usage, cat(name, " stands alone, without ", printable(rest)));
      }
    }
    if (name == "/help") {
      remark(std::string(kChatHelp));
      return {};
    }
    if (name == "/clear") {
      conversation_.clear();
      remark("the conversation is forgotten");
      return {};
    }
    if (name == "/system") {
      conversation_.set_system(rest.empty() ? std::nullopt : std::optional(std::string(rest)));
      remark(rest.empty() ? "no system message any more; the conversation is forgotten"
                          : "a new system message; the conversation is forgotten");
      return {};
    }
    if (name == "/save") return save(rest);
    if (name == "/load") return load(std::string(rest));
    if (name == "/set") return set(rest);
    if (name == "/retry") return retry();
    if (name == "/attn") return attention(rest);
    const std::string near = nearest(name, kCommands);
    return make_error(ErrorCode::usage, cat("unknown command ", printable(name)), {},
                      near.empty() ? "/help lists the commands; // begins a message with a slash"
                                   : cat("did you mean ", near, "?"));
  }

  void remark(const std::string& text) {
    if (interactive_) {
      say(style_.dim(text), "\n\n");
    } else if (!context_.json) {
      context_.notes << text << '\n';
    }
  }

  Status save(std::string_view rest) {
    std::string_view path = rest;
    const bool overwrite = rest == "-f" || rest.starts_with("-f ");
    if (overwrite) {
      path.remove_prefix(2);
      path.remove_prefix(std::min(path.find_first_not_of(' '), path.size()));
    }
    if (path.empty()) return make_error(ErrorCode::usage, "/save needs the name of a file");
    auto saved =
        save_chat(std::string(path), {conversation_.system(), conversation_.messages()}, overwrite);
    if (!saved) {
      Error error = std::move(saved).error();
      if (error.message.find("already exists") != std::string::npos)
        error.hint = cat("/save -f ", path, " replaces it");
      return error;
    }
    remark(cat("kept in ", path, ": ", plural(conversation_.messages().size(), "message")));
    return {};
  }

  Status load(const std::string& path) {
    if (path.empty()) return make_error(ErrorCode::usage, "/load needs the name of a file");
    APR_ASSIGN(SavedChat chat, load_chat(path));
    const std::size_t count = chat.messages.size();
    conversation_.restore(std::move(chat.system), std::move(chat.messages));
    remark(cat("going on after ", plural(count, "message"), " from ", path));
    return {};
  }

  /// Settings that the next turn obeys, by the names of the options.
  std::vector<const Param*> adjustable() const {
    std::vector<Param> all;
    add_generation_params(all);
    std::vector<const Param*> found;
    for (const Param& param : info_.params) {
      const bool generates = std::any_of(all.begin(), all.end(), [&](const Param& candidate) {
        return candidate.name == param.name;
      });
      const bool fixed =
          std::find(std::begin(kFixed), std::end(kFixed), param.name) != std::end(kFixed);
      if (generates && !fixed && param.type != ParamType::texts) found.push_back(&param);
    }
    return found;
  }

  Status set(std::string_view rest) {
    const std::string name = first_word(rest);
    std::vector<std::string> names;
    std::string shown;
    for (const Param* param : adjustable()) {
      names.push_back(param->name);
      shown += cat(shown.empty() ? "" : "\n", param->name, " ",
                   settings_.has(param->name) ? settings_.json()[param->name].dump() : "(default)");
      if (param->name != name) continue;
      if (rest.empty()) {
        return make_error(ErrorCode::usage, cat("/set ", name, " needs a value"), {},
                          "/set alone lists the settings");
      }
      APR_ASSIGN(Json value, parse_param(*param, rest));
      Values changed = settings_;
      changed.set(name, std::move(value));
      APR_TRY(conversation_.set_options(changed));
      settings_ = std::move(changed);
      remark(cat(name, " is ", settings_.json()[name].dump(), " from now on"));
      return {};
    }
    if (name.empty()) {
      remark(shown);
      return {};
    }
    const std::string near = nearest(name, names);
    return make_error(ErrorCode::usage, cat("there is no setting ", printable(name)), {},
                      near.empty() ? "/set alone lists them" : cat("did you mean ", near, "?"));
  }

  Status turn(const std::string& message) {
    return answer(
        [&](const auto& on_token) { return conversation_.say(message, stop_wanted, on_token); });
  }

  Status retry() {
    if (settings_.number("temperature") == 0 && !conversation_.messages().empty()) {
      remark("temperature is 0: the answer will be the same; /set temperature 0.8 varies it");
    }
    Values changed = settings_;
    changed.set("seed", Json(settings_.integer("seed") + 1));
    APR_TRY(conversation_.set_options(changed));
    settings_ = std::move(changed);
    return answer([&](const auto& on_token) { return conversation_.retry(stop_wanted, on_token); });
  }

  template <typename Ask>
  Status answer(const Ask& ask) {
    std::vector<TokenChoices> choices;
    std::size_t printed = 0;
    bool begun = false;
    const auto show = [&](std::string_view text) {
      printed += text.size();
      if (context_.json) return;
      if (interactive_ && !begun) say(style_.bold("Assistant:") + " ", "");
      begun = true;
      say(terminal_text(text, context_.terminal), "");
    };
    const std::function<bool(const GeneratedToken&)> on_token = [&](const GeneratedToken& token) {
      if (inspect_) choices.push_back(choices_of(token, kShownChoices));
      if (!token.text.empty()) show(token.text);
      return true;
    };
    APR_ASSIGN(const Conversation::Turn turn, ask(on_token));
    const GenerateOutcome& outcome = turn.outcome;
    show(std::string_view(outcome.text).substr(printed));
    ++turns_;
    if (context_.json) {
      say(turn_json(turn, choices).dump(), "\n");
      return {};
    }
    say("", "\n");
    if (const std::string end = ending(outcome); interactive_ && !end.empty()) {
      say(style_.dim(cat("(", end, ")")), "\n");
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
        return cat("cut after ", outcome.ids.size(), " tokens; /set max-tokens allows more");
      case FinishReason::context_full:
        return cat("the context of ", conversation_.context(),
                   " tokens is full; /clear begins anew");
      default:
        return {};
    }
  }

  static double perplexity_of(const std::vector<TokenChoices>& choices) {
    double sum = 0;
    for (const TokenChoices& choice : choices) sum -= std::log(choice.probability);
    return std::exp(sum / static_cast<double>(choices.size()));
  }

  /// Names the turn by what decided it: model, prompt and settings.
  std::string trace_id(const Conversation::Turn& turn) const {
    Json ids = Json::array();
    for (const TokenId id : turn.prompt) ids.push_back(id);
    Json settings = Json::object();
    for (const Param* param : adjustable()) {
      settings.set(param->name, settings_.json()[param->name]);
    }
    const auto& root = model_.package().content_root();
    const Json all = Json::object({{"model", root ? root->hex() : model_.package().path()},
                                   {"backend", model_.executable()->description()},
                                   {"settings", std::move(settings)},
                                   {"prompt", std::move(ids)}});
    const std::string text = all.dump();
    return sha256(std::as_bytes(std::span(text))).hex().substr(0, 16);
  }

  std::string spelled(TokenId id) const {
    return printable(shown_token(conversation_.tokenizer(), id));
  }

  /// Tokens read in this turn; 0 where Ctrl-C came before they all were.
  static std::size_t tokens_read(const Conversation::Turn& turn) {
    const bool cut = turn.outcome.finish == FinishReason::interrupted && turn.outcome.ids.empty();
    return cut ? 0 : turn.prompt.size() - turn.reused;
  }

  void inspected(const Conversation::Turn& turn, const std::vector<TokenChoices>& choices) {
    const std::size_t read = tokens_read(turn);
    std::string tokens;
    for (const TokenId id : turn.prompt) {
      tokens += cat(tokens.empty() ? "" : "  ", spelled(id), " ", id);
    }
    const std::size_t width = context_.terminal ? terminal_width(STDOUT_FILENO) : 100;
    say(style_.dim(cat("prompt: ", turn.prompt.size(), " tokens, ", turn.reused,
                       " of them kept from before; trace ", trace_id(turn))),
        "\n");
    say(cat("  ", wrapped(tokens, width, 2)), "\n");
    const std::string resident = cat(human_bytes(memory_use().resident_bytes), " resident");
    if (choices.empty()) {
      const std::string rate =
          read > 0 ? cat("; read ", fixed(prefill_rate(read, turn.outcome), 0), " tok/s") : "";
      say(style_.dim(cat("no token was written, so there is no perplexity", rate, "; ", resident)),
          "\n");
      return;
    }
    print_choices(choices, conversation_.tokenizer(), context_.out, style_.on);
    say(style_.dim(cat("perplexity ", fixed(perplexity_of(choices), 3), "; read ",
                       fixed(prefill_rate(read, turn.outcome), 0), " tok/s, wrote ",
                       fixed(decode_rate(turn.outcome), 1), " tok/s; ", resident)),
        "\n");
  }

  /// "L H": which head to draw. Another layer than the one recorded is recorded by reading the
  /// conversation again, which gives the same bits.
  Status attention(std::string_view rest) {
    if (!inspect_) return make_error(ErrorCode::usage, "/attn needs a chat with --inspect");
    if (record_.layers() == 0) {
      return make_error(ErrorCode::unsupported, "the model has no attention that could be drawn");
    }
    std::size_t chosen[2] = {record_.layer(), 0};
    const std::size_t limits[2] = {record_.layers(), record_.heads()};
    constexpr std::string_view kNames[2] = {"layer", "head"};
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string word = first_word(rest);
      if (word.empty()) continue;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), chosen[i]);
      if (error != std::errc() || end != word.data() + word.size() || chosen[i] >= limits[i]) {
        return make_error(ErrorCode::usage, cat(kNames[i], " ", printable(word),
                                                " is not one of 0 ... ", limits[i] - 1));
      }
    }
    if (!rest.empty()) {
      return make_error(ErrorCode::usage,
                        cat("/attn takes a layer and a head, not also ", printable(rest)));
    }
    if (conversation_.held().empty()) {
      return make_error(ErrorCode::usage, "there is nothing to draw before the first answer");
    }
    if (chosen[0] != record_.layer()) {
      record_.choose(chosen[0]);
      APR_TRY(conversation_.read_again());
    }
    std::vector<std::string> tokens;
    for (const TokenId id : conversation_.held()) {
      std::string spelling = spelled(id);
      tokens.push_back(spelling.substr(1, spelling.size() - 2));
    }
    if (context_.json) {
      say(attention_json(chosen[1]).dump(), "\n");
      return {};
    }
    const std::size_t width = context_.terminal ? terminal_width(STDOUT_FILENO) : 100;
    say(style_.dim(cat("layer ", chosen[0], " of ", limits[0], ", head ", chosen[1], " of ",
                       limits[1], ": each line is what a token pays attention to")),
        "\n");
    say(draw_attention(record_, chosen[1], tokens, width, kAttentionRows, style_), "\n");
    return {};
  }

  Json attention_json(std::size_t head) const {
    Json rows = Json::array();
    for (std::size_t row = 0; row < record_.rows(); ++row) {
      Json weights = Json::array();
      for (const float weight : record_.of(row, head)) weights.push_back(double{weight});
      rows.push_back(std::move(weights));
    }
    return Json::object({{"layer", std::uint64_t{record_.layer()}},
                         {"head", std::uint64_t{head}},
                         {"attention", std::move(rows)}});
  }

  Json turn_json(const Conversation::Turn& turn, const std::vector<TokenChoices>& choices) const {
    Json json = Json::object({{"turn", turns_}});
    const std::size_t read = tokens_read(turn);
    const Json outcome = outcome_json(turn.outcome, read);
    for (const auto& [name, value] : outcome.as_object()) json.set(name, value);
    json.set("prompt_tokens", std::uint64_t{turn.prompt.size()});
    json.set("cached_tokens", std::uint64_t{turn.reused});
    if (inspect_) {
      Json ids = Json::array();
      for (const TokenId id : turn.prompt) ids.push_back(id);
      json.set("trace_id", trace_id(turn));
      json.set("prompt_ids", std::move(ids));
      json.set("probabilities", choices_json(choices, conversation_.tokenizer()));
      json.set("perplexity", choices.empty() ? Json() : Json(perplexity_of(choices)));
      json.set("resident_bytes", memory_use().resident_bytes);
    }
    return json;
  }

  RunContext& context_;
  const VerbInfo& info_;
  const Model& model_;
  Conversation conversation_;
  AttentionRecord record_;
  Values settings_;
  std::unique_ptr<ChatInput> input_;
  bool interactive_;
  bool inspect_;
  Style style_;
  std::int64_t turns_ = 0;
};

}  // namespace

Result<Outcome> run_chat(RunContext& context, const VerbInfo& info, const Model& model,
                         Conversation conversation) {
  return Chatter(context, info, model, std::move(conversation)).run();
}

}  // namespace apr
