// Files of one JSON value per line.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"

namespace apr {

/// One line of such a file; a mistake in it is told as FILE:LINE:COLUMN.
Result<Json> parse_json_line(std::string_view line, const std::string& file, std::size_t number);

/// Calls use(value, "FILE:N") for every line that is not blank, until one fails.
Status for_each_json_line(
    std::string_view text, const std::string& file,
    const std::function<Status(const Json& value, const std::string& where)>& use);

}  // namespace apr
