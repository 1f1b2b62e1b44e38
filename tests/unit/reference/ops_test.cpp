// What the trained models do not reach: attention without a cache, caches of half precision,
// further inputs of a step, weights of every stored type.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "core/base/cat.h"
#include "core/graph/builder.h"
#include "core/runtime/session.h"
#include "core/tensor/codec.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

constexpr std::uint32_t kFeatures = 6;

/// Tables "q", "k", "v" [9, 6] and "types" [3, 6] of random numbers.
Package tables() {
  std::mt19937_64 random(5);
  Package::Parts parts;
  parts.path = "tables";
  for (const auto& [name, rows] :
       {std::pair{"q", 9U}, std::pair{"k", 9U}, std::pair{"v", 9U}, std::pair{"types", 3U}}) {
    auto tensor = std::make_shared<Tensor>();
    tensor->shape = Shape{rows, kFeatures};
    std::vector<float> values(rows * kFeatures);
    for (float& value : values)
      value = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1);
    tensor->data.resize(values.size() * sizeof(float));
    must(encode_plain(Type::f32, values, tensor->data));
    parts.tensors.push_back({name, tensor->view(), {}});
    parts.owned.push_back(std::move(tensor));
  }
  return must(Package::from(std::move(parts)));
}

struct Flavour {
  bool cached = false;
  bool causal = false;
  Type element = Type::f32;
  std::uint32_t window = 0;
};

std::shared_ptr<Executable> attention_only(const Flavour& flavour) {
  GraphBuilder g;
  g.facts().vocab_size = 9;
  const ValueId ids = g.token_ids();
  const auto table = [&](const char* name) {
    return g.embedding(name, ids, g.parameter(name, Shape{9, kFeatures}));
  };
  const ValueId q = table("q");
  const ValueId k = table("k");
  const ValueId v = table("v");
  std::optional<CacheId> cache;
  if (flavour.cached) cache = g.cache({"layer0", 1, 3, flavour.window, false, flavour.element});
  // Two query heads of 3 features over one key/value head: the first half of k and v only.
  const ValueId k_half = g.linear("k_half", k, g.parameter("types", Shape{3, kFeatures}));
  const ValueId v_half = g.linear("v_half", v, g.parameter("types", Shape{3, kFeatures}));
  g.output(g.attention("attn", q, k_half, v_half, {2, 1, 3, 0.7, flavour.causal, flavour.window},
                       cache));
  CompileOptions options;
  options.taps = {"*"};
  return must(must(test_registry().backend("reference"))
                  ->compile(must(std::move(g).build()), tables(), options));
}

struct Taps final : TapSink {
  void on_value(std::string_view name, std::uint64_t, std::uint64_t,
                std::span<const float> data) noexcept override {
    auto& all = values[std::string(name)];
    all.insert(all.end(), data.begin(), data.end());
  }
  std::map<std::string, std::vector<float>> values;
};

Taps run(const Flavour& flavour, const std::vector<TokenId>& ids,
         const std::vector<std::int32_t>& positions, const std::vector<SequenceId>& sequences) {
  Session session = must(Session::create(attention_only(flavour), 64, 4));
  Taps taps;
  must(session.step({ids, positions, sequences, {}, {}}, {&taps, nullptr}));
  return taps;
}

/// The formula again, in float64 and written from the definition: head h of 2 shares the one key
/// head.
std::vector<double> expected_attention(Taps& taps, std::size_t tokens, const Flavour& flavour) {
  const auto& q = taps.values["q"];
  const auto& k = taps.values["k_half"];
  const auto& v = taps.values["v_half"];
  std::vector<double> out(tokens * 6, 0.0);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t h = 0; h < 2; ++h) {
      std::vector<double> weight(tokens, 0.0);
      double total = 0;
      for (std::size_t p = 0; p < tokens; ++p) {
        if (flavour.causal && p > t) continue;
        if (flavour.window > 0 && p + flavour.window <= t) continue;
        double dot = 0;
        for (std::size_t i = 0; i < 3; ++i)
          dot += double{q[t * 6 + h * 3 + i]} * double{k[p * 3 + i]};
        weight[p] = std::exp(0.7 * dot);
        total += weight[p];
      }
      for (std::size_t p = 0; p < tokens; ++p) {
        for (std::size_t i = 0; i < 3; ++i) {
          out[t * 6 + h * 3 + i] += weight[p] / total * double{v[p * 3 + i]};
        }
      }
    }
  }
  return out;
}

