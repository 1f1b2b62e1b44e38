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

}  // namespace
}  // namespace apr::testing
