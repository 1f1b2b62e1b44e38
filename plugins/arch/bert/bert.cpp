// BERT (Devlin et al. 2018, arXiv:1810.04805): an encoder of text. Every token sees its whole
// sequence; a LayerNorm follows each block instead of leading it.
#include <cmath>
#include <memory>

#include "core/base/cat.h"
#include "core/graph/blocks.h"
#include "core/plugin/plugin.h"

namespace {

using apr::cat;

/// What a config.json may leave out.
constexpr double kDefaultEpsilon = 1e-12;
constexpr std::uint32_t kDefaultTokenTypes = 2;

struct Config {
  apr::ModelFacts facts;
  double epsilon = kDefaultEpsilon;
  std::uint32_t token_types = kDefaultTokenTypes;
  apr::Activation activation = apr::Activation::gelu;
  bool pooler = true;
};

/// Checkpoints for filling in masked words come without the pooler, or with one that nothing
/// trained.
bool has_pooler(apr::ConfigReader& config) {
  for (const apr::Json& name : config.raw("architectures").as_array()) {
    if (name.as_string().ends_with("ForMaskedLM")) return false;
  }
  return true;
}

Config read(apr::ConfigReader& config, std::string_view architecture) {
  apr::refuse_other_checkpoints(config, {"BertModel", "BertForMaskedLM", "BertForPreTraining"});
  Config read;
  apr::ModelFacts& facts = read.facts;
  facts.architecture = architecture;
  facts.causal = false;
  facts.vocab_size = config.count("vocab_size", apr::kMaxVocabulary);
  facts.hidden_size = config.count("hidden_size", apr::kMaxFeatures);
  facts.num_hidden_layers = config.count("num_hidden_layers", apr::kMaxLayers);
  facts.num_attention_heads = config.count("num_attention_heads", apr::kMaxHeads);
  facts.num_key_value_heads = facts.num_attention_heads;
  facts.intermediate_size = config.count("intermediate_size", apr::kMaxFeatures);
  facts.max_position_embeddings = config.count("max_position_embeddings", apr::kMaxVocabulary);
  facts.head_dim = apr::head_dim_from_config(config, "hidden_size", "num_attention_heads");
  read.token_types = config.count_or("type_vocab_size", kDefaultTokenTypes, apr::kMaxVocabulary);
  read.epsilon = apr::norm_epsilon_from_config(config, "layer_norm_eps", kDefaultEpsilon);
  read.activation = apr::activation_from_config(config, "hidden_act", "gelu");
  read.pooler = has_pooler(config);
  if (const std::string kind = config.text_or("position_embedding_type", "absolute");
      kind != "absolute") {
    config.reject("position_embedding_type", cat(apr::Json(kind).dump(), " is not supported"),
                  "absolute is");
  }
  for (const char* field : {"is_decoder", "add_cross_attention"}) {
    if (config.flag_or(field, false)) {
      config.reject(field, "a BERT that decodes is not supported", "encoders are");
    }
  }
  return read;
}

class Bert final : public apr::Architecture {
 public:
  std::string_view id() const noexcept override { return "bert"; }
  std::string_view summary() const noexcept override { return "BERT encoders of text"; }
  bool recognizes(const apr::Json& config) const noexcept override {
    return apr::config_names(config, "bert", "BertModel");
  }

  apr::Result<apr::Graph> build(const apr::Json& config_json,
                                const std::string& file) const noexcept override {
    apr::ConfigReader reader(config_json, file);
    const Config config = read(reader, id());
    APR_TRY(reader.status());
    apr::GraphBuilder g;
    g.facts() = config.facts;
    g.base_prefix("bert.");
    g.also_named("LayerNorm.weight", "LayerNorm.gamma");
    g.also_named("LayerNorm.bias", "LayerNorm.beta");
    auto x = embed(g, config);
    for (std::uint32_t layer = 0; layer < config.facts.num_hidden_layers && g.ok(); ++layer) {
      const auto scope = g.scope(cat("layer", layer, "."));
      x = encode(g, config, x, cat("bert.encoder.layer.", layer, "."));
    }
    g.output(x, "last_hidden_state");
    if (config.pooler) {
      const std::uint32_t hidden = config.facts.hidden_size;
      const auto first = g.first_of_sequence("pooler.first", x);
      const auto dense = apr::linear(g, "pooler.dense", first,
                                     apr::projection(g, "bert.pooler.dense", hidden, hidden, true));
      g.output(g.tanh("pooler_output", dense));
    }
    auto graph = std::move(g).build();
    if (!graph) return std::move(graph).error().within(file);
    return graph;
  }

