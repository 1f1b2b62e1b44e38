// apr run: one answer to one prompt.
#include <unistd.h>

#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/conversation.h"
#include "orchestrator/stages/generation.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxPromptBytes = std::uint64_t{64} << 20;

VerbInfo describe() {
  VerbInfo info;
  info.name = "run";
  info.summary = "let a model answer one prompt";
  info.details =
      "The prompt is put into the model's chat template, if it has one, as the user's message. "
      "Special tokens written out in it stay text. With --raw the model continues the prompt as it "
      "is, every byte of it; only --parse-special gives written-out special tokens their meaning "
      "there.\n\n"
      "Without PROMPT, or with -, the prompt comes from standard input; unless --raw is given, one "
      "line end at its end is dropped. The answer appears as it is made.";
  info.params.push_back(model_param());
  Param prompt = text_param("prompt", "PROMPT", "what to say; - or nothing reads standard input");
  prompt.position = 1;
  info.params.push_back(std::move(prompt));
  info.params.push_back(flag_param("raw", "continue the prompt as it is, without a chat template"));
  info.params.push_back(
      flag_param("parse-special", "with --raw: recognise special tokens written in the prompt"));
  add_generation_params(info.params);
  info.params.push_back(mode_param(Mode::deterministic));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr run tiny.apr \"What is 2+2?\"", "one answer"},
      {"echo \"Tell me a story.\" | apr run tiny.apr --temperature 0.8 --seed 7", "a varied one"},
      {"apr run tiny.apr \"Once upon a time\" --raw -n 40 --json", "a continuation, with figures"}};
  info.metrics = {"tokens", "prompt_tokens", "prefill_tokens_per_second",
                  "decode_tokens_per_second"};
  return info;
}

/// Streams the answer, and what was held back once it is complete.
class Printer {
 public:
  Printer(std::ostream& out, bool silent, bool terminal)
      : out_(out), silent_(silent), terminal_(terminal) {}
  bool operator()(const GeneratedToken& token) {
    put(token.text);
    return true;
  }
  void finish(const std::string& text) {
    if (printed_ < text.size()) put(std::string_view(text).substr(printed_));
    if (!silent_) out_ << '\n' << std::flush;
  }

 private:
  void put(std::string_view text) {
    printed_ += text.size();
    if (!silent_ && !text.empty()) out_ << terminal_text(text, terminal_) << std::flush;
  }
  std::ostream& out_;
  bool silent_;
  bool terminal_;
  std::size_t printed_ = 0;
};

class Run final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const bool raw = params.flag("raw");
    if (params.flag("parse-special") && !raw) {
      return make_error(ErrorCode::usage, "--parse-special is for --raw prompts only", {},
                        "a chat template's own special tokens always have their meaning");
    }
    if (raw && params.has("system")) {
      return make_error(ErrorCode::usage, "--system has no place in a --raw prompt", {},
                        "write it into the prompt");
    }
    APR_ASSIGN(const Model model, load_model(context, params.text("model"), {}));
    APR_TRY(require_causal(model, "run"));
    APR_ASSIGN(const std::string prompt, prompt_of(context, raw));

    Printer printer(context.out, context.json, context.terminal);
    const auto on_token = [&](const GeneratedToken& token) { return printer(token); };
    Json report = Json::object({{"model", params.text("model")}});
    GenerateOutcome outcome;
    std::size_t prompt_tokens = 0;
    if (!raw && use_template(context, model)) {
      APR_ASSIGN(Conversation conversation, Conversation::create(params, model));
      APR_ASSIGN(auto turn,
                 conversation.say(prompt, [] { return g_interrupted.load(); }, on_token));
      outcome = std::move(turn.outcome);
      prompt_tokens = turn.prompt.size();
    } else {
      APR_ASSIGN(outcome, continue_raw(params, model, prompt, on_token));
      prompt_tokens = outcome.prompt_tokens;
    }
    printer.finish(outcome.text);
    APR_TRY(check_interrupted());
    const Json answer = outcome_json(outcome, prompt_tokens);
    for (const auto& [name, value] : answer.as_object()) report.set(name, value);
    report.set("prompt_tokens", std::uint64_t{prompt_tokens});
    report.set("backend", model.executable()->description());
    return Outcome{.report = std::move(report)};
  }

  void print(const Json&, std::ostream&, bool) const override {}

 private:
  static Result<std::string> prompt_of(RunContext& context, bool raw) {
    const Values& params = context.params;
    std::string text;
    if (params.has("prompt") && params.text("prompt") != "-") {
      text = params.text("prompt");
    } else {
      APR_ASSIGN(text, from_standard_input(context, raw));
    }
    if (!text.empty()) return text;
    return make_error(ErrorCode::usage, "the prompt is empty", {},
                      "give it behind the model or on standard input");
  }

  static Result<std::string> from_standard_input(RunContext& context, bool raw) {
    if (is_terminal(STDIN_FILENO)) {
      context.notes << "apr: type the prompt; Ctrl-D at the beginning of a line ends it\n";
    }
    APR_ASSIGN(std::string text, read_standard_input(kMaxPromptBytes));
    if (!raw && text.ends_with('\n')) text.pop_back();
    if (!raw && text.ends_with('\r')) text.pop_back();
    return text;
  }

  /// A model without any template is prompted as it is; a broken template is an error later on.
  static bool use_template(RunContext& context, const Model& model) {
    const auto found = model.chat_template();
    if (found || found.error().code != ErrorCode::load) return true;
    if (context.params.has("system")) return true;
    context.notes << "apr: the model carries no chat template; the prompt is used as it is\n";
    return false;
  }

  static Result<GenerateOutcome> continue_raw(
      const Values& params, const Model& model, const std::string& prompt,
      const std::function<bool(const GeneratedToken&)>& on_token) {
    APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
    APR_ASSIGN(const std::uint32_t context, context_size(params, model));
    APR_ASSIGN(GenerateOptions options, generate_options(params, model, context));
    options.interrupted = [] { return g_interrupted.load(); };
    APR_ASSIGN(const std::vector<TokenId> ids,
               tokenizer->encode(
                   prompt, {.add_special = true, .parse_special = params.flag("parse-special")}));
    APR_ASSIGN(Session session, model.start(context));
    return generate(session, 0, *tokenizer, ids, options, on_token);
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_run() {
  return std::make_unique<Run>();
}

}  // namespace apr
