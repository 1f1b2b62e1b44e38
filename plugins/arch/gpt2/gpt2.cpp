// GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): learned
// positions, LayerNorm before each block, full attention, GELU. Its matrices are stored [in, out],
// with query, key and value side by side in one of them.
#include <cmath>
#include <memory>

#include "core/base/cat.h"
#include "core/graph/blocks.h"
#include "core/plugin/plugin.h"

namespace {

using apr::cat;

/// What a config.json may leave out.
constexpr double kDefaultEpsilon = 1e-5;
constexpr std::uint32_t kDefaultMlpFactor = 4;

struct Config {
  apr::ModelFacts facts;
  double epsilon = kDefaultEpsilon;
  apr::Activation activation = apr::Activation::gelu_tanh;
  bool scale_by_head = true;    ///< attention scores divided by sqrt(head_dim)
  bool scale_by_layer = false;  ///< and by the layer's number, from 1
};

Config read(apr::ConfigReader& config, std::string_view architecture) {
  apr::refuse_other_checkpoints(config, "LMHeadModel");
  Config read;
  apr::ModelFacts& facts = read.facts;
  facts.architecture = architecture;
  facts.vocab_size = config.count("vocab_size", apr::kMaxVocabulary);
  facts.hidden_size = config.count("n_embd", apr::kMaxFeatures);
  facts.num_hidden_layers = config.count("n_layer", apr::kMaxLayers);
  facts.num_attention_heads = config.count("n_head", apr::kMaxHeads);
  facts.num_key_value_heads = facts.num_attention_heads;
  facts.max_position_embeddings = config.count("n_positions", apr::kMaxVocabulary);
  facts.intermediate_size =
      config.count_or("n_inner", kDefaultMlpFactor * facts.hidden_size, apr::kMaxFeatures);
  facts.tied_head = config.flag_or("tie_word_embeddings", true);
  facts.head_dim = apr::head_dim_from_config(config, "n_embd", "n_head");
  read.epsilon = apr::norm_epsilon_from_config(config, "layer_norm_epsilon", kDefaultEpsilon);
  read.activation = apr::activation_from_config(config, "activation_function", "gelu_new");
  read.scale_by_head = config.flag_or("scale_attn_weights", true);
  read.scale_by_layer = config.flag_or("scale_attn_by_inverse_layer_idx", false);
  if (config.flag_or("add_cross_attention", false)) {
    config.reject("add_cross_attention", "a decoder of an encoder's states is not supported");
  }
  return read;
}

class Gpt2 final : public apr::Architecture {
 public:
  std::string_view id() const noexcept override { return "gpt2"; }
  std::string_view summary() const noexcept override { return "GPT-2 causal language models"; }
  bool recognizes(const apr::Json& config) const noexcept override {
    return apr::config_names(config, "gpt2", "GPT2LMHeadModel");
  }

  apr::Result<apr::Graph> build(const apr::Json& config_json,
                                const std::string& file) const noexcept override {
    apr::ConfigReader reader(config_json, file);
    const Config config = read(reader, id());
    APR_TRY(reader.status());
    const apr::ModelFacts& facts = config.facts;
    const std::uint32_t hidden = facts.hidden_size;

    apr::GraphBuilder g;
    g.facts() = facts;
    g.base_prefix("transformer.");
    const auto norm = [&](std::string_view name, apr::ValueId x, const std::string& tensor) {
      return apr::layer_norm(g, name, x, tensor, hidden, config.epsilon);
    };
    const std::string words = "transformer.wte.weight";
    const auto positions = g.positions();
    const auto word = g.embedding("word_embed", g.token_ids(),
                                  g.parameter(words, apr::Shape{facts.vocab_size, hidden}));
    const auto place = g.embedding(
        "position_embed", positions,
        g.parameter("transformer.wpe.weight", apr::Shape{facts.max_position_embeddings, hidden}));
    auto x = g.add("embed", word, place);
    for (std::uint32_t layer = 0; layer < facts.num_hidden_layers && g.ok(); ++layer) {
      const auto scope = g.scope(cat("layer", layer, "."));
      const std::string tensors = cat("transformer.h.", layer, ".");
      const auto block = attention(g, config, layer, tensors + "attn.");
      const auto normed = norm("input_norm", x, tensors + "ln_1");
      x = g.add("attn.residual", x, apr::self_attention(g, block, normed, positions));
      const auto normed_again = norm("post_attention_norm", x, tensors + "ln_2");
      const std::uint32_t inner = facts.intermediate_size;
      x = g.add("out", x,
                apr::plain_mlp(g, normed_again,
                               apr::conv1d_projection(g, tensors + "mlp.c_fc", hidden, inner),
                               config.activation,
                               apr::conv1d_projection(g, tensors + "mlp.c_proj", inner, hidden)));
    }
    x = g.select_logit_rows("logit_rows", norm("final_norm", x, "transformer.ln_f"));
    g.output(g.linear("logits", x,
                      g.parameter("lm_head.weight", apr::Shape{facts.vocab_size, hidden},
                                  facts.tied_head ? words : std::string())));
    auto graph = std::move(g).build();
    if (!graph) return std::move(graph).error().within(file);
    return graph;
  }

  /// The causal mask, which old checkpoints carry as a table of ones and a large negative number.
  bool ignorable(std::string_view tensor_name) const noexcept override {
    return tensor_name.ends_with(".attn.bias") || tensor_name.ends_with(".attn.masked_bias");
  }

 private:
  static apr::SelfAttentionBlock attention(apr::GraphBuilder& g, const Config& config,
                                           std::uint32_t layer, const std::string& tensors) {
    const apr::ModelFacts& facts = config.facts;
    const std::uint64_t hidden = facts.hidden_size;
    double scale = config.scale_by_head ? 1.0 / std::sqrt(static_cast<double>(facts.head_dim)) : 1;
    if (config.scale_by_layer) scale /= layer + 1.0;
    const auto part = [&](std::uint64_t index) {
      return apr::conv1d_projection(g, tensors + "c_attn", hidden, 3 * hidden, index * hidden,
                                    (index + 1) * hidden);
    };
    apr::SelfAttentionBlock block;
    block.attention = {
        facts.num_attention_heads, facts.num_key_value_heads, facts.head_dim, scale, true, 0};
    block.q = part(0);
    block.k = part(1);
    block.v = part(2);
    block.o = apr::conv1d_projection(g, tensors + "c_proj", hidden, hidden);
    apr::CacheDecl decl;
    decl.name = cat("layer", layer);
    decl.num_key_value_heads = facts.num_key_value_heads;
    decl.head_dim = facts.head_dim;
    block.cache = g.cache(decl);
    return block;
  }
};

constexpr apr::Provision kProvides[] = {{"architecture", "gpt2", "GPT-2 causal language models"}};

apr::Status add(apr::Registry& registry) noexcept {
  return registry.add(std::make_unique<Gpt2>());
}

}  // namespace

APR_PLUGIN(arch_gpt2, APR_VERSION, "Apache-2.0", "The GPT-2 architecture.", kProvides, add)