  /// A table of 0, 1, 2, ..., heads for training tasks, and the pooler of a checkpoint whose class
  /// has none.
  bool ignorable(std::string_view tensor_name) const noexcept override {
    return tensor_name.ends_with("embeddings.position_ids") || tensor_name.starts_with("cls.") ||
           tensor_name.starts_with("bert.pooler.dense.") ||
           tensor_name.starts_with("pooler.dense.");
  }

 private:
  static apr::ValueId embed(apr::GraphBuilder& g, const Config& config) {
    const std::uint32_t hidden = config.facts.hidden_size;
    const std::string tensors = "bert.embeddings.";
    const auto table = [&](const char* name, std::uint32_t rows) {
      return g.parameter(cat(tensors, name, ".weight"), apr::Shape{rows, hidden});
    };
    const auto types = g.input("token_types", {apr::Element::i32, apr::Rows::tokens, 1});
    const auto word =
        g.embedding("word_embed", g.token_ids(), table("word_embeddings", config.facts.vocab_size));
    const auto type =
        g.embedding("token_type_embed", types, table("token_type_embeddings", config.token_types));
    const auto place =
        g.embedding("position_embed", g.positions(),
                    table("position_embeddings", config.facts.max_position_embeddings));
    const auto sum = g.add("embed.sum", g.add("embed.word_and_type", word, type), place);
    return apr::layer_norm(g, "embed", sum, tensors + "LayerNorm", hidden, config.epsilon);
  }

  static apr::ValueId encode(apr::GraphBuilder& g, const Config& config, apr::ValueId x,
                             const std::string& tensors) {
    const apr::ModelFacts& facts = config.facts;
    const std::uint32_t hidden = facts.hidden_size;
    const std::uint32_t inner = facts.intermediate_size;
    const auto made = [&](const char* name, std::uint32_t in, std::uint32_t out) {
      return apr::projection(g, tensors + name, in, out, true);
    };
    apr::SelfAttentionBlock block;
    block.attention = {facts.num_attention_heads,
                       facts.num_key_value_heads,
                       facts.head_dim,
                       1.0 / std::sqrt(static_cast<double>(facts.head_dim)),
                       false,
                       0};
    block.q = made("attention.self.query", hidden, hidden);
    block.k = made("attention.self.key", hidden, hidden);
    block.v = made("attention.self.value", hidden, hidden);
    block.o = made("attention.output.dense", hidden, hidden);
    x = g.add("attn.residual", apr::self_attention(g, block, x, {}), x);
    x = apr::layer_norm(g, "attn.norm", x, tensors + "attention.output.LayerNorm", hidden,
                        config.epsilon);
    const auto fed = apr::plain_mlp(g, x, made("intermediate.dense", hidden, inner),
                                    config.activation, made("output.dense", inner, hidden));
    return apr::layer_norm(g, "out", g.add("mlp.residual", fed, x), tensors + "output.LayerNorm",
                           hidden, config.epsilon);
  }
};

constexpr apr::Provision kProvides[] = {{"architecture", "bert", "BERT encoders of text"}};

apr::Status add(apr::Registry& registry) noexcept {
  return registry.add(std::make_unique<Bert>());
}

}  // namespace

APR_PLUGIN(arch_bert, APR_VERSION, "Apache-2.0", "The BERT architecture.", kProvides, add)
