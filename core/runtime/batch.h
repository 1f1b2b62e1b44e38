// One step's work: a flat list of tokens of any number of sequences.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/export.h"
#include "core/graph/graph.h"

namespace apr {

using TokenId = std::int32_t;
using SequenceId = std::uint32_t;

/// A graph input other than token_ids and positions ("token_types", "mel"), by its name in the
/// graph. One of the spans is used, as the input's type says; rows × features elements.
struct BatchInput {
  std::string_view name;
  std::span<const float> f32;
  std::span<const std::int32_t> i32;
};

/// All spans have one element per token, except logit_rows and inputs. Tokens of one sequence are
/// adjacent and their positions count up by one from the sequence's current length. Prefill is many
/// tokens of one sequence, decode is one token of each of many; both may be in one step.
struct Batch {
  std::span<const TokenId> token_ids;
  std::span<const std::int32_t> positions;
  std::span<const SequenceId> sequences;
  std::span<const std::uint32_t>
      logit_rows;  ///< rows of this batch whose logits are wanted, ascending
  std::span<const BatchInput> inputs = {};

  std::uint64_t tokens() const { return token_ids.size(); }
};

/// One past the last token of the sequence whose tokens start at `begin`.
inline std::size_t segment_end(const Batch& batch, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < batch.sequences.size() && batch.sequences[end] == batch.sequences[begin]) ++end;
  return end;
}

/// How many rows of each kind the step has; a sequence's context is what it holds after the step.
APR_API RowCounts count_rows(const Graph& graph, const Batch& batch);

}  // namespace apr
