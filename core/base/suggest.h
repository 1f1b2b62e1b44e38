// "Did you mean": the nearest known name to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace apr {

/// The nearest of `candidates` by edit distance (swaps of neighbours count as one), if it is near
/// enough to be a typing mistake: at most a third of the word's length, at least one. Otherwise
/// empty. The first of several equals wins.
APR_API std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

/// "a, b, c" for lists in error messages.
APR_API std::string join_names(std::span<const std::string> names);

}  // namespace apr
