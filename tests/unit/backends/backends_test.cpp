// Every backend linked into this program, in every mode, on both trained models and on made-up
// ones.
#include <catch2/catch.hpp>

#include "core/runtime/session.h"
#include "tests/unit/backends/golden.h"
#include "tests/unit/backends/properties.h"

namespace apr::testing {
namespace {

std::vector<TokenId> some_ids(std::uint32_t vocab, std::size_t count) {
  std::vector<TokenId> ids;
  std::uint64_t state = 12345;
  while (ids.size() < count) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<TokenId>((state >> 33) % vocab));
  }
  return ids;
}

void require_none(const Violations& violations) {
  for (const auto& violation : violations) UNSCOPED_INFO(violation);
  REQUIRE(violations.empty());
}

/// Every backend of this program, one after the other.
template <typename Function>
void on_every_backend(Function&& function) {
  const auto backends = test_registry().backends();
  REQUIRE_FALSE(backends.empty());
  for (Backend* backend : backends) {
    INFO("backend " << backend->id());
    function(*backend);
  }
}

void golden_matches(const std::string& folder, std::size_t least_tokens) {
  const TestModel model = make_model(read_model_folder(folder));
  on_every_backend([&](Backend& backend) {
    const GoldenReport report = check_golden(backend, Mode::exact, model, folder);
    require_none(report.problems);
    CHECK(report.tokens_compared >= least_tokens);
    WARN(backend.id() << ": " << report.values_compared << " values, " << report.tokens_compared
                      << " greedy tokens; worst value at " << report.worst_node
                      << " of its tolerance, worst logit off by " << report.worst_logit);
  });
}

TEST_CASE("the trained chat model agrees with its reference traces", "[golden]") {
  golden_matches(chat_model_folder(), 64);
}

TEST_CASE("the trained story model agrees with its reference traces", "[golden]") {
  const auto folder = stories_model_folder();
  if (!folder) {
    WARN("skipped: no shared test data");
    return;
  }
  golden_matches(*folder, 128);
}

TEST_CASE("properties hold on made-up models of odd sizes", "[properties]") {
  RandomModel shape;
  SECTION("grouped queries, untied head") {}
  SECTION("one key/value head, tied head") {
    shape.kv_heads = 1;
    shape.tied = true;
  }
  SECTION("llama, as many key/value heads as heads, wider than hidden") {
    shape.model_type = "llama";
    shape.kv_heads = 6;
    shape.head_dim = 10;
  }
  SECTION("sizes of whole vectors") {
    shape.hidden_size = 64;
    shape.intermediate_size = 96;
    shape.heads = 4;
    shape.head_dim = 16;
    shape.vocab_size = 128;
  }
  const TestModel model = make_model(random_model(shape));
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic}) {
      INFO("mode " << name_of(mode));
      require_none(all_properties({backend, mode, model, some_ids(shape.vocab_size, 45)}));
    }
  });
}

TEST_CASE("properties hold on the trained chat model", "[properties]") {
  const TestModel model = make_model(read_model_folder(chat_model_folder()));
  on_every_backend([&](Backend& backend) {
    const PropertyRun run{backend, Mode::deterministic, model, some_ids(2048, 24)};
    require_none(causality(run));
    require_none(cache_equals_no_cache(run));
    require_none(alone_equals_batched(run));
  });
}

TEST_CASE("a window shows exactly its keys", "[window]") {
  RandomModel shape;
  shape.layers = 2;
  shape.window = 5;
  ModelParts parts = random_model(shape);
  // The first layer sees everything; it is silenced, so that nothing older reaches a query through
  // it.
  NamedTensor& silenced = parts.tensor("model.layers.0.self_attn.o_proj.weight");
  silenced.set_floats(std::vector<float>(silenced.shape.elements(), 0.0F));
  const TestModel model = make_model(parts);
  const auto ids = some_ids(shape.vocab_size, 90);
  const std::size_t vocab = shape.vocab_size;

  const auto last_row = [&](Backend& backend, const std::vector<TokenId>& text, std::size_t chunk) {
    CompileOptions options;
    options.mode = Mode::exact;
    std::shared_ptr<Executable> executable =
        must(backend.compile(model.graph, model.package, options));
    Session session = must(Session::create(executable, 256));
    std::vector<float> logits;
    for (std::size_t begin = 0; begin < text.size(); begin += chunk) {
      const auto count = std::min(chunk, text.size() - begin);
      const auto row = must(session.append(0, std::span(text).subspan(begin, count)));
      logits.assign(row.begin(), row.end());
    }
    REQUIRE(logits.size() == vocab);
    return logits;
  };
  on_every_backend([&](Backend& backend) {
    const auto base = last_row(backend, ids, 90);
    CHECK(last_row(backend, ids, 1) == base);
    CHECK(last_row(backend, ids, 7) == base);
    for (std::size_t back = 0; back < 12; ++back) {
      auto changed = ids;
      TokenId& id = changed[ids.size() - 1 - back];
      id = (id + 1) % static_cast<TokenId>(vocab);
      INFO(back << " tokens before the last");
      CHECK((last_row(backend, changed, 90) == base) == (back >= 5));
    }
  });
}

TEST_CASE("properties hold with windows, whose pages go back", "[window]") {
  RandomModel shape;
  shape.window = 4;
  const TestModel model = make_model(random_model(shape));
  on_every_backend([&](Backend& backend) {
    const PropertyRun run{backend, Mode::exact, model, some_ids(shape.vocab_size, 75)};
    require_none(causality(run));
    require_none(cache_equals_no_cache(run));
    require_none(alone_equals_batched(run));
  });
}

TEST_CASE("what cannot be compiled is refused with the tensor's name", "[errors]") {
  using Catch::Matchers::Contains;
  const auto refusal = [](Backend& backend, const ModelParts& parts, CompileOptions options = {}) {
    const TestModel model = make_model(parts);
    auto result = backend.compile(model.graph, model.package, options);
    REQUIRE_FALSE(result);
    return result.error().to_string();
  };
  on_every_backend([&](Backend& backend) {
    ModelParts headless = random_model({});
    std::erase_if(headless.tensors,
                  [](const NamedTensor& tensor) { return tensor.name == "lm_head.weight"; });
    CHECK_THAT(refusal(backend, headless), Contains("lm_head.weight is missing"));

    ModelParts turned = random_model({});
    turned.tensor("model.layers.1.mlp.up_proj.weight").shape = Shape{36, 53};
    CHECK_THAT(refusal(backend, turned), Contains("model.layers.1.mlp.up_proj.weight") &&
                                             Contains("[36, 53]") && Contains("[53, 36]"));

    CompileOptions options;
    options.taps = {"layer9.out"};
    CHECK_THAT(refusal(backend, random_model({}), options), Contains("layer9.out"));
  });
}

}  // namespace
}  // namespace apr::testing
