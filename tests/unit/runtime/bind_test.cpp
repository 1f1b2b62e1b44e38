#include "core/runtime/bind.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "core/graph/builder.h"
#include "core/tensor/codec.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;

/// A package of one matrix [4, 6] of 0, 1, 2, … under the name "w".
Package package_with(Type type) {
  auto tensor = std::make_shared<Tensor>();
  tensor->type = type;
  tensor->shape = Shape{4, 6};
  std::vector<float> values(24);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  tensor->data.resize(must(storage_bytes(type, tensor->shape)));
  must(encode_plain(type, values, tensor->data));
  Package::Parts parts;
  parts.path = "m.apr";
  parts.tensors.push_back({"w", tensor->view(), {}});
  parts.owned.push_back(std::move(tensor));
  return must(Package::from(std::move(parts)));
}

/// A graph with one parameter, used as an embedding table.
Graph graph_with(std::string_view tensor, Shape shape, std::string_view tied_to = {},
                 std::vector<Transform> transforms = {}) {
  GraphBuilder g;
  g.output(
      g.embedding("x", g.token_ids(), g.parameter(tensor, shape, tied_to, std::move(transforms))));
  return must(std::move(g).build());
}

std::vector<float> floats(const TensorView& view) {
  std::vector<float> values(view.shape.elements());
  must(decode(view, 0, values));
  return values;
}

TEST_CASE("parameters are bound by name, by tie, and through transforms") {
  const Type type = GENERATE(Type::f32, Type::f16, Type::bf16);
  CAPTURE(name_of(type));
  const Package package = package_with(type);
  const TensorView& stored = package.find("w")->view;

  const auto plain = must(bind_parameters(graph_with("w", {4, 6}), package));
  CHECK(plain.views[0].data.data() == stored.data.data());
  const auto tied = must(bind_parameters(graph_with("head", {4, 6}, "w"), package));
  CHECK(tied.views[0].data.data() == stored.data.data());

  const Transform slice{Transform::Kind::slice, 1, 3};
  const auto part = must(bind_parameters(graph_with("w", {2, 6}, {}, {slice}), package));
  CHECK(part.owned.empty());
  CHECK(floats(part.views[0]) == std::vector<float>{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17});

  const Transform transpose{};
  const auto turned = must(bind_parameters(graph_with("w", {6, 4}, {}, {transpose}), package));
  CHECK(turned.owned.size() == 1);
  CHECK(floats(turned.views[0]) == std::vector<float>{0, 6, 12, 18, 1, 7,  13, 19, 2, 8,  14, 20,
                                                      3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23});
  // GPT-2's fused [in, out] matrix: transpose, then take some rows.
  const auto both = must(bind_parameters(graph_with("w", {2, 4}, {}, {transpose, slice}), package));
  CHECK(floats(both.views[0]) == std::vector<float>{1, 7, 13, 19, 2, 8, 14, 20});

  // Several slices of one transposed matrix share one copy.
  GraphBuilder g;
  const ValueId ids = g.token_ids();
  const Transform rest{Transform::Kind::slice, 3, 6};
  const ValueId a = g.embedding("a", ids, g.parameter("w", {2, 4}, {}, {transpose, slice}));
  g.output(a);
  g.output(g.embedding("b", ids, g.parameter("w", {3, 4}, {}, {transpose, rest})));
  g.output(g.embedding("c", ids, g.parameter("w", {6, 4}, {}, {transpose})));
  const auto shared = must(bind_parameters(must(std::move(g).build()), package));
  CHECK(shared.owned.size() == 1);
  CHECK(floats(shared.views[1]) == std::vector<float>{3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23});
}

TEST_CASE("blocks that are transposed keep their values exactly") {
  Package::Parts parts;
  auto tensor = std::make_shared<Tensor>();
  tensor->type = Type::q8_0;
  tensor->shape = Shape{3, 64};
  tensor->data.resize(must(storage_bytes(Type::q8_0, tensor->shape)));
  for (std::size_t i = 0; i < tensor->data.size(); ++i) {
    tensor->data[i] = static_cast<std::byte>(i % 34 == 1 ? 0x2c : i * 37 % 251);
  }
  parts.tensors.push_back({"w", tensor->view(), {}});
  parts.owned.push_back(tensor);
  const Package package = must(Package::from(std::move(parts)));
  const auto stored = floats(tensor->view());
  const Transform slice{Transform::Kind::slice, 5, 50};
  const auto bound = must(bind_parameters(graph_with("w", {45, 3}, {}, {{}, slice}), package));
  const auto turned = floats(bound.views[0]);
  for (std::size_t row = 0; row < 45; ++row) {
    for (std::size_t column = 0; column < 3; ++column) {
      REQUIRE(turned[row * 3 + column] == stored[column * 64 + row + 5]);
    }
  }
}

TEST_CASE("tensors are found with and without the prefix of the whole model") {
  const Package package = package_with(Type::f32);
  const auto graph = [](std::string_view tensor, std::string_view tied_to) {
    GraphBuilder g;
    g.base_prefix("transformer.");
    g.output(g.embedding("x", g.token_ids(), g.parameter(tensor, {4, 6}, tied_to)));
    return must(std::move(g).build());
  };
  CHECK(bind_parameters(graph("transformer.w", {}), package));
  CHECK(bind_parameters(graph("head", "transformer.w"), package));
  CHECK(bind_parameters(graph("w", {}), package));
  auto missing = bind_parameters(graph("other.w", {}), package);
  REQUIRE_FALSE(missing);
  CHECK_THAT(missing.error().to_string(), Contains("tensor other.w is missing"));
}

TEST_CASE("what cannot be bound is named with its shapes") {
  const Package package = package_with(Type::f32);
  const auto refusal = [&](const Graph& graph) {
    auto bound = bind_parameters(graph, package);
    REQUIRE_FALSE(bound);
    return bound.error().to_string();
  };
  CHECK_THAT(refusal(graph_with("v", {4, 6})), Contains("m.apr: tensor v is missing"));
  CHECK_THAT(refusal(graph_with("v", {4, 6}, "u")),
             Contains("v is missing") && Contains("u it could"));
  CHECK_THAT(refusal(graph_with("w", {6, 4})),
             Contains("tensor w") && Contains("[4, 6]") && Contains("[6, 4]"));
  CHECK_THAT(refusal(graph_with("w", {4, 6}, {}, {{}})), Contains("after its transforms"));
  CHECK_THAT(refusal(graph_with("w", {4, 6}, {}, {{Transform::Kind::slice, 2, 9}})),
             Contains("rows 2 to 9"));
}

}  // namespace
}  // namespace apr::testing
