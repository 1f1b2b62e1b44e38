#include "core/runtime/session.h"

#include <catch2/catch.hpp>

#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;

std::shared_ptr<Executable> compiled(const TestModel& model, CompileOptions options = {}) {
  return must(
      must(test_registry().backend("reference"))->compile(model.graph, model.package, options));
}

TEST_CASE("a session is bounded by its context and by the model") {
  const TestModel model = make_model(random_model({}));
  CHECK_FALSE(Session::create(compiled(model), 0));
  const auto too_long = Session::create(compiled(model), 513);
  REQUIRE_FALSE(too_long);
  CHECK_THAT(too_long.error().to_string(), Contains("513") && Contains("512"));

  Session session = must(Session::create(compiled(model), 10, 2));
  must(session.append(0, std::vector<TokenId>(6, 1)));
  const auto refused = session.append(0, std::vector<TokenId>(5, 1));
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().to_string(),
             Contains("holds 6") && Contains("5 more") && Contains("context of 10"));
  CHECK(session.length(0) == 6);
  must(session.append(0, std::vector<TokenId>(4, 1)));
  CHECK_FALSE(session.append(0, std::vector<TokenId>(1, 1)));
  must(session.append(1, std::vector<TokenId>(10, 1)));
  CHECK_FALSE(session.append(2, std::vector<TokenId>(1, 1)));
  CHECK_FALSE(session.append(0, {}));
}

TEST_CASE("a failed step gives everything back") {
  const TestModel model = make_model(random_model({}));
  CompileOptions options;
  options.max_tokens = 4;
  Session session = must(Session::create(compiled(model, options), 20));
  // The second of three steps holds an id beyond the vocabulary.
  CHECK_FALSE(session.append(0, std::vector<TokenId>{1, 2, 3, 4, 5, 6, 999, 8, 9}));
  CHECK(session.length(0) == 0);
  must(session.append(0, std::vector<TokenId>(20, 1)));
  CHECK(session.append_all_logits(0, std::vector<TokenId>(5, 1)).ok() == false);
}

TEST_CASE("only the wanted rows come back") {
  const TestModel model = make_model(random_model({}));
  Session session = must(Session::create(compiled(model), 20));
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5};
  const std::vector<std::int32_t> positions = {0, 1, 2, 3, 4};
  const std::vector<SequenceId> sequences(5, 0);
  CHECK(must(session.step({ids, positions, sequences, {}, {}})).empty());
  CHECK(session.length(0) == 5);
  session.release(0);
  const std::vector<std::uint32_t> rows = {1, 4};
  CHECK(must(session.step({ids, positions, sequences, rows, {}})).size() == 2 * 61);
}

TEST_CASE("modes have names") {
  for (const Mode mode : {Mode::exact, Mode::deterministic, Mode::fast}) {
    CHECK(mode_from_name(name_of(mode)) == mode);
  }
  CHECK_FALSE(mode_from_name("sloppy"));
}

TEST_CASE("architectures recognize their configs and nobody else's") {
  const auto chosen = [](std::initializer_list<JsonMember> members) {
    auto architecture = test_registry().architecture_for(Json::object(members));
    return architecture ? std::string((*architecture)->id()) : std::string();
  };
  CHECK(chosen({{"model_type", "qwen2"}}) == "qwen2");
  CHECK(chosen({{"model_type", "llama"}}) == "llama");
  CHECK(chosen({{"architectures", JsonArray{Json("Qwen2ForCausalLM")}}}) == "qwen2");
  CHECK(chosen({{"model_type", "mamba"}, {"architectures", JsonArray{Json("LlamaForCausalLM")}}})
            .empty());
  const Architecture* llama = must(test_registry().architecture("llama"));
  CHECK(llama->ignorable("model.layers.0.self_attn.rotary_emb.inv_freq"));
  CHECK_FALSE(llama->ignorable("model.layers.0.self_attn.q_proj.weight"));
  ModelParts parts = random_model({});
  parts.config.set("model_type", "llama");
  parts.config.set("sliding_window", 4096);
  const auto refused = llama->build(parts.config, "config.json");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().to_string(), Contains("config.json: field sliding_window"));
}

}  // namespace
}  // namespace apr::testing
