#include "plugins/backends/cpu/kernels.h"

namespace apr::cpu {

const WeightKernels* KernelTable::weights(Type type) const {
  switch (type) {
    case Type::f32:
      return &f32;
    case Type::f16:
      return &f16;
    case Type::bf16:
      return &bf16;
    case Type::q8_0:
      return &q8_0;
    case Type::q4_0:
      return &q4_0;
    default:
      return nullptr;
  }
}

const KernelTable& table_for([[maybe_unused]] CpuLevel level) {
#if defined(__x86_64__)
  if (level >= CpuLevel::avx512_vnni) return kAvx512VnniKernels;
  if (level >= CpuLevel::avx512) return kAvx512Kernels;
  if (level >= CpuLevel::avx2) return kAvx2Kernels;
#endif
  return kScalarKernels;
}

}  // namespace apr::cpu
