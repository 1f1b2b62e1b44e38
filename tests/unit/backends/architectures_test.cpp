// The architectures beyond Llama's family, each on its small trained model and on made-up ones: the
// reference traces, mistakes that the traces must find, what a config may not ask for.
#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "core/runtime/session.h"
#include "tests/unit/backends/golden.h"
#include "tests/unit/backends/properties.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;

std::vector<TokenId> some_ids(std::uint32_t vocab, std::size_t count) {
  std::vector<TokenId> ids;
  std::uint64_t state = 4321;
  while (ids.size() < count) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<TokenId>((state >> 33) % vocab));
  }
  return ids;
}

template <typename Function>
void on_every_backend(Function&& function) {
  const auto backends = test_registry().backends();
  REQUIRE_FALSE(backends.empty());
  for (Backend* backend : backends) {
    INFO("backend " << backend->id());
    function(*backend);
  }
}

void require_none(const Violations& violations) {
  for (const auto& violation : violations) UNSCOPED_INFO(violation);
  REQUIRE(violations.empty());
}

/// What the models' READMEs state for float32.
GoldenTolerance stated_tolerance() {
  GoldenTolerance tolerance;
  tolerance.hidden_states = 2e-4;
  tolerance.attention_probabilities = 1e-5;
  return tolerance;
}

/// All three modes: with plain weights they differ in nothing that a trace could see.
void golden_matches(const std::string& name, std::size_t values, std::size_t controls) {
  const auto folder = arch_model_folder(name);
  if (!folder) {
    WARN("skipped: no shared test data");
    return;
  }
  const TestModel model = make_model(read_model_folder(*folder));
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic, Mode::fast}) {
      INFO("mode " << name_of(mode));
      const GoldenReport report = check_golden(backend, mode, model, *folder, stated_tolerance());
      require_none(report.problems);
      CHECK(report.values_compared == values);
      CHECK(report.controls_compared == controls);
      CHECK(report.tokens_compared == 32 + 9 + 3);
      if (mode != Mode::exact) continue;
      WARN(name << " on " << backend.id() << ": " << report.values_compared << " values; worst at "
                << report.worst_node << " of its tolerance, worst logit off by "
                << report.worst_logit);
    }
  });
}

/// The traces of a model under a changed config, as a list of problems.
Violations problems_with(const std::string& folder, std::string_view field, Json value) {
  ModelParts parts = read_model_folder(folder);
  parts.config.set(field, std::move(value));
  Backend* backend = must(test_registry().backend("cpu"));
  return check_golden(*backend, Mode::exact, make_model(parts), folder, stated_tolerance())
      .problems;
}

std::string refusal(ModelParts parts, std::string_view field, Json value) {
  parts.config.set(field, std::move(value));
  Architecture* architecture = must(test_registry().architecture_for(parts.config));
  auto graph = architecture->build(parts.config, "config.json");
  REQUIRE_FALSE(graph);
  return graph.error().to_string();
}

TEST_CASE("mistral agrees with its reference traces, and with none of the controls", "[golden]") {
  golden_matches("tiny-mistral", 21, 2);
}

TEST_CASE("the traces of mistral find a wrong window, norm and rotation", "[golden]") {
  const auto folder = arch_model_folder("tiny-mistral");
  if (!folder) return;
  CHECK(problems_with(*folder, "sliding_window", 16).empty());
  CHECK_FALSE(problems_with(*folder, "sliding_window", 15).empty());
  CHECK_FALSE(problems_with(*folder, "rms_norm_eps", 1e-6).empty());
  CHECK_FALSE(problems_with(*folder, "rope_theta", 1e6).empty());
  // A model with the mistake agrees with the control, which is how a control is known to be one.
  for (const auto& [window, control] :
       {std::pair{Json(17), "long keys17"}, std::pair{Json(), "long full"}}) {
    const Violations found = problems_with(*folder, "sliding_window", window);
    CHECK(std::any_of(found.begin(), found.end(),
                      [&](const std::string& problem) { return problem.starts_with(control); }));
  }
}

