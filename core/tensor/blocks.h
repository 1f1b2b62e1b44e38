// Memory layout of the block types. Each struct is exactly what a file holds: no padding, two-byte
// alignment at most, little-endian.
#pragma once

#include <cstdint>

namespace apr {

inline constexpr std::uint32_t kBlock = 32;  ///< elements of every block type below

/// x[i] = d * (q[i] - 8); element i is the low nibble of byte i, element i + 16 the high one.
struct BlockQ4_0 {
  std::uint16_t d;  ///< f16
  std::uint8_t qs[16];
};
/// x[i] = d * q[i] + m; nibbles as in q4_0.
struct BlockQ4_1 {
  std::uint16_t d;
  std::uint16_t m;
  std::uint8_t qs[16];
};
/// x[i] = d * (q[i] - 16); the fifth bit of element i is bit i of qh.
struct BlockQ5_0 {
  std::uint16_t d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
/// x[i] = d * q[i] + m.
struct BlockQ5_1 {
  std::uint16_t d;
  std::uint16_t m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
/// x[i] = d * q[i].
struct BlockQ8_0 {
  std::uint16_t d;
  std::int8_t qs[32];
};
/// x[i] = d * (q[i] - 8); elements 2i and 2i + 1 are the low and high nibble of byte i.
struct BlockAprQ4 {
  std::uint16_t d;
  std::uint8_t qs[16];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockAprQ4) == 18);

}  // namespace apr
