#include "plugins/backends/cpu/kernels.h"

#include <cmath>
#include <numbers>

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

void gelu_erf(const float* x, Size n, float* out) noexcept {
  constexpr float kInverseRoot = 1.0f / std::numbers::sqrt2_v<float>;
  for (Size i = 0; i < n; ++i) out[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * kInverseRoot));
}

const KernelTable& table_for([[maybe_unused]] CpuLevel level) {
#if defined(__x86_64__)
  if (level >= CpuLevel::avx2) return kAvx2Kernels;
#endif
  return kScalarKernels;
}

}  // namespace apr::cpu
