// The ops of encoders on the cpu backend: near the reference backend, and every sequence gets the
// same bits alone and among others, in one step and token by token, on any team.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <random>

#include "core/base/cat.h"
#include "core/graph/builder.h"
#include "core/runtime/bind.h"
#include "core/runtime/session.h"
#include "core/tensor/codec.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

using Values = std::map<std::string, std::vector<float>>;

/// Values of a step; those of several steps one after the other.
class Collector final : public TapSink {
 public:
  void on_value(std::string_view name, std::uint64_t, std::uint64_t,
                std::span<const float> data) noexcept override {
    auto& value = values[std::string(name)];
    value.insert(value.end(), data.begin(), data.end());
  }
  Values values;
};

struct Sizes {
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;
  std::uint32_t kernel;
  Type cache = Type::f32;
};
constexpr Sizes kSizes[] = {
    {2, 2, 16, 3, Type::f32}, {6, 2, 10, 5, Type::f32}, {3, 1, 37, 1, Type::f16},
    {4, 2, 8, 3, Type::f16},  {1, 1, 64, 3, Type::f32},
};

struct Built {
  Graph graph;
  Package package;
};

constexpr std::uint32_t kIds = 40;

Package random_package(const Graph& graph, Type conv_type = Type::f32) {
  Package::Parts parts;
  std::mt19937 random(11);
  for (const Parameter& parameter : graph.parameters()) {
    std::vector<float> values(parameter.shape.elements());
    // Of a size that keeps what comes out of products near 1, so that softmax magnifies no error.
    const bool matrix = parameter.shape.rank() > 1 && parameter.shape[0] != kIds;
    const float inputs = matrix ? static_cast<float>(values.size() / parameter.shape[0]) : 1.0f;
    const float size = 1.0f / std::sqrt(inputs);
    for (float& value : values) {
      value = size * (static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
    }
    const Type type = parameter.shape.rank() == 3 ? conv_type : Type::f32;
    auto owned = std::make_shared<Tensor>(Tensor{
        type, parameter.shape, std::vector<std::byte>(must(storage_bytes(type, parameter.shape)))});
    must(encode_plain(type, values, owned->data));
    parts.tensors.push_back({parameter.tensor, owned->view(), {}});
    parts.owned.push_back(std::move(owned));
  }
  return must(Package::from(std::move(parts)));
}

constexpr std::uint64_t kMel = 7;
constexpr std::uint32_t kMostFrames = 120;

/// Frames through two convolutions and attention of states; tokens attend to these.
Built listener(const Sizes& sizes, Type conv_type = Type::f32) {
  GraphBuilder g;
  const std::uint64_t width = std::uint64_t{sizes.heads} * sizes.head_dim;
  const std::uint64_t kv = std::uint64_t{sizes.kv_heads} * sizes.head_dim;
  const auto square = [&](const std::string& name, ValueId x, std::uint64_t in, std::uint64_t out) {
    return g.linear(name, x, g.parameter(name, {out, in}));
  };
  g.facts().vocab_size = kIds;
  g.facts().max_frames = kMostFrames;
  g.facts().frames_per_state = 2;
  const AttentionSpec spec{sizes.heads, sizes.kv_heads, sizes.head_dim, 0.3, false, 0};
  ValueId x = g.input("mel", {Element::f32, Rows::frames, kMel});
  x = g.conv1d("conv1", x, g.parameter("conv1", {11, kMel, sizes.kernel}),
               g.parameter("conv1.bias", {11}), 1);
  x = g.gelu("conv1.act", x, false);
  x = g.conv1d("conv2", x, g.parameter("conv2", {width, 11, sizes.kernel}), {}, 2);
  const ValueId k = square("k", x, width, kv);
  x = g.attention("states", square("q", x, width, width), k, square("v", x, width, kv), spec, {});
  x = g.conv1d("conv3", x, g.parameter("conv3", {width, width, 3}), {}, 1);
  const CacheId cache = g.cache({"cross", sizes.kv_heads, sizes.head_dim, 0, true, sizes.cache});
  const ValueId q = g.embedding("tokens", g.token_ids(), g.parameter("table", {kIds, width}));
  const ValueId cross_k = square("cross_k", x, width, kv);
  x = g.attention("cross", q, cross_k, square("cross_v", x, width, kv), spec, cache);
  g.output(g.select_logit_rows("out", g.tanh("tanh", x)));
  Graph graph = must(std::move(g).build());
  Package package = random_package(graph, conv_type);
  return {std::move(graph), std::move(package)};
}

/// Tokens that see each other, in one direction or both, and the first of each sequence.
Built reader(const Sizes& sizes, bool causal, std::uint32_t window) {
  GraphBuilder g;
  const std::uint64_t width = std::uint64_t{sizes.heads} * sizes.head_dim;
  const std::uint64_t kv = std::uint64_t{sizes.kv_heads} * sizes.head_dim;
  g.facts().vocab_size = kIds;
  g.facts().causal = causal;
  const AttentionSpec spec{sizes.heads, sizes.kv_heads, sizes.head_dim, 0.3, causal, window};
  const auto rows = [&](const std::string& name, std::uint64_t features) {
    return g.embedding(name, g.token_ids(), g.parameter(name, {kIds, features}));
  };
  const ValueId q = rows("q", width);
  const ValueId k = rows("k", kv);
  const ValueId x = g.attention("tokens", q, k, rows("v", kv), spec, {});
  static_cast<void>(g.first_of_sequence("first", x));
  g.output(g.select_logit_rows("out", x));
  Graph graph = must(std::move(g).build());
  Package package = random_package(graph);
  return {std::move(graph), std::move(package)};
}

/// What one sequence brings.
struct Part {
  SequenceId sequence = 0;
  std::vector<float> mel;  ///< may be empty
  std::vector<TokenId> ids;
};

std::vector<Part> some_parts(const std::vector<std::pair<std::size_t, std::size_t>>& sizes) {
  std::vector<Part> parts;
  std::mt19937 random(5);
  for (const auto& [frames, tokens] : sizes) {
    Part part;
    part.sequence = static_cast<SequenceId>(parts.size());
    for (std::size_t i = 0; i < frames * kMel; ++i) {
      part.mel.push_back(static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
    }
    for (std::size_t i = 0; i < tokens; ++i)
      part.ids.push_back(static_cast<TokenId>(random() % kIds));
    parts.push_back(std::move(part));
  }
  return parts;
}

Session start(std::string_view backend, const Built& built, std::shared_ptr<Team> team = nullptr,
              Mode mode = Mode::exact) {
  CompileOptions options;
  options.mode = mode;
  options.team = std::move(team);
  options.taps = {"*"};
  options.max_frames = 4 * kMostFrames;
  options.max_logit_rows = 256;
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend(backend))->compile(built.graph, built.package, options));
  return must(Session::create(executable, 128, 8));
}

