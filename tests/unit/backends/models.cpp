#include "tests/unit/backends/models.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "core/base/cat.h"
#include "core/plugin/static_plugins.h"
#include "core/tensor/codec.h"

namespace apr::testing {

namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Type type_of(const std::string& dtype) {
  if (dtype == "F32") return Type::f32;
  if (dtype == "BF16") return Type::bf16;
  if (dtype == "F16") return Type::f16;
  throw std::runtime_error("dtype " + dtype);
}

/// Adds tensors of random numbers around `middle`.
struct RandomTensors {
  ModelParts& parts;
  std::mt19937_64 random;

  void operator()(const std::string& name, Shape dims, double scale, double middle) {
    NamedTensor tensor;
    tensor.name = name;
    tensor.shape = dims;
    tensor.data.resize(dims.elements() * sizeof(float));
    std::vector<float> values(dims.elements());
    // Not std::normal_distribution, whose numbers differ between libraries.
    for (float& value : values) {
      const double uniform = static_cast<double>(random() >> 11) * 0x1p-53 * 2 - 1;
      value = static_cast<float>(middle + scale * uniform);
    }
    tensor.set_floats(values);
    parts.tensors.push_back(std::move(tensor));
  }
};

ModelParts random_gpt2(const RandomModel& shape) {
  ModelParts parts;
  parts.config = Json::object({{"model_type", "gpt2"},
                               {"vocab_size", shape.vocab_size},
                               {"n_embd", shape.hidden_size},
                               {"n_inner", shape.intermediate_size},
                               {"n_layer", shape.layers},
                               {"n_head", shape.heads},
                               {"n_positions", 256},
                               {"tie_word_embeddings", shape.tied}});
  RandomTensors add{parts, std::mt19937_64(shape.seed)};
  const std::uint64_t hidden = shape.hidden_size;
  const std::uint64_t inner = shape.intermediate_size;
  const auto both = [&](const std::string& name, Shape dims, std::uint64_t outputs, double middle) {
    add(name + ".weight", dims, 0.4, middle);
    add(name + ".bias", {outputs}, 0.4, 0);
  };
  add("transformer.wte.weight", {shape.vocab_size, hidden}, 1.0, 0);
  add("transformer.wpe.weight", {256, hidden}, 1.0, 0);
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = cat("transformer.h.", layer, ".");
    both(prefix + "ln_1", {hidden}, hidden, 1);
    both(prefix + "attn.c_attn", {hidden, 3 * hidden}, 3 * hidden, 0);
    both(prefix + "attn.c_proj", {hidden, hidden}, hidden, 0);
    both(prefix + "ln_2", {hidden}, hidden, 1);
    both(prefix + "mlp.c_fc", {hidden, inner}, inner, 0);
    both(prefix + "mlp.c_proj", {inner, hidden}, hidden, 0);
  }
  both("transformer.ln_f", {hidden}, hidden, 1);
  if (!shape.tied) add("lm_head.weight", {shape.vocab_size, hidden}, 0.5, 0);
  return parts;
}

}  // namespace

Registry& test_registry() {
  static Registry registry = [] {
    Registry made;
    must(register_static_plugins(made));
    return made;
  }();
  return registry;
}

std::vector<float> NamedTensor::floats() const {
  std::vector<float> values(shape.elements());
  must(decode({type, shape, data}, 0, values));
  return values;
}

void NamedTensor::set_floats(const std::vector<float>& values) {
  must(encode_plain(type, values, data));
}

std::vector<NamedTensor> read_safetensors(const std::string& path) {
  const std::string text = read_text(path);
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, text.data(), sizeof header_size);
  const Json header = must(parse_json(std::string_view(text).substr(8, header_size)));
  const char* start = text.data() + 8 + header_size;
  std::vector<NamedTensor> tensors;
  for (const auto& [name, entry] : header.as_object()) {
    if (name == "__metadata__") continue;
    NamedTensor tensor;
    tensor.name = name;
    tensor.type = type_of(entry["dtype"].as_string());
    std::vector<std::uint64_t> dims;
    for (const Json& dim : entry["shape"].as_array()) {
      dims.push_back(static_cast<std::uint64_t>(dim.as_integer()));
    }
    tensor.shape = *Shape::from(dims);
    const auto& offsets = entry["data_offsets"].as_array();
    const auto* bytes = reinterpret_cast<const std::byte*>(start);
    tensor.data.assign(bytes + offsets[0].as_integer(), bytes + offsets[1].as_integer());
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

NamedTensor& ModelParts::tensor(std::string_view name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& tensor) { return tensor.name == name; });
  if (found == tensors.end()) throw std::runtime_error(cat("no tensor ", name));
  return *found;
}

