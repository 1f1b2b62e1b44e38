// Whisper (Radford et al. 2022, arXiv:2212.04356): an encoder of log-mel frames, two of which make
// a state, and a decoder whose tokens attend to all states of their audio. The states' keys and
// values are computed once, with the step that brings the frames, and kept.
#include <cmath>
#include <memory>

#include "core/base/cat.h"
#include "core/graph/blocks.h"
#include "core/plugin/plugin.h"

namespace {

using apr::cat;

constexpr double kEpsilon = 1e-5;  ///< not a field of the config
constexpr std::uint32_t kFramesPerState = 2;
constexpr std::uint32_t kKernel = 3;
constexpr std::uint32_t kMaxStates = 1 << 16;
constexpr std::uint32_t kMaxMelBins = 1 << 12;

/// One of the two stacks.
struct Stack {
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t intermediate_size = 0;
};

struct Config {
  apr::ModelFacts facts;
  Stack encoder;
  Stack decoder;
  std::uint32_t num_mel_bins = 0;
  std::uint32_t max_states = 0;
  apr::Activation activation = apr::Activation::gelu;
};

Stack read_stack(apr::ConfigReader& config, const std::string& name) {
  Stack stack;
  stack.layers = config.count(name + "_layers", apr::kMaxLayers);
  stack.heads = config.count(name + "_attention_heads", apr::kMaxHeads);
  stack.intermediate_size = config.count(name + "_ffn_dim", apr::kMaxFeatures);
  stack.head_dim = apr::head_dim_from_config(config, "d_model", name + "_attention_heads");
  return stack;
}

Config read(apr::ConfigReader& config, std::string_view architecture) {
  apr::refuse_other_checkpoints(config, "WhisperForConditionalGeneration");
  Config read;
  apr::ModelFacts& facts = read.facts;
  facts.architecture = architecture;
  facts.vocab_size = config.count("vocab_size", apr::kMaxVocabulary);
  facts.hidden_size = config.count("d_model", apr::kMaxFeatures);
  read.encoder = read_stack(config, "encoder");
  read.decoder = read_stack(config, "decoder");
  read.num_mel_bins = config.count("num_mel_bins", kMaxMelBins);
  read.max_states = config.count("max_source_positions", kMaxStates);
  facts.num_hidden_layers = read.decoder.layers;
  facts.num_attention_heads = facts.num_key_value_heads = read.decoder.heads;
  facts.head_dim = read.decoder.head_dim;
  facts.intermediate_size = read.decoder.intermediate_size;
  facts.max_position_embeddings = config.count("max_target_positions", apr::kMaxVocabulary);
  facts.tied_head = config.flag_or("tie_word_embeddings", true);
  facts.max_frames = read.max_states * kFramesPerState;
  facts.frames_per_state = kFramesPerState;
  read.activation = apr::activation_from_config(config, "activation_function", "gelu");
  if (config.flag_or("scale_embedding", false)) {
    config.reject("scale_embedding", "scaled embeddings are not supported", "false is");
  }
  return read;
}

/// Describes the model, stack by stack.
class Description {
 public:
  explicit Description(const Config& config)
      : config_(config), facts_(config.facts), hidden_(config.facts.hidden_size) {}

  apr::Result<apr::Graph> build() && {
    g_.facts() = facts_;
    g_.base_prefix("model.");
    decode(encode());
    return std::move(g_).build();
  }

 private:
  apr::ValueId encode() {
    const auto scope = g_.scope("enc.");
    const std::string tensors = "model.encoder.";
    const bool tanh_form = config_.activation == apr::Activation::gelu_tanh;
    auto x = g_.input("mel", {apr::Element::f32, apr::Rows::frames, config_.num_mel_bins});
    x = g_.gelu("conv1.act", convolve("conv1", x, config_.num_mel_bins, 1), tanh_form);
    x = g_.gelu("conv2.act", convolve("conv2", x, hidden_, kFramesPerState), tanh_form);
    const auto places =
        g_.parameter(tensors + "embed_positions.weight", apr::Shape{config_.max_states, hidden_});
    x = g_.add("embed", x, g_.embedding("position_embed", g_.state_positions(), places));
    for (std::uint32_t layer = 0; layer < config_.encoder.layers && g_.ok(); ++layer) {
      const auto layer_scope = g_.scope(cat("layer", layer, "."));
      const std::string layer_tensors = cat(tensors, "layers.", layer, ".");
      x = attend(x, config_.encoder, layer_tensors, false, {});
      x = feed(x, config_.encoder, layer_tensors);
    }
    return norm("final_norm", x, tensors + "layer_norm");
  }

