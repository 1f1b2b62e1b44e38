#include "core/platform/cpu.h"

#include <algorithm>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace apr {

namespace {

#if defined(__x86_64__)

/// Extended control register 0: which register files the operating system saves.
std::uint64_t saved_registers() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

CpuLevel detect() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return CpuLevel::scalar;
  const unsigned needed = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
  if ((c & needed) != needed) return CpuLevel::scalar;
  constexpr std::uint64_t kXmmAndYmm = 6;
  if ((saved_registers() & kXmmAndYmm) != kXmmAndYmm) return CpuLevel::scalar;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return CpuLevel::scalar;
  if ((b & bit_AVX2) == 0) return CpuLevel::scalar;
  const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  constexpr std::uint64_t kMasksAndZmm = 0xe0;
  if ((b & wide) != wide || (saved_registers() & kMasksAndZmm) != kMasksAndZmm) {
    return CpuLevel::avx2;
  }
  return (c & bit_AVX512VNNI) != 0 ? CpuLevel::avx512_vnni : CpuLevel::avx512;
}

#else

CpuLevel detect() {
  return CpuLevel::scalar;
}

#endif

CpuLevel capped(CpuLevel level) {
  const char* wanted = std::getenv("APR_CPU");
  if (wanted == nullptr) return level;
  for (const CpuLevel cap :
       {CpuLevel::scalar, CpuLevel::avx2, CpuLevel::avx512, CpuLevel::avx512_vnni}) {
    if (name_of(cap) == wanted) return std::min(level, cap);
  }
  return level;
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = capped(detect());
  return level;
}

std::string_view name_of(CpuLevel level) {
  switch (level) {
    case CpuLevel::scalar:
      return "scalar";
    case CpuLevel::avx2:
      return "avx2";
    case CpuLevel::avx512:
      return "avx512";
    case CpuLevel::avx512_vnni:
      return "avx512_vnni";
  }
  return "scalar";
}

unsigned available_processors() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
  }
#endif
  return 1;
}

}  // namespace apr
