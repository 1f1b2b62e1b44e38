// What a tensor may be called in a file we read.
#pragma once

#include <string>
#include <string_view>

#include "core/base/export.h"

namespace apr {

inline constexpr std::size_t kMaxTensorName = 256;

/// Why a name is refused ("is empty", "is not UTF-8", …); empty if it is fine.
APR_API std::string_view tensor_name_problem(std::string_view name);
/// The name as it may appear in a message, whatever bytes it has.
APR_API std::string printable_name(std::string_view name);

}  // namespace apr
