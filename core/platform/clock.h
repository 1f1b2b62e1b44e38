// Time and memory, for measuring and limits only: nothing that is hashed or stored in a model may
// use it.
#pragma once

#include <cstdint>

#include "core/base/export.h"

namespace apr {

/// Monotonic nanoseconds from an arbitrary start.
APR_API std::uint64_t monotonic_ns();
/// Seconds since 1970-01-01 UTC.
APR_API std::int64_t unix_seconds();

struct MemoryUse {
  std::uint64_t peak_resident_bytes = 0;
  std::uint64_t resident_bytes = 0;   ///< 0 where unknown
  std::uint64_t anonymous_bytes = 0;  ///< resident memory not backed by a file; 0 where unknown
};
APR_API MemoryUse memory_use();
/// Memory that could be had now without swapping, as the system and the process's control group see
/// it; 0 where unknown.
APR_API std::uint64_t available_memory_bytes();

}  // namespace apr
