// Checksums and digests: CRC-32 (accidents) and SHA-256 (identity).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/export.h"

namespace apr {

/// CRC-32 of IEEE 802.3 (zlib's crc32), incremental: crc32(b, crc32(a)) == crc32(a + b).
APR_API std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous = 0);

/// CRC of a + b from the CRCs of a and b and the length of b (no data needed).
APR_API std::uint32_t crc32_combine(std::uint32_t a, std::uint32_t b, std::uint64_t b_size);

struct Digest {
  std::array<std::byte, 32> bytes{};
  friend auto operator<=>(const Digest&, const Digest&) = default;
  APR_API std::string hex() const;
  APR_API static std::optional<Digest> from_hex(std::string_view text);
};

/// SHA-256 (FIPS 180-4). Uses the CPU's SHA instructions where it has them.
class APR_API Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  Digest finish();  ///< may be called once

 private:
  std::array<std::uint32_t, 8> state_;
  std::array<std::byte, 64> pending_{};
  std::uint64_t size_ = 0;
};

APR_API Digest sha256(std::span<const std::byte> bytes);
APR_API Digest sha256(std::string_view text);

}  // namespace apr
