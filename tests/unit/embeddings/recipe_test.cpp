// What the files beside a model say about its vectors, and what they may not say.
#include <catch2/catch.hpp>

#include "core/runtime/embedding_recipe.h"
#include "tests/unit/embeddings/embed.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;
using Files = std::map<std::string, std::string, std::less<>>;

constexpr const char* kModules = R"([
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])";
constexpr const char* kNormalized = R"([
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])";

Package package_of(Files files) {
  Package::Parts parts;
  parts.path = "m.apr";
  parts.format = "test";
  parts.files = std::move(files);
  return must(Package::from(std::move(parts)));
}

ModelFacts facts_of(bool causal) {
  ModelFacts facts;
  facts.architecture = causal ? "qwen2" : "bert";
  facts.causal = causal;
  facts.hidden_size = 128;
  facts.max_position_embeddings = 512;
  return facts;
}

EmbeddingRecipe recipe_of(Files files, bool causal = false) {
  return must(embedding_recipe(package_of(std::move(files)), facts_of(causal)));
}

std::string refusal(Files files, bool need_pooling = true) {
  const auto recipe = embedding_recipe(package_of(std::move(files)), facts_of(false), need_pooling);
  return recipe ? std::string() : recipe.error().to_string();
}

Files with_pooling(const std::string& config, const char* modules = kModules) {
  return {{"modules.json", modules}, {"1_Pooling/config.json", config}};
}

TEST_CASE("without files, encoders are averaged and causal models give their last token") {
  const EmbeddingRecipe bert = recipe_of({});
  CHECK(bert.pooling == std::vector{Pooling::mean});
  CHECK(bert.normalize);
  CHECK_FALSE(bert.from_modules);
  CHECK_FALSE(bert.strip);
  CHECK(bert.max_tokens == 512);
  CHECK_THAT(bert.max_tokens_from, Contains("max_position_embeddings"));
  const EmbeddingRecipe qwen = recipe_of({}, true);
  CHECK(qwen.pooling == std::vector{Pooling::last_token});
  CHECK(qwen.normalize);
}

TEST_CASE("a sentence-transformers folder says pooling and normalization") {
  const std::pair<const char*, Pooling> modes[] = {{"cls_token", Pooling::cls},
                                                   {"max_tokens", Pooling::max},
                                                   {"mean_tokens", Pooling::mean},
                                                   {"mean_sqrt_len_tokens", Pooling::mean_sqrt_len},
                                                   {"weightedmean_tokens", Pooling::weighted_mean},
                                                   {"lasttoken", Pooling::last_token}};
  for (const auto& [name, pooling] : modes) {
    Json config = Json::object({{"word_embedding_dimension", 128}});
    for (const auto& [other, unused] : modes) {
      config.set(std::string("pooling_mode_") + other, std::string_view(other) == name);
    }
    const EmbeddingRecipe recipe = recipe_of(with_pooling(config.dump()));
    CHECK(recipe.pooling == std::vector{pooling});
    CHECK_FALSE(recipe.normalize);
    CHECK(recipe.from_modules);
    CHECK(recipe.strip);
    CHECK(recipe.pool_prompt);
    CHECK(recipe_of(with_pooling(config.dump(), kNormalized)).normalize);
  }
  CHECK(recipe_of(with_pooling(R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true,
                                   "include_prompt": false, "pooling_mode_new": false})"))
            .pooling == std::vector{Pooling::cls, Pooling::mean});
  CHECK_FALSE(recipe_of(with_pooling(R"({"pooling_mode": "lasttoken", "include_prompt": false})"))
                  .pool_prompt);
}

TEST_CASE("lengths come from the narrowest file that has a say") {
  const Files pooled = with_pooling(R"({"pooling_mode_mean_tokens": true})");
  Files files = pooled;
  files["sentence_bert_config.json"] = R"({"max_seq_length": 256, "do_lower_case": true})";
  files["tokenizer_config.json"] = R"({"model_max_length": 128, "truncation_side": "left"})";
  EmbeddingRecipe recipe = recipe_of(files);
  CHECK(recipe.max_tokens == 256);
  CHECK(recipe.max_tokens_from == "sentence_bert_config.json: field max_seq_length");
  CHECK(recipe.lower_case);
  CHECK(recipe.truncate_left);
  files.erase("sentence_bert_config.json");
  recipe = recipe_of(files);
  CHECK(recipe.max_tokens == 128);
  CHECK_THAT(recipe.max_tokens_from, Contains("model_max_length"));
  files["sentence_bert_config.json"] = R"({"max_seq_length": 1000000})";
  CHECK(recipe_of(files).max_tokens == 512);
  files["sentence_bert_config.json"] = R"({"max_seq_length": null})";
  files["tokenizer_config.json"] = R"({"model_max_length": 1e30})";
  CHECK(recipe_of(files).max_tokens == 512);
  for (const char* bad : {"0", "-1", "\"long\"", "1.5", "[]", "true"}) {
    files["sentence_bert_config.json"] = std::string(R"({"max_seq_length": )") + bad + "}";
    CHECK_THAT(refusal(files), Contains("max_seq_length") && Contains("m.apr"));
  }
}

