// The blocks that architectures share: one way to say "attention block", "gated MLP", "norm".
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/graph/builder.h"

namespace apr {

/// Fields of a config.json, read strictly: a missing or malformed field is an error that names it;
/// the first error sticks and is found in status(). "rope_scaling.factor" is a field of a field.
/// Readers return the fallback, or 1, once something went wrong.
class APR_API ConfigReader {
 public:
  ConfigReader(const Json& config, std::string file) : config_(config), file_(std::move(file)) {}

  /// A whole number from 1 to `limit`.
  std::uint32_t count(std::string_view field, std::uint32_t limit = 0x7fffffff);
  std::uint32_t count_or(std::string_view field, std::uint32_t fallback,
                         std::uint32_t limit = 0x7fffffff);  ///< absent or null: the fallback
  double number(std::string_view field);
  double number_or(std::string_view field, double fallback);
  bool flag_or(std::string_view field, bool fallback);
  std::string text_or(std::string_view field, std::string_view fallback);
  const Json& raw(std::string_view field) const;
  bool has(std::string_view field) const { return !raw(field).is_null(); }
  /// Records "config.json: field X: <problem>".
  void reject(std::string_view field, std::string problem, std::string hint = {},
              ErrorCode code = ErrorCode::unsupported);
  bool ok() const { return !error_; }
  Status status() const;

 private:
  void malformed(std::string_view field, std::string_view wanted);
  const Json& config_;
  std::string file_;
  std::optional<Error> error_;
};

// More than any published model has, and little enough that a made-up config costs nothing before
// its tensors are found missing.
inline constexpr std::uint32_t kMaxLayers = 1024;
inline constexpr std::uint32_t kMaxFeatures = 1 << 20;
inline constexpr std::uint32_t kMaxVocabulary = 1 << 26;
inline constexpr std::uint32_t kMaxHeads = 1 << 12;
inline constexpr std::uint32_t kMaxHeadDim = 2048;

/// Features of a head. Rejects `heads_field` if the number does not divide that of `hidden_field`
/// or makes heads larger than kMaxHeadDim.
APR_API std::uint32_t head_dim_from_config(ConfigReader& config, std::string_view hidden_field,
                                           std::string_view heads_field);

/// The epsilon of a norm: a number within [0, 1).
APR_API double norm_epsilon_from_config(ConfigReader& config, std::string_view field,
                                        double fallback);

/// RoPE from config fields rope_theta and rope_scaling: none/default, linear, llama3 (Llama 3.1's
/// frequency bands), yarn (as Qwen2 documents for long inputs). Others are rejected by name.
APR_API RopeSpec rope_from_config(ConfigReader& config, std::uint32_t head_dim,
                                  std::uint32_t max_position_embeddings);

/// Weights of a linear node, however the checkpoint stores them.
struct Projection {
  ParameterId weight = 0;
  std::optional<ParameterId> bias;
};
/// <tensor>.weight [out, in] and, if it has one, <tensor>.bias [out].
APR_API Projection projection(GraphBuilder& g, const std::string& tensor, std::uint64_t in,
                              std::uint64_t out, bool bias);
/// Outputs [begin, end) of GPT-2's Conv1D: <tensor>.weight [in, out], <tensor>.bias [out].
APR_API Projection conv1d_projection(GraphBuilder& g, const std::string& tensor, std::uint64_t in,
                                     std::uint64_t out, std::uint64_t begin, std::uint64_t end);
APR_API Projection conv1d_projection(GraphBuilder& g, const std::string& tensor, std::uint64_t in,
                                     std::uint64_t out);
APR_API ValueId linear(GraphBuilder& g, std::string_view name, ValueId x,
                       const Projection& projection);

/// The projections, rotation and attention under the names attn.q_proj, attn.k_proj, attn.v_proj,
/// attn.q_rope, attn.k_rope, attn, attn.o_proj within the caller's scope.
struct SelfAttentionBlock {
  AttentionSpec attention;
  Projection q, k, v, o;
  std::optional<RopeSpec> rope;
  std::optional<CacheId> cache;
};
APR_API ValueId self_attention(GraphBuilder& g, const SelfAttentionBlock& block, ValueId x,
                               ValueId positions);

/// Attention of tokens to what an encoder made of their sequence's frames, under cross_attn.q_proj,
/// cross_attn.k_proj, cross_attn.v_proj, cross_attn, cross_attn.o_proj.
struct CrossAttentionBlock {
  AttentionSpec attention;
  Projection q, k, v, o;
  CacheId cache = 0;  ///< a cross cache
};
APR_API ValueId cross_attention(GraphBuilder& g, const CrossAttentionBlock& block, ValueId x,
                                ValueId states);

/// LayerNorm with <tensor>.weight and <tensor>.bias.
APR_API ValueId layer_norm(GraphBuilder& g, std::string_view name, ValueId x,
                           const std::string& tensor, std::uint32_t features, double epsilon);

/// down(silu(gate(x)) * up(x)), under mlp.gate_proj, mlp.up_proj, mlp.act, mlp.down_proj.
APR_API ValueId gated_mlp(GraphBuilder& g, ValueId x, std::uint32_t hidden_size,
                          std::uint32_t intermediate_size, bool bias,
                          const std::string& tensor_prefix);

/// What a config calls its activation.
enum class Activation : std::uint8_t { gelu, gelu_tanh };
/// Others are rejected by name.
APR_API Activation activation_from_config(ConfigReader& config, std::string_view field,
                                          std::string_view fallback);
/// down(act(up(x))), under mlp.up_proj, mlp.act, mlp.down_proj.
APR_API ValueId plain_mlp(GraphBuilder& g, ValueId x, const Projection& up, Activation activation,
                          const Projection& down);

/// Refuses checkpoints whose class (config's "architectures") does not end as given, and those that
/// another tool has quantized.
APR_API void refuse_other_checkpoints(ConfigReader& config,
                                      std::initializer_list<std::string_view> class_endings);
inline void refuse_other_checkpoints(ConfigReader& config, std::string_view class_ending) {
  refuse_other_checkpoints(config, {class_ending});
}

/// The whole Llama-shaped decoder: pre-norm blocks, final norm, head.
struct LlamaLikeConfig {
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  /// Window of each layer, or 0; empty: none has one.
  std::vector<std::uint32_t> windows;
};

/// True if the config's model_type, or without one its first entry of "architectures", is as given.
APR_API bool config_names(const Json& config, std::string_view model_type,
                          std::string_view architecture_class);

/// Windows per layer from Hugging Face's fields layer_types, or use_sliding_window, sliding_window
/// and max_window_layers; empty where all attention is full.
APR_API std::vector<std::uint32_t> windows_from_config(ConfigReader& config);
/// The window of each layer that layer_types calls sliding; without that field, of every layer from
/// `first_sliding` on.
APR_API std::vector<std::uint32_t> sliding_windows(ConfigReader& config, std::uint32_t window,
                                                   std::uint32_t first_sliding = 0);

/// Tensors that Llama-shaped checkpoints may carry and nobody needs: "….rotary_emb.inv_freq".
APR_API bool ignorable_llama_like(std::string_view tensor_name);

/// Reads the shared fields from the config and builds every node. Value names follow the golden
/// traces: "embed", "layerN.out", "layerN.attn_probs", "final_norm", "logits".
APR_API Result<Graph> build_llama_like(const Json& config, const std::string& file,
                                       std::string_view architecture,
                                       const LlamaLikeConfig& options);

}  // namespace apr
