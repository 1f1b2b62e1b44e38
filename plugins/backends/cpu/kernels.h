// The kernels of one instruction set as a table of functions. Each level has a table; a new
// level (NEON, AMX) is a few more files and one more line in table_for().
//
// Accumulation order is part of every kernel's contract. A product of a weight row with a row of x
// is summed in the same order whatever the number of rows of either, so that a token gets the same
// bits alone and in a batch. Each table fixes its own order; different tables differ in the last
// bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/platform/cpu.h"
#include "core/tensor/type.h"

namespace apr::cpu {

using Size = std::uint64_t;

/// One weight row of `columns` elements -> floats, exactly.
using DecodeRow = void (*)(const std::byte* row, Size columns, float* out) noexcept;

/// y[r] = sum over columns of weight[r] * x, for `count` weight rows that lie row_bytes apart.
using DotRows = void (*)(const std::byte* rows, Size row_bytes, Size count, Size columns,
                         const float* x, float* y) noexcept;

/// y[t * y_stride + r] = the same for `tokens` rows of x and weight rows already decoded to floats.
/// Bit-identical to DotRows over the stored rows.
using DotPanel = void (*)(const float* weights, Size count, Size columns, const float* x,
                          Size x_stride, Size tokens, float* y, Size y_stride) noexcept;

/// Rows of x rounded to blocks of 32 int8 with a float scale each: x[i] ~ d * q[i].
struct RoundedRows {
  const std::int8_t* q = nullptr;            ///< 32 * blocks per row
  const float* d = nullptr;                  ///< blocks per row
  const std::int32_t* minus_sums = nullptr;  ///< blocks per row: -(q[0] + ... + q[31])
  Size blocks = 0;                           ///< per row
};

/// One row of x -> q, d and minus_sums. Elements behind the last column become 0.
using RoundRow = void (*)(const float* x, Size columns, std::int8_t* q, float* d,
                          std::int32_t* minus_sums) noexcept;

/// As DotPanel, with stored weight rows and rounded x: within a block the sum is an exact integer.
using DotRounded = void (*)(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                            Size tokens, float* y, Size y_stride) noexcept;

/// What a weight type needs.
struct WeightKernels {
  DecodeRow decode = nullptr;
  DotRows dot = nullptr;
  DotRounded dot_rounded = nullptr;  ///< only for types that are multiplied with rounded x
};

struct KernelTable {
  CpuLevel level = CpuLevel::scalar;
  WeightKernels f32, f16, bf16, q8_0, q4_0;
  DotPanel dot_panel = nullptr;
  RoundRow round_row = nullptr;

  /// out = x / sqrt(mean(x^2) + epsilon) * weight
  void (*rms_norm)(const float* x, const float* weight, Size n, float epsilon,
                   float* out) noexcept = nullptr;
  /// out = (x - mean) / sqrt(variance + epsilon) * weight + bias; no bias: nullptr
  void (*layer_norm)(const float* x, const float* weight, const float* bias, Size n, float epsilon,
                     float* out) noexcept = nullptr;
  /// The two forms of the op "gelu"; a few units in the last place (approximations.h).
  void (*gelu_erf)(const float* x, Size n, float* out) noexcept = nullptr;
  void (*gelu_tanh)(const float* x, Size n, float* out) noexcept = nullptr;
  void (*tanh)(const float* x, Size n, float* out) noexcept = nullptr;
  /// out = gate / (1 + exp(-gate)) * up
  void (*silu_mul)(const float* gate, const float* up, Size n, float* out) noexcept = nullptr;
  void (*add)(const float* a, const float* b, Size n, float* out) noexcept = nullptr;
  /// One head with pairs (i, i + pairs): see the op "rope".
  void (*rope_halves)(const float* x, const float* cosines, const float* sines, Size pairs,
                      float* out) noexcept = nullptr;

  /// out[t * out_stride + j] = scale * (q[t] . keys[j]) for `queries` vectors that lie q_stride
  /// apart and `count` keys of `dim` floats, one after the other. The same bits for any company.
  void (*scores)(const float* q, Size q_stride, Size queries, const float* keys, Size count,
                 Size dim, float scale, float* out, Size out_stride) noexcept = nullptr;
  /// x[j] = exp(x[j] - max x); returns the sum. The order of the sum depends on n only.
  float (*exponentials)(float* x, Size n) noexcept = nullptr;
  /// out[t][d] += sum over j, in order, of weights[t][j] * values[j][d], for rows t that lie
  /// weights_stride and out_stride apart.
  void (*weighted_sums)(const float* weights, Size weights_stride, Size queries,
                        const float* values, Size count, Size dim, float* out,
                        Size out_stride) noexcept = nullptr;

  /// nullptr for types that are decoded by the codec first.
  const WeightKernels* weights(Type type) const;
};

/// The best table this build has for a level.
const KernelTable& table_for(CpuLevel level);

extern const KernelTable kScalarKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512VnniKernels;
#endif

}  // namespace apr::cpu
