#include "core/runtime/batch.h"

#include <algorithm>

namespace apr {

RowCounts count_rows(const Graph& graph, const Batch& batch) {
  RowCounts counts;
  counts.tokens = batch.tokens();
  counts.logit_rows = batch.logit_rows.size();
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const std::uint64_t context =
        static_cast<std::uint64_t>(batch.positions[begin]) + (end - begin);
    counts.context += context;
    counts.pairs += (end - begin) * context;
    begin = end;
  }
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    if (value.type.rows != Rows::frames || value.type.features == 0) continue;
    for (const BatchInput& input : batch.inputs) {
      if (input.name != value.name) continue;
      const std::uint64_t elements = std::max(input.f32.size(), input.i32.size());
      counts.frames = std::max(counts.frames, elements / value.type.features);
    }
  }
  return counts;
}

}  // namespace apr
