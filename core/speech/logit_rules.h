// Which tokens may come next in a transcript.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"
#include "core/speech/speech_tokens.h"

namespace apr {

/// The rules of Whisper's reference decoder. With timestamps: the answer begins with one, not later
/// than max_initial_timestamp; they come in pairs (end of one segment, begin of the next), except
/// before the end of the answer; they never go back, and a segment takes time; and where
/// all timestamps together are likelier than the likeliest other token, one is due.
class APR_API LogitRules {
 public:
  /// `tokens` must outlive the rules.
  LogitRules(const SpeechTokens& tokens, bool timestamps)
      : tokens_(tokens), timestamps_(timestamps) {}

  /// Sets the logits of tokens that must not follow `answer` to minus infinity. Logits that are no
  /// numbers are an error, and so is an answer that nothing may follow.
  Status apply(std::span<float> logits, std::span<const TokenId> answer) const;

 private:
  void apply_timestamp_rules(std::span<float> logits, std::span<const TokenId> answer) const;
  const SpeechTokens& tokens_;
  bool timestamps_;
};

}  // namespace apr
