#include "orchestrator/stages/sampling.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <string_view>

#include "core/base/cat.h"
#include "core/base/number.h"
#include "orchestrator/stages/params.h"

namespace apr {

namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

Param number_param(std::string name, ParamType type, Json fallback, double minimum, double maximum,
                   std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = type;
  param.fallback = std::move(fallback);
  param.minimum = minimum;
  if (maximum != kNoLimit) param.maximum = maximum;
  param.help = std::move(help);
  return param;
}

/// "ID=VALUE,ID=VALUE" of every --logit-bias.
Result<std::vector<LogitBias>> biases(const std::vector<std::string>& all,
                                      std::uint32_t vocabulary) {
  std::vector<LogitBias> list;
  for (const std::string& text : all) {
    std::string_view rest = text;
    while (true) {
      const std::string_view entry = rest.substr(0, rest.find(','));
      const std::size_t equals = entry.find('=');
      LogitBias bias;
      const char* end = entry.data() + std::min(equals, entry.size());
      const auto id = std::from_chars(entry.data(), end, bias.id);
      const std::string_view value = equals == entry.npos ? "" : entry.substr(equals + 1);
      const auto number = value == "-inf" ? std::optional(-kNoLimit) : parse_double(value);
      if (equals == entry.npos || id.ec != std::errc{} || id.ptr != end || !number) {
        return make_error(ErrorCode::usage,
                          cat("--logit-bias '", entry, "' is not of the form ID=VALUE"), {},
                          "for example --logit-bias 42=-5,17=-inf; `apr tokenize` shows ids");
      }
      if (bias.id < 0 || static_cast<std::uint32_t>(bias.id) >= vocabulary) {
        return make_error(ErrorCode::usage, cat("--logit-bias names token ", bias.id,
                                                ", but the model's ids are 0 to ", vocabulary - 1));
      }
      bias.bias = *number;
      list.push_back(bias);
      if (entry.size() == rest.size()) break;
      rest.remove_prefix(entry.size() + 1);
    }
  }
  return list;
}

/// Tokens that hold one of the texts, and every special token.
std::vector<TokenId> breakers(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<TokenId> ids;
  for (std::uint32_t i = 0; i < tokenizer.vocab_size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const std::string piece = tokenizer.piece(id, false);
    const bool holds = std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
      return piece.find(text) != std::string::npos;
    });
    if (holds || tokenizer.is_special(id)) ids.push_back(id);
  }
  return ids;
}

/// A setting that shapes a draw says nothing where nothing is drawn. Whoever asks for temperature 0
/// by name knows that the likeliest token is taken, and top-k, top-p and min-p never remove it;
/// whoever does not surely wants a draw.
Status check_greedy(const SamplerOptions& options, bool asked_for) {
  if (options.temperature != 0) return {};
  const char* idle = options.mirostat > 0    ? "--mirostat"
                     : options.typical_p < 1 ? "--typical-p"
                     : asked_for             ? nullptr
                     : options.top_k > 0     ? "--top-k"
                     : options.top_p < 1     ? "--top-p"
                     : options.min_p > 0     ? "--min-p"
                                             : nullptr;
  if (idle == nullptr) return {};
  return make_error(ErrorCode::usage,
                    cat(idle, " does nothing at temperature 0, which takes the likeliest token"),
                    {}, "give a --temperature, for example 1");
}

}  // namespace