void step(Session& session, const std::vector<Part>& parts, Collector& sink) {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> positions;
  std::vector<SequenceId> sequences;
  std::vector<std::uint32_t> logit_rows;
  std::vector<float> mel;
  std::vector<EncodedFrames> encoded;
  for (const Part& part : parts) {
    const auto held = static_cast<std::int32_t>(session.length(part.sequence));
    for (std::size_t i = 0; i < part.ids.size(); ++i) {
      logit_rows.push_back(static_cast<std::uint32_t>(ids.size()));
      ids.push_back(part.ids[i]);
      positions.push_back(held + static_cast<std::int32_t>(i));
      sequences.push_back(part.sequence);
    }
    mel.insert(mel.end(), part.mel.begin(), part.mel.end());
    if (!part.mel.empty()) {
      encoded.push_back({part.sequence, static_cast<std::uint32_t>(part.mel.size() / kMel)});
    }
  }
  const BatchInput input{"mel", mel, {}};
  Batch batch{ids, positions, sequences, logit_rows, {}, encoded};
  if (!encoded.empty()) batch.inputs = {&input, 1};
  must(session.step(batch, {&sink, nullptr}));
}

Values run(Session& session, const std::vector<Part>& parts) {
  Collector sink;
  for (const Part& part : parts) session.release(part.sequence);
  step(session, parts, sink);
  return sink.values;
}

Values run_apart(Session& session, const std::vector<Part>& parts) {
  Collector sink;
  for (const Part& part : parts) session.release(part.sequence);
  for (const Part& part : parts) step(session, {part}, sink);
  return sink.values;
}

/// A half in the cache may round to its other neighbour when what is stored differs in its last
/// bit.
float tolerance_of(const Sizes& sizes) {
  return sizes.cache == Type::f16 ? 1e-4f : 3e-6f;
}

void check_near(const Values& expected, const Values& actual, float tolerance = 3e-6f) {
  REQUIRE(expected.size() == actual.size());
  for (const auto& [name, value] : expected) {
    INFO(name);
    const auto& other = actual.at(name);
    REQUIRE(value.size() == other.size());
    float largest = 1e-3f;
    for (const float v : value) largest = std::max(largest, std::fabs(v));
    float difference = 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
      REQUIRE(std::isfinite(other[i]));
      difference = std::max(difference, std::fabs(value[i] - other[i]));
    }
    CHECK(difference <= tolerance * largest);
  }
}

void check_equal(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, value] : a) {
    INFO(name);
    CHECK(value == b.at(name));
  }
}

}  // namespace

