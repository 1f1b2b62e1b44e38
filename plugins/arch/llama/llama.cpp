// Llama (Touvron et al. 2023, arXiv:2302.13971) and Llama 3 (arXiv:2407.21783): grouped queries,
// optional biases, explicit head sizes, the RoPE scalings of its config.
#include <memory>

#include "core/graph/blocks.h"
#include "core/plugin/plugin.h"

namespace {

class Llama final : public apr::Architecture {
 public:
  std::string_view id() const noexcept override { return "llama"; }
  std::string_view summary() const noexcept override {
    return "Llama 1 to 3 causal language models and their kin";
  }
  bool recognizes(const apr::Json& config) const noexcept override {
    return apr::config_names(config, "llama", "LlamaForCausalLM");
  }
  apr::Result<apr::Graph> build(const apr::Json& config,
                                const std::string& file) const noexcept override {
    apr::ConfigReader reader(config, file);
    apr::LlamaLikeConfig options;
    options.qkv_bias = reader.flag_or("attention_bias", false);
    options.output_bias = options.qkv_bias;
    options.mlp_bias = reader.flag_or("mlp_bias", false);
    if (reader.has("sliding_window")) {
      reader.reject("sliding_window", "this architecture has no sliding window",
                    "remove the field, or use the architecture that the checkpoint was made for");
    }
    APR_TRY(reader.status());
    return apr::build_llama_like(config, file, id(), options);
  }
  bool ignorable(std::string_view tensor_name) const noexcept override {
    return apr::ignorable_llama_like(tensor_name);
  }
};

constexpr apr::Provision kProvides[] = {
    {"architecture", "llama", "Llama 1 to 3 causal language models and their kin"}};

apr::Status add(apr::Registry& registry) noexcept {
  return registry.add(std::make_unique<Llama>());
}

}  // namespace

APR_PLUGIN(arch_llama, APR_VERSION, "Apache-2.0", "The Llama architecture.", kProvides, add)