TEST_CASE("mistral: every property, windowed or not, sizes odd", "[properties]") {
  RandomModel shape;
  shape.model_type = "mistral";
  SECTION("no window") {}
  SECTION("a window that pages do not divide, heads wider than hidden") {
    shape.window = 7;
    shape.head_dim = 10;
  }
  const TestModel model = make_model(random_model(shape));
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic}) {
      INFO("mode " << name_of(mode));
      const PropertyRun run{backend, mode, model, some_ids(shape.vocab_size, 75)};
      if (shape.window == 0) {
        require_none(all_properties(run));
        continue;
      }
      // Without truncation: what a window gave back cannot be gone back to.
      for (const auto property :
           {causality, cache_equals_no_cache, alone_equals_batched, threads_change_nothing,
            taps_change_nothing, sinks_are_complete, bad_steps_are_errors}) {
        require_none(property(run));
      }
    }
  });
}

TEST_CASE("mistral keeps no more keys than the window needs", "[window]") {
  RandomModel shape;
  shape.model_type = "mistral";
  shape.window = 16;
  const auto bytes_after = [](const RandomModel& made, std::size_t tokens) {
    const TestModel model = make_model(random_model(made));
    CompileOptions options;
    options.max_tokens = 8;
    std::shared_ptr<Executable> executable =
        must(must(test_registry().backend("cpu"))->compile(model.graph, model.package, options));
    Session session = must(Session::create(executable, 512));
    for (std::size_t i = 0; i < tokens; ++i) {
      must(session.append(0, std::vector<TokenId>{static_cast<TokenId>(i % 50)}));
    }
    return session.cache().allocated_bytes();
  };
  const std::uint64_t early = bytes_after(shape, 60);
  CHECK(bytes_after(shape, 500) == early);
  shape.window = 0;
  CHECK(bytes_after(shape, 500) > 4 * early);
}

TEST_CASE("mistral's config: null means no window, a missing field the published one", "[errors]") {
  ModelParts parts = random_model({.model_type = "mistral"});
  const auto windows = [&] {
    Architecture* architecture = must(test_registry().architecture_for(parts.config));
    const Graph graph = must(architecture->build(parts.config, "config.json"));
    std::vector<std::uint32_t> found;
    for (const CacheDecl& cache : graph.caches()) found.push_back(cache.window);
    return found;
  };
  CHECK(windows() == std::vector<std::uint32_t>{0, 0, 0});
  parts.config.erase("sliding_window");
  CHECK(windows() == std::vector<std::uint32_t>{4096, 4096, 4096});
  parts.config.set("sliding_window", 9);
  CHECK(windows() == std::vector<std::uint32_t>{9, 9, 9});
  CHECK_THAT(refusal(parts, "sliding_window", 0), Contains("field sliding_window"));
  CHECK_THAT(refusal(parts, "sliding_window", "wide"), Contains("field sliding_window"));
  CHECK_THAT(refusal(parts, "hidden_act", "gelu"), Contains("field hidden_act"));
  CHECK_THAT(refusal(parts, "num_hidden_layers", 1 << 30), Contains("field num_hidden_layers"));
}

TEST_CASE("gpt2 agrees with its reference traces", "[golden]") {
  golden_matches("tiny-gpt2", 21, 0);
}

TEST_CASE("the traces of gpt2 find another activation, norm and scale", "[golden]") {
  const auto folder = arch_model_folder("tiny-gpt2");
  if (!folder) return;
  CHECK(problems_with(*folder, "activation_function", "gelu_new").empty());
  CHECK(problems_with(*folder, "n_inner", 512).empty());
  CHECK_FALSE(problems_with(*folder, "activation_function", "gelu").empty());
  CHECK_FALSE(problems_with(*folder, "layer_norm_epsilon", 1e-6).empty());
  CHECK_FALSE(problems_with(*folder, "scale_attn_weights", false).empty());
  CHECK_FALSE(problems_with(*folder, "scale_attn_by_inverse_layer_idx", true).empty());
  // The same numbers in another layout: what a reader does that overlooks [in, out].
  ModelParts parts = read_model_folder(*folder);
  NamedTensor& square = parts.tensor("transformer.h.1.attn.c_proj.weight");
  const auto stored = square.floats();
  std::vector<float> turned(stored.size());
  for (std::size_t row = 0; row < 128; ++row) {
    for (std::size_t column = 0; column < 128; ++column) {
      turned[column * 128 + row] = stored[row * 128 + column];
    }
  }
  square.set_floats(turned);
  Backend* backend = must(test_registry().backend("cpu"));
  CHECK_FALSE(check_golden(*backend, Mode::exact, make_model(parts), *folder, stated_tolerance())
                  .problems.empty());
}

