// The tensor index: entries read from bytes, extents checked against each other and the file.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/formats/apr/table.h"

namespace apr {

/// Reads all entries into table.tensors and sets table.index_end; uses table.header and
/// table.metadata.
Status read_apr_index(std::span<const std::byte> bytes, std::string_view file, AprTable& table);

/// Every extent inside the file, none overlapping another except aliases; sets alias_of and
/// data_end.
Status check_apr_extents(std::uint64_t file_size, std::string_view file, AprTable& table);

/// One entry's bytes. `offset` is relative to the data section.
void append_apr_index_entry(std::vector<std::byte>& out, const AprTensor& tensor,
                            std::uint64_t offset);

}  // namespace apr
