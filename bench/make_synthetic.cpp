// make_synthetic FOLDER [--seed N] [--type bf16|f16] [--layers N]
//
// Writes a Hugging Face folder with the shape of Qwen2-0.5B (24 layers, hidden 896, 14 and 2 heads,
// 4864, vocabulary 151,936, tied head) and gaussian weights from a seed: something to measure with.
// It says that it is synthetic in the safetensors metadata and in config.json, so nobody takes it
// for a trained model.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bench/synthetic_tokenizer.h"
#include "core/base/cat.h"
#include "core/base/json.h"
#include "core/platform/file.h"
#include "core/tensor/codec.h"

namespace {

using namespace apr;

struct Options {
  std::string folder;
  std::uint64_t seed = 1;
  Type type = Type::bf16;
  std::uint32_t layers = 24;
};

constexpr std::uint64_t kHidden = 896;
constexpr std::uint64_t kIntermediate = 4864;
constexpr std::uint64_t kHeadDim = 64;
constexpr std::uint64_t kHeads = 14;
constexpr std::uint64_t kKvHeads = 2;
constexpr std::uint32_t kVocab = 151936;

struct SyntheticTensor {
  std::string name;
  std::vector<std::uint64_t> dims;
  float mean = 0.0f;
  float deviation = 0.02f;  // Hugging Face's initializer_range
  std::uint64_t elements() const {
    std::uint64_t count = 1;
    for (const auto dim : dims) count *= dim;
    return count;
  }
};

std::vector<SyntheticTensor> tensors_of(std::uint32_t layers) {
  std::vector<SyntheticTensor> all{{"model.embed_tokens.weight", {kVocab, kHidden}}};
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = cat("model.layers.", layer, ".");
    const std::uint64_t q = kHeads * kHeadDim;
    const std::uint64_t kv = kKvHeads * kHeadDim;
    all.push_back({prefix + "input_layernorm.weight", {kHidden}, 1.0f});
    all.push_back({prefix + "self_attn.q_proj.weight", {q, kHidden}});
    all.push_back({prefix + "self_attn.q_proj.bias", {q}});
    all.push_back({prefix + "self_attn.k_proj.weight", {kv, kHidden}});
    all.push_back({prefix + "self_attn.k_proj.bias", {kv}});
    all.push_back({prefix + "self_attn.v_proj.weight", {kv, kHidden}});
    all.push_back({prefix + "self_attn.v_proj.bias", {kv}});
    all.push_back({prefix + "self_attn.o_proj.weight", {kHidden, q}});
    all.push_back({prefix + "post_attention_layernorm.weight", {kHidden}, 1.0f});
    all.push_back({prefix + "mlp.gate_proj.weight", {kIntermediate, kHidden}});
    all.push_back({prefix + "mlp.up_proj.weight", {kIntermediate, kHidden}});
    all.push_back({prefix + "mlp.down_proj.weight", {kHidden, kIntermediate}});
  }
  all.push_back({"model.norm.weight", {kHidden}, 1.0f});
  return all;
}

/// The point below which a standard gaussian lies with probability p, by bisection of the error
/// function.
float gaussian_quantile(double p) {
  double low = -8;
  double high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return static_cast<float>(low);
}

/// Gaussians by looking up 12 bits of a counter-based generator (splitmix64) in a table of
/// quantiles.
class Gaussians {
 public:
  explicit Gaussians(std::uint64_t seed) : state_(seed) {
    for (std::size_t i = 0; i < kSteps; ++i) {
      table_.push_back(gaussian_quantile((static_cast<double>(i) + 0.5) / kSteps));
    }
  }
  float next() {
    if (left_ == 0) {
      state_ += 0x9E3779B97F4A7C15u;
      std::uint64_t z = state_;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      bits_ = z ^ (z >> 31);
      left_ = 5;
    }
    const float value = table_[bits_ % kSteps];
    bits_ /= kSteps;
    --left_;
    return value;
  }

 private:
  static constexpr std::size_t kSteps = 4096;
  std::vector<float> table_;
  std::uint64_t state_;
  std::uint64_t bits_ = 0;
  int left_ = 0;
};

