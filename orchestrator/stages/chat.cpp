// apr chat: a conversation, in a terminal or line by line through pipes.
#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/stages/chatter.h"
#include "orchestrator/stages/generation.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "chat";
  info.summary = "talk with a model";
  info.details =
      "In a terminal: type a message and Enter; lines can be edited, arrows and Ctrl-R find "
      "earlier "
      "ones. Ctrl-C stops an answer, not the program. With standard input from a pipe or file "
      "every line is one message, and only answers are printed. --json prints one JSON object per "
      "line and turn.\n\n"
      "Commands:\n" +
      [] {
        std::string indented;
        for (std::string_view rest = kChatHelp; !rest.empty();) {
          const std::size_t end = std::min(rest.find('\n'), rest.size());
          indented += cat("  ", rest.substr(0, end), "\n");
          rest.remove_prefix(std::min(end + 1, rest.size()));
        }
        return indented;
      }() +
      "\n--inspect records, in the computation that makes the answer: the prompt's tokens, how "
      "likely each token of the answer and the likeliest five were, the perplexity of the answer, "
      "the attention of one layer (/attn draws it), rates and memory. The trace id names the turn: "
      "the same model, prompt and settings give the same.";
  info.params.push_back(model_param());
  info.params.push_back(flag_param("inspect", "show what the model saw and chose, turn by turn"));
  add_generation_params(info.params);
  info.params.push_back(
      flag_param("no-history", "neither read nor write the history of messages for line editing"));
  info.params.push_back(mode_param(Mode::deterministic));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {{"apr chat tiny.apr", "a conversation in the terminal"},
                   {"printf 'My name is Anna.\\nWhat is my name?\\n' | apr chat tiny.apr",
                    "two turns through a pipe"},
                   {"printf 'What is 2+2?\\n/attn 3 0\\n' | apr chat tiny.apr --inspect",
                    "probabilities, and what the fourth layer's first head looks at"}};
  info.reproducible = false;
  return info;
}

class Chat final : public Verb {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    CompileOptions compile;
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    if (params.flag("inspect")) {
      APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
      compile.taps = attention_values(graph);
    }
    APR_ASSIGN(const Model model, load_model(context, std::move(package), std::move(compile)));
    APR_TRY(require_causal(model, "chat"));
    auto conversation = Conversation::create(params, model);
    if (!conversation) {
      Error error = std::move(conversation).error();
      if (!model.chat_template() && error.code == ErrorCode::load) {
        error.hint = "apr run --raw continues a text without one";
      }
      return error;
    }
    return run_chat(context, info_, model, *std::move(conversation));
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
