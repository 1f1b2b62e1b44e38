// One step's work: a flat list of tokens of any number of sequences.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/graph/graph.h"

namespace apr {

class KvCache;

using TokenId = std::int32_t;
using SequenceId = std::uint32_t;

/// A graph input other than token_ids, positions and state_positions ("token_types", "mel"), by its
/// name in the graph. One of the spans is used, as the input's type says; rows × features elements.
struct BatchInput {
  std::string_view name;
  std::span<const float> f32;
  std::span<const std::int32_t> i32;
};

/// A run of frames in the step's inputs of Rows::frames, for the encoder.
struct EncodedFrames {
  SequenceId sequence = 0;
  std::uint32_t frames = 0;
};

/// All spans have one element per token, except logit_rows, inputs and encoded. Tokens of one
/// sequence are adjacent and their positions count up by one from the sequence's current length
/// (from 0 for a graph that sees whole sequences only). Prefill is many tokens of
/// one sequence, decode is one token of each of many; both may be in one step. Frames of new
/// sequences may come with tokens or alone.
struct Batch {
  std::span<const TokenId> token_ids;
  std::span<const std::int32_t> positions;
  std::span<const SequenceId> sequences;
  std::span<const std::uint32_t>
      logit_rows;  ///< rows of this batch whose logits are wanted, ascending
  std::span<const BatchInput> inputs = {};
  /// Whose frames the inputs of Rows::frames hold, in order; each sequence once.
  std::span<const EncodedFrames> encoded = {};

  std::uint64_t tokens() const { return token_ids.size(); }
};

/// One past the last token of the sequence whose tokens start at `begin`.
inline std::size_t segment_end(const Batch& batch, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < batch.sequences.size() && batch.sequences[end] == batch.sequences[begin]) ++end;
  return end;
}

/// How many rows of each kind the step has; a sequence's context is what it holds after the step.
APR_API RowCounts count_rows(const Graph& graph, const Batch& batch, const KvCache& cache);

/// A run of a step's rows that belong to one sequence: what attention works on.
struct RowSegment {
  SequenceId sequence = 0;
  std::uint64_t begin = 0;           ///< first row of the queries
  std::uint64_t rows = 0;            ///< queries
  std::uint64_t first_position = 0;  ///< of the first query (tokens of a growing sequence)
  std::uint64_t keys = 0;            ///< what a query may see at most
};
/// The segments of a kind of pairs, in the order of their tables.
APR_API std::vector<RowSegment> segments_of(const Graph& graph, const Batch& batch,
                                            const KvCache& cache, Rows pairs);
/// The same into a vector that keeps its memory from step to step.
APR_API void segments_of(const Graph& graph, const Batch& batch, const KvCache& cache, Rows pairs,
                         std::vector<RowSegment>& segments);

}  // namespace apr
