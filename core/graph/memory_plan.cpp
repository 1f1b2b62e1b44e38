// Offsets by "greedy by size": values are placed from the largest to the smallest, each at the
// lowest offset where it meets no placed value whose lifetime overlaps its own (Pisarchyk and Lee
// 2020, "Efficient Memory Management for Deep Neural Net Inference", arXiv:2001.03288, offset
// calculation).
#include "core/graph/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

namespace {

constexpr std::uint64_t kAlignment = 64;

/// From the node that makes a value to the last that reads it; -1 stands for "before the first
/// node".
struct Lifetime {
  std::int64_t first = -1;
  std::int64_t last = -1;
  bool meets(const Lifetime& other) const { return first <= other.last && other.first <= last; }
};

std::vector<Lifetime> lifetimes_of(const Graph& graph, std::span<const ValueId> keep) {
  std::vector<Lifetime> lifetimes(graph.values().size());
  const auto nodes = graph.nodes();
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const auto time = static_cast<std::int64_t>(n);
    for (const ValueId id : nodes[n].outputs) lifetimes[id] = {time, time};
    for (const ValueId id : nodes[n].inputs)
      lifetimes[id].last = std::max(lifetimes[id].last, time);
  }
  const auto end = static_cast<std::int64_t>(nodes.size());
  for (const ValueId id : graph.outputs()) lifetimes[id].last = end;
  for (const ValueId id : keep) lifetimes[id].last = end;
  return lifetimes;
}

std::optional<std::uint64_t> rows_limit(Rows rows, const RowLimits& limits) {
  switch (rows) {
    case Rows::tokens:
      return limits.tokens;
    case Rows::logit_rows:
      return limits.logit_rows;
    case Rows::frames:
      return limits.frames;
    case Rows::states:
      return limits.states;
    case Rows::sequences:
      return limits.tokens;
    case Rows::context:
    case Rows::pairs:
    case Rows::state_pairs:
    case Rows::cross_pairs:
      break;
  }
  return std::nullopt;
}

struct Placed {
  Lifetime lifetime;
  std::uint64_t begin;
  std::uint64_t end;
};

/// The lowest offset with room for `size` bytes beside the placed values that live at the same
/// time. `placed` is sorted by begin.
std::uint64_t lowest_gap(std::span<const Placed> placed, const Lifetime& lifetime,
                         std::uint64_t size) {
  std::uint64_t offset = 0;
  for (const Placed& other : placed) {
    if (!other.lifetime.meets(lifetime)) continue;
    if (other.begin >= offset && other.begin - offset >= size) break;
    offset = std::max(offset, other.end);
  }
  return offset;
}

}  // namespace

Result<MemoryPlan> plan_memory(const Graph& graph, const RowLimits& limits,
                               std::span<const ValueId> keep) {
  const auto values = graph.values();
  const auto lifetimes = lifetimes_of(graph, keep);

  MemoryPlan plan;
  plan.offsets.assign(values.size(), MemoryPlan::kUnplanned);
  std::vector<std::uint64_t> sizes(values.size(), 0);
  std::vector<ValueId> order;
  for (ValueId id = 0; id < values.size(); ++id) {
    const auto rows = rows_limit(values[id].type.rows, limits);
    if (!rows) continue;
    const auto elements = checked_mul(*rows, values[id].type.features);
    const auto bytes = elements ? checked_mul(*elements, 4) : std::nullopt;
    const auto aligned = bytes ? checked_align(*bytes, kAlignment) : std::nullopt;
    if (!aligned || *aligned > (std::uint64_t{1} << 60)) {
      return make_error(ErrorCode::load, cat("value ", values[id].name, " of ", *rows, " rows of ",
                                             values[id].type.features, " numbers is too large"));
    }
    sizes[id] = *aligned;
    order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](ValueId a, ValueId b) {
    return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b;
  });

  std::vector<Placed> placed;
  placed.reserve(order.size());
  for (const ValueId id : order) {
    const std::uint64_t offset = lowest_gap(placed, lifetimes[id], sizes[id]);
    const auto end = checked_add(offset, sizes[id]);
    if (!end) return make_error(ErrorCode::load, "the activations of one step are too large");
    const Placed entry{lifetimes[id], offset, *end};
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), entry,
                         [](const Placed& a, const Placed& b) { return a.begin < b.begin; }),
        entry);
    plan.offsets[id] = offset;
    plan.bytes = std::max(plan.bytes, *end);
  }
  return plan;
}

}  // namespace apr
