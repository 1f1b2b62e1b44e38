// Time, for measuring only: nothing that is hashed or stored in a model may
// use it.
#pragma once

#include <cstdint>

#include "core/base/export.h"

namespace apr {

/// Monotonic nanoseconds from an arbitrary start.
APR_API std::uint64_t monotonic_ns();
/// Seconds since 1970-01-01 UTC.
APR_API std::int64_t unix_seconds();

}  // namespace apr
