// What the verbs that let a model speak have in common: their parameters, the prompt, the report.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "core/runtime/generator.h"
#include "core/runtime/model.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// --max-tokens, --temperature, --top-k, --top-p, --repetition-penalty, --seed, --stop, --context,
/// --system, --date.
void add_generation_params(std::vector<Param>& params);

/// Sampling, limits and stop strings as given; stop ids and interruption are left to the caller.
Result<GenerateOptions> generate_options(const Values& params, const Model& model,
                                         std::uint32_t context);
/// --context, by default what the model was made for; refused beyond that with both numbers.
Result<std::uint32_t> context_size(const Values& params, const Model& model);

/// What keys and values of so many tokens take.
std::uint64_t kv_cache_bytes(const Graph& graph, std::uint64_t positions);

/// BOS and EOS as the model's files spell them, and the date if one was given.
Result<ChatTemplate::Variables> template_variables(const Values& params, const Model& model);
/// The same without loading a model; either pointer may be null.
Result<ChatTemplate::Variables> template_variables(const Values& params, const Package* package,
                                                   const Tokenizer* tokenizer);

/// A token's bytes as text; bytes that make no character are written <0xNN>.
std::string readable_bytes(std::string_view bytes);
/// A token as a person reads it, between quotes.
std::string shown_token(const Tokenizer& tokenizer, TokenId id);

/// Tokens per second of reading the prompt and of writing, from what a generation took; 0 where
/// there is nothing to divide.
double prefill_rate(std::size_t tokens, const GenerateOutcome& outcome);
double decode_rate(const GenerateOutcome& outcome);

/// text, ids, tokens, finish_reason and the rates.
Json outcome_json(const GenerateOutcome& outcome, std::size_t tokens_read);

/// Probabilities of the likeliest next tokens, kept token by token.
struct TokenChoices {
  TokenId id = 0;
  double probability = 0;
  std::vector<TokenProbability> best;
};
TokenChoices choices_of(const GeneratedToken& token, std::size_t count);
Json choices_json(const std::vector<TokenChoices>& all, const Tokenizer& tokenizer);
void print_choices(const std::vector<TokenChoices>& all, const Tokenizer& tokenizer,
                   std::ostream& out, bool colour);

/// Line ends and tabs stay, other control characters are made visible where a terminal would obey
/// them. Bytes that are no UTF-8 become U+FFFD everywhere.
std::string terminal_text(std::string_view text, bool terminal);

/// All of standard input, or an error after Ctrl-C or beyond `limit` bytes.
Result<std::string> read_standard_input(std::uint64_t limit);

}  // namespace apr
