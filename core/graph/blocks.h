// The blocks that architectures share: one way to say "attention block", "gated MLP", "norm".
#pragma once

#include <cstdint>
#include <string>

#include "core/base/json.h"
#include "core/graph/builder.h"

namespace apr {

/// Fields of a config.json, read strictly: a missing or malformed field is an error that names it; the
/// first error sticks and is found in status().
class APR_API ConfigReader {
 public:
  ConfigReader(const Json& config, std::string file) : config_(config), file_(std::move(file)) {}

  std::uint32_t count(std::string_view field);  ///< required, 1 … 2^31-1
  std::uint32_t count_or(std::string_view field, std::uint32_t fallback);  ///< absent or null
  double number(std::string_view field);
  double number_or(std::string_view field, double fallback);
  bool flag_or(std::string_view field, bool fallback);
  std::string text_or(std::string_view field, std::string_view fallback);
  const Json& raw(std::string_view field) const { return config_[field]; }
  /// Records "config.json: field X: <problem>".
  void reject(std::string_view field, std::string problem, std::string hint = {});
  Status status() const;

 private:
  const Json& config_;
  std::string file_;
  std::optional<Error> error_;
};

/// RoPE from config fields rope_theta and rope_scaling: none/default, linear, llama3 (Llama 3.1's
/// frequency bands), yarn (as Qwen2 documents for long inputs). Others are rejected by name.
APR_API RopeSpec rope_from_config(ConfigReader& config, std::uint32_t head_dim,
                                  std::uint32_t max_position_embeddings);

/// Self-attention with separate q, k, v projections and RoPE, as in Llama.
struct SelfAttentionBlock {
  AttentionSpec attention;
  RopeSpec rope;
  std::uint32_t hidden_size = 0;
  bool qkv_bias = false;
  bool output_bias = false;
};
APR_API ValueId self_attention(GraphBuilder& g, const SelfAttentionBlock& block, ValueId x,
                               ValueId positions, CacheId cache, const std::string& tensor_prefix);

/// down(silu(gate(x)) * up(x)).
APR_API ValueId gated_mlp(GraphBuilder& g, ValueId x, std::uint32_t hidden_size,
                          std::uint32_t intermediate_size, bool bias,
                          const std::string& tensor_prefix);

/// The whole Llama-shaped decoder: pre-norm blocks, final norm, head.
struct LlamaLikeConfig {
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  std::uint32_t window = 0;
};
/// Reads the shared fields from the config and builds every node. Value names follow the golden traces:
/// "embed", "layerN.out", "layerN.attn_probs", "final_norm", "logits".
APR_API Result<Graph> build_llama_like(const Json& config, const std::string& file,
                                       std::string_view architecture, const LlamaLikeConfig& options);

}  // namespace apr
