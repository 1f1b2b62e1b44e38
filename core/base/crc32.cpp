// CRC-32 with the reflected polynomial 0xEDB88320.
//
// Sixteen tables let the loop take 16 bytes per step: table k gives the effect of a byte followed
// by k zero bytes, so the CRC of a 16-byte group is the exclusive-or of 16 look-ups (Kounavis and
// Berry, "A Systematic Approach to Building High Performance Software-Based CRC Generators", 2005).
#include <array>
#include <bit>
#include <cstring>

#include "core/base/hash.h"

namespace apr {

namespace {

constexpr std::uint32_t kPolynomial = 0xEDB88320;
constexpr std::size_t kStep = 16;

using Tables = std::array<std::array<std::uint32_t, 256>, kStep>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < kStep; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

/// Product of two polynomials modulo the CRC's, both with bit 31 for x^0.
constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? kPolynomial : 0);
  }
  return product;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous) {
  static_assert(std::endian::native == std::endian::little);
  std::uint32_t crc = ~previous;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= kStep; left -= kStep, p += kStep) {
    std::uint32_t words[4];
    std::memcpy(words, p, sizeof words);
    words[0] ^= crc;
    crc = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      crc ^= kTables[15 - 4 * i][words[i] & 0xff] ^ kTables[14 - 4 * i][(words[i] >> 8) & 0xff] ^
             kTables[13 - 4 * i][(words[i] >> 16) & 0xff] ^ kTables[12 - 4 * i][words[i] >> 24];
    }
  }
  for (; left > 0; --left, ++p) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<std::uint32_t>(*p)) & 0xff];
  }
  return ~crc;
}

std::uint32_t crc32_combine(std::uint32_t a, std::uint32_t b, std::uint64_t b_size) {
  // Appending n zero bytes multiplies by x^(8n); square and multiply over the bits of n.
  std::uint32_t power = 1u << 23;   // x^8
  std::uint32_t factor = 1u << 31;  // x^0
  for (; b_size != 0; b_size >>= 1) {
    if ((b_size & 1) != 0) factor = multiply(factor, power);
    power = multiply(power, power);
  }
  return multiply(a, factor) ^ b;
}

}  // namespace apr
