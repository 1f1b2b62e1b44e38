// Models for the tests: the two trained ones, read by a small loader that owes nothing to the
// importer, and made-up ones of odd sizes.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/package/package.h"
#include "core/plugin/registry.h"
#include "core/runtime/backend.h"

namespace apr::testing {

struct TestModel {
  Package package;
  Graph graph;
};

/// The plugins linked into this test program.
Registry& test_registry();

/// Floats of a tensor of a safetensors file, by name.
struct NamedTensor {
  std::string name;
  Type type = Type::f32;
  Shape shape;
  std::vector<std::byte> data;
  std::vector<float> floats() const;
  void set_floats(const std::vector<float>& values);
};
std::vector<NamedTensor> read_safetensors(const std::string& path);

/// Everything a Package is made of, before it is made: tests change it first.
struct ModelParts {
  Json config;
  std::vector<NamedTensor> tensors;
  NamedTensor& tensor(std::string_view name);
};
ModelParts read_model_folder(const std::string& folder);
TestModel make_model(const ModelParts& parts);

/// Folders of the trained models; the second is not there in a bare checkout.
std::string chat_model_folder();
std::optional<std::string> stories_model_folder();
/// "tiny-mistral" and its like: one small trained model per architecture.
std::optional<std::string> arch_model_folder(const std::string& name);

/// A model of random weights, Llama-like unless it is gpt2; sizes are odd on purpose, so that
/// kernels meet their tails.
struct RandomModel {
  std::string model_type = "qwen2";
  std::uint32_t vocab_size = 61;
  std::uint32_t hidden_size = 36;
  std::uint32_t intermediate_size = 53;
  std::uint32_t layers = 3;
  std::uint32_t heads = 6;
  std::uint32_t kv_heads = 2;
  std::uint32_t head_dim = 6;
  std::uint32_t window = 0;  ///< qwen2: on every layer but the first; mistral: on every layer
  bool tied = false;
  std::uint64_t seed = 1;
};
ModelParts random_model(const RandomModel& shape);

/// The value, or the end of the test with the error's text.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return *std::move(result);
}
inline void must(Status status) {
  if (!status) throw std::runtime_error(status.error().to_string());
}

}  // namespace apr::testing
