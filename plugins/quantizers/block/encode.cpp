#include "plugins/quantizers/block/encode.h"

#include <algorithm>
#include <cmath>

#include "core/tensor/codec.h"

namespace apr {
namespace {

/// 1/d, and 0 where there is nothing to scale: for d = 0, and for d so small that 1/d overflows
/// (such a d is 0 in f16, so the whole block means 0).
float inverse(float d) {
  const float id = d != 0.0f ? 1.0f / d : 0.0f;
  return std::isinf(id) ? 0.0f : id;
}

/// As roundf; x - whole is exact.
std::int8_t round_half_away(float x) {
  const int whole = static_cast<int>(x);
  const float rest = x - static_cast<float>(whole);
  return static_cast<std::int8_t>(whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0));
}

}  // namespace

BlockQ8_0 encode_q8_0(std::span<const float, kBlock> x) {
  float largest = 0.0f;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  const float d = largest / 127.0f;
  const float id = inverse(d);
  BlockQ8_0 block;
  block.d = f32_to_f16(d);
  for (unsigned i = 0; i < kBlock; ++i) block.qs[i] = round_half_away(x[i] * id);
  return block;
}

BlockQ4_0 encode_q4_0(std::span<const float, kBlock> x) {
  float largest = 0.0f;
  float signed_largest = 0.0f;
  for (const float value : x) {
    if (std::fabs(value) > largest) {  // the first among equals
      largest = std::fabs(value);
      signed_largest = value;
    }
  }
  const float d = signed_largest / -8.0f;
  const float id = inverse(d);
  const auto nibble = [id](float value) {
    return std::min(15, static_cast<int>(value * id + 8.5f));
  };
  BlockQ4_0 block;
  block.d = f32_to_f16(d);
  for (unsigned i = 0; i < kBlock / 2; ++i) {
    block.qs[i] = static_cast<std::uint8_t>(nibble(x[i]) | nibble(x[i + kBlock / 2]) << 4);
  }
  return block;
}

}  // namespace apr
