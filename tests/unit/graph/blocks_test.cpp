#include "core/graph/blocks.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/base/cat.h"

namespace apr {
namespace {

using Catch::Matchers::Contains;

Json config() {
  auto parsed = parse_json(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": null, "hidden_act": "silu",
    "tie_word_embeddings": true, "pretraining_tp": 1, "attention_dropout": 0.0})");
  REQUIRE(parsed);
  return *std::move(parsed);
}

Json changed(std::string_view field, Json value) {
  Json json = config();
  json.set(field, std::move(value));
  return json;
}

Json scaling(std::string_view text) {
  auto parsed = parse_json(text);
  REQUIRE(parsed);
  return changed("rope_scaling", *std::move(parsed));
}

std::string refusal(const Json& json) {
  auto graph = build_llama_like(json, "config.json", "llama", {});
  REQUIRE_FALSE(graph);
  CHECK(graph.error().context == "config.json");
  return graph.error().to_string();
}

TEST_CASE("the Llama-shaped decoder has the names of the traces") {
  LlamaLikeConfig options;
  options.qkv_bias = true;
  options.windows = {0, 16};
  auto built = build_llama_like(config(), "config.json", "llama", options);
  REQUIRE(built);
  for (const char* name : {"embed", "layer0.attn_probs", "layer0.out", "layer1.attn_probs",
                           "layer1.out", "final_norm", "logits"}) {
    INFO(name);
    CHECK(built->find_value(name));
  }
  std::vector<std::string> names;
  for (const Node& node : built->nodes()) names.push_back(node.name);
  CHECK(std::find(names.begin(), names.end(), "layer1.attn.q_proj") != names.end());
  CHECK(std::find(names.begin(), names.end(), "layer0.mlp.down_proj") != names.end());
  REQUIRE(built->caches().size() == 2);
  CHECK(built->caches()[0].window == 0);
  CHECK(built->caches()[1].window == 16);
  CHECK(built->facts().head_dim == 8);
  CHECK(built->facts().vocab_size == 64);
  std::vector<std::string> tensors;
  for (const Parameter& parameter : built->parameters()) {
    tensors.push_back(parameter.tensor);
    if (parameter.tensor == "lm_head.weight")
      CHECK(parameter.tied_to == "model.embed_tokens.weight");
  }
  CHECK(tensors.size() == 3 + 2 * (2 + 4 + 3 + 3));
  CHECK(std::find(tensors.begin(), tensors.end(), "model.layers.1.self_attn.k_proj.bias") !=
        tensors.end());
}

TEST_CASE("an untied head is not looked for elsewhere") {
  auto built = build_llama_like(changed("tie_word_embeddings", false), "config.json", "llama", {});
  REQUIRE(built);
  for (const Parameter& parameter : built->parameters()) CHECK(parameter.tied_to.empty());
}

TEST_CASE("what is not supported or does not fit is refused by field") {
  CHECK_THAT(refusal(changed("hidden_act", "gelu")), Contains(R"(field hidden_act: "gelu")"));
  CHECK_THAT(refusal(changed("hidden_size", nullptr)), Contains("field hidden_size: is missing"));
  CHECK_THAT(refusal(changed("hidden_size", "32")), Contains(R"(field hidden_size: "32")"));
  CHECK_THAT(refusal(changed("hidden_size", 0)), Contains("field hidden_size"));
  CHECK_THAT(refusal(changed("hidden_size", -8)), Contains("field hidden_size"));
  CHECK_THAT(refusal(changed("hidden_size", 2147483648.0)), Contains("field hidden_size"));
  CHECK_THAT(refusal(changed("hidden_size", std::int64_t{1} << 31)), Contains("field hidden_size"));
  CHECK_THAT(refusal(changed("num_hidden_layers", 1000000000)),
             Contains("field num_hidden_layers"));
  CHECK_THAT(refusal(changed("vocab_size", std::int64_t{1} << 40)), Contains("field vocab_size"));
  CHECK_THAT(refusal(changed("num_attention_heads", 0)), Contains("field num_attention_heads"));
  CHECK_THAT(refusal(changed("num_attention_heads", 5)),
             Contains("field num_attention_heads: 5 does not divide hidden_size 32"));
  CHECK_THAT(refusal(changed("num_key_value_heads", 3)),
             Contains("field num_key_value_heads: 3 does not divide num_attention_heads 4"));
  CHECK_THAT(refusal(changed("head_dim", 7)), Contains("field head_dim: 7 is odd"));
  CHECK_THAT(refusal(changed("head_dim", 1 << 20)), Contains("field head_dim"));
  CHECK_THAT(refusal(changed("rms_norm_eps", -1)), Contains("field rms_norm_eps"));
  CHECK_THAT(refusal(changed("rms_norm_eps", "x")), Contains("field rms_norm_eps"));
  CHECK_THAT(refusal(changed("rope_theta", 0)), Contains("field rope_theta"));
  CHECK_THAT(refusal(changed("tie_word_embeddings", 1)), Contains("field tie_word_embeddings"));
  CHECK_THAT(refusal(changed("pretraining_tp", 2)), Contains("field pretraining_tp"));
  CHECK_THAT(refusal(changed("partial_rotary_factor", 0.5)), Contains("partial_rotary_factor"));
  CHECK_THAT(refusal(changed("quantization_config", Json::object({{"quant_method", "gptq"}}))),
             Contains("field quantization_config") && Contains("gptq"));
  CHECK_THAT(refusal(changed("architectures", JsonArray{Json("LlamaForSequenceClassification")})),
             Contains("field architectures"));
  CHECK_THAT(refusal(scaling(R"({"rope_type": "longrope", "factor": 4})")),
             Contains(R"(field rope_scaling.rope_type: "longrope" is not supported)"));
  CHECK_THAT(refusal(scaling(R"({"type": "dynamic", "factor": 4})")),
             Contains(R"(field rope_scaling.type: "dynamic" is not supported)"));
  CHECK_THAT(refusal(scaling(R"({"type": "linear"})")),
             Contains("field rope_scaling.factor: is missing"));
  CHECK_THAT(refusal(scaling(R"({"type": "linear", "factor": 0})")),
             Contains("field rope_scaling.factor"));
  CHECK_THAT(refusal(scaling(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4,
      "high_freq_factor": 4, "original_max_position_embeddings": 8192})")),
             Contains("field rope_scaling.high_freq_factor"));
  auto twice = changed("rope_theta", 10000.0);
  twice.set("rope_parameters", Json::object({{"rope_type", "default"}, {"rope_theta", 5000.0}}));
  CHECK_THAT(refusal(twice), Contains("rope_theta: contradicts rope_parameters.rope_theta"));
  CHECK_THAT(refusal(scaling("7")), Contains("field rope_scaling: is not an object"));
}

std::vector<double> frequencies(const Json& json, std::uint32_t head_dim,
                                double* factor = nullptr) {
  ConfigReader reader(json, "config.json");
  const RopeSpec spec = rope_from_config(reader, head_dim, 32768);
  REQUIRE(reader.status());
  if (factor != nullptr) *factor = spec.attention_factor;
  return spec.inverse_frequencies;
}

void check_near(const std::vector<double>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("pair " << i);
    CHECK(actual[i] == Approx(expected[i]).epsilon(1e-6));
  }
}

