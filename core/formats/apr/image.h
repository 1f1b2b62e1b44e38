// The head of an `.apr` v2 file (header, metadata, index), laid out before any tensor byte is
// known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/formats/apr/table.h"

namespace apr {

struct AprHead {
  std::vector<std::byte> bytes;  ///< everything before the data section, padding included
  Digest header;
  Digest metadata;
  Digest index;
  std::uint64_t data_offset = 0;
  std::uint64_t directory_offset = 0;  ///< after the last tensor's padding
  std::vector<std::size_t> sorted;     ///< positions in the given list, in index order
};

/// Lays out tensors one after the other in the given order, each on a multiple of 64, aliases over
/// the bytes of their owner. Needs name, type, shape and alias_of of each; fills in size and
/// offset. `metadata` gets what only the writer knows: tensor_types, tensor_aliases, total_size,
/// param_count, quantization.
APR_API Result<AprHead> make_apr_head(std::vector<AprTensor>& tensors, Json metadata,
                                      bool has_vocabulary);

}  // namespace apr
