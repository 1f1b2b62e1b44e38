// Where each value of a graph lives in one block of memory: values whose lifetimes do not meet share
// bytes. Planned once at compile time for the largest step, so that running allocates nothing.
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
};

struct MemoryPlan {
  std::vector<std::uint64_t> offsets;  ///< by ValueId; bytes from the start, 64-byte aligned
  std::uint64_t bytes = 0;
};

/// `keep`: values that must survive to the end of the step (taps, outputs). Errors on overflow.
APR_API Result<MemoryPlan> plan_memory(const Graph& graph, const RowLimits& limits,
                                       std::span<const ValueId> keep);

}  // namespace apr
