#include "core/graph/blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/cat.h"

namespace apr {

namespace {

void refuse_unsupported(ConfigReader& config) {
  refuse_other_checkpoints(config, "ForCausalLM");
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

void refuse_other_checkpoints(ConfigReader& config,
                              std::initializer_list<std::string_view> class_endings) {
  std::string classes;
  for (const std::string_view ending : class_endings) {
    classes += cat(classes.empty() ? "" : ", ", "...", ending);
  }
  for (const Json& name : config.raw("architectures").as_array()) {
    const bool known =
        std::any_of(class_endings.begin(), class_endings.end(),
                    [&](std::string_view ending) { return name.as_string().ends_with(ending); });
    if (!known) {
      config.reject("architectures", cat(name.dump(), " is not supported"),
                    cat("checkpoints of the ", classes,
                        class_endings.size() == 1 ? " class are" : " classes are"));
    }
  }
  if (config.has("quantization_config")) {
    const std::string method = config.raw("quantization_config.quant_method").as_string();
    config.reject("quantization_config",
                  method.empty() ? std::string("already quantized checkpoints are not supported")
                                 : cat("checkpoints quantized with ", method, " are not supported"),
                  "import the original checkpoint and quantize it with apr convert");
  }
}

std::uint32_t head_dim_from_config(ConfigReader& config, std::string_view hidden_field,
                                   std::string_view heads_field) {
  const std::uint32_t hidden_size = config.count(hidden_field, kMaxFeatures);
  const std::uint32_t heads = config.count(heads_field, kMaxHeads);
  if (!config.ok()) return 1;
  const std::uint32_t head_dim = hidden_size / heads;
  if (hidden_size % heads != 0) {
    config.reject(heads_field, cat(heads, " does not divide ", hidden_field, " ", hidden_size), {},
                  ErrorCode::format);
  } else if (head_dim > kMaxHeadDim) {
    config.reject(heads_field, cat("heads of ", head_dim, " features are not supported"),
                  cat("up to ", kMaxHeadDim, " are"));
  }
  return head_dim;
}

double norm_epsilon_from_config(ConfigReader& config, std::string_view field, double fallback) {
  const double epsilon = config.number_or(field, fallback);
  if (config.ok() && !(epsilon >= 0 && epsilon < 1)) {
    config.reject(field, cat(epsilon, " is not within [0, 1)"), {}, ErrorCode::format);
  }
  return epsilon;
}

Activation activation_from_config(ConfigReader& config, std::string_view field,
                                  std::string_view fallback) {
  const std::string name = config.text_or(field, fallback);
  if (name == "gelu") return Activation::gelu;
  for (const char* tanh_form : {"gelu_new", "gelu_fast", "gelu_pytorch_tanh"}) {
    if (name == tanh_form) return Activation::gelu_tanh;
  }
  config.reject(field, cat(Json(name).dump(), " is not supported"),
                "gelu, gelu_new, gelu_fast and gelu_pytorch_tanh are");
  return Activation::gelu;
}

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

Projection projection(GraphBuilder& g, const std::string& tensor, std::uint64_t in,
                      std::uint64_t out, bool bias) {
  Projection made{g.parameter(tensor + ".weight", Shape{out, in}), {}};
  if (bias) made.bias = g.parameter(tensor + ".bias", Shape{out});
  return made;
}

Projection conv1d_projection(GraphBuilder& g, const std::string& tensor, std::uint64_t in,
                             std::uint64_t out, std::uint64_t begin, std::uint64_t end) {
  std::vector<Transform> part;
  if (begin != 0 || end != out) part.push_back({Transform::Kind::slice, begin, end});
  std::vector<Transform> turned{{Transform::Kind::transpose, 0, 0}};
  turned.insert(turned.end(), part.begin(), part.end());
  return {g.parameter(tensor + ".weight", Shape{end - begin, in}, {}, std::move(turned)),
          g.parameter(tensor + ".bias", Shape{end - begin}, {}, std::move(part))};
}

Projection conv1d_projection(GraphBuilder& g, const std::string& tensor, std::uint64_t in,
                             std::uint64_t out) {
  return conv1d_projection(g, tensor, in, out, 0, out);
}

ValueId linear(GraphBuilder& g, std::string_view name, ValueId x, const Projection& projection) {
  return g.linear(name, x, projection.weight, projection.bias);
}

ValueId self_attention(GraphBuilder& g, const SelfAttentionBlock& block, ValueId x,
                       ValueId positions) {
  ValueId q = linear(g, "attn.q_proj", x, block.q);
  ValueId k = linear(g, "attn.k_proj", x, block.k);
  const ValueId v = linear(g, "attn.v_proj", x, block.v);
  if (block.rope) {
    q = g.rope("attn.q_rope", q, positions, *block.rope);
    k = g.rope("attn.k_rope", k, positions, *block.rope);
  }
  const ValueId mixed = g.attention("attn", q, k, v, block.attention, block.cache);
  return linear(g, "attn.o_proj", mixed, block.o);
}

ValueId cross_attention(GraphBuilder& g, const CrossAttentionBlock& block, ValueId x,
                        ValueId states) {
  const ValueId q = linear(g, "cross_attn.q_proj", x, block.q);
  const ValueId k = linear(g, "cross_attn.k_proj", states, block.k);
  const ValueId v = linear(g, "cross_attn.v_proj", states, block.v);
  const ValueId mixed = g.attention("cross_attn", q, k, v, block.attention, block.cache);
  return linear(g, "cross_attn.o_proj", mixed, block.o);
}

ValueId layer_norm(GraphBuilder& g, std::string_view name, ValueId x, const std::string& tensor,
                   std::uint32_t features, double epsilon) {
  return g.layer_norm(name, x, g.parameter(tensor + ".weight", Shape{features}),
                      g.parameter(tensor + ".bias", Shape{features}), epsilon);
}

ValueId gated_mlp(GraphBuilder& g, ValueId x, std::uint32_t hidden_size,
                  std::uint32_t intermediate_size, bool bias, const std::string& tensor_prefix) {
  const auto made = [&](const char* name, std::uint32_t in, std::uint32_t out) {
    return projection(g, tensor_prefix + name, in, out, bias);
  };
  const ValueId gate =
      linear(g, "mlp.gate_proj", x, made("gate_proj", hidden_size, intermediate_size));
  const ValueId up = linear(g, "mlp.up_proj", x, made("up_proj", hidden_size, intermediate_size));
  const ValueId act = g.silu_mul("mlp.act", gate, up);
  return linear(g, "mlp.down_proj", act, made("down_proj", intermediate_size, hidden_size));
}

ValueId plain_mlp(GraphBuilder& g, ValueId x, const Projection& up, Activation activation,
                  const Projection& down) {
  const ValueId raised = linear(g, "mlp.up_proj", x, up);
  const ValueId act = g.gelu("mlp.act", raised, activation == Activation::gelu_tanh);
  return linear(g, "mlp.down_proj", act, down);
}

Result<Graph> build_llama_like(const Json& config_json, const std::string& file,
                               std::string_view architecture, const LlamaLikeConfig& options) {
  ConfigReader config(config_json, file);
  refuse_unsupported(config);
  ModelFacts facts = facts_from(config, architecture);
  const double epsilon = norm_epsilon_from_config(config, "rms_norm_eps", 1e-6);
  APR_TRY(config.status());
  const RopeSpec rope = rope_from_config(config, facts.head_dim, facts.max_position_embeddings);
  facts.max_position_embeddings = stretched_positions(config, facts.max_position_embeddings);
  APR_TRY(config.status());

  GraphBuilder g;
  g.facts() = facts;
  g.base_prefix("model.");
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
    const std::uint64_t q_features = std::uint64_t{facts.num_attention_heads} * facts.head_dim;
    const std::uint64_t kv_features = std::uint64_t{facts.num_key_value_heads} * facts.head_dim;
    const std::string attention = tensors + "self_attn.";
    block.q = projection(g, attention + "q_proj", hidden, q_features, options.qkv_bias);
    block.k = projection(g, attention + "k_proj", hidden, kv_features, options.qkv_bias);
    block.v = projection(g, attention + "v_proj", hidden, kv_features, options.qkv_bias);
    block.o = projection(g, attention + "o_proj", q_features, hidden, options.output_bias);
    CacheDecl decl;
    decl.name = cat("layer", layer);
    decl.num_key_value_heads = facts.num_key_value_heads;
    decl.head_dim = facts.head_dim;
    decl.window = window;
    block.cache = g.cache(decl);

    const ValueId normed = g.rms_norm(
        "input_norm", x, g.parameter(tensors + "input_layernorm.weight", Shape{hidden}), epsilon);
    const ValueId mixed = self_attention(g, block, normed, positions);
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
