#include "core/runtime/batch.h"

#include "core/runtime/kv_cache.h"

namespace apr {

namespace {

/// The states a sequence holds once the step's frames are encoded.
std::uint64_t states_in_step(const Graph& graph, const Batch& batch, const KvCache& cache,
                             SequenceId sequence) {
  for (const EncodedFrames& encoded : batch.encoded) {
    if (encoded.sequence == sequence) return graph.facts().states_of(encoded.frames);
  }
  return cache.states(sequence);
}

}  // namespace

std::vector<RowSegment> segments_of(const Graph& graph, const Batch& batch, const KvCache& cache,
                                    Rows pairs) {
  std::vector<RowSegment> segments;
  segments_of(graph, batch, cache, pairs, segments);
  return segments;
}

void segments_of(const Graph& graph, const Batch& batch, const KvCache& cache, Rows pairs,
                 std::vector<RowSegment>& segments) {
  segments.clear();
  if (pairs == Rows::state_pairs) {
    std::uint64_t begin = 0;
    for (const EncodedFrames& encoded : batch.encoded) {
      const std::uint64_t states = graph.facts().states_of(encoded.frames);
      segments.push_back({encoded.sequence, begin, states, 0, states});
      begin += states;
    }
    return;
  }
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const SequenceId sequence = batch.sequences[begin];
    const auto first = static_cast<std::uint64_t>(batch.positions[begin]);
    const std::uint64_t keys = pairs == Rows::cross_pairs
                                   ? states_in_step(graph, batch, cache, sequence)
                                   : first + (end - begin);
    segments.push_back({sequence, begin, end - begin, first, keys});
    begin = end;
  }
}

RowCounts count_rows(const Graph& graph, const Batch& batch, const KvCache& cache) {
  RowCounts counts;
  counts.tokens = batch.tokens();
  counts.logit_rows = batch.logit_rows.size();
  const bool crosses = graph.facts().max_frames > 0;
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const std::uint64_t tokens = end - begin;
    const std::uint64_t context = static_cast<std::uint64_t>(batch.positions[begin]) + tokens;
    ++counts.sequences;
    counts.context += context;
    counts.pairs += tokens * context;
    if (crosses) {
      counts.cross_pairs += tokens * states_in_step(graph, batch, cache, batch.sequences[begin]);
    }
    begin = end;
  }
  for (const EncodedFrames& encoded : batch.encoded) {
    const std::uint64_t states = graph.facts().states_of(encoded.frames);
    counts.frames += encoded.frames;
    counts.states += states;
    counts.state_pairs += states * states;
  }
  return counts;
}

}  // namespace apr
