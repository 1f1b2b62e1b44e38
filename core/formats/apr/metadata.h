// The JSON metadata of `.apr` v2: one spelling per key, in a fixed order.
#pragma once

#include <string_view>

#include "core/base/export.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace apr {

/// Renames aliases ("n_head") to their canonical key ("num_heads"); where both are there, the
/// canonical one stays, unless it is null. Nothing is lost but the spelling.
APR_API Json canonical_apr_metadata(Json metadata);

/// The bytes that are written: canonical keys first and in order, the required ones filled in (null
/// or zero when unknown), all others after them, sorted.
APR_API std::string write_apr_metadata(Json metadata);

/// A Hugging Face style config made of the canonical keys, for files that do not carry config.json.
APR_API Json config_from_apr_metadata(const Json& metadata);

}  // namespace apr