// Expected numbers: the published formulas, evaluated in float64 by an independent program.
TEST_CASE("RoPE frequencies are those of the formulas") {
  SECTION("default") {
    check_near(frequencies(changed("rope_theta", 1e6), 16),
               {1, 0.177827941, 0.0316227766, 0.00562341325, 0.001, 0.000177827941, 3.16227766e-05,
                5.62341325e-06});
  }
  SECTION("linear") {
    auto json = scaling(R"({"type": "linear", "factor": 4.0})");
    json.set("rope_theta", 1e6);
    check_near(frequencies(json, 4), {0.25, 0.00025});
  }
  SECTION("llama3") {
    auto json = scaling(R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})");
    json.set("rope_theta", 500000.0);
    const std::vector<double> expected = {1,
                                          0.440366603,
                                          0.193922745,
                                          0.0853971003,
                                          0.0376060309,
                                          0.0165604401,
                                          0.00729266474,
                                          0.00321144599,
                                          0.000524846161,
                                          7.78465527e-05,
                                          3.4281022e-05,
                                          1.50962172e-05,
                                          6.64786987e-06,
                                          2.92749987e-06,
                                          1.28917317e-06,
                                          5.6770881e-07};
    check_near(frequencies(json, 32), expected);
    // The same fields where newer configs keep them.
    Json moved = config();
    moved.erase("rope_theta");
    Json parameters = json["rope_scaling"];
    parameters.set("rope_theta", 500000.0);
    moved.set("rope_parameters", parameters);
    check_near(frequencies(moved, 32), expected);
  }
  SECTION("yarn") {
    auto json =
        scaling(R"({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768})");
    json.set("rope_theta", 1e6);
    double factor = 0;
    check_near(frequencies(json, 32, &factor),
               {1, 0.421696503, 0.177827941, 0.0749894209, 0.0316227766, 0.0133352143,
                0.00477990126, 0.00165996159, 0.00055, 0.000168678601, 4.44569853e-05,
                1.87473552e-05, 7.90569415e-06, 3.33380358e-06, 1.40585331e-06, 5.92843426e-07});
    CHECK(factor == Approx(1.13862944).epsilon(1e-8));
    json.set("max_position_embeddings", 32768);
    auto built = build_llama_like(json, "config.json", "qwen2", {});
    REQUIRE(built);
    CHECK(built->facts().max_position_embeddings == 131072);
  }
}

TEST_CASE("windows per layer") {
  const auto windows = [](const Json& json) {
    ConfigReader reader(json, "config.json");
    auto result = windows_from_config(reader);
    REQUIRE(reader.status());
    return result;
  };
  Json json = config();
  json.set("sliding_window", 16);
  json.set("max_window_layers", 1);
  CHECK(windows(json).empty());
  json.set("use_sliding_window", true);
  CHECK(windows(json) == std::vector<std::uint32_t>{0, 16});
  json.set("max_window_layers", 0);
  CHECK(windows(json) == std::vector<std::uint32_t>{16, 16});
  json.set("layer_types", JsonArray{Json("sliding_attention"), Json("full_attention")});
  CHECK(windows(json) == std::vector<std::uint32_t>{16, 0});
  json.set("layer_types", JsonArray{Json("sliding_attention")});
  ConfigReader reader(json, "config.json");
  (void)windows_from_config(reader);
  REQUIRE_FALSE(reader.status());
  CHECK_THAT(reader.status().error().to_string(), Contains("layer_types"));
}

}  // namespace
}  // namespace apr
