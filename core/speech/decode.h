// Decoding one chunk of speech: which prompt, which tokens are allowed, how they are chosen.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"
#include "core/speech/speech_tokens.h"

namespace apr {

/// A decoder that has heard a chunk and says how likely each next token is. Sequences share what
/// was heard.
class SpeechDecoder {
 public:
  virtual ~SpeechDecoder() = default;
  virtual std::uint32_t vocab_size() const noexcept = 0;
  virtual std::uint32_t context() const noexcept = 0;  ///< tokens of a sequence, prompt included
  virtual std::uint32_t max_sequences() const noexcept = 0;
  /// Sequence 0 holds these tokens and nothing else. Returns the logits after each token named by
  /// its index in `rows` (ascending), valid until the next call.
  virtual Result<std::span<const float>> begin(std::span<const TokenId> tokens,
                                               std::span<const std::uint32_t> rows) noexcept = 0;
  /// `to` holds what `from` holds.
  virtual Status copy(SequenceId from, SequenceId to) noexcept = 0;
  /// Appends one token to each sequence (ascending); a row of logits for each.
  virtual Result<std::span<const float>> step(std::span<const SequenceId> sequences,
                                              std::span<const TokenId> tokens) noexcept = 0;
};

struct DecodeOptions {
  std::optional<TokenId> language;  ///< of a multilingual model
  SpeechTask task = SpeechTask::transcribe;
  bool timestamps = false;
  std::vector<TokenId> previous;  ///< what was said before; its end is kept if it is too long
  /// 0: the likeliest, by beam search if `beams` > 1. Above: drawn, the likeliest of `best_of`.
  double temperature = 0;
  std::uint32_t beams = 1;
  std::uint32_t best_of = 1;
  /// Beams and draws are ranked by log-probability / length, or with a value a here by
  /// log-probability / ((5 + length) / 6)^a (Wu et al. 2016).
  std::optional<double> length_penalty;
  std::uint64_t seed = 0;
  std::uint32_t max_tokens = 0;  ///< of the answer; 0: half of the context
  std::function<bool()> interrupted;
};

struct DecodedChunk {
  std::vector<TokenId> tokens;         ///< without prompt and end token
  double average_log_probability = 0;  ///< per token, the end token counted
  double no_speech_probability = 0;    ///< 0 if the model has no token for it
  bool complete = false;               ///< the model ended it itself
};

APR_API Result<DecodedChunk> decode_chunk(SpeechDecoder& decoder, const SpeechTokens& tokens,
                                          const DecodeOptions& options);

/// start, language, task, no timestamps: what comes before the answer, and before that the text
/// said before.
struct SpeechPrompt {
  std::vector<TokenId> tokens;
  std::uint32_t start = 0;  ///< index of the start token
};
APR_API Result<SpeechPrompt> speech_prompt(const SpeechTokens& tokens, const DecodeOptions& options,
                                           std::uint32_t context);

struct LanguageGuess {
  SpokenLanguage language;
  double probability = 0;  ///< among the model's languages
};
/// The likeliest language after the start token alone.
APR_API Result<LanguageGuess> detect_language(SpeechDecoder& decoder, const SpeechTokens& tokens);

}  // namespace apr
