// Types, sizes and counts in reports, the same way in every verb.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/requantize.h"

namespace apr {

Json names_as_json(const std::vector<std::string>& names);
/// {"scheme": "int4", "type": "q4_0", "plugin", "changed", "kept", "bits_per_weight"}
Json scheme_as_json(const SchemeUse& use);

std::string bytes_text(const Json& bytes);            ///< "7.36 MB (7,359,000 bytes)"
std::string parameters_text(const Json& parameters);  ///< "3.67M (3,674,368)"
std::string types_line(const Json& types);            ///< "50 bf16" or "20 q4_0 + 30 f32"
std::string scheme_line(const Json& scheme);          ///< "int4 → q4_0 (quantizer_block 0.1.0)"
/// Types with tensors, parameters and bytes.
std::string types_table(const Json& types, Style style);

}  // namespace apr
