// What the processor can do, found at run time. Nothing is ever built for "the machine it is built
// on".
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/export.h"

namespace apr {

/// Instruction sets in ascending order; a table for one level may use everything below it.
enum class CpuLevel : std::uint8_t {
  scalar,
  avx2,         ///< AVX2, FMA, F16C
  avx512,       ///< AVX-512 F, BW, DQ, VL
  avx512_vnni,  ///< and VNNI: products of bytes
};

/// The best level this CPU and operating system support, capped by the environment variable
/// APR_CPU=scalar|avx2|avx512|avx512_vnni (for tests and comparisons). Never above what the CPU
/// has.
APR_API CpuLevel cpu_level();
APR_API std::string_view name_of(CpuLevel level);

/// Processors this process may run on; at least 1.
APR_API unsigned available_processors();

}  // namespace apr
