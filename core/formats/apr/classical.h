// The header of `.apr` v1 ("APRN"), the container of classical models. Recognised, described, not
// opened.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/export.h"
#include "core/base/result.h"

namespace apr {

struct ClassicalHeader {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  std::uint16_t model_type = 0;
  std::string_view model_type_name;  ///< "LogisticRegression"; "unknown" for ids not in the list
  std::uint32_t metadata_size = 0;
  std::uint32_t payload_size = 0;
  std::uint32_t uncompressed_size = 0;
  std::uint8_t compression = 0;
  std::string_view compression_name;
  bool is_encrypted = false;
  bool is_signed = false;
  std::uint8_t quality = 0;
  bool crc_matches = false;  ///< the checksum in the last four bytes
};

APR_API bool is_classical_apr(std::span<const std::byte> bytes);
/// Checks sizes against the file's length.
APR_API Result<ClassicalHeader> read_classical_header(std::span<const std::byte> bytes,
                                                      std::string_view file);

}  // namespace apr