TEST_CASE("attention is its formula, with and without a cache, one way and both") {
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5, 8, 2, 6, 5, 3};
  std::vector<std::int32_t> positions(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) positions[i] = static_cast<std::int32_t>(i);
  const std::vector<SequenceId> sequences(ids.size(), 0);
  for (const Flavour& flavour :
       {Flavour{false, false}, Flavour{false, true}, Flavour{true, false}, Flavour{true, true},
        Flavour{true, true, Type::f32, 4}, Flavour{false, true, Type::f32, 4}}) {
    INFO("cached " << flavour.cached << ", causal " << flavour.causal << ", window "
                   << flavour.window);
    Taps taps = run(flavour, ids, positions, sequences);
    const auto expected = expected_attention(taps, ids.size(), flavour);
    const auto& actual = taps.values["attn"];
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      REQUIRE(double{actual[i]} == Approx(expected[i]).margin(1e-6));
    }
    const auto& probabilities = taps.values["attn_probs"];
    REQUIRE(probabilities.size() == 2 * ids.size() * ids.size());
    for (std::size_t row = 0; row < 2 * ids.size(); ++row) {
      double sum = 0;
      for (std::size_t p = 0; p < ids.size(); ++p)
        sum += double{probabilities[row * ids.size() + p]};
      REQUIRE(sum == Approx(1).margin(1e-6));
    }
  }
}

TEST_CASE("sequences of one step do not see one another without a cache either") {
  const Flavour both_ways{false, false};
  Taps together = run(both_ways, {3, 1, 4, 8, 2}, {0, 1, 2, 0, 1}, {0, 0, 0, 2, 2});
  Taps first = run(both_ways, {3, 1, 4}, {0, 1, 2}, {0, 0, 0});
  Taps second = run(both_ways, {8, 2}, {0, 1}, {1, 1});
  for (const char* name : {"attn", "attn_probs"}) {
    auto apart = first.values[name];
    apart.insert(apart.end(), second.values[name].begin(), second.values[name].end());
    CHECK(together.values[name] == apart);
  }
}

TEST_CASE("without a cache every step holds whole sequences") {
  Session session = must(Session::create(attention_only({false, true}), 64));
  const std::vector<TokenId> ids = {1, 2};
  const auto first = must(session.append_all_logits(0, ids));
  const std::vector<float> before(first.begin(), first.end());
  CHECK(session.length(0) == 0);
  must(session.append(0, std::vector<TokenId>{3}));
  const auto again = must(session.append_all_logits(0, ids));
  CHECK(std::equal(before.begin(), before.end(), again.begin(), again.end()));
  const std::vector<std::int32_t> later = {2, 3};
  const std::vector<SequenceId> sequences = {0, 0};
  const std::vector<std::uint32_t> rows = {0, 1};
  CHECK_FALSE(session.step({ids, later, sequences, rows}));
}

TEST_CASE("a cache of half precision rounds keys and values, nothing else") {
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5};
  const std::vector<std::int32_t> positions = {0, 1, 2, 3, 4};
  const std::vector<SequenceId> sequences(5, 0);
  Taps half = run({true, true, Type::f16}, ids, positions, sequences);
  Taps single = run({true, true, Type::f32}, ids, positions, sequences);
  CHECK(half.values["attn"] != single.values["attn"]);
  // The same numbers rounded beforehand give the same result.
  for (const char* name : {"k_half", "v_half"}) {
    for (float& value : half.values[name]) value = f16_to_f32(f32_to_f16(value));
  }
  const auto expected = expected_attention(half, 5, {true, true});
  for (std::size_t i = 0; i < expected.size(); ++i) {
    REQUIRE(double{half.values["attn"][i]} == Approx(expected[i]).margin(1e-6));
  }
}

