// Generator: the token loop.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/runtime/sampler.h"
#include "core/runtime/session.h"
#include "core/text/tokenizer.h"

namespace apr {

struct GenerateOptions {
  SamplerOptions sampler;
  std::uint32_t max_tokens = 256;
  std::vector<TokenId> stop_ids;
  std::vector<std::string> stop_strings;  ///< the text ends before the first of them
  bool keep_special = false;              ///< special tokens appear in the text
  /// What the sequence holds already: the repetition penalty looks back into it.
  std::vector<TokenId> history;
  /// Asked between steps, also while a long prompt is read; true ends the generation as
  /// `interrupted`.
  std::function<bool()> interrupted;
  StepSinks sinks;  ///< told of every step, the prompt's and the answer's
};

enum class FinishReason : std::uint8_t {
  stop_id,
  stop_string,
  max_tokens,
  context_full,
  interrupted
};
APR_API std::string_view name_of(FinishReason reason);

/// What is known of each new token. Spans are valid during the call.
struct GeneratedToken {
  TokenId id = 0;
  std::string_view text;  ///< new text, whole UTF-8 characters; may be empty
  std::span<const float> logits;
};

struct GenerateOutcome {
  std::vector<TokenId> ids;  ///< the stop id is not among them
  std::string text;
  FinishReason finish = FinishReason::max_tokens;
  std::uint32_t prompt_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

/// Continues sequence `sequence` of the session with `prompt`. on_token returning false ends the
/// generation as `interrupted`. A prompt that does not fit the context is an error with both
/// numbers; nothing is ever cut silently. Text that had to wait for more when the generation ended
/// (what might have begun a stop string) is in the outcome but was in no call of on_token. After it
/// returns, the session holds the prompt and the generated tokens that were fed back.
APR_API Result<GenerateOutcome> generate(
    Session& session, SequenceId sequence, const Tokenizer& tokenizer,
    std::span<const TokenId> prompt, const GenerateOptions& options,
    const std::function<bool(const GeneratedToken&)>& on_token = {});

}  // namespace apr
