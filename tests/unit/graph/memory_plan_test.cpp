#include "core/graph/memory_plan.h"

#include <catch2/catch.hpp>
#include <random>

#include "core/base/cat.h"
#include "core/graph/builder.h"

namespace apr {
namespace {

/// A random graph: linear nodes and sums over randomly chosen earlier values.
Graph random_graph(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  GraphBuilder g;
  std::vector<std::pair<ValueId, std::uint64_t>> known;  // with features
  known.emplace_back(g.embedding("embed", g.token_ids(), g.parameter("table", {9, 8})), 8);
  const std::size_t nodes = 3 + below(40);
  for (std::size_t i = 0; i < nodes; ++i) {
    const auto [x, features] = known[below(known.size())];
    if (below(3) == 0) {
      known.emplace_back(g.add(cat("add", i), x, x), features);
    } else {
      const std::uint64_t out = 1 + below(90);
      known.emplace_back(g.linear(cat("linear", i), x, g.parameter(cat("w", i), {out, features})),
                         out);
    }
  }
  g.output(g.select_logit_rows("rows", known.back().first));
  auto graph = std::move(g).build();
  REQUIRE(graph);
  return *std::move(graph);
}

/// First and last node at which a value must hold its bytes, worked out node by node.
std::pair<std::size_t, std::size_t> alive(const Graph& graph, ValueId id, bool kept) {
  const Value& value = graph.value(id);
  const std::size_t first = value.producer ? *value.producer + 1 : 0;
  std::size_t last = first;
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    for (const ValueId input : graph.nodes()[n].inputs) {
      if (input == id) last = n + 1;
    }
  }
  for (const ValueId output : graph.outputs()) kept = kept || output == id;
  return {first, kept ? graph.nodes().size() + 1 : last};
}

TEST_CASE("values alive at the same time never share bytes") {
  std::uint64_t planned_total = 0;
  std::uint64_t sum_total = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    INFO("seed " << seed);
    const Graph graph = random_graph(seed);
    const RowLimits limits{1 + seed % 7, 1 + seed % 3, 0};
    std::vector<ValueId> keep;
    for (ValueId id = 0; id < graph.values().size(); id += 5) keep.push_back(id);
    if (seed % 2 == 0) keep.clear();
    const auto plan = plan_memory(graph, limits, keep);
    REQUIRE(plan);
    const auto bytes = [&](ValueId id) {
      const ValueType& type = graph.value(id).type;
      return 4 * type.features * (type.rows == Rows::tokens ? limits.tokens : limits.logit_rows);
    };
    for (ValueId a = 0; a < graph.values().size(); ++a) {
      REQUIRE(plan->offsets[a] % 64 == 0);
      REQUIRE(plan->offsets[a] + bytes(a) <= plan->bytes);
      sum_total += bytes(a);
      const auto [first_a, last_a] =
          alive(graph, a, std::find(keep.begin(), keep.end(), a) != keep.end());
      for (ValueId b = 0; b < a; ++b) {
        const auto [first_b, last_b] =
            alive(graph, b, std::find(keep.begin(), keep.end(), b) != keep.end());
        const bool together = first_a <= last_b && first_b <= last_a;
        const bool apart = plan->offsets[a] + bytes(a) <= plan->offsets[b] ||
                           plan->offsets[b] + bytes(b) <= plan->offsets[a];
        if (together && !apart) FAIL(graph.value(a).name << " and " << graph.value(b).name);
      }
    }
    planned_total += plan->bytes;
  }
  CHECK(planned_total < sum_total);  // and memory is really shared
}

TEST_CASE("sizes that overflow are an error") {
  const Graph graph = random_graph(3);
  CHECK_FALSE(plan_memory(graph, {~std::uint64_t{0} / 8, 1, 0}, {}));
  CHECK_FALSE(plan_memory(graph, {std::uint64_t{1} << 62, 1, 0}, {}));
}

TEST_CASE("values whose size depends on the context have no place") {
  GraphBuilder g;
  const ValueId x = g.embedding("x", g.token_ids(), g.parameter("t", {7, 6}));
  g.output(g.attention("attn", x, x, x, {2, 2, 3, 1.0, true, 0}, std::nullopt));
  const auto graph = std::move(g).build();
  REQUIRE(graph);
  const auto plan = plan_memory(*graph, {4, 4, 0}, {});
  REQUIRE(plan);
  CHECK(plan->offsets[*graph->find_value("attn_probs")] == MemoryPlan::kUnplanned);
  CHECK(plan->offsets[*graph->find_value("attn")] != MemoryPlan::kUnplanned);
}

}  // namespace
}  // namespace apr
