// Qwen2 (Yang et al. 2024, arXiv:2407.10671): Llama's decoder with biases on the query, key and
// value projections, tied or untied head, and optionally a sliding window from some layer on.
#include <memory>

#include "core/graph/blocks.h"
#include "core/plugin/plugin.h"

namespace {

class Qwen2 final : public apr::Architecture {
 public:
  std::string_view id() const noexcept override { return "qwen2"; }
  std::string_view summary() const noexcept override {
    return "Qwen2 and Qwen2.5 causal language models";
  }
  bool recognizes(const apr::Json& config) const noexcept override {
    return apr::config_names(config, "qwen2", "Qwen2ForCausalLM");
  }
  apr::Result<apr::Graph> build(const apr::Json& config,
                                const std::string& file) const noexcept override {
    apr::ConfigReader reader(config, file);
    apr::LlamaLikeConfig options;
    options.qkv_bias = true;
    options.windows = apr::windows_from_config(reader);
    APR_TRY(reader.status());
    return apr::build_llama_like(config, file, id(), options);
  }
  bool ignorable(std::string_view tensor_name) const noexcept override {
    return apr::ignorable_llama_like(tensor_name);
  }
};

constexpr apr::Provision kProvides[] = {
    {"architecture", "qwen2", "Qwen2 and Qwen2.5 causal language models"}};

apr::Status add(apr::Registry& registry) noexcept {
  return registry.add(std::make_unique<Qwen2>());
}

}  // namespace

APR_PLUGIN(arch_qwen2, APR_VERSION, "Apache-2.0", "The Qwen2 architecture.", kProvides, add)