TEST_CASE("convolutions, attention of states and cross attention") {
  // frames and tokens: odd, longer than a block of queries, one, none.
  const auto parts = some_parts({{31, 5}, {120, 1}, {7, 30}, {1, 13}, {90, 0}});
  for (const Sizes& sizes : kSizes) {
    INFO(sizes.heads << " heads of " << sizes.head_dim << ", kernel " << sizes.kernel);
    const Built built = listener(sizes);
    Session reference = start("reference", built);
    const Values expected = run(reference, parts);
    REQUIRE(expected.at("cross_probs").size() > 0);
    for (const unsigned threads : {1u, 2u, 3u, 5u}) {
      for (const Mode mode : {Mode::exact, Mode::deterministic}) {
        Session session = start("cpu", built, std::make_shared<Team>(threads), mode);
        const Values together = run(session, parts);
        check_near(expected, together, tolerance_of(sizes));
        check_equal(run_apart(session, parts), together);
        check_equal(run(session, parts), together);  // buffers of a step that was there before

        Collector sink;  // frames first, then tokens one by one, those of all sequences in turn
        auto frames_only = parts;
        for (Part& part : frames_only) {
          session.release(part.sequence);
          part.ids.clear();
        }
        step(session, frames_only, sink);
        Values by_token = sink.values;
        for (const Part& part : parts) {
          for (const TokenId id : part.ids) {
            sink.values.clear();
            step(session, {{part.sequence, {}, {id}}}, sink);
            auto& out = by_token["out"];
            out.insert(out.end(), sink.values["out"].begin(), sink.values["out"].end());
          }
        }
        CHECK(by_token.at("out") == together.at("out"));
        CHECK(by_token.at("conv3") == together.at("conv3"));
      }
    }
  }
}

TEST_CASE("kernels of convolutions in other types") {
  const auto parts = some_parts({{33, 3}, {64, 2}});
  for (const Type type : {Type::f16, Type::bf16}) {
    const Built built = listener(kSizes[0], type);
    Session reference = start("reference", built);
    Session session = start("cpu", built);
    check_near(run(reference, parts), run(session, parts));
  }
}

TEST_CASE("attention of whole sequences, in one direction and both") {
  const auto parts = some_parts({{0, 1}, {0, 40}, {0, 13}, {0, 12}, {0, 3}, {0, 100}});
  for (const Sizes& sizes : kSizes) {
    for (const std::uint32_t window : {0u, 1u, 5u, 17u}) {
      for (const bool causal : {true, false}) {
        if (!causal && window != 0) continue;
        INFO(sizes.heads << " heads of " << sizes.head_dim << ", window " << window << ", causal "
                         << causal);
        const Built built = reader(sizes, causal, window);
        Session reference = start("reference", built);
        const Values expected = run(reference, parts);
        for (const unsigned threads : {1u, 2u, 4u}) {
          Session session = start("cpu", built, std::make_shared<Team>(threads));
          const Values together = run(session, parts);
          check_near(expected, together);
          check_equal(run_apart(session, parts), together);
        }
      }
    }
  }
}

TEST_CASE("a token that is not finite harms none that cannot see it") {
  Built built = reader(kSizes[0], true, 0);
  const auto poison = [&](const std::string& name) {
    Package::Parts parts;
    for (const Parameter& parameter : built.graph.parameters()) {
      const TensorEntry* entry = find_tensor(built.graph, built.package, parameter);
      auto owned = std::make_shared<Tensor>(
          Tensor{Type::f32, parameter.shape,
                 std::vector<std::byte>(entry->view.data.begin(), entry->view.data.end())});
      if (parameter.tensor == name) {  // the row of id 39
        const float bad = INFINITY;
        const std::size_t row = owned->data.size() / kIds;
        for (std::size_t at = 39 * row; at < 40 * row; at += 4) {
          std::memcpy(owned->data.data() + at, &bad, 4);
        }
      }
      parts.tensors.push_back({parameter.tensor, owned->view(), {}});
      parts.owned.push_back(std::move(owned));
    }
    return must(Package::from(std::move(parts)));
  };
  auto parts = some_parts({{0, 20}});
  for (TokenId& id : parts[0].ids) id = id % 39;
  Session clean = start("cpu", built);
  const auto expected = run(clean, parts).at("out");
  parts[0].ids[7] = 39;
  for (const std::string name : {"k", "v"}) {
    const Built bad{built.graph, poison(name)};
    Session session = start("cpu", bad);
    const auto actual = run(session, parts).at("out");
    const std::size_t width = actual.size() / 20;
    CHECK(std::equal(actual.begin(), actual.begin() + static_cast<std::ptrdiff_t>(7 * width),
                     expected.begin()));
    CHECK_FALSE(std::isfinite(actual[7 * width]));
  }
}

}  // namespace apr::testing
