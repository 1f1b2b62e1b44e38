// A loaded model as the transcriber sees it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/export.h"
#include "core/runtime/session.h"
#include "core/speech/transcribe.h"

namespace apr {

/// Sequence 0 encodes; copies share what it heard.
class APR_API SessionSpeech final : public SpeechModel {
 public:
  /// The session must outlive this; its executable was compiled for at least context() tokens and
  /// `max_sequences` logit rows (at least 2) in a step.
  SessionSpeech(Session& session, std::uint32_t max_sequences)
      : session_(session), max_sequences_(max_sequences) {}

  std::uint32_t vocab_size() const noexcept override;
  std::uint32_t context() const noexcept override { return session_.context(); }
  std::uint32_t max_sequences() const noexcept override { return max_sequences_; }
  Status hear(std::span<const float> frames) noexcept override;
  Result<std::span<const float>> begin(std::span<const TokenId> tokens,
                                       std::span<const std::uint32_t> rows) noexcept override;
  Status copy(SequenceId from, SequenceId to) noexcept override;
  Result<std::span<const float>> step(std::span<const SequenceId> sequences,
                                      std::span<const TokenId> tokens) noexcept override;

 private:
  void forget_copies();
  Session& session_;
  std::uint32_t max_sequences_;
  std::vector<std::int32_t> positions_;
  std::vector<SequenceId> sequences_;
  std::vector<std::uint32_t> rows_;
};

}  // namespace apr
