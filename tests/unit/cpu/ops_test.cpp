// One list of op cases, each on the cpu backend and on the reference backend: own kernels with odd
// sizes, and variants that the cpu backend leaves to the op table. encoder_ops_test.cpp has what
// works on whole sequences and frames.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "core/graph/builder.h"
#include "core/runtime/session.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

constexpr std::uint64_t kIds = 50;

/// Builds one op under test: the case gets rows of `features` random numbers for each token.
struct OpCase {
  std::string name;
  std::function<ValueId(GraphBuilder&, const std::function<ValueId(std::uint64_t)>& rows)> build;
};

RopeSpec rope(std::uint32_t head_dim, std::uint32_t rotary_dim, bool interleaved) {
  RopeSpec spec{head_dim, rotary_dim, interleaved, {}, 1.25};
  for (std::uint32_t i = 0; i < rotary_dim / 2; ++i) {
    spec.inverse_frequencies.push_back(std::pow(100.0, -2.0 * i / rotary_dim));
  }
  return spec;
}

OpCase attention(const std::string& name, AttentionSpec spec, bool cached,
                 Type element = Type::f32) {
  return {"attention " + name, [=](GraphBuilder& g, const auto& rows) {
            const std::uint64_t kv = std::uint64_t{spec.num_key_value_heads} * spec.head_dim;
            std::optional<CacheId> cache;
            if (cached) {
              cache = g.cache(
                  {"layer0", spec.num_key_value_heads, spec.head_dim, spec.window, false, element});
            }
            const ValueId q = rows(std::uint64_t{spec.num_attention_heads} * spec.head_dim);
            const ValueId k = rows(kv);
            return g.attention("op", q, k, rows(kv), spec, cache);
          }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const std::uint64_t n : {1u, 7u, 8u, 33u, 100u}) {
    const auto size = std::to_string(n);
    all.push_back({"add " + size, [n](GraphBuilder& g, const auto& rows) {
                     const ValueId a = rows(n);
                     return g.add("op", a, rows(n));
                   }});
    all.push_back({"silu_mul " + size, [n](GraphBuilder& g, const auto& rows) {
                     const ValueId a = rows(n);
                     return g.silu_mul("op", a, rows(n));
                   }});
    all.push_back({"rms_norm " + size, [n](GraphBuilder& g, const auto& rows) {
                     return g.rms_norm("op", rows(n), g.parameter("norm", {n}), 1e-5);
                   }});
    all.push_back({"layer_norm " + size, [n](GraphBuilder& g, const auto& rows) {
                     return g.layer_norm("op", rows(n), g.parameter("norm", {n}),
                                         g.parameter("bias", {n}), 1e-5);
                   }});
    all.push_back({"layer_norm without bias " + size, [n](GraphBuilder& g, const auto& rows) {
                     return g.layer_norm("op", rows(n), g.parameter("norm", {n}), {}, 1e-5);
                   }});
    for (const bool tanh_form : {false, true}) {
      all.push_back({(tanh_form ? "gelu tanh " : "gelu ") + size,
                     [n, tanh_form](GraphBuilder& g, const auto& rows) {
                       const ValueId x = rows(n);
                       return g.gelu("op", g.add("twice", x, g.add("sum", x, x)), tanh_form);
                     }});
    }
    all.push_back(
        {"tanh " + size, [n](GraphBuilder& g, const auto& rows) { return g.tanh("op", rows(n)); }});
    all.push_back({"linear " + size, [n](GraphBuilder& g, const auto& rows) {
                     return g.linear("op", rows(n), g.parameter("weight", {13, n}));
                   }});
    all.push_back({"linear with bias " + size, [n](GraphBuilder& g, const auto& rows) {
                     return g.linear("op", rows(n), g.parameter("weight", {70, n}),
                                     g.parameter("bias", {70}));
                   }});
  }
  const auto turned = [&](const std::string& name, std::uint64_t heads, const RopeSpec& spec) {
    all.push_back({"rope " + name, [=](GraphBuilder& g, const auto& rows) {
                     return g.rope("op", rows(heads * spec.head_dim), g.positions(), spec);
                   }});
  };
  turned("halves", 3, rope(64, 64, false));
  turned("odd pairs", 2, rope(14, 14, false));
  turned("a part of the head", 3, rope(20, 12, false));
  turned("interleaved", 3, rope(20, 12, true));
  all.push_back(attention("grouped", {6, 2, 16, 0.25, true, 0}, true));
  all.push_back(attention("odd dimension", {3, 3, 10, 0.3, true, 0}, true));
  all.push_back(attention("window", {4, 1, 8, 0.4, true, 5}, true));
  all.push_back(attention("halves in the cache", {4, 2, 12, 0.3, true, 0}, true, Type::f16));
  all.push_back(attention("without cache", {4, 2, 12, 0.3, true, 0}, false));
  all.push_back(attention("both directions", {4, 2, 12, 0.3, false, 0}, false));
  return all;
}

