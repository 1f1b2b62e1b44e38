// apr-runtime: answers one prompt with a model, everything linked in. The same source is a fully
// static native program and a WASI module.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/cat.h"
#include "core/base/number.h"
#include "core/package/package.h"
#include "core/plugin/static_plugins.h"
#include "core/runtime/generator.h"
#include "core/runtime/model.h"

namespace {

using namespace apr;

constexpr const char* kUsage =
    R"(apr-runtime: answers one prompt; needs no other file than the model

Usage: apr-runtime MODEL PROMPT [OPTIONS]

MODEL is an .apr file. PROMPT is put into its chat template as the user's message.

Options
  -n N               at most N new tokens [default: 128]
  --system TEXT      the system message
  --raw              continue PROMPT as it is, without a chat template
  --ids              print token ids, not text
  --temperature X    0 always takes the likeliest token; higher is more varied [default: 0]
  --seed N           of the random numbers; the same seed gives the same answer [default: 0]
  --top-k N          draw from the K likeliest tokens only; 0: from all [default: 0]
  --top-p X          draw from the likeliest tokens that together reach this probability
                     [default: 1]
  --context N        tokens the model keeps in mind; by default prompt and answer
  --mode NAME        exact, deterministic or fast [default: deterministic]
  --backend NAME     what computes: cpu or reference [default: cpu]
  --threads N        threads to use; 0: all processors [default: 0]
  --allow-synthetic  accept a model whose weights are made up, not trained
  -h, --help         show this page
  --version          show the version

Examples
  # one answer
  apr-runtime tiny.apr "What is 2+2?"
  # a varied story, the same each time
  apr-runtime tiny.apr "Tell me a story." -n 60 --temperature 0.8 --seed 7
  # what the text goes on with
  apr-runtime tiny-int4.apr "Once upon a time" --raw
)";

struct Options {
  std::vector<std::string> words;
  std::string system;
  std::uint32_t max_tokens = 128;
  std::uint32_t context = 0;
  std::uint32_t threads = 0;
  SamplerOptions sampler;
  Mode mode = Mode::deterministic;
  std::string backend = "cpu";
  bool raw = false;
  bool ids = false;
  bool allow_synthetic = false;
  bool help = false;
  bool version = false;
};

Error usage(std::string message) {
  return make_error(ErrorCode::usage, std::move(message), {},
                    "see `apr-runtime --help`; for example: apr-runtime tiny.apr \"What is 2+2?\"");
}

template <typename Number>
Status parse_number(std::string_view option, std::string_view text, Number& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed == std::errc() && end == text.data() + text.size()) return {};
  return usage(cat(option, " wants a number, not '", text, "'"));
}

Status parse_real(std::string_view option, std::string_view text, double& out) {
  const auto number = parse_double(text);
  if (!number) return usage(cat(option, " wants a number, not '", text, "'"));
  out = *number;
  return {};
}

Status parse_value(Options& options, std::string_view name, const std::string& value) {
  if (name == "-n") return parse_number(name, value, options.max_tokens);
  if (name == "--context") return parse_number(name, value, options.context);
  if (name == "--threads") return parse_number(name, value, options.threads);
  if (name == "--seed") return parse_number(name, value, options.sampler.seed);
  if (name == "--top-k") return parse_number(name, value, options.sampler.top_k);
  if (name == "--top-p") return parse_real(name, value, options.sampler.top_p);
  if (name == "--temperature") return parse_real(name, value, options.sampler.temperature);
  if (name == "--system") {
    options.system = value;
    return {};
  }
  if (name == "--backend") {
    options.backend = value;
    return {};
  }
  if (name == "--mode") {
    const auto mode = mode_from_name(value);
    if (!mode) return usage(cat("--mode wants exact, deterministic or fast, not '", value, "'"));
    options.mode = *mode;
    return {};
  }
  return usage(cat("there is no option '", name, "'"));
}

