// The AVX-512 tables, less the products (products_avx512.cpp, rounded_vnni.cpp). Functions that
// wait for memory, and scores, whose vectors are a head long, are those of AVX2.
#include "plugins/backends/cpu/avx512.h"

#if defined(__x86_64__)

#include <algorithm>

#include "plugins/backends/cpu/approximations.h"
#include "plugins/backends/cpu/kernels_avx2.h"
#include "plugins/backends/cpu/kernels_avx512.h"

namespace apr::cpu {
namespace avx512 {
namespace {

template <int n>
APR_AVX512_INLINE __m512 polynomial16(const float (&c)[n], __m512 x) {
  __m512 sum = _mm512_set1_ps(c[n - 1]);
  APR_UNROLL
  for (int i = n - 2; i >= 0; --i) sum = _mm512_fmadd_ps(sum, x, _mm512_set1_ps(c[i]));
  return sum;
}

APR_AVX512_INLINE __m512 gelu_erf16(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 z = _mm512_min_ps(_mm512_set1_ps(kTailEnd), _mm512_abs_ps(x));  // NaN stays
  const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(_mm512_set1_ps(kTailSlope), z, one));
  const __m512 square = _mm512_mul_ps(z, z);
  const __m512 lost = _mm512_fmsub_ps(z, z, square);
  const __m512 half = _mm512_set1_ps(-0.5f);
  const __m512 rough = exp16(_mm512_mul_ps(half, square));
  const __m512 e = _mm512_fmadd_ps(rough, _mm512_mul_ps(half, lost), rough);
  const __m512 tail = _mm512_mul_ps(e, _mm512_mul_ps(t, polynomial16(kTail, t)));
  const __mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
  return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(one, tail), negative, tail));
}

APR_AVX512_INLINE __m512 gelu_tanh16(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 cubic = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_set1_ps(kGeluCubic), x), x, one);
  const __m512 minus_twice_u = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(-kGeluTwice), x), cubic);
  return _mm512_div_ps(x, _mm512_add_ps(one, exp16(minus_twice_u)));
}

APR_AVX512 void gelu_erf(const float* x, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    _mm512_storeu_ps(out + i, gelu_erf16(_mm512_loadu_ps(x + i)));
  }
  const __mmask16 rest = first_lanes(n - i);
  _mm512_mask_storeu_ps(out + i, rest, gelu_erf16(_mm512_maskz_loadu_ps(rest, x + i)));
}

APR_AVX512 void gelu_tanh(const float* x, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    _mm512_storeu_ps(out + i, gelu_tanh16(_mm512_loadu_ps(x + i)));
  }
  const __mmask16 rest = first_lanes(n - i);
  _mm512_mask_storeu_ps(out + i, rest, gelu_tanh16(_mm512_maskz_loadu_ps(rest, x + i)));
}

APR_AVX512_INLINE __m512 silu_mul16(__m512 gate, __m512 up) {
  const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), gate));
  return _mm512_mul_ps(_mm512_div_ps(gate, _mm512_add_ps(_mm512_set1_ps(1.0f), e)), up);
}

APR_AVX512 void silu_mul(const float* gate, const float* up, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    _mm512_storeu_ps(out + i, silu_mul16(_mm512_loadu_ps(gate + i), _mm512_loadu_ps(up + i)));
  }
  const __mmask16 rest = first_lanes(n - i);
  _mm512_mask_storeu_ps(
      out + i, rest,
      silu_mul16(_mm512_maskz_loadu_ps(rest, gate + i), _mm512_maskz_loadu_ps(rest, up + i)));
}

APR_AVX512 float exponentials(float* x, Size n) noexcept {
  const __m512 nothing = _mm512_set1_ps(x[0]);
  const __mmask16 rest = first_lanes(n % kLanes);
  __m512 largest16 = nothing;
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    largest16 = _mm512_max_ps(largest16, _mm512_loadu_ps(x + i));
  }
  largest16 = _mm512_max_ps(largest16, _mm512_mask_loadu_ps(nothing, rest, x + i));
  float lanes[kLanes];
  _mm512_storeu_ps(lanes, largest16);
  largest16 = _mm512_set1_ps(*std::max_element(lanes, lanes + kLanes));
  __m512 sum = _mm512_setzero_ps();
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const __m512 e = exp16(_mm512_sub_ps(_mm512_loadu_ps(x + i), largest16));
    _mm512_storeu_ps(x + i, e);
    sum = _mm512_add_ps(sum, e);
  }
  const __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(rest, x + i), largest16));
  _mm512_mask_storeu_ps(x + i, rest, e);
  return tree_sum(_mm512_mask_add_ps(sum, rest, sum, e));
}

