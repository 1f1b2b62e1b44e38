// Lineage records as the bytes of the LINEAGE section: canonical JSON, the same for the same
// history.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/package/package.h"

namespace apr {

APR_API std::string encode_lineage(std::span<const LineageRecord> records);
APR_API Result<std::vector<LineageRecord>> decode_lineage(std::string_view text);

/// The same value with the keys of every object sorted bytewise.
APR_API Json canonical_json(const Json& value);

}  // namespace apr
