// Where each value of a graph lives in one block of memory: values whose lifetimes do not meet
// share bytes. Planned once at compile time for the largest step, so that running allocates
// nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace apr {

struct RowLimits {
  std::uint64_t tokens = 1;
  std::uint64_t logit_rows = 1;
  std::uint64_t frames = 0;
  std::uint64_t states = 0;
};

struct MemoryPlan {
  /// Offset of a value that has no place in the plan: its size depends on how long the sequences
  /// are (Rows::context, the kinds of pairs). Whoever wants such a value provides memory for the
  /// step.
  static constexpr std::uint64_t kUnplanned = ~std::uint64_t{0};
  std::vector<std::uint64_t> offsets;  ///< by ValueId; bytes from the start, 64-byte aligned
  std::uint64_t bytes = 0;
};

/// Graph inputs have a place too. A node's outputs never share bytes with its inputs. `keep`:
/// values that must survive to the end of the step (taps; the graph's outputs always do). Errors on
/// overflow.
APR_API Result<MemoryPlan> plan_memory(const Graph& graph, const RowLimits& limits,
                                       std::span<const ValueId> keep);

}  // namespace apr
