#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/hash.h"
#include "core/plugin/plugin.h"
#include "core/tensor/blocks.h"
#include "core/tensor/codec.h"

extern "C" const apr::PluginDescriptor* apr_plugin_quantizer_block_v1();

using namespace apr;

namespace {

Quantizer& quantizer() {
  static Registry registry;
  static const bool added = register_plugin(registry, *apr_plugin_quantizer_block_v1()).ok();
  REQUIRE(added);
  return *registry.quantization("q8_0").value().quantizer;
}

std::vector<std::byte> quantize(Type type, std::uint64_t columns,
                                const std::vector<float>& values) {
  std::vector<std::byte> out(values.size() / columns * row_bytes(type, columns));
  const auto status = quantizer().quantize_rows(name_of(type), type, columns, values, out);
  INFO((status ? "" : status.error().message));
  REQUIRE(status.ok());
  return out;
}

/// The same inputs as inputs() in vectors.py.
std::vector<float> vector_inputs(int blocks) {
  std::uint64_t state = 0x9E3779B97F4A7C15;
  std::vector<float> out;
  for (int block = 0; block < blocks; ++block) {
    for (int i = 0; i < 32; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const auto mantissa = static_cast<std::int64_t>(state >> 40) - (1 << 23);
      out.push_back(std::ldexp(static_cast<float>(mantissa), block % 40 - 30 - 23));
    }
  }
  return out;
}

/// A second formulation in float32, element by element, with the C library's rounding.
std::int8_t q8_0_element(const float* block, int i, float* d) {
  float largest = 0;
  for (int j = 0; j < 32; ++j) largest = fmaxf(largest, fabsf(block[j]));
  *d = largest / 127;
  return *d == 0 ? std::int8_t{0} : static_cast<std::int8_t>(roundf(block[i] * (1.0f / *d)));
}

int q4_0_element(const float* block, int i, float* d) {
  int top = 0;
  for (int j = 1; j < 32; ++j) {
    if (fabsf(block[j]) > fabsf(block[top])) top = j;
  }
  *d = block[top] / -8;
  const float scaled = *d == 0 ? 0 : block[i] * (1.0f / *d);
  return static_cast<int>(fminf(15, truncf(scaled + 8.5f)));
}

}  // namespace

TEST_CASE("blocks equal those of an independent implementation, bit for bit") {
  // Figures printed by tests/unit/quantizer/vectors.py.
  const auto values = vector_inputs(4000);
  CHECK(sha256(quantize(Type::q8_0, 64, values)).hex() ==
        "1e8400d81706a2b717199fccf96846c4e6112667a1ed6088094dae763e7659ed");
  CHECK(sha256(quantize(Type::q4_0, 64, values)).hex() ==
        "99d303904a73d588308d405d713eb2fb04d3b362975e5cce32627682c977c2b2");
}

TEST_CASE("blocks equal a second formulation; dequantization equals float64") {
  auto values = vector_inputs(400);
  for (std::size_t i = 64; i < 96; ++i) values[i] = 0;                      // a block of zeros
  for (std::size_t i = 96; i < 128; ++i) values[i] = i % 2 ? 1.5f : -1.5f;  // ties of magnitude
  for (std::size_t i = 128; i < 160; ++i) values[i] = (static_cast<float>(i) - 144) * 7.9375f;
  const auto q8 = quantize(Type::q8_0, 32, values);
  const auto q4 = quantize(Type::q4_0, 32, values);
  std::vector<float> back8(values.size());
  std::vector<float> back4(values.size());
  REQUIRE(decode({Type::q8_0, {values.size() / 32, 32}, q8}, 0, back8));
  REQUIRE(decode({Type::q4_0, {values.size() / 32, 32}, q4}, 0, back4));
  for (std::size_t b = 0; b < values.size() / 32; ++b) {
    BlockQ8_0 block8;
    BlockQ4_0 block4;
    std::memcpy(&block8, q8.data() + b * sizeof block8, sizeof block8);
    std::memcpy(&block4, q4.data() + b * sizeof block4, sizeof block4);
    for (int i = 0; i < 32; ++i) {
      float d = 0;
      INFO("block " << b << " element " << i);
      const float* x = values.data() + 32 * b;
      const auto at = 32 * b + static_cast<std::size_t>(i);
      REQUIRE(block8.qs[i] == q8_0_element(x, i, &d));
      REQUIRE(block8.d == f32_to_f16(d));
      REQUIRE(static_cast<double>(back8[at]) ==
              static_cast<double>(f16_to_f32(block8.d)) * static_cast<double>(block8.qs[i]));
      const int nibble = i < 16 ? block4.qs[i] & 15 : block4.qs[i - 16] >> 4;
      REQUIRE(nibble == q4_0_element(x, i, &d));
      REQUIRE(block4.d == f32_to_f16(d));
      REQUIRE(static_cast<double>(back4[at]) ==
              static_cast<double>(f16_to_f32(block4.d)) * (nibble - 8));
    }
  }
}

TEST_CASE("the error of a block is at most half a step (q8_0) or one step (q4_0)") {
  const auto values = vector_inputs(1000);
  for (const Type type : {Type::q8_0, Type::q4_0}) {
    const auto blocks = quantize(type, 32, values);
    std::vector<float> back(values.size());
    REQUIRE(decode({type, {1000, 32}, blocks}, 0, back));
    for (std::size_t b = 0; b < 1000; ++b) {
      float largest = 0;
      for (std::size_t i = 32 * b; i < 32 * b + 32; ++i)
        largest = std::max(largest, std::fabs(values[i]));
      if (largest < 0.01f) continue;  // the f16 scale itself is coarse there
      const float bound = type == Type::q8_0 ? largest / 127 * 0.57f : largest / 8 * 1.01f;
      for (std::size_t i = 32 * b; i < 32 * b + 32; ++i) {
        REQUIRE(std::fabs(back[i] - values[i]) <= bound);
      }
    }
  }
}

