// The post-processor of a tokenizer.json: which special tokens go around one text or two.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/text/tokenizer_settings.h"

namespace apr {

struct Templates {
  Template single = default_single();
  Template pair = default_pair();
};

/// Nothing if the post-processor puts nothing around a text. Ids are checked against the number of
/// tokens; errors name the field.
Result<std::optional<Templates>> read_post_processor(const Json& json, std::uint32_t tokens,
                                                     std::string_view file);

}  // namespace apr