Status write_weights(const Options& options) {
  const auto tensors = tensors_of(options.layers);
  Json header =
      Json::object({{"__metadata__", Json::object({{"format", "pt"}, {"synthetic", "true"}})}});
  std::uint64_t offset = 0;
  for (const SyntheticTensor& tensor : tensors) {
    JsonArray dims;
    for (const auto dim : tensor.dims) dims.emplace_back(dim);
    const std::uint64_t end = offset + tensor.elements() * 2;
    header.set(tensor.name, Json::object({{"dtype", options.type == Type::f16 ? "F16" : "BF16"},
                                          {"shape", Json(std::move(dims))},
                                          {"data_offsets", Json(JsonArray{offset, end})}}));
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  APR_ASSIGN(auto file, AtomicFile::create(join_path(options.folder, "model.safetensors"), false));
  const std::uint64_t size = text.size();
  char size_bytes[8];
  std::memcpy(size_bytes, &size, sizeof size_bytes);
  APR_TRY(file.write(std::string_view(size_bytes, sizeof size_bytes)));
  APR_TRY(file.write(text));
  Gaussians gaussians(options.seed);
  std::vector<float> values;
  std::vector<std::byte> stored;
  for (const SyntheticTensor& tensor : tensors) {
    for (std::uint64_t left = tensor.elements(); left > 0;) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, 1 << 20));
      values.resize(count);
      stored.resize(count * 2);
      for (float& value : values) value = tensor.mean + tensor.deviation * gaussians.next();
      APR_TRY(encode_plain(options.type, values, stored));
      APR_TRY(file.write(stored));
      left -= count;
    }
  }
  return file.commit();
}

Status write_text(const Options& options, std::string_view name, std::string_view text) {
  APR_ASSIGN(auto file, AtomicFile::create(join_path(options.folder, name), false));
  APR_TRY(file.write(text));
  return file.commit();
}

Status write_all(const Options& options) {
  APR_TRY(make_folders(options.folder));
  const Json config =
      Json::object({{"architectures", Json(JsonArray{"Qwen2ForCausalLM"})},
                    {"model_type", "qwen2"},
                    {"apr_synthetic", true},
                    {"bos_token_id", kVocab - 3},
                    {"eos_token_id", kVocab - 1},
                    {"hidden_act", "silu"},
                    {"hidden_size", kHidden},
                    {"intermediate_size", kIntermediate},
                    {"max_position_embeddings", 32768},
                    {"num_attention_heads", kHeads},
                    {"num_hidden_layers", options.layers},
                    {"num_key_value_heads", kKvHeads},
                    {"rms_norm_eps", 1e-6},
                    {"rope_theta", 1000000.0},
                    {"tie_word_embeddings", true},
                    {"torch_dtype", options.type == Type::f16 ? "float16" : "bfloat16"},
                    {"use_sliding_window", false},
                    {"vocab_size", kVocab}});
  APR_TRY(write_text(options, "config.json", config.dump(2)));
  APR_TRY(write_text(options, "tokenizer.json",
                     bench::tokenizer_json(bench::make_tokenizer(kVocab, options.seed))));
  const char* chatml =
      "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
      "message['content'] + "
      "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|im_start|>assistant\\n' "
      "}}{% endif %}";
  APR_TRY(write_text(options, "tokenizer_config.json",
                     Json::object({{"tokenizer_class", "Qwen2Tokenizer"},
                                   {"eos_token", "<|im_end|>"},
                                   {"pad_token", "<|endoftext|>"},
                                   {"chat_template", chatml}})
                         .dump(2)));
  return write_weights(options);
}

Result<Options> read_options(int count, char** words) {
  const Error usage = make_error(
      ErrorCode::usage, "usage: make_synthetic FOLDER [--seed N] [--type bf16|f16] [--layers N]");
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (!word.starts_with("--")) {
      if (!options.folder.empty()) return usage;
      options.folder = word;
      continue;
    }
    if (++i == count) return usage;
    const std::string value = words[i];
    if (word == "--seed") {
      options.seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (word == "--layers") {
      options.layers = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    } else if (word == "--type" && (value == "bf16" || value == "f16")) {
      options.type = value == "f16" ? Type::f16 : Type::bf16;
    } else {
      return usage;
    }
  }
  if (options.folder.empty() || options.layers == 0) return usage;
  return options;
}

}  // namespace

int main(int count, char** words) {
  const auto options = read_options(count, words);
  const Status status = options ? write_all(*options) : Status(options.error());
  if (status) return 0;
  std::fprintf(stderr, "make_synthetic: %s\n", status.error().to_string().c_str());
  return exit_code(status.error().code);
}