  void decode(apr::ValueId states) {
    const std::string tensors = "model.decoder.";
    const std::string words = tensors + "embed_tokens.weight";
    apr::ValueId x = 0;
    {
      const auto scope = g_.scope("dec.");
      const auto word = g_.embedding("word_embed", g_.token_ids(),
                                     g_.parameter(words, apr::Shape{facts_.vocab_size, hidden_}));
      const auto place =
          g_.embedding("position_embed", g_.positions(),
                       g_.parameter(tensors + "embed_positions.weight",
                                    apr::Shape{facts_.max_position_embeddings, hidden_}));
      x = g_.add("embed", word, place);
      for (std::uint32_t layer = 0; layer < config_.decoder.layers && g_.ok(); ++layer) {
        const auto layer_scope = g_.scope(cat("layer", layer, "."));
        const std::string layer_tensors = cat(tensors, "layers.", layer, ".");
        x = attend(x, config_.decoder, layer_tensors, true, cache(layer, false));
        x = attend_to(states, x, layer_tensors, cache(layer, true));
        x = feed(x, config_.decoder, layer_tensors);
      }
      x = norm("final_norm", x, tensors + "layer_norm");
    }
    x = g_.select_logit_rows("logit_rows", x);
    g_.output(g_.linear("logits", x,
                        g_.parameter("proj_out.weight", apr::Shape{facts_.vocab_size, hidden_},
                                     facts_.tied_head ? words : std::string())));
  }

  apr::ValueId convolve(const std::string& name, apr::ValueId x, std::uint32_t in,
                        std::uint32_t stride) {
    const std::string tensor = "model.encoder." + name;
    return g_.conv1d(name, x, g_.parameter(tensor + ".weight", apr::Shape{hidden_, in, kKernel}),
                     g_.parameter(tensor + ".bias", apr::Shape{hidden_}), stride);
  }

  apr::ValueId norm(std::string_view name, apr::ValueId x, const std::string& tensor) {
    return apr::layer_norm(g_, name, x, tensor, hidden_, kEpsilon);
  }

  apr::Projection square(const std::string& tensor, bool bias = true) {
    return apr::projection(g_, tensor, hidden_, hidden_, bias);
  }

  static apr::AttentionSpec spec(const Stack& stack, bool causal) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(stack.head_dim));
    return {stack.heads, stack.heads, stack.head_dim, scale, causal, 0};
  }

  apr::CacheId cache(std::uint32_t layer, bool cross) {
    apr::CacheDecl decl;
    decl.name = cat("layer", layer, cross ? ".cross" : "");
    decl.num_key_value_heads = facts_.num_key_value_heads;
    decl.head_dim = facts_.head_dim;
    decl.cross = cross;
    return g_.cache(decl);
  }

  apr::ValueId attend(apr::ValueId x, const Stack& stack, const std::string& tensors, bool causal,
                      std::optional<apr::CacheId> cache) {
    const std::string attention = tensors + "self_attn.";
    apr::SelfAttentionBlock block;
    block.attention = spec(stack, causal);
    block.q = square(attention + "q_proj");
    block.k = square(attention + "k_proj", false);
    block.v = square(attention + "v_proj");
    block.o = square(attention + "out_proj");
    block.cache = cache;
    const auto normed = norm("attn.norm", x, tensors + "self_attn_layer_norm");
    return g_.add("attn.residual", x, apr::self_attention(g_, block, normed, {}));
  }

  apr::ValueId attend_to(apr::ValueId states, apr::ValueId x, const std::string& tensors,
                         apr::CacheId cache) {
    const std::string attention = tensors + "encoder_attn.";
    apr::CrossAttentionBlock block;
    block.attention = spec(config_.decoder, false);
    block.q = square(attention + "q_proj");
    block.k = square(attention + "k_proj", false);
    block.v = square(attention + "v_proj");
    block.o = square(attention + "out_proj");
    block.cache = cache;
    const auto normed = norm("cross_attn.norm", x, tensors + "encoder_attn_layer_norm");
    return g_.add("cross_attn.residual", x, apr::cross_attention(g_, block, normed, states));
  }

  apr::ValueId feed(apr::ValueId x, const Stack& stack, const std::string& tensors) {
    const std::uint32_t inner = stack.intermediate_size;
    const auto up = apr::projection(g_, tensors + "fc1", hidden_, inner, true);
    const auto down = apr::projection(g_, tensors + "fc2", inner, hidden_, true);
    const auto normed = norm("mlp.norm", x, tensors + "final_layer_norm");
    return g_.add("out", x, apr::plain_mlp(g_, normed, up, config_.activation, down));
  }

  const Config& config_;
  const apr::ModelFacts& facts_;
  const std::uint32_t hidden_;
  apr::GraphBuilder g_;
};

class Whisper final : public apr::Architecture {
 public:
  std::string_view id() const noexcept override { return "whisper"; }
  std::string_view summary() const noexcept override { return "Whisper speech recognition"; }
  bool recognizes(const apr::Json& config) const noexcept override {
    return apr::config_names(config, "whisper", "WhisperForConditionalGeneration");
  }

  apr::Result<apr::Graph> build(const apr::Json& config_json,
                                const std::string& file) const noexcept override {
    apr::ConfigReader reader(config_json, file);
    const Config config = read(reader, id());
    APR_TRY(reader.status());
    auto graph = Description(config).build();
    if (!graph) return std::move(graph).error().within(file);
    return graph;
  }

  bool ignorable(std::string_view) const noexcept override { return false; }
};

constexpr apr::Provision kProvides[] = {{"architecture", "whisper", "Whisper speech recognition"}};

apr::Status add(apr::Registry& registry) noexcept {
  return registry.add(std::make_unique<Whisper>());
}

}  // namespace

APR_PLUGIN(arch_whisper, APR_VERSION, "Apache-2.0", "The Whisper architecture.", kProvides, add)
