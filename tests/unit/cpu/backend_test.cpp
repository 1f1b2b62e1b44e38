// The cpu backend in every mode, on trained and made-up models of every weight type, against the
// reference backend and the properties that every backend must have.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "core/base/cat.h"
#include "core/platform/cpu.h"
#include "core/runtime/session.h"
#include "core/tensor/codec.h"
#include "tests/unit/backends/golden.h"
#include "tests/unit/backends/properties.h"

namespace apr::testing {
namespace {

Backend& cpu() {
  return *must(test_registry().backend("cpu"));
}
Backend& reference() {
  return *must(test_registry().backend("reference"));
}

std::vector<TokenId> some_ids(std::uint32_t vocab, std::size_t count) {
  std::vector<TokenId> ids;
  std::uint64_t state = 999;
  while (ids.size() < count) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<TokenId>((state >> 33) % vocab));
  }
  return ids;
}

void require_none(const std::vector<std::string>& violations) {
  for (const auto& violation : violations) UNSCOPED_INFO(violation);
  REQUIRE(violations.empty());
}

/// Stores the tensors that a scheme changes in its type.
void quantize(ModelParts& parts, std::string_view scheme) {
  const auto choice = must(test_registry().quantization(scheme));
  for (NamedTensor& tensor : parts.tensors) {
    const Type type = choice.quantizer->target_type(scheme, tensor.name, tensor.type, tensor.shape);
    if (type == tensor.type) continue;
    const auto values = tensor.floats();
    tensor.data.assign(must(storage_bytes(type, tensor.shape)), std::byte{0});
    must(
        choice.quantizer->quantize_rows(scheme, type, tensor.shape.columns(), values, tensor.data));
    tensor.type = type;
  }
}

/// A model whose matrices are whole blocks and large enough to be quantized.
ModelParts block_model(std::string_view scheme) {
  RandomModel shape;
  shape.vocab_size = 96;
  shape.hidden_size = 64;
  shape.intermediate_size = 96;
  shape.heads = 4;
  shape.head_dim = 16;
  ModelParts parts = random_model(shape);
  quantize(parts, scheme);
  return parts;
}

std::vector<float> logits_of(Backend& backend, const TestModel& model, Mode mode,
                             const std::vector<TokenId>& ids,
                             std::shared_ptr<Team> team = nullptr) {
  CompileOptions options;
  options.mode = mode;
  options.team = std::move(team);
  std::shared_ptr<Executable> executable =
      must(backend.compile(model.graph, model.package, options));
  Session session = must(Session::create(executable, 256));
  const auto rows = must(session.append_all_logits(0, ids));
  return {rows.begin(), rows.end()};
}

/// Root mean square of the difference, over that of the first.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]);
    difference += (x - static_cast<double>(b[i])) * (x - static_cast<double>(b[i]));
    size += x * x;
  }
  return std::sqrt(difference / size);
}

constexpr std::string_view kSchemes[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};
constexpr Mode kModes[] = {Mode::exact, Mode::deterministic, Mode::fast};

}  // namespace

TEST_CASE("exact mode matches the reference traces of the trained models", "[golden]") {
  std::vector<std::string> folders{chat_model_folder()};
  if (const auto stories = stories_model_folder()) folders.push_back(*stories);
  for (const auto& folder : folders) {
    const TestModel model = make_model(read_model_folder(folder));
    const auto report =
        check_golden(cpu(), Mode::exact, model, folder, {}, std::make_shared<Team>(2));
    require_none(report.problems);
    CHECK(report.tokens_compared >= 64);
    WARN(report.values_compared << " values, " << report.tokens_compared
                                << " greedy tokens; worst value at " << report.worst_node
                                << " of its tolerance, worst logit off by " << report.worst_logit);
  }
}

TEST_CASE("float weights are computed alike in all modes") {
  const TestModel model = make_model(read_model_folder(chat_model_folder()));
  const auto ids = some_ids(2048, 40);
  const auto exact = logits_of(cpu(), model, Mode::exact, ids);
  CHECK(logits_of(cpu(), model, Mode::deterministic, ids) == exact);
}

TEST_CASE("every weight type is near the reference backend", "[types]") {
  const auto ids = some_ids(96, 30);
  for (const auto scheme : kSchemes) {
    const TestModel model = make_model(block_model(scheme));
    const auto expected = logits_of(reference(), model, Mode::exact, ids);
    for (const Mode mode : kModes) {
      const bool rounds = mode != Mode::exact && (scheme == "q8_0" || scheme == "q4_0");
      const double difference = relative_difference(expected, logits_of(cpu(), model, mode, ids));
      INFO(scheme << " " << name_of(mode) << ": " << difference);
      CHECK(difference < (rounds ? 0.06 : 3e-6));
      if (rounds) CHECK(difference > 1e-5);  // the int8 path did run
    }
  }
}