/// Q rows of weights times 16 V columns of the values, less those that `lanes` leaves out; they
/// stay in registers while all values pass by.
template <int Q, int V>
APR_AVX512_INLINE void weighted_tile(const float* weights, Size weights_stride, const float* values,
                                     Size count, Size dim, float* out, Size out_stride,
                                     __mmask16 lanes) {
  __m512 sums[Q][V];
  APR_UNROLL
  for (int t = 0; t < Q; ++t) {
    APR_UNROLL
    for (int v = 0; v < V; ++v) {
      sums[t][v] = _mm512_maskz_loadu_ps(lanes, out + static_cast<Size>(t) * out_stride + 16 * v);
    }
  }
  for (Size j = 0; j < count; ++j) {
    __m512 value[V];
    APR_UNROLL
    for (int v = 0; v < V; ++v) {
      value[v] = _mm512_maskz_loadu_ps(lanes, values + j * dim + 16 * static_cast<Size>(v));
    }
    APR_UNROLL
    for (int t = 0; t < Q; ++t) {
      const __m512 weight = _mm512_set1_ps(weights[static_cast<Size>(t) * weights_stride + j]);
      APR_UNROLL
      for (int v = 0; v < V; ++v) sums[t][v] = _mm512_fmadd_ps(weight, value[v], sums[t][v]);
    }
  }
  APR_UNROLL
  for (int t = 0; t < Q; ++t) {
    APR_UNROLL
    for (int v = 0; v < V; ++v) {
      _mm512_mask_storeu_ps(out + static_cast<Size>(t) * out_stride + 16 * v, lanes, sums[t][v]);
    }
  }
}

template <int Q>
APR_AVX512_INLINE void weighted_rows(const float* weights, Size weights_stride, const float* values,
                                     Size count, Size dim, float* out, Size out_stride) {
  Size d = 0;
  for (; d + 64 <= dim; d += 64) {
    weighted_tile<Q, 4>(weights, weights_stride, values + d, count, dim, out + d, out_stride,
                        first_lanes(kLanes));
  }
  for (; d < dim; d += kLanes) {
    weighted_tile<Q, 1>(weights, weights_stride, values + d, count, dim, out + d, out_stride,
                        first_lanes(std::min(kLanes, dim - d)));
  }
}

APR_AVX512 void weighted_sums(const float* weights, Size weights_stride, Size queries,
                              const float* values, Size count, Size dim, float* out,
                              Size out_stride) noexcept {
  constexpr Size kTogether = 64;  // keys whose values stay in the L1 cache for all queries
  for (Size begin = 0; begin < count; begin += kTogether) {
    const Size n = std::min(kTogether, count - begin);
    const float* const from = values + begin * dim;
    Size t = 0;
    for (; t + 6 <= queries; t += 6) {
      weighted_rows<6>(weights + t * weights_stride + begin, weights_stride, from, n, dim,
                       out + t * out_stride, out_stride);
    }
    for (; t < queries; ++t) {
      weighted_rows<1>(weights + t * weights_stride + begin, weights_stride, from, n, dim,
                       out + t * out_stride, out_stride);
    }
  }
}

constexpr KernelTable table(CpuLevel level, DotRounded dot_rounded_q8_0,
                            DotRounded dot_rounded_q4_0) {
  return {
      .level = level,
      .f32 = {avx2::decode_f32, dot_f32, nullptr},
      .f16 = {avx2::decode_f16, dot_f16, nullptr},
      .bf16 = {avx2::decode_bf16, dot_bf16, nullptr},
      .q8_0 = {avx2::decode_q8_0, dot_q8_0, dot_rounded_q8_0},
      .q4_0 = {avx2::decode_q4_0, dot_q4_0, dot_rounded_q4_0},
      .dot_panel = dot_panel,
      .round_row = avx2::round_row,
      .rms_norm = avx2::rms_norm,
      .layer_norm = avx2::layer_norm,
      .gelu_erf = gelu_erf,
      .gelu_tanh = gelu_tanh,
      .tanh = avx2::tanh,
      .silu_mul = silu_mul,
      .add = avx2::add,
      .rope_halves = avx2::rope_halves,
      .scores = avx2::scores,
      .exponentials = exponentials,
      .weighted_sums = weighted_sums,
  };
}

}  // namespace
}  // namespace avx512

const KernelTable kAvx512Kernels =
    avx512::table(CpuLevel::avx512, avx2::dot_rounded_q8_0, avx2::dot_rounded_q4_0);
const KernelTable kAvx512VnniKernels =
    avx512::table(CpuLevel::avx512_vnni, avx512::dot_vnni_q8_0, avx512::dot_vnni_q4_0);

}  // namespace apr::cpu

#endif