struct BuiltCase {
  Graph graph;
  Package package;
};

BuiltCase make_case(const OpCase& op) {
  GraphBuilder builder;
  const ValueId ids = builder.token_ids();
  int tables = 0;
  const auto rows = [&](std::uint64_t features) {
    const std::string name = "table" + std::to_string(tables++);
    return builder.embedding(name, ids, builder.parameter(name, {kIds, features}));
  };
  builder.output(builder.select_logit_rows("out", op.build(builder, rows)));
  builder.facts().vocab_size = kIds;
  Graph graph = must(std::move(builder).build());

  Package::Parts parts;
  std::mt19937 random(7);
  for (const Parameter& parameter : graph.parameters()) {
    std::vector<float> values(parameter.shape.elements());
    for (float& value : values) value = static_cast<float>(random() % 4001) / 1000.0f - 2.0f;
    auto owned = std::make_shared<Tensor>(
        Tensor{Type::f32, parameter.shape, std::vector<std::byte>(values.size() * sizeof(float))});
    std::memcpy(owned->data.data(), values.data(), owned->data.size());
    parts.tensors.push_back({parameter.tensor, owned->view(), {}});
    parts.owned.push_back(std::move(owned));
  }
  return {std::move(graph), must(Package::from(std::move(parts)))};
}

std::vector<float> run(std::string_view backend, const BuiltCase& built,
                       std::size_t tokens_per_step, std::shared_ptr<Team> team = nullptr) {
  constexpr std::size_t kTokens = 45;
  std::vector<TokenId> ids(kTokens);
  for (std::size_t i = 0; i < kTokens; ++i) ids[i] = static_cast<TokenId>(i * 29 % kIds);
  CompileOptions options;
  options.mode = Mode::exact;
  options.team = std::move(team);
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend(backend))->compile(built.graph, built.package, options));
  Session session = must(Session::create(executable, 64));
  std::vector<float> all;
  for (std::size_t i = 0; i < kTokens; i += tokens_per_step) {
    const std::size_t count = std::min(tokens_per_step, kTokens - i);
    const auto out = must(session.append_all_logits(0, std::span(ids).subspan(i, count)));
    all.insert(all.end(), out.begin(), out.end());
  }
  return all;
}

}  // namespace

TEST_CASE("every op case is near the reference, alike in any step size and on any team") {
  for (const OpCase& op : cases()) {
    INFO(op.name);
    const BuiltCase built = make_case(op);
    const auto expected = run("reference", built, 45);
    const auto actual = run("cpu", built, 45);
    REQUIRE(actual.size() == expected.size());
    float largest = 1.0f;
    for (const float value : expected) largest = std::max(largest, std::fabs(value));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      REQUIRE(std::fabs(actual[i] - expected[i]) <= 3e-6f * largest);
    }
    CHECK(run("cpu", built, 45, std::make_shared<Team>(3)) == actual);
    const bool sees_others =
        op.name == "attention without cache" || op.name == "attention both directions";
    if (!sees_others) {  // without a cache a step sees only itself
      CHECK(run("cpu", built, 1) == actual);
      CHECK(run("cpu", built, 7) == actual);
    }
  }
}

}  // namespace apr::testing