bool takes_value(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kNames{
      "-n",      "--context",     "--threads", "--seed",    "--top-k",
      "--top-p", "--temperature", "--system",  "--backend", "--mode"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Result<Options> parse_options(std::span<char*> arguments) {
  Options options;
  bool only_words = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (only_words || word == "-" || !word.starts_with('-')) {
      options.words.emplace_back(word);
    } else if (word == "--") {
      only_words = true;
    } else if (word == "--raw") {
      options.raw = true;
    } else if (word == "--ids") {
      options.ids = true;
    } else if (word == "--allow-synthetic") {
      options.allow_synthetic = true;
    } else if (word == "--help" || word == "-h") {
      options.help = true;
    } else if (word == "--version") {
      options.version = true;
    } else if (i + 1 == arguments.size()) {
      return usage(takes_value(word) ? cat("option '", word, "' needs a value")
                                     : cat("there is no option '", word, "'"));
    } else {
      APR_TRY(parse_value(options, word, arguments[++i]));
    }
  }
  if (!options.help && !options.version && options.words.size() != 2) {
    return usage(options.words.size() > 2
                     ? "more than MODEL and PROMPT; a PROMPT with spaces needs quotes"
                     : "wants MODEL and PROMPT");
  }
  return options;
}

std::string text_of(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  return id ? std::string(tokenizer.token(*id)) : std::string();
}

Result<std::vector<TokenId>> prompt_ids(const Model& model, const Tokenizer& tokenizer,
                                        const Options& options) {
  const std::string& prompt = options.words[1];
  if (options.raw) {
    Tokenizer::EncodeOptions encode;
    return tokenizer.encode(prompt, encode);
  }
  APR_ASSIGN(const ChatTemplate* chat, model.chat_template());
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  messages.push_back({"user", prompt});
  ChatTemplate::Variables variables;
  variables.bos_token = text_of(tokenizer, tokenizer.bos());
  variables.eos_token = text_of(tokenizer, tokenizer.eos());
  APR_ASSIGN(const MarkedText text, chat->render(messages, variables, {}));
  return tokenizer.encode(text, false);
}

Status answer(const Options& options) {
  Registry registry;
  APR_TRY(register_static_plugins(registry));
  APR_ASSIGN(Package package, open_apr(options.words[0]));

  ModelOptions model_options;
  model_options.backend = options.backend;
  model_options.allow_synthetic = options.allow_synthetic;
  model_options.compile.mode = options.mode;
  model_options.compile.max_logit_rows = 1;
  model_options.compile.team = std::make_shared<Team>(options.threads);
  APR_ASSIGN(const Model model, Model::load(std::move(package), registry, model_options));
  APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
  APR_ASSIGN(const std::vector<TokenId> prompt, prompt_ids(model, *tokenizer, options));

  const std::uint64_t wanted = std::uint64_t{prompt.size()} + options.max_tokens;
  const std::uint64_t limit = model.facts().max_position_embeddings;
  const auto context =
      options.context > 0 ? options.context : static_cast<std::uint32_t>(std::min(wanted, limit));
  APR_ASSIGN(Session session, model.start(context));

  GenerateOptions generation;
  generation.sampler = options.sampler;
  generation.max_tokens = options.max_tokens;
  generation.stop_ids = model.stop_ids();
  const auto show = [&](const GeneratedToken& token) {
    if (options.ids) return true;
    std::fwrite(token.text.data(), 1, token.text.size(), stdout);
    return std::fflush(stdout) == 0;
  };
  APR_ASSIGN(const GenerateOutcome outcome,
             generate(session, 0, *tokenizer, prompt, generation, show));
  if (options.ids) {
    for (std::size_t i = 0; i < outcome.ids.size(); ++i) {
      std::printf("%s%d", i == 0 ? "" : " ", outcome.ids[i]);
    }
  }
  std::printf("\n");
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    return make_error(ErrorCode::io, "the answer could not be written", "standard output");
  }
  return {};
}

int fail(const Error& error) {
  const std::string where = error.context.empty() ? "" : cat(error.context, ": ");
  std::fprintf(stderr, "apr-runtime: error: %s%s\n", where.c_str(), error.message.c_str());
  if (!error.hint.empty()) std::fprintf(stderr, "  hint: %s\n", error.hint.c_str());
  return exit_code(error.code);
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (!options) return fail(options.error());
  if (options->help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (options->version) {
    std::puts("apr-runtime " APR_VERSION);
    return 0;
  }
  const auto status = answer(*options);
  return status ? 0 : fail(status.error());
}
