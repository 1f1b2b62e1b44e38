#include "core/speech/session_speech.h"

#include <numeric>

#include "core/base/cat.h"

namespace apr {

std::uint32_t SessionSpeech::vocab_size() const noexcept {
  return session_.executable().graph().facts().vocab_size;
}

void SessionSpeech::forget_copies() {
  for (SequenceId copy = 1; copy < max_sequences_; ++copy) session_.release(copy);
}

Status SessionSpeech::hear(std::span<const float> frames) noexcept {
  forget_copies();
  session_.release(0);
  return session_.encode(0, frames);
}

Result<std::span<const float>> SessionSpeech::begin(std::span<const TokenId> tokens,
                                                    std::span<const std::uint32_t> rows) noexcept {
  forget_copies();
  APR_TRY(session_.truncate(0, 0));
  positions_.resize(tokens.size());
  std::iota(positions_.begin(), positions_.end(), 0);
  sequences_.assign(tokens.size(), 0);
  return session_.step({tokens, positions_, sequences_, rows});
}

Status SessionSpeech::copy(SequenceId from, SequenceId to) noexcept {
  return session_.copy(from, to);
}

Result<std::span<const float>> SessionSpeech::step(std::span<const SequenceId> sequences,
                                                   std::span<const TokenId> tokens) noexcept {
  positions_.clear();
  for (const SequenceId sequence : sequences) {
    positions_.push_back(static_cast<std::int32_t>(session_.length(sequence)));
  }
  rows_.resize(sequences.size());
  std::iota(rows_.begin(), rows_.end(), 0U);
  return session_.step({tokens, positions_, sequences, rows_});
}

}  // namespace apr
