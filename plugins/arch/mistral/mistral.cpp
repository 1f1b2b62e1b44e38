// Mistral (Jiang et al. 2023, arXiv:2310.06825): Llama's decoder, whose queries see the last
// sliding_window keys, the query's own included. The memory of keys and values is bounded by that.
#include <memory>

#include "core/graph/blocks.h"
#include "core/plugin/plugin.h"

namespace {

/// What a config.json without the field means; null in it means that nothing slides.
constexpr std::uint32_t kDefaultWindow = 4096;

class Mistral final : public apr::Architecture {
 public:
  std::string_view id() const noexcept override { return "mistral"; }
  std::string_view summary() const noexcept override {
    return "Mistral 7B and its kin, with or without a sliding window";
  }
  bool recognizes(const apr::Json& config) const noexcept override {
    return apr::config_names(config, "mistral", "MistralForCausalLM");
  }
  apr::Result<apr::Graph> build(const apr::Json& config,
                                const std::string& file) const noexcept override {
    apr::ConfigReader reader(config, file);
    apr::LlamaLikeConfig options;
    if (reader.has("sliding_window") || !config.contains("sliding_window")) {
      const std::uint32_t window = reader.count_or("sliding_window", kDefaultWindow);
      options.windows = apr::sliding_windows(reader, window);
    }
    APR_TRY(reader.status());
    return apr::build_llama_like(config, file, id(), options);
  }
  bool ignorable(std::string_view tensor_name) const noexcept override {
    return apr::ignorable_llama_like(tensor_name);
  }
};

constexpr apr::Provision kProvides[] = {
    {"architecture", "mistral", "Mistral 7B and its kin, with or without a sliding window"}};

apr::Status add(apr::Registry& registry) noexcept {
  return registry.add(std::make_unique<Mistral>());
}

}  // namespace

APR_PLUGIN(arch_mistral, APR_VERSION, "Apache-2.0", "The Mistral architecture.", kProvides, add)
