// Answers of a speech decoder while they are made; shared by sampling and beam search.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/speech/decode.h"
#include "core/speech/logit_rules.h"

namespace apr {

struct Candidate {
  std::vector<TokenId> tokens;  ///< without the end token
  double log_probability = 0;   ///< of all tokens, the end token too if there was one
  bool complete = false;
};

/// What both need: the decoder holds the prompt in sequence 0; `logits` are those after it.
struct Search {
  SpeechDecoder& decoder;
  const SpeechTokens& tokens;
  const LogitRules& rules;
  const DecodeOptions& options;
  std::uint32_t max_tokens = 0;
  std::vector<float> logits;
};

/// One answer token by token: greedy at temperature 0, else best_of independent draws.
Result<std::vector<Candidate>> sample_candidates(Search& search);
/// The likeliest answers that `beams` unfinished ones side by side lead to.
Result<std::vector<Candidate>> beam_candidates(Search& search);

/// An error after Ctrl-C.
Status check_not_interrupted(const DecodeOptions& options);

}  // namespace apr