TEST_CASE("gpt2: every property, tied or not, sizes odd", "[properties]") {
  RandomModel shape;
  shape.model_type = "gpt2";
  SECTION("untied head") {}
  SECTION("tied head, sizes of whole vectors") {
    shape.tied = true;
    shape.hidden_size = 64;
    shape.intermediate_size = 96;
    shape.heads = 4;
  }
  const TestModel model = make_model(random_model(shape));
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic}) {
      INFO("mode " << name_of(mode));
      require_none(all_properties({backend, mode, model, some_ids(shape.vocab_size, 45)}));
    }
  });
}

std::vector<float> logits_of(const ModelParts& parts, const std::vector<TokenId>& ids) {
  const TestModel model = make_model(parts);
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend("cpu"))->compile(model.graph, model.package, {}));
  Session session = must(Session::create(executable, 64));
  const auto logits = must(session.append_all_logits(0, ids));
  return {logits.begin(), logits.end()};
}

TEST_CASE("gpt2: old checkpoints leave the prefix out and carry masks", "[names]") {
  RandomModel shape;
  shape.model_type = "gpt2";
  shape.tied = true;
  const ModelParts parts = random_model(shape);
  ModelParts old = parts;
  for (NamedTensor& tensor : old.tensors) tensor.name = tensor.name.substr(12);
  CHECK(old.tensors.front().name == "wte.weight");
  const auto ids = some_ids(shape.vocab_size, 20);
  CHECK(logits_of(old, ids) == logits_of(parts, ids));

  Architecture* architecture = must(test_registry().architecture_for(parts.config));
  CHECK(architecture->ignorable("h.0.attn.bias"));
  CHECK(architecture->ignorable("transformer.h.11.attn.masked_bias"));
  CHECK_FALSE(architecture->ignorable("h.0.attn.c_attn.bias"));
  CHECK_FALSE(architecture->ignorable("h.0.ln_1.bias"));
}

TEST_CASE("gpt2 has no positions beyond its table", "[errors]") {
  const TestModel model = make_model(random_model({.model_type = "gpt2"}));
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend("cpu"))->compile(model.graph, model.package, {}));
  auto refused = Session::create(executable, 257);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().to_string(), Contains("257") && Contains("256"));
  Session session = must(Session::create(executable, 256));
  must(session.append(0, std::vector<TokenId>(256, 3)));
  CHECK_FALSE(session.append(0, std::vector<TokenId>{3}));
  CHECK(session.length(0) == 256);
}

TEST_CASE("gpt2's config is refused by field", "[errors]") {
  const ModelParts parts = random_model({.model_type = "gpt2"});
  CHECK_THAT(refusal(parts, "activation_function", "swish"),
             Contains(R"(field activation_function: "swish" is not supported)"));
  CHECK_THAT(refusal(parts, "n_head", 7), Contains("field n_head: 7 does not divide n_embd 36"));
  CHECK_THAT(refusal(parts, "n_positions", Json()), Contains("field n_positions: is missing"));
  CHECK_THAT(refusal(parts, "n_layer", 1 << 30), Contains("field n_layer"));
  CHECK_THAT(refusal(parts, "layer_norm_epsilon", -1), Contains("field layer_norm_epsilon"));
  CHECK_THAT(refusal(parts, "add_cross_attention", true), Contains("field add_cross_attention"));
  CHECK_THAT(refusal(parts, "architectures", JsonArray{Json("GPT2ForTokenClassification")}),
             Contains("field architectures"));
  CHECK_THAT(refusal(parts, "quantization_config", Json::object({{"quant_method", "gptq"}})),
             Contains("field quantization_config"));
}

}  // namespace
}  // namespace apr::testing
