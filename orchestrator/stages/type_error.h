// How far numbers may be from those they were made from, by the type they are stored in.
#pragma once

#include <string>

#include "orchestrator/stages/compare_tensors.h"

namespace apr {

/// Why `found`, the difference of a tensor stored as `type` from its source stored as `source`, is
/// more than rounding to that type makes; empty: it is not. A type that holds every number of the
/// source must hold the same numbers.
std::string beyond_rounding(const TensorDifference& found, Type type, Type source);

}  // namespace apr