TEST_CASE("types without kernels of their own are decoded and multiplied", "[types]") {
  // q4_1 with the same values as q4_0: m = -8 d, the same nibbles.
  ModelParts parts = block_model("q4_0");
  NamedTensor& tensor = parts.tensor("model.layers.1.mlp.up_proj.weight");
  const auto ids = some_ids(96, 12);
  const auto expected = logits_of(reference(), make_model(parts), Mode::exact, ids);
  std::vector<std::byte> q4_1;
  for (std::size_t at = 0; at < tensor.data.size(); at += 18) {
    std::uint16_t d = 0;
    std::memcpy(&d, tensor.data.data() + at, 2);
    const std::uint16_t m = f32_to_f16(-8 * f16_to_f32(d));
    const auto* bytes = reinterpret_cast<const std::byte*>(&m);
    q4_1.insert(q4_1.end(), tensor.data.begin() + static_cast<long>(at),
                tensor.data.begin() + static_cast<long>(at) + 2);
    q4_1.insert(q4_1.end(), bytes, bytes + 2);
    q4_1.insert(q4_1.end(), tensor.data.begin() + static_cast<long>(at) + 2,
                tensor.data.begin() + static_cast<long>(at) + 18);
  }
  tensor.data = q4_1;
  tensor.type = Type::q4_1;
  CHECK(relative_difference(expected, logits_of(cpu(), make_model(parts), Mode::exact, ids)) <
        3e-6);
}

TEST_CASE("weights that cannot be multiplied are refused by name", "[errors]") {
  ModelParts parts = block_model("f32");
  NamedTensor& tensor = parts.tensor("model.layers.1.mlp.up_proj.weight");
  tensor.type = Type::q4_k;
  tensor.data.assign(must(storage_bytes(Type::q4_k, tensor.shape)), std::byte{0});
  const TestModel model = make_model(parts);
  const auto result = cpu().compile(model.graph, model.package, {});
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::unsupported);
  CHECK(result.error().to_string().find("model.layers.1.mlp.up_proj.weight") != std::string::npos);
  CHECK(result.error().to_string().find("q4_k") != std::string::npos);
}

TEST_CASE("properties hold for every weight type and mode", "[properties]") {
  for (const auto scheme : kSchemes) {
    const TestModel model = make_model(block_model(scheme));
    for (const Mode mode : {Mode::exact, Mode::deterministic}) {
      INFO(scheme << " " << name_of(mode));
      require_none(
          all_properties({cpu(), mode, model, some_ids(96, 45), std::make_shared<Team>(2)}));
    }
  }
}

TEST_CASE("properties hold on models of odd sizes", "[properties]") {
  RandomModel shape;
  SECTION("tails everywhere") {}
  SECTION("llama, wide heads") {
    shape.model_type = "llama";
    shape.kv_heads = 6;
    shape.head_dim = 10;
  }
  const TestModel model = make_model(random_model(shape));
  for (const Mode mode : {Mode::exact, Mode::deterministic}) {
    require_none(all_properties({cpu(), mode, model, some_ids(shape.vocab_size, 45)}));
  }
}

TEST_CASE("properties hold with windows, whose pages go back", "[properties]") {
  RandomModel shape;
  shape.window = 4;
  const TestModel model = make_model(random_model(shape));
  const PropertyRun run{cpu(), Mode::exact, model, some_ids(shape.vocab_size, 60)};
  require_none(causality(run));
  require_none(cache_equals_no_cache(run));
  require_none(alone_equals_batched(run));
}

TEST_CASE("one thread equals many on the trained model, quantized", "[properties]") {
  ModelParts parts = read_model_folder(chat_model_folder());
  quantize(parts, "q4_0");
  const TestModel model = make_model(parts);
  const auto ids = some_ids(2048, 70);
  const auto one = logits_of(cpu(), model, Mode::deterministic, ids);
  for (const unsigned threads : {2u, 3u, 5u}) {
    CHECK(logits_of(cpu(), model, Mode::deterministic, ids, std::make_shared<Team>(threads)) ==
          one);
  }
}

TEST_CASE("the description says what runs", "[report]") {
  const TestModel model = make_model(random_model({}));
  CompileOptions options;
  options.mode = Mode::exact;
  const auto executable = must(cpu().compile(model.graph, model.package, options));
  CHECK(executable->description() == cat("cpu ", name_of(cpu_level()), " exact"));
}

}  // namespace apr::testing
