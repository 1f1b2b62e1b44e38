#include "core/graph/builder.h"

#include <catch2/catch.hpp>

namespace apr {
namespace {

using Catch::Matchers::Contains;

std::string error_of(GraphBuilder&& g) {
  auto graph = std::move(g).build();
  REQUIRE_FALSE(graph);
  return graph.error().to_string();
}

TEST_CASE("a small graph is built with names, types and scopes") {
  GraphBuilder g;
  const ValueId ids = g.token_ids();
  CHECK(g.token_ids() == ids);
  const ParameterId table = g.parameter("embed.weight", {7, 4});
  CHECK(g.parameter("embed.weight", {7, 4}) == table);
  const ParameterId head = g.parameter("head.weight", {7, 4}, "embed.weight");
  CHECK(head != table);
  ValueId x = g.embedding("embed", ids, table);
  {
    const auto outer = g.scope("layer0.");
    {
      const auto inner = g.scope("mlp.");
      x = g.linear("up", x, g.parameter("up.weight", {5, 4}), g.parameter("up.bias", {5}));
    }
    x = g.linear("down", x, g.parameter("down.weight", {4, 5}));
  }
  x = g.select_logit_rows("rows", x);
  g.output(g.linear("logits", x, head));
  g.facts().vocab_size = 7;
  auto built = std::move(g).build();
  REQUIRE(built);
  const Graph& graph = *built;
  CHECK(graph.nodes().size() == 5);
  CHECK(graph.nodes()[1].name == "layer0.mlp.up");
  CHECK(graph.nodes()[2].name == "layer0.down");
  CHECK(graph.parameters().size() == 5);
  const auto up = graph.find_value("layer0.mlp.up");
  REQUIRE(up);
  CHECK(graph.value(*up).type == ValueType{Element::f32, Rows::tokens, 5});
  CHECK(graph.value(*up).producer == NodeId{1});
  CHECK(graph.value(graph.outputs()[0]).type == ValueType{Element::f32, Rows::logit_rows, 7});
  CHECK_FALSE(graph.find_value("up"));
  CHECK(graph.inputs().size() == 1);
}

TEST_CASE("errors name the node, what does not fit, and both shapes") {
  GraphBuilder g;
  const ValueId ids = g.token_ids();
  const ValueId x = g.embedding("embed", ids, g.parameter("embed.weight", {7, 4}));
  SECTION("linear") {
    g.linear("layer3.up", x, g.parameter("up.weight", {5, 6}));
    CHECK_THAT(error_of(std::move(g)), Contains("layer3.up") && Contains("linear") &&
                                           Contains("up.weight") && Contains("[5, 6]") &&
                                           Contains("tokens x 4"));
  }
  SECTION("bias") {
    g.linear("up", x, g.parameter("up.weight", {5, 4}), g.parameter("up.bias", {4}));
    CHECK_THAT(error_of(std::move(g)), Contains("up.bias") && Contains("[4]") && Contains("[5]"));
  }
  SECTION("norm") {
    g.rms_norm("norm", x, g.parameter("norm.weight", {8}), 1e-6);
    CHECK_THAT(error_of(std::move(g)),
               Contains("norm.weight") && Contains("[8]") && Contains("[4]"));
  }
  SECTION("ids where floats are wanted") {
    g.linear("up", ids, g.parameter("up.weight", {5, 1}));
    CHECK_THAT(error_of(std::move(g)), Contains("token_ids") && Contains("f32"));
  }
  SECTION("the first error sticks") {
    g.linear("first", x, g.parameter("a", {5, 6}));
    g.linear("second", x, g.parameter("b", {5, 9}));
    CHECK_THAT(error_of(std::move(g)), Contains("first") && !Contains("second"));
  }
  SECTION("the same name twice") {
    g.add("embed", x, x);
    CHECK_THAT(error_of(std::move(g)), Contains("embed"));
  }
  SECTION("a tensor with two shapes") {
    g.parameter("embed.weight", {4, 7});
    CHECK_THAT(error_of(std::move(g)),
               Contains("embed.weight") && Contains("[7, 4]") && Contains("[4, 7]"));
  }
  SECTION("adding what differs") {
    g.add("sum", x, g.linear("up", x, g.parameter("up.weight", {5, 4})));
    CHECK_THAT(error_of(std::move(g)), Contains("sum") && Contains("x 4") && Contains("x 5"));
  }
  SECTION("no such op") {
    g.node("convolve", "stem", {x}, {});
    CHECK_THAT(error_of(std::move(g)), Contains("convolve") && Contains("stem"));
  }
  SECTION("wrong number of inputs") {
    g.node("add", "sum", {x}, {});
    CHECK_THAT(error_of(std::move(g)), Contains("1 inputs") && Contains("takes 2"));
  }
  SECTION("no output") {
    CHECK_THAT(error_of(std::move(g)), Contains("no output"));
  }
  SECTION("an attribute the op does not have") {
    g.node("add", "sum", {x, x}, {}, {{"axis", std::int64_t{1}}});
    CHECK_THAT(error_of(std::move(g)), Contains("axis"));
  }
  SECTION("an attribute of another type") {
    g.node("rms_norm", "norm", {x}, {g.parameter("n", {4})}, {{"epsilon", true}});
    CHECK_THAT(error_of(std::move(g)), Contains("epsilon") && Contains("flag"));
  }
  SECTION("a required attribute left out") {
    g.node("rms_norm", "norm", {x}, {g.parameter("n", {4})});
    CHECK_THAT(error_of(std::move(g)), Contains("epsilon is missing"));
  }
  SECTION("ids of another graph") {
    g.add("sum", 99, 98);
    CHECK_THAT(error_of(std::move(g)), Contains("not of this graph"));
  }
}

TEST_CASE("attention refuses heads that do not fit") {
  GraphBuilder g;
  const ValueId ids = g.token_ids();
  const ValueId q = g.embedding("q", ids, g.parameter("q", {7, 12}));
  const ValueId k = g.embedding("k", ids, g.parameter("k", {7, 6}));
  const AttentionSpec spec{4, 2, 3, 0.5, true, 0};
  const auto refused = [&](const AttentionSpec& wrong, std::optional<CacheId> cache = {}) {
    g.attention("attn", q, k, k, wrong, cache);
    return error_of(std::move(g));
  };
  SECTION("fits") {
    const CacheId cache = g.cache({"layer0", 2, 3, 0, false, Type::f32});
    g.output(g.attention("layer0.attn", q, k, k, spec, cache));
    const auto graph = std::move(g).build();
    REQUIRE(graph);
    const auto probabilities = graph->find_value("layer0.attn_probs");
    REQUIRE(probabilities);
    CHECK(graph->value(*probabilities).type == ValueType{Element::f32, Rows::pairs, 4});
  }
  SECTION("kv heads do not divide heads") {
    CHECK_THAT(refused({4, 3, 3, 0.5, true, 0}), Contains("4") && Contains("3"));
  }
  SECTION("features are not heads") {
    CHECK_THAT(refused({4, 2, 4, 0.5, true, 0}), Contains("16 features"));
  }
  SECTION("no heads") {
    CHECK_THAT(refused({0, 0, 3, 0.5, true, 0}), Contains("num_attention_heads"));
  }
  SECTION("scale is not a number") {
    CHECK_THAT(refused({4, 2, 3, std::nan(""), true, 0}), Contains("scale"));
  }
  SECTION("a cache of other heads") {
    const CacheId cache = g.cache({"layer0", 4, 3, 0, false, Type::f32});
    CHECK_THAT(refused(spec, cache), Contains("cache layer0"));
  }
  SECTION("a cache that forgets what the node looks at") {
    const CacheId cache = g.cache({"layer0", 2, 3, 8, false, Type::f32});
    CHECK_THAT(refused(spec, cache), Contains("keeps 8"));
  }
}

TEST_CASE("every op is complete") {
  REQUIRE(op_table().size() >= 8);
  std::string_view before;
  for (const OpRow& op : op_table()) {
    INFO(op.name);
    CHECK(before < op.name);
    before = op.name;
    CHECK_FALSE(op.summary.empty());
    CHECK_FALSE(op.outputs.empty());
    CHECK(op.infer != nullptr);
    CHECK(op.reference != nullptr);
    CHECK(op.cost != nullptr);
    CHECK(find_op(op.name) == &op);
  }
  CHECK(find_op("nothing") == nullptr);
  CHECK(find_op("zzz") == nullptr);
}

TEST_CASE("costs are those of the formulas") {
  GraphBuilder g;
  const ValueId x = g.embedding("x", g.token_ids(), g.parameter("t", {100, 8}));
  g.output(g.linear("y", x, g.parameter("w", {16, 8}), g.parameter("b", {16})));
  const auto graph = std::move(g).build();
  REQUIRE(graph);
  RowCounts counts;
  counts.tokens = 3;
  const Cost linear = cost_of(draft_of(*graph, graph->nodes()[1]), *graph, counts);
  CHECK(linear.flops == 3 * (2 * 16 * 8 + 16));
  CHECK(linear.bytes == 4 * (16 * 8 + 16) + 3 * 4 * (8 + 16));
  // Bound weights count as they are stored.
  const std::vector<std::byte> bytes(1000);
  const std::vector<TensorView> bound = {
      {Type::f32, {100, 8}, {}, kRowsLayout},
      {Type::q8_0, {16, 8}, std::span(bytes).first(544), kRowsLayout},
      {Type::f32, {16}, std::span(bytes).first(64), kRowsLayout}};
  const Cost quantized = cost_of(draft_of(*graph, graph->nodes()[1], bound), *graph, counts);
  CHECK(quantized.bytes == 544 + 64 + 3 * 4 * (8 + 16));
}

}  // namespace
}  // namespace apr