void add_sampling_params(std::vector<Param>& params) {
  using enum ParamType;
  std::string section;
  const auto add = [&](Param param) {
    param.section = section;
    params.push_back(std::move(param));
  };
  // No fallback: check_greedy() tells a 0 that was asked for from none.
  add(number_param("temperature", number, Json(), 0, kNoLimit,
                   "higher is more varied; 0, the default, always takes the likeliest token"));
  add(number_param("seed", integer, Json(0), 0, kNoLimit,
                   "of the random numbers; the same seed gives the same answer"));
  section = "Sampling: docs/sampling.md has the order of the steps";
  add(number_param("top-k", integer, Json(0), 0, kNoLimit,
                   "draw from the K likeliest tokens only; 0: from all"));
  add(number_param("top-p", number, Json(1.0), 0, 1,
                   "draw from the likeliest tokens that together reach this probability"));
  add(number_param("min-p", number, Json(0.0), 0, 1,
                   "draw from tokens at least this many times as probable as the likeliest"));
  add(number_param("typical-p", number, Json(1.0), 0, 1,
                   "draw from the tokens nearest to the expected surprise that together reach this "
                   "probability"));
  add(number_param("repetition-penalty", number, Json(1.0), 0, kNoLimit,
                   "above 1: makes the tokens of the window less likely"));
  add(number_param("frequency-penalty", number, Json(0.0), -2, 2,
                   "taken from a token's logit for each time it stands in the window"));
  add(number_param("presence-penalty", number, Json(0.0), -2, 2,
                   "taken once from the logit of every token of the window"));
  add(number_param("repetition-window", integer, Json(64), 0, 65536,
                   "how many of the last tokens the three penalties look at"));
  add(number_param("dry-multiplier", number, Json(0.0), 0, 100,
                   "don't repeat yourself: above 0, tokens that would lengthen a repetition lose "
                   "multiplier * base^(its length - allowed length)"));
  add(number_param("dry-base", number, Json(1.75), 1, 10, "see --dry-multiplier"));
  add(number_param("dry-allowed-length", integer, Json(2), 1, 65536,
                   "repetitions up to below this length cost nothing"));
  add(number_param("dry-window", integer, Json(1024), 1, 65536,
                   "how many of the last tokens are searched for repetitions"));
  Param breaker = text_param("dry-breaker", "TEXT",
                             "no repetition reaches over a token with this text; may be repeated; "
                             "without it: line end, colon, quote and asterisk");
  breaker.type = texts;
  add(std::move(breaker));
  add(number_param("mirostat", number, Json(0.0), 0, 30,
                   "instead of top-k to min-p: keep the surprise of each token near so many bits; "
                   "0: off"));
  add(number_param("mirostat-rate", number, Json(0.1), 0, 1, "how fast mirostat corrects itself"));
  Param bias = text_param("logit-bias", "ID=VALUE",
                          "added to a token's logit, -100 to 100, or -inf to forbid it; several "
                          "with commas, or repeated");
  bias.type = texts;
  add(std::move(bias));
}

Result<SamplerOptions> sampling_options(const Values& params, const Model& model) {
  const auto number = [&](std::string_view name) {
    return static_cast<std::uint32_t>(
        std::min<std::int64_t>(params.integer(name), std::int64_t{UINT32_MAX}));
  };
  SamplerOptions options;
  options.temperature = params.number("temperature");
  options.top_k = number("top-k");
  options.typical_p = params.number("typical-p");
  options.top_p = params.number("top-p");
  options.min_p = params.number("min-p");
  options.mirostat = params.number("mirostat");
  options.mirostat_rate = params.number("mirostat-rate");
  options.repetition_penalty = params.number("repetition-penalty");
  options.frequency_penalty = params.number("frequency-penalty");
  options.presence_penalty = params.number("presence-penalty");
  options.repetition_window = number("repetition-window");
  options.dry_multiplier = params.number("dry-multiplier");
  options.dry_base = params.number("dry-base");
  options.dry_allowed_length = number("dry-allowed-length");
  options.dry_window = number("dry-window");
  options.seed = static_cast<std::uint64_t>(params.integer("seed"));
  APR_ASSIGN(options.logit_bias, biases(params.texts("logit-bias"), model.facts().vocab_size));
  APR_TRY(Sampler::create(options));
  APR_TRY(check_greedy(options, params.has("temperature")));
  std::vector<std::string> texts = params.texts("dry-breaker");
  if (options.dry_multiplier == 0) {
    if (texts.empty()) return options;
    return make_error(ErrorCode::usage, "--dry-breaker does nothing without --dry-multiplier");
  }
  if (std::find(texts.begin(), texts.end(), "") != texts.end()) {
    return make_error(ErrorCode::usage, "--dry-breaker is given an empty text");
  }
  if (texts.empty()) texts = {"\n", ":", "\"", "*"};
  APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
  options.dry_breakers = breakers(*tokenizer, texts);
  return options;
}

}  // namespace apr
