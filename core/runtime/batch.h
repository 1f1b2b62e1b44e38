// One step's work: a flat list of tokens of any number of sequences.
#pragma once

#include <cstdint>
#include <span>

namespace apr {

using TokenId = std::int32_t;
using SequenceId = std::uint32_t;

/// All spans have one element per token, except logit_rows. Tokens of one sequence are adjacent and
/// their positions count up by one from the sequence's current length. Prefill is many tokens of one
/// sequence, decode is one token of each of many; both may be in one step.
struct Batch {
  std::span<const TokenId> token_ids;
  std::span<const std::int32_t> positions;
  std::span<const SequenceId> sequences;
  std::span<const std::uint32_t> logit_rows;  ///< rows of this batch whose logits are wanted, ascending

  std::uint64_t tokens() const { return token_ids.size(); }
};

}  // namespace apr
