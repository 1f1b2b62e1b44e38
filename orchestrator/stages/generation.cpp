#include "orchestrator/stages/generation.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <ostream>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/memory.h"
#include "core/text/utf8.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/sampling.h"

namespace apr {

namespace {

constexpr std::uint32_t kDefaultContext = 4096;  ///< of a model that does not say

Param number_param(std::string name, ParamType type, Json fallback, double minimum,
                   std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = type;
  param.fallback = std::move(fallback);
  param.minimum = minimum;
  param.help = std::move(help);
  return param;
}

/// A special token of tokenizer_config.json: its text, or an object with the text in `content`.
std::string token_text(const Json& token) {
  return token.is_object() ? token["content"].as_string() : token.as_string();
}

std::string today() {
  const std::time_t now = static_cast<std::time_t>(unix_seconds());
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

/// A token as it can be shown on one line.
}  // namespace

void add_generation_params(std::vector<Param>& params) {
  Param max_tokens = number_param("max-tokens", ParamType::integer, Json(), 1,
                                  "longest answer, in tokens; 256, or the context if that is less");
  max_tokens.letter = 'n';
  params.push_back(std::move(max_tokens));
  params.push_back(text_param("system", "TEXT", "the system message"));
  add_sampling_params(params);
  Param stop = text_param("stop", "TEXT", "end the answer before this text; may be repeated");
  stop.type = ParamType::texts;
  params.push_back(std::move(stop));
  params.push_back(number_param("context", ParamType::integer, Json(), 1,
                                "tokens the model keeps in mind; by default all it was made for"));
  params.push_back(
      text_param("date", "DATE", "the date for templates that ask for it: 2024-07-26, or `today`"));
}

Result<std::uint32_t> context_size(const Values& params, const Model& model) {
  const std::uint32_t made_for = model.facts().max_position_embeddings;
  if (!params.has("context")) return made_for > 0 ? made_for : kDefaultContext;
  const std::int64_t wanted = params.integer("context");
  const std::int64_t most = made_for > 0 ? made_for : std::int64_t{1} << 30;
  if (wanted > most) {
    return make_error(ErrorCode::usage, cat("--context ", wanted, " is more than the ", most,
                                            " tokens the model was made for"));
  }
  return static_cast<std::uint32_t>(wanted);
}

std::uint64_t kv_cache_bytes(const Graph& graph, std::uint64_t positions) {
  std::uint64_t bytes = 0;
  for (const CacheDecl& cache : graph.caches()) {
    if (cache.cross) continue;
    const std::uint64_t kept =
        cache.window > 0 ? std::min<std::uint64_t>(positions, cache.window) : positions;
    bytes += kept * 2 * cache.num_key_value_heads * cache.head_dim *
             (cache.element == Type::f16 ? 2 : 4);
  }
  return bytes;
}

Result<GenerateOptions> generate_options(const Values& params, const Model& model,
                                         std::uint32_t context) {
  GenerateOptions options;
  APR_ASSIGN(options.sampler, sampling_options(params, model));
  options.stop_strings = params.texts("stop");
  for (const std::string& stop : options.stop_strings) {
    if (stop.empty()) return make_error(ErrorCode::usage, "--stop is given an empty text");
  }
  options.stop_ids = model.stop_ids();
  options.max_tokens = std::min(context, options.max_tokens);
  if (params.has("max-tokens")) {
    const std::int64_t wanted = params.integer("max-tokens");
    if (wanted > context) {
      return make_error(
          ErrorCode::usage,
          cat("--max-tokens ", wanted, " is more than the context of ", context, " tokens holds"),
          {}, "the prompt needs room as well");
    }
    options.max_tokens = static_cast<std::uint32_t>(wanted);
    const std::uint64_t needed = kv_cache_bytes(model.graph(), options.max_tokens);
    const std::uint64_t free = available_memory_bytes();
    if (free > 0 && needed > free) {
      return make_error(ErrorCode::usage,
                        cat("--max-tokens ", wanted, " needs ", human_bytes(needed),
                            " for keys and values, and ", human_bytes(free), " are free"));
    }
  }
  return options;
}

Result<ChatTemplate::Variables> template_variables(const Values& params, const Model& model) {
  const Tokenizer* tokenizer = nullptr;
  if (model.package().file("tokenizer_config.json") == nullptr) {
    APR_ASSIGN(tokenizer, model.tokenizer());
  }
  return template_variables(params, &model.package(), tokenizer);
}

Result<ChatTemplate::Variables> template_variables(const Values& params, const Package* package,
                                                   const Tokenizer* tokenizer) {
  ChatTemplate::Variables variables;
  const std::string* text = package != nullptr ? package->file("tokenizer_config.json") : nullptr;
  if (text != nullptr) {
    APR_ASSIGN(const Json config,
               parse_json(*text, cat(package->path(), ": tokenizer_config.json")));
    variables.bos_token = token_text(config["bos_token"]);
    variables.eos_token = token_text(config["eos_token"]);
    for (const char* name : {"unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
      const std::string token = token_text(config[name]);
      if (!token.empty()) variables.special_tokens.set(name, token);
    }
    Json more = Json::array();
    for (const Json& token : config["additional_special_tokens"].as_array()) {
      more.push_back(token_text(token));
    }
    if (more.size() > 0) variables.special_tokens.set("additional_special_tokens", std::move(more));
  } else if (tokenizer != nullptr) {
    if (tokenizer->bos()) variables.bos_token = tokenizer->token(*tokenizer->bos());
    if (tokenizer->eos()) variables.eos_token = tokenizer->token(*tokenizer->eos());
  }
  if (params.has("date")) {
    const std::string& date = params.text("date");
    variables.extra.set("now", date == "today" ? today() : date);
  }
  return variables;
}

std::string readable_bytes(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    const Utf8Character character = utf8_at(bytes, i);
    if (character.code == kInvalidCharacter) {
      const auto byte = static_cast<std::uint8_t>(bytes[i]);
      out += cat("<0x", kDigits[byte >> 4], kDigits[byte & 15], ">");
    } else {
      out += bytes.substr(i, character.size);
    }
    i += character.size;
  }
  return out;
}

std::string shown_token(const Tokenizer& tokenizer, TokenId id) {
  return Json(readable_bytes(tokenizer.piece(id, false))).dump();
}

double prefill_rate(std::size_t tokens, const GenerateOutcome& outcome) {
  return outcome.prefill_seconds > 0 ? static_cast<double>(tokens) / outcome.prefill_seconds : 0;
}

double decode_rate(const GenerateOutcome& outcome) {
  // The first token came from reading the prompt; a stop id cost a step but is not among the ids.
  std::size_t steps = outcome.ids.size();
  if (outcome.finish != FinishReason::stop_id && steps > 0) --steps;
  return steps > 0 && outcome.decode_seconds > 0
             ? static_cast<double>(steps) / outcome.decode_seconds
             : 0;
}

Json outcome_json(const GenerateOutcome& outcome, std::size_t tokens_read) {
  Json ids = Json::array();
  for (const TokenId id : outcome.ids) ids.push_back(id);
  return Json::object({{"text", outcome.text},
                       {"tokens", std::uint64_t{outcome.ids.size()}},
                       {"ids", std::move(ids)},
                       {"finish_reason", name_of(outcome.finish)},
                       {"prefill_tokens_per_second", prefill_rate(tokens_read, outcome)},
                       {"decode_tokens_per_second", decode_rate(outcome)},
                       {"prefill_seconds", outcome.prefill_seconds},
                       {"decode_seconds", outcome.decode_seconds}});
}

TokenChoices choices_of(const GeneratedToken& token, std::size_t count) {
  return {token.id, std::exp(log_probability(token.logits, token.id)),
          top_probabilities(token.logits, count)};
}

Json choices_json(const std::vector<TokenChoices>& all, const Tokenizer& tokenizer) {
  Json list = Json::array();
  for (const TokenChoices& choices : all) {
    Json best = Json::array();
    for (const TokenProbability& entry : choices.best) {
      best.push_back(Json::object({{"id", entry.id},
                                   {"token", readable_bytes(tokenizer.piece(entry.id, false))},
                                   {"probability", entry.probability}}));
    }
    list.push_back(Json::object({{"id", choices.id},
                                 {"token", readable_bytes(tokenizer.piece(choices.id, false))},
                                 {"probability", choices.probability},
                                 {"top", std::move(best)}}));
  }
  return list;
}

void print_choices(const std::vector<TokenChoices>& all, const Tokenizer& tokenizer,
                   std::ostream& out, bool colour) {
  using Align = Table::Align;
  Table table({{"token", Align::left},
               {"id", Align::right},
               {"p", Align::right},
               {"likeliest", Align::left}});
  for (const TokenChoices& choices : all) {
    std::string best;
    for (const TokenProbability& entry : choices.best) {
      best += cat(best.empty() ? "" : "  ", shown_token(tokenizer, entry.id), " ",
                  fixed(100 * entry.probability, 1), "%");
    }
    table.row({printable(shown_token(tokenizer, choices.id)), cat(choices.id),
               cat(fixed(100 * choices.probability, 1), "%"), printable(best)});
  }
  out << table.to_string(Style{colour}, 2);
}

std::string terminal_text(std::string_view text, bool terminal) {
  if (!terminal) return valid_utf8(text);
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\n\t"), text.size());
    out += printable(text.substr(0, end));
    if (end < text.size()) out.push_back(text[end]);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

Result<std::string> read_standard_input(std::uint64_t limit) {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got == 0) return text;
    if (got < 0) {
      if (errno == EINTR) {
        APR_TRY(check_interrupted());
        continue;
      }
      return make_error(ErrorCode::io, "cannot be read", "standard input");
    }
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > limit) {
      return make_error(ErrorCode::usage, cat("has more than ", limit, " bytes"), "standard input");
    }
  }
}

}  // namespace apr