TEST_CASE("prompts have names, and one may be the default") {
  EmbeddingRecipe recipe = recipe_of({{"config_sentence_transformers.json",
                                       R"({"prompts": {"query": "query: ", "passage": ""},
                                           "default_prompt_name": "query"})"}});
  REQUIRE(recipe.prompts.size() == 2);
  CHECK(recipe.prompts[0] == std::pair<std::string, std::string>("query", "query: "));
  CHECK(recipe.default_prompt == "query");
  recipe = recipe_of(
      {{"config_sentence_transformers.json", R"({"prompts": {}, "default_prompt_name": null})"}});
  CHECK(recipe.default_prompt.empty());
  for (const char* bad :
       {R"({"prompts": []})", R"({"prompts": {"a": 1}})", R"({"default_prompt_name": "a"})",
        R"({"prompts": {"a": "b"}, "default_prompt_name": 1})", "[]", "{"}) {
    CHECK_THAT(refusal({{"config_sentence_transformers.json", bad}}),
               Contains("config_sentence_transformers.json"));
  }
}

TEST_CASE("modules that are not understood are named with their file") {
  const auto modules = [](const std::string& list) { return Files{{"modules.json", list}}; };
  const std::string transformer =
      R"({"path": "", "type": "sentence_transformers.models.Transformer"})";
  CHECK_THAT(refusal(modules("[" + transformer + R"(, {"path": "1_Dense",
                              "type": "sentence_transformers.models.Dense"}])")),
             Contains("modules.json") && Contains("module 1") && Contains("models.Dense"));
  Files dense = with_pooling(R"({"pooling_mode_mean_tokens": true})");
  dense["modules.json"] =
      "[" + transformer +
      R"(, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                             {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])";
  CHECK_THAT(refusal(dense), Contains("module 2") && Contains("models.Dense"));
  dense["modules.json"] =
      "[" + transformer + R"(, {"path": "1_Pooling", "type": "my.own.Pooling"}])";
  CHECK_THAT(refusal(dense), Contains("my.own.Pooling"));
  CHECK_THAT(refusal(modules("[" + transformer + R"(,
                     {"path": "", "type": "sentence_transformers.models.Normalize"}])")),
             Contains("Normalize"));
  CHECK_THAT(refusal(modules("[" + transformer + "]")), Contains("no Pooling"));
  CHECK_THAT(refusal(modules("[]")), Contains("no Pooling"));
  CHECK_THAT(refusal(modules("{}")), Contains("list"));
  CHECK_THAT(refusal(modules("[1, null]")), Contains("no type"));
  CHECK_THAT(
      refusal(modules(R"([{"type": "sentence_transformers.models.Transformer", "path": 3}])")),
      Contains("module 0"));
}

TEST_CASE("a pooling's own file must be there and make sense") {
  CHECK_THAT(refusal({{"modules.json", kModules}}),
             Contains("1_Pooling/config.json is missing") && Contains("--pooling"));
  CHECK(refusal({{"modules.json", kModules}}, false).empty());
  CHECK_THAT(refusal(with_pooling("[]")), Contains("1_Pooling/config.json"));
  CHECK_THAT(refusal(with_pooling("{}")), Contains("no pooling mode is true"));
  CHECK_THAT(refusal(with_pooling(R"({"pooling_mode_mean_tokens": 1})")),
             Contains("pooling_mode_mean_tokens"));
  CHECK_THAT(refusal(with_pooling(R"({"pooling_mode_new": true})")),
             Contains("pooling_mode_new is not supported"));
  CHECK_THAT(refusal(with_pooling(R"({"pooling_mode": "pooler"})")), Contains("pooling_mode"));
  CHECK_THAT(refusal(with_pooling(
                 R"({"pooling_mode_mean_tokens": true, "word_embedding_dimension": 64})")),
             Contains("word_embedding_dimension: 64") && Contains("128"));
}

}  // namespace
}  // namespace apr::testing