ModelParts read_model_folder(const std::string& folder) {
  return {must(parse_json(read_text(folder + "/config.json"))),
          read_safetensors(folder + "/model.safetensors")};
}

TestModel make_model(const ModelParts& parts) {
  Package::Parts made;
  made.path = "test model";
  made.format = "test";
  made.config = parts.config;
  for (const NamedTensor& tensor : parts.tensors) {
    auto owned = std::make_shared<Tensor>();
    *owned = {tensor.type, tensor.shape, tensor.data};
    made.tensors.push_back({tensor.name, owned->view(), {}});
    made.owned.push_back(std::move(owned));
  }
  Architecture* architecture = must(test_registry().architecture_for(parts.config));
  Graph graph = must(architecture->build(parts.config, "config.json"));
  return {must(Package::from(std::move(made))), std::move(graph)};
}

std::string chat_model_folder() {
  return APR_SOURCE_DIR "/golden/apr-tiny-chat";
}

std::optional<std::string> stories_model_folder() {
  const std::string folder = APR_SHARED_DATA "/stories260K";
  if (!std::ifstream(folder + "/config.json")) return std::nullopt;
  return folder;
}

std::optional<std::string> arch_model_folder(const std::string& name) {
  const std::string folder = APR_SHARED_DATA "/arch/" + name;
  if (!std::ifstream(folder + "/config.json")) return std::nullopt;
  return folder;
}

ModelParts random_model(const RandomModel& shape) {
  if (shape.model_type == "gpt2") return random_gpt2(shape);
  ModelParts parts;
  parts.config = Json::object({{"model_type", shape.model_type},
                               {"vocab_size", shape.vocab_size},
                               {"hidden_size", shape.hidden_size},
                               {"intermediate_size", shape.intermediate_size},
                               {"num_hidden_layers", shape.layers},
                               {"num_attention_heads", shape.heads},
                               {"num_key_value_heads", shape.kv_heads},
                               {"head_dim", shape.head_dim},
                               {"max_position_embeddings", 512},
                               {"rms_norm_eps", 1e-6},
                               {"rope_theta", 10000.0},
                               {"tie_word_embeddings", shape.tied}});
  if (shape.model_type == "mistral") {
    parts.config.set("sliding_window", shape.window > 0 ? Json(shape.window) : Json());
  } else if (shape.window > 0) {
    parts.config.set("use_sliding_window", true);
    parts.config.set("sliding_window", shape.window);
    parts.config.set("max_window_layers", 1);
  }
  RandomTensors add{parts, std::mt19937_64(shape.seed)};
  const std::uint64_t hidden = shape.hidden_size;
  const std::uint64_t q_size = shape.heads * shape.head_dim;
  const std::uint64_t kv_size = shape.kv_heads * shape.head_dim;
  const bool bias = shape.model_type == "qwen2";
  add("model.embed_tokens.weight", {shape.vocab_size, hidden}, 1.0, 0);
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = cat("model.layers.", layer, ".");
    add(prefix + "input_layernorm.weight", {hidden}, 0.2, 1);
    add(prefix + "post_attention_layernorm.weight", {hidden}, 0.2, 1);
    for (const auto& [name, rows] : {std::pair{"q_proj", q_size}, std::pair{"k_proj", kv_size},
                                     std::pair{"v_proj", kv_size}}) {
      add(cat(prefix, "self_attn.", name, ".weight"), {rows, hidden}, 0.4, 0);
      if (bias) add(cat(prefix, "self_attn.", name, ".bias"), {rows}, 0.4, 0);
    }
    add(prefix + "self_attn.o_proj.weight", {hidden, q_size}, 0.4, 0);
    add(prefix + "mlp.gate_proj.weight", {shape.intermediate_size, hidden}, 0.3, 0);
    add(prefix + "mlp.up_proj.weight", {shape.intermediate_size, hidden}, 0.3, 0);
    add(prefix + "mlp.down_proj.weight", {hidden, shape.intermediate_size}, 0.3, 0);
  }
  add("model.norm.weight", {hidden}, 0.2, 1);
  if (!shape.tied) add("lm_head.weight", {shape.vocab_size, hidden}, 0.5, 0);
  return parts;
}

}  // namespace apr::testing
