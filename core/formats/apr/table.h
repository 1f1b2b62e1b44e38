// Reading `.apr` v2: bytes in, a validated table out. Nothing else looks at raw offsets.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/formats/apr/sections.h"
#include "core/tensor/shape.h"
#include "core/tensor/type.h"

namespace apr {

struct AprTensor {
  std::string name;
  Type type = Type::f32;
  Shape shape;
  std::uint64_t offset = 0;  ///< from the start of the file; checked against its length
  std::uint64_t size = 0;
  std::string alias_of;  ///< the tensor whose bytes these are; empty for one with its own
};

struct AprHeader {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  std::uint16_t flags = 0;
  std::uint32_t tensor_count = 0;
  std::uint64_t metadata_offset = 0;
  std::uint32_t metadata_size = 0;
  std::uint64_t index_offset = 0;
  std::uint64_t data_offset = 0;
  std::uint32_t crc = 0;
  bool crc_present = false;  ///< false: the field is zero and the checksum is not
  bool extension = false;    ///< the reserved bytes carry our tag
  std::uint64_t directory_offset = 0;
  std::uint64_t directory_size = 0;
};

struct AprTable {
  AprHeader header;
  Json metadata = Json::object();  ///< canonical spellings
  std::vector<AprTensor> tensors;  ///< sorted by name
  std::uint64_t index_end = 0;     ///< end of the last index entry
  std::uint64_t data_end = 0;      ///< end of the last tensor's bytes, without padding
  /// The sections of our extension, or why they are not to be used. Files without them are fine.
  AprSections sections;
};

/// Checks the header, metadata, index, every extent, overlaps and the truncation invariant. `file`
/// names the source in errors. Reads nothing but header, metadata, index and section directory.
APR_API Result<AprTable> read_apr_table(std::span<const std::byte> bytes, std::string_view file);

/// The header alone, checked against the file's length; refusals name what the file is instead.
APR_API Result<AprHeader> read_apr_header(std::span<const std::byte> bytes, std::string_view file);

/// Types a dtype byte may stand for, the likeliest first: upstream's dialects share codes.
APR_API std::vector<Type> apr_type_candidates(std::uint8_t code);

}  // namespace apr