TEST_CASE("the result does not depend on how rows are grouped into calls") {
  const auto values = vector_inputs(12);
  const auto whole = quantize(Type::q4_0, 64, values);
  std::vector<std::byte> parts;
  for (std::size_t row = 0; row < 6; ++row) {
    const std::vector<float> one(values.begin() + static_cast<long>(row) * 64,
                                 values.begin() + static_cast<long>(row + 1) * 64);
    const auto part = quantize(Type::q4_0, 64, one);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  CHECK(parts == whole);
}

TEST_CASE("scales too small for f16 give a block of zeros, not undefined conversions") {
  for (const float tiny : {1e-45f, 1e-38f, 3e-39f, 1e-9f}) {
    std::vector<float> values(32, tiny);
    values[3] = -tiny;
    for (const Type type : {Type::q8_0, Type::q4_0}) {
      std::vector<float> back(32);
      REQUIRE(decode({type, {1, 32}, quantize(type, 32, values)}, 0, back));
      for (const float value : back) CHECK(value == 0.0f);
    }
  }
}

TEST_CASE("NaN, infinities and overflow are refused with their position") {
  for (const char* scheme : {"q8_0", "int4", "f16", "bf16", "f32"}) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> values(4 * 64, 0.5f);
      values[2 * 64 + 17] = bad;
      const Type type = quantizer().target_type(scheme, "w", Type::f32, {64, 64});
      std::vector<std::byte> out(4 * row_bytes(type, 64));
      const auto status = quantizer().quantize_rows(scheme, type, 64, values, out);
      REQUIRE_FALSE(status);
      CHECK(status.error().code == ErrorCode::validation);
      CHECK(status.error().message.find("row 2, column 17") != std::string::npos);
    }
  }
  const auto overflow = [](Type type, float value) {
    const std::vector<float> values(32, value);
    std::vector<std::byte> out(row_bytes(type, 32));
    return !quantizer().quantize_rows("q8_0", type, 32, values, out).ok();
  };
  CHECK(overflow(Type::f16, 1e5f));
  CHECK_FALSE(overflow(Type::f16, 65504.0f));
  CHECK(overflow(Type::q8_0, 65504.0f * 127 * 1.01f));
  CHECK_FALSE(overflow(Type::q8_0, 65504.0f * 127));
  CHECK(overflow(Type::q4_0, 65504.0f * 8 * 1.01f));
  CHECK(overflow(Type::bf16, std::bit_cast<float>(0x7f7f8000u)));
  CHECK_FALSE(overflow(Type::bf16, std::bit_cast<float>(0x7f7f7fffu)));
}

TEST_CASE("which tensors change") {
  const auto target = [](std::string_view scheme, std::string_view name, Type type, Shape shape) {
    return quantizer().target_type(scheme, name, type, shape);
  };
  CHECK(target("int8", "model.layers.0.mlp.up_proj.weight", Type::bf16, {768, 256}) == Type::q8_0);
  CHECK(target("int4", "model.embed_tokens.weight", Type::bf16, {2048, 256}) == Type::q4_0);
  CHECK(target("q4_0", "lm_head.weight", Type::f32, {2048, 256}) == Type::q4_0);
  CHECK(target("f16", "lm_head.weight", Type::q8_0, {2048, 256}) == Type::f16);
  // what stays
  CHECK(target("q4_0", "model.norm.weight", Type::bf16, {2048}) == Type::bf16);
  CHECK(target("f16", "model.layers.0.self_attn.q_proj.bias", Type::f32, {2048}) == Type::f32);
  CHECK(target("q8_0", "blocks.norm_table", Type::f32, {64, 64}) == Type::f32);
  CHECK(target("q8_0", "tiny.weight", Type::f32, {31, 32}) == Type::f32);
  CHECK(target("q8_0", "odd.weight", Type::f16, {128, 50}) == Type::f16);
  CHECK(target("bf16", "odd.weight", Type::f16, {128, 50}) == Type::bf16);
  CHECK(target("q8_0", "ids", Type::i64, {128, 64}) == Type::i64);
  CHECK(target("f32", "model.norm.weight", Type::bf16, {2048}) == Type::f32);
  CHECK(target("f32", "ids", Type::i32, {2048}) == Type::i32);
  CHECK(target("no such scheme", "lm_head.weight", Type::f32, {2048, 256}) == Type::f32);
}

TEST_CASE("calls that do not fit together are errors") {
  const std::vector<float> values(64);
  std::vector<std::byte> out(68);
  CHECK(quantizer().quantize_rows("q8_0", Type::q8_0, 32, values, out));
  CHECK_FALSE(quantizer().quantize_rows("q3_z", Type::q8_0, 32, values, out));
  CHECK_FALSE(quantizer().quantize_rows("q8_0", Type::q8_0, 0, values, out));
  CHECK_FALSE(quantizer().quantize_rows("q8_0", Type::q8_0, 48, values, out));
  CHECK_FALSE(quantizer().quantize_rows("q8_0", Type::q8_0, 16, values, out));
  CHECK_FALSE(quantizer().quantize_rows("q8_0", Type::q8_0, 32, values, std::span(out).first(67)));
  CHECK_FALSE(quantizer().quantize_rows("q8_0", Type::q4_1, 32, values, out));
  CHECK_FALSE(quantizer().quantize_rows("f16", Type::f16, 32, values, std::span(out).first(67)));
}
