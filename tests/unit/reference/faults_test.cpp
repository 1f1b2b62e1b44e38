// The golden comparison must find what is planted: a check that cannot fail proves nothing.
#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "tests/unit/backends/golden.h"

namespace apr::testing {
namespace {

GoldenReport compare(const ModelParts& parts) {
  return check_golden(*must(test_registry().backend("reference")), Mode::exact, make_model(parts),
                      chat_model_folder());
}

void require_found(const GoldenReport& report) {
  REQUIRE_FALSE(report.problems.empty());
  WARN(report.problems.size() << " problems, the first: " << report.problems.front());
}

/// Rows of a matrix in groups of `size` (axis 0) or its columns (axis 1), in another order.
void reorder(NamedTensor& tensor, std::size_t axis, std::size_t size,
             const std::vector<std::size_t>& order) {
  const auto old = tensor.floats();
  auto now = old;
  const std::size_t columns = tensor.shape.rank() == 1 ? 1 : tensor.shape[1];
  const std::size_t rows = tensor.shape[0];
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const std::size_t i = axis == 0 ? r : c;
      const std::size_t from = order[i / size] * size + i % size;
      now[r * columns + c] = axis == 0 ? old[from * columns + c] : old[r * columns + from];
    }
  }
  tensor.set_floats(now);
}

TEST_CASE("a wrong RoPE base is found", "[faults]") {
  ModelParts parts = read_model_folder(chat_model_folder());
  parts.config.set("rope_theta", 10000.0);
  require_found(compare(parts));
}

TEST_CASE("one changed weight is found", "[faults]") {
  ModelParts parts = read_model_folder(chat_model_folder());
  NamedTensor& tensor = parts.tensor("model.layers.2.mlp.down_proj.weight");
  auto values = tensor.floats();
  values[12345] += 0.05F;
  tensor.set_floats(values);
  require_found(compare(parts));
}

TEST_CASE("key/value heads tiled instead of grouped are found", "[faults]") {
  // Query head h of 4 would use key/value head h mod 2 instead of h / 2: the same as query heads 1
  // and 2 changing places on both sides of the attention.
  ModelParts parts = read_model_folder(chat_model_folder());
  for (int layer = 0; layer < 4; ++layer) {
    const std::string prefix = cat("model.layers.", layer, ".self_attn.");
    const std::vector<std::size_t> order = {0, 2, 1, 3};
    reorder(parts.tensor(prefix + "q_proj.weight"), 0, 64, order);
    reorder(parts.tensor(prefix + "q_proj.bias"), 0, 64, order);
    reorder(parts.tensor(prefix + "o_proj.weight"), 1, 64, order);
  }
  require_found(compare(parts));
}

TEST_CASE("interleaved instead of halved RoPE pairs are found", "[faults]") {
  ModelParts parts = read_model_folder(chat_model_folder());
  std::vector<std::size_t> order;  // new (i, i + 32) hold old (2i, 2i + 1)
  for (std::size_t head = 0; head < 4; ++head) {
    for (std::size_t i = 0; i < 64; ++i)
      order.push_back(head * 64 + (i < 32 ? 2 * i : 2 * (i - 32) + 1));
  }
  for (int layer = 0; layer < 4; ++layer) {
    const std::string prefix = cat("model.layers.", layer, ".self_attn.");
    for (const char* name : {"q_proj.", "k_proj."}) {
      reorder(parts.tensor(prefix + name + "weight"), 0, 1, order);
      reorder(parts.tensor(prefix + name + "bias"), 0, 1, order);
    }
  }
  require_found(compare(parts));
}

TEST_CASE("a wrong epsilon is found", "[faults]") {
  ModelParts parts = read_model_folder(chat_model_folder());
  parts.config.set("rms_norm_eps", 1e-3);
  require_found(compare(parts));
}

}  // namespace
}  // namespace apr::testing
