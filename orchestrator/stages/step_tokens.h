// The tokens of one step of a session, put together sequence by sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/runtime/session.h"

namespace apr {

/// Whether the graph asks for token types beside the ids ("token_types").
bool takes_token_types(const Graph& graph);

class StepTokens {
 public:
  /// Appends the next tokens of a sequence that holds `position` of them. `types`: their token
  /// types; empty: all 0.
  void add(SequenceId sequence, std::uint32_t position, std::span<const TokenId> ids,
           std::span<const std::int32_t> types = {});

  std::uint64_t tokens() const { return ids_.size(); }
  /// Runs them in one step. Of a model that predicts next tokens, every token's logits.
  Result<std::span<const float>> run(Session& session, const StepSinks& sinks = {}) const;

 private:
  std::vector<TokenId> ids_;
  std::vector<std::int32_t> types_;
  std::vector<std::int32_t> positions_;
  std::vector<SequenceId> sequences_;
};

}  // namespace apr
