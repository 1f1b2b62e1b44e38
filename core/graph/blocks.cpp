#include "core/graph/blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/cat.h"

namespace apr {

namespace {

// More than any published model has, and little enough that a made-up config costs nothing before
// its tensors are found missing.
constexpr std::uint32_t kMaxLayers = 1024;
constexpr std::uint32_t kMaxFeatures = 1 << 20;
constexpr std::uint32_t kMaxVocabulary = 1 << 26;
constexpr std::uint32_t kMaxHeads = 1 << 12;
constexpr std::uint32_t kMaxHeadDim = 2048;

ValueId projection(GraphBuilder& g, std::string_view name, ValueId x, const std::string& tensor,
                   std::uint32_t in, std::uint32_t out, bool bias) {
  const ParameterId weight = g.parameter(tensor + ".weight", Shape{out, in});
  if (!bias) return g.linear(name, x, weight);
  return g.linear(name, x, weight, g.parameter(tensor + ".bias", Shape{out}));
}

void refuse_unsupported(ConfigReader& config) {
  for (const Json& name : config.raw("architectures").as_array()) {
    if (!name.as_string().ends_with("ForCausalLM")) {
      config.reject("architectures", cat(name.dump(), " is not supported"),
                    "checkpoints of the ...ForCausalLM class are");
    }
  }
  if (config.has("quantization_config")) {
    const std::string method = config.raw("quantization_config.quant_method").as_string();
    config.reject("quantization_config",
                  method.empty() ? std::string("already quantized checkpoints are not supported")
                                 : cat("checkpoints quantized with ", method, " are not supported"),
                  "import the original checkpoint and quantize it with apr convert");
  }
  const std::string activation = config.text_or("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    config.reject("hidden_act", cat(Json(activation).dump(), " is not supported"), "silu is");
  }
  if (config.number_or("pretraining_tp", 1) != 1) {
    config.reject("pretraining_tp", "only 1 is supported");
  }
}

ModelFacts facts_from(ConfigReader& config, std::string_view architecture) {
  ModelFacts facts;
  facts.architecture = architecture;
  facts.vocab_size = config.count("vocab_size", kMaxVocabulary);
  facts.hidden_size = config.count("hidden_size", kMaxFeatures);
  facts.intermediate_size = config.count("intermediate_size", kMaxFeatures);
  facts.num_hidden_layers = config.count("num_hidden_layers", kMaxLayers);
  facts.num_attention_heads = config.count("num_attention_heads", kMaxHeads);
  facts.num_key_value_heads =
      config.count_or("num_key_value_heads", facts.num_attention_heads, kMaxHeads);
  facts.max_position_embeddings = config.count("max_position_embeddings");
  facts.tied_head = config.flag_or("tie_word_embeddings", false);
  facts.causal = true;
  if (!config.ok()) return facts;
  if (!config.has("head_dim") && facts.hidden_size % facts.num_attention_heads != 0) {
    config.reject(
        "num_attention_heads",
        cat(facts.num_attention_heads, " does not divide hidden_size ", facts.hidden_size), {},
        ErrorCode::format);
    return facts;
  }
  facts.head_dim =
      config.count_or("head_dim", facts.hidden_size / facts.num_attention_heads, kMaxHeadDim);
  if (facts.head_dim > kMaxHeadDim) {
    config.reject("num_attention_heads",
                  cat("heads of ", facts.head_dim, " features are not supported"),
                  cat("up to ", kMaxHeadDim, " are"));
  }
  if (facts.num_attention_heads % facts.num_key_value_heads != 0) {
    config.reject("num_key_value_heads",
                  cat(facts.num_key_value_heads, " does not divide num_attention_heads ",
                      facts.num_attention_heads),
                  {}, ErrorCode::format);
  }
  return facts;
}

/// YaRN stretches the context beyond what max_position_embeddings says.
std::uint32_t stretched_positions(ConfigReader& config, std::uint32_t max_positions) {
  for (const std::string section : {"rope_parameters", "rope_scaling"}) {
    const std::string type = config.has(section + ".rope_type") ? ".rope_type" : ".type";
    if (config.text_or(section + type, "") != "yarn") continue;
    const double original =
        config.count_or(section + ".original_max_position_embeddings", max_positions);
    const double stretched = original * config.number_or(section + ".factor", 1);
    if (stretched > max_positions && stretched < std::numeric_limits<std::int32_t>::max()) {
      return static_cast<std::uint32_t>(stretched);
    }
  }
  return max_positions;
}

}  // namespace

std::vector<std::uint32_t> windows_from_config(ConfigReader& config) {
  if (!config.flag_or("use_sliding_window", false) || !config.has("sliding_window")) {
    for (const Json& kind : config.raw("layer_types").as_array()) {
      if (kind.as_string() != "full_attention") {
        config.reject("layer_types",
                      cat(kind.dump(), " does not go with use_sliding_window being off"), {},
                      ErrorCode::format);
      }
    }
    return {};
  }
  // The first max_window_layers layers see everything; 0 is a valid number of them.
  const Json& full = config.raw("max_window_layers");
  const std::uint32_t first_sliding =
      full.is_integer() && full.as_integer() == 0 ? 0 : config.count_or("max_window_layers", 28);
  return sliding_windows(config, config.count("sliding_window"), first_sliding);
}

std::vector<std::uint32_t> sliding_windows(ConfigReader& config, std::uint32_t window,
                                           std::uint32_t first_sliding) {
  const std::uint32_t layers = config.count("num_hidden_layers", kMaxLayers);
  std::vector<std::uint32_t> windows;
  if (!config.has("layer_types")) {
    for (std::uint32_t layer = 0; layer < layers; ++layer) {
      windows.push_back(layer >= first_sliding ? window : 0);
    }
    return windows;
  }
  const JsonArray& kinds = config.raw("layer_types").as_array();
  if (kinds.size() != layers) {
    config.reject("layer_types", cat("has ", kinds.size(), " entries for ", layers, " layers"), {},
                  ErrorCode::format);
  }
  for (const Json& kind : kinds) {
    const bool sliding = kind.as_string() == "sliding_attention";
    if (!sliding && kind.as_string() != "full_attention") {
      config.reject("layer_types", cat(kind.dump(), " is not supported"),
                    "full_attention and sliding_attention are");
    }
    windows.push_back(sliding ? window : 0);
  }
  return windows;
}

bool ignorable_llama_like(std::string_view tensor_name) {
  return tensor_name.ends_with(".rotary_emb.inv_freq");
}

ValueId self_attention(GraphBuilder& g, const SelfAttentionBlock& block, ValueId x,
                       ValueId positions, CacheId cache, const std::string& tensor_prefix) {
  const AttentionSpec& spec = block.attention;
  const std::uint32_t q_features = spec.num_attention_heads * spec.head_dim;
  const std::uint32_t kv_features = spec.num_key_value_heads * spec.head_dim;
  ValueId q = projection(g, "attn.q_proj", x, tensor_prefix + "q_proj", block.hidden_size,
                         q_features, block.qkv_bias);
  ValueId k = projection(g, "attn.k_proj", x, tensor_prefix + "k_proj", block.hidden_size,
                         kv_features, block.qkv_bias);
  const ValueId v = projection(g, "attn.v_proj", x, tensor_prefix + "v_proj", block.hidden_size,
                               kv_features, block.qkv_bias);
  q = g.rope("attn.q_rope", q, positions, block.rope);
  k = g.rope("attn.k_rope", k, positions, block.rope);
  const ValueId mixed = g.attention("attn", q, k, v, spec, cache);
  return projection(g, "attn.o_proj", mixed, tensor_prefix + "o_proj", q_features,
                    block.hidden_size, block.output_bias);
}

ValueId gated_mlp(GraphBuilder& g, ValueId x, std::uint32_t hidden_size,
                  std::uint32_t intermediate_size, bool bias, const std::string& tensor_prefix) {
  const ValueId gate = projection(g, "mlp.gate_proj", x, tensor_prefix + "gate_proj", hidden_size,
                                  intermediate_size, bias);
  const ValueId up = projection(g, "mlp.up_proj", x, tensor_prefix + "up_proj", hidden_size,
                                intermediate_size, bias);
  const ValueId act = g.silu_mul("mlp.act", gate, up);
  return projection(g, "mlp.down_proj", act, tensor_prefix + "down_proj", intermediate_size,
                    hidden_size, bias);
}

Result<Graph> build_llama_like(const Json& config_json, const std::string& file,
                               std::string_view architecture, const LlamaLikeConfig& options) {
  ConfigReader config(config_json, file);
  refuse_unsupported(config);
  ModelFacts facts = facts_from(config, architecture);
  const double epsilon = config.number_or("rms_norm_eps", 1e-6);
  if (config.ok() && !(epsilon >= 0 && epsilon < 1)) {
    config.reject("rms_norm_eps", cat(epsilon, " is not within [0, 1)"), {}, ErrorCode::format);
  }
  APR_TRY(config.status());
  const RopeSpec rope = rope_from_config(config, facts.head_dim, facts.max_position_embeddings);
  facts.max_position_embeddings = stretched_positions(config, facts.max_position_embeddings);
  APR_TRY(config.status());

  GraphBuilder g;
  g.facts() = facts;
  const std::uint32_t hidden = facts.hidden_size;
  const std::string embedding_tensor = "model.embed_tokens.weight";
  const ParameterId table = g.parameter(embedding_tensor, Shape{facts.vocab_size, hidden});
  const ValueId ids = g.token_ids();
  const ValueId positions = g.positions();
  ValueId x = g.embedding("embed", ids, table);

  for (std::uint32_t layer = 0; layer < facts.num_hidden_layers; ++layer) {
    const auto scope = g.scope(cat("layer", layer, "."));
    const std::string tensors = cat("model.layers.", layer, ".");
    const std::uint32_t window = layer < options.windows.size() ? options.windows[layer] : 0;
    SelfAttentionBlock block;
    block.attention = {facts.num_attention_heads,
                       facts.num_key_value_heads,
                       facts.head_dim,
                       1.0 / std::sqrt(static_cast<double>(facts.head_dim)),
                       true,
                       window};
    block.rope = rope;
    block.hidden_size = hidden;
    block.qkv_bias = options.qkv_bias;
    block.output_bias = options.output_bias;
    CacheDecl decl;
    decl.name = cat("layer", layer);
    decl.num_key_value_heads = facts.num_key_value_heads;
    decl.head_dim = facts.head_dim;
    decl.window = window;
    const CacheId cache = g.cache(decl);

    const ValueId normed = g.rms_norm(
        "input_norm", x, g.parameter(tensors + "input_layernorm.weight", Shape{hidden}), epsilon);
    const ValueId mixed =
        self_attention(g, block, normed, positions, cache, tensors + "self_attn.");
    x = g.add("attn.residual", x, mixed);
    const ValueId normed_again = g.rms_norm(
        "post_attention_norm", x,
        g.parameter(tensors + "post_attention_layernorm.weight", Shape{hidden}), epsilon);
    const ValueId fed = gated_mlp(g, normed_again, hidden, facts.intermediate_size,
                                  options.mlp_bias, tensors + "mlp.");
    x = g.add("out", x, fed);
    if (!g.ok()) break;
  }

  x = g.rms_norm("final_norm", x, g.parameter("model.norm.weight", Shape{hidden}), epsilon);
  x = g.select_logit_rows("logit_rows", x);
  const ParameterId head = g.parameter("lm_head.weight", Shape{facts.vocab_size, hidden},
                                       facts.tied_head ? embedding_tensor : std::string());
  g.output(g.linear("logits", x, head));
  auto graph = std::move(g).build();
  if (!graph) return std::move(graph).error().within(file);
  return graph;
}

}  // namespace apr
