// Memory of the process and of the machine, for measuring and for limits.
#pragma once

#include <cstdint>

#include "core/base/export.h"

namespace apr {

struct MemoryUse {
  std::uint64_t peak_resident_bytes = 0;
  std::uint64_t resident_bytes = 0;   ///< 0 where unknown
  std::uint64_t anonymous_bytes = 0;  ///< resident memory not backed by a file; 0 where unknown
};
APR_API MemoryUse memory_use();
/// Memory that could be had now without swapping, as the system and the process's control group see
/// it; 0 where unknown.
APR_API std::uint64_t available_memory_bytes();
/// Memory of the machine, or less where a control group limits the process; 0 where unknown.
APR_API std::uint64_t total_memory_bytes();

}  // namespace apr