TEST_CASE("a step carries further inputs by name") {
  GraphBuilder g;
  g.facts().vocab_size = 9;
  const ValueId words = g.embedding("words", g.token_ids(), g.parameter("q", Shape{9, kFeatures}));
  const ValueId kinds = g.input("token_types", {Element::i32, Rows::tokens, 1});
  g.output(
      g.add("sum", words, g.embedding("kinds", kinds, g.parameter("types", Shape{3, kFeatures}))));
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend("reference"))
               ->compile(must(std::move(g).build()), tables(), {}));
  Session session = must(Session::create(executable, 8));
  const std::vector<TokenId> ids = {3, 7};
  const std::vector<std::int32_t> positions = {0, 1};
  const std::vector<SequenceId> sequences = {0, 0};
  const std::vector<std::int32_t> types = {2, 0};
  const std::vector<std::int32_t> too_few = {2};
  const std::vector<std::int32_t> unknown = {2, 3};
  const auto step = [&](std::span<const std::int32_t> given) {
    const BatchInput input{"token_types", {}, given};
    return session.step({ids, positions, sequences, {}, std::span(&input, 1)});
  };
  CHECK_FALSE(session.step({ids, positions, sequences, {}, {}}));
  CHECK_FALSE(step(too_few));
  CHECK_FALSE(step(unknown));
  CHECK(session.length(0) == 0);
  const auto sum = must(step(types));
  std::vector<float> word(kFeatures);
  std::vector<float> kind(kFeatures);
  const Package package = tables();
  must(decode_row(package.find("q")->view, 7, word));
  must(decode_row(package.find("types")->view, 0, kind));
  for (std::size_t i = 0; i < kFeatures; ++i) CHECK(sum[kFeatures + i] == word[i] + kind[i]);
}

/// Stored bytes of random but sane blocks.
std::vector<std::byte> random_blocks(Type type, const Shape& shape, std::mt19937_64& random) {
  std::vector<std::byte> bytes(must(storage_bytes(type, shape)));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
  const std::size_t block = traits(type).block_bytes;
  const bool has_minimum = type == Type::q4_1 || type == Type::q5_1;
  for (std::size_t i = 0; i < bytes.size(); i += block) {
    const std::uint16_t scale = f32_to_f16(type == Type::q8_0 ? 0.004F : 0.03F);
    const std::uint16_t minimum = f32_to_f16(-0.3F);
    std::memcpy(&bytes[i], &scale, sizeof scale);
    if (has_minimum) std::memcpy(&bytes[i + 2], &minimum, sizeof minimum);
  }
  return bytes;
}

TEST_CASE("weights of every stored type compute as their decoded values do") {
  const Type type =
      GENERATE(Type::f16, Type::bf16, Type::q8_0, Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1);
  CAPTURE(name_of(type));
  REQUIRE(can_decode(type));
  std::mt19937_64 random(11);
  ModelParts stored = random_model({});
  ModelParts decoded = stored;
  for (std::size_t i = 0; i < stored.tensors.size(); ++i) {
    NamedTensor& tensor = stored.tensors[i];
    if (tensor.shape.rank() != 2) continue;
    if (traits(type).quantized) {
      tensor.data = random_blocks(type, tensor.shape, random);
      tensor.type = type;
    } else {
      const auto values = tensor.floats();
      tensor.type = type;
      tensor.data.resize(must(storage_bytes(type, tensor.shape)));
      tensor.set_floats(values);
    }
    // Row by row: the blocks of a padded row hold more than the row.
    std::vector<float> values(tensor.shape.elements());
    const std::size_t columns = tensor.shape.columns();
    for (std::size_t row = 0; row < tensor.shape.rows(); ++row) {
      must(decode_row({tensor.type, tensor.shape, tensor.data}, row,
                      std::span(values).subspan(row * columns, columns)));
    }
    decoded.tensors[i].set_floats(values);
  }
  const auto logits = [](const ModelParts& parts) {
    const TestModel model = make_model(parts);
    std::shared_ptr<Executable> executable =
        must(must(test_registry().backend("reference"))->compile(model.graph, model.package, {}));
    Session session = must(Session::create(executable, 64));
    const auto rows =
        must(session.append_all_logits(0, std::vector<TokenId>{3, 1, 4, 1, 5, 9, 2, 6}));
    return std::vector<float>(rows.begin(), rows.end());
  };
  const auto from_stored = logits(stored);
  for (const float logit : from_stored) REQUIRE(std::isfinite(logit));
  CHECK(from_stored == logits(decoded));
}

}  // namespace
}  // namespace apr::testing
