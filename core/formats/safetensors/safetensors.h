// The safetensors container: an 8-byte length, a JSON header, then tensors without gaps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/tensor/shape.h"
#include "core/tensor/type.h"

namespace apr {

struct SafetensorsTensor {
  std::string name;
  Type type = Type::f32;
  Shape shape;
  std::uint64_t offset = 0;  ///< from the start of the file; checked against its length
  std::uint64_t size = 0;
};

struct SafetensorsTable {
  std::vector<SafetensorsTensor> tensors;  ///< sorted by name
  Json metadata = Json::object();          ///< "__metadata__": strings only
};

/// Checks length, header, every dtype, shape and range, and that the tensors fill the rest of the
/// file without holes or overlaps. `file` names the source in errors.
APR_API Result<SafetensorsTable> read_safetensors_table(std::span<const std::byte> bytes,
                                                        std::string_view file);

/// "BF16"; nothing for types the container cannot hold.
APR_API std::string_view safetensors_dtype(Type type);

/// Everything before the first tensor's bytes, for tensors stored one after the other in the given
/// order; fills in their offsets. `metadata` may be an empty object.
APR_API Result<std::string> write_safetensors_header(std::span<SafetensorsTensor> tensors,
                                                     const Json& metadata);

}  // namespace apr
