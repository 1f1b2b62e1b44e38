// Pieces of AVX2 code shared by the kernels of that level. Only included by files whose functions
// carry APR_AVX2; nothing here is ever compiled into code for other processors.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "core/tensor/blocks.h"
#include "plugins/backends/cpu/kernels.h"

#define APR_AVX2 __attribute__((target("avx2,fma,f16c")))
#define APR_AVX2_INLINE APR_AVX2 __attribute__((always_inline)) inline

/// Before loops over accumulators: they only stay in registers when the loop is gone.
#if defined(__clang__)
#define APR_UNROLL _Pragma("unroll")
#else
#define APR_UNROLL _Pragma("GCC unroll 16")
#endif

namespace apr::cpu::avx2 {

inline constexpr Size kUnit = 32;  ///< elements that all types are walked by

/// ((0+1)+(2+3)) + ((4+5)+(6+7)), the order that every horizontal sum of this level has.
APR_AVX2_INLINE float tree_sum(__m256 v) {
  const __m256 pairs = _mm256_hadd_ps(v, v);
  const __m256 quads = _mm256_hadd_ps(pairs, pairs);
  return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1)));
}

/// tree_sum of four vectors at once.
APR_AVX2_INLINE __m128 four_tree_sums(const __m256 (&v)[4]) {
  const __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
  return _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
}

/// tree_sum of eight vectors at once.
APR_AVX2_INLINE __m256 tree_sums(const __m256 (&v)[8]) {
  const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
  const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
  return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

APR_AVX2_INLINE float half_to_float(const std::byte* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

APR_AVX2_INLINE __m256i load_bytes(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

/// Fewer than eight floats, the rest 0.
APR_AVX2_INLINE __m256 load_some(const float* at, Size n) {
  float whole[8] = {};
  std::memcpy(whole, at, n * sizeof(float));
  return _mm256_loadu_ps(whole);
}

APR_AVX2_INLINE void store_some(float* at, __m256 v, Size n) {
  float whole[8];
  _mm256_storeu_ps(whole, v);
  std::memcpy(at, whole, n * sizeof(float));
}

/// exp to about one unit in the last place; 0 below the smallest normal float, NaN stays NaN.
APR_AVX2_INLINE __m256 exp8(__m256 x) {
  const __m256 smallest = _mm256_set1_ps(-87.3f);
  const __m256 clamped = _mm256_max_ps(smallest, _mm256_min_ps(_mm256_set1_ps(88.0f), x));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(clamped, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // clamped - n ln 2, with ln 2 in two parts so that the first product is exact
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), clamped);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.0f / 5040);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  const __m256 result = _mm256_mul_ps(p, _mm256_castsi256_ps(power));
  return _mm256_andnot_ps(_mm256_cmp_ps(x, smallest, _CMP_LT_OQ), result);
}

// How 32 elements of each type become four vectors of floats. kBytes: bytes of 32 elements.

struct F32 {
  static constexpr Size kBytes = 128;
  APR_AVX2_INLINE static void load(const std::byte* at, __m256 (&w)[4]) {
    const auto* floats = reinterpret_cast<const float*>(at);  // loadu: any alignment
    for (int i = 0; i < 4; ++i) w[i] = _mm256_loadu_ps(floats + 8 * i);
  }
};

struct F16 {
  static constexpr Size kBytes = 64;
  APR_AVX2_INLINE static void load(const std::byte* at, __m256 (&w)[4]) {
    for (int i = 0; i < 4; ++i) {
      w[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * i)));
    }
  }
};

struct Bf16 {
  static constexpr Size kBytes = 64;
  APR_AVX2_INLINE static void load(const std::byte* at, __m256 (&w)[4]) {
    for (int i = 0; i < 4; ++i) {
      const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * i));
      w[i] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
  }
};

/// Integers of a weight block as maddubs wants them: unsigned bytes, and signs that x takes over.
struct SignedIntegers {
  __m256i signs;
  __m256i magnitudes;  ///< -128 becomes 128 as an unsigned byte
};
APR_AVX2_INLINE SignedIntegers signed_integers(__m256i w) {
  return {w, _mm256_abs_epi8(w)};
}
/// Products of 32 with 32, four to a lane; sums of words stay below 2 * 128 * 127, so none
/// overflows.
APR_AVX2_INLINE __m256i dot_block(const SignedIntegers& w, __m256i x) {
  const __m256i words = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(x, w.signs));
  return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}
APR_AVX2_INLINE __m256i dot_block(const SignedIntegers& w, __m256i x, __m256i) {
  return dot_block(w, x);
}

/// Integers 0 … 15 that stand for -8 … 7: the 8 is taken off the sums, which saves three
/// instructions when a block meets one row of x only. The sums are the same integers.
struct ShiftedIntegers {
  __m256i w;
};
APR_AVX2_INLINE __m256i dot_block(const ShiftedIntegers& w, __m256i x, __m256i offset) {
  const __m256i words = _mm256_maddubs_epi16(w.w, x);
  return _mm256_sub_epi32(_mm256_madd_epi16(words, _mm256_set1_epi16(1)), offset);
}

struct Q8_0 {
  static constexpr Size kBytes = sizeof(BlockQ8_0);
  APR_AVX2_INLINE static void load(const std::byte* at, __m256 (&w)[4]) {
    const __m256 d = _mm256_set1_ps(half_to_float(at));
    for (int i = 0; i < 4; ++i) {
      const __m128i q = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + 2 + 8 * i));
      w[i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
    }
  }

  APR_AVX2_INLINE static __m256i integers(const std::byte* at) { return load_bytes(at + 2); }
  using Once = SignedIntegers;  ///< for one row of x: nothing is cheaper
  APR_AVX2_INLINE static Once once(const std::byte* at) { return signed_integers(integers(at)); }
  APR_AVX2_INLINE static __m256i offset(__m256i) { return _mm256_setzero_si256(); }
};

struct Q4_0 {
  static constexpr Size kBytes = sizeof(BlockQ4_0);
  APR_AVX2_INLINE static void load(const std::byte* at, __m256 (&w)[4]) {
    const __m256 d = _mm256_set1_ps(half_to_float(at));
    const __m256i q = integers(at);
    const __m128i halves[2] = {_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1)};
    for (int i = 0; i < 4; ++i) {
      const __m128i eight =
          i % 2 == 0 ? halves[i / 2] : _mm_unpackhi_epi64(halves[i / 2], halves[i / 2]);
      w[i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)));
    }
  }

  APR_AVX2_INLINE static __m256i nibbles(const std::byte* at) {
    const __m256i twice =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 2)));
    const __m256i shifted = _mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 0, 4, 4));
    return _mm256_and_si256(shifted, _mm256_set1_epi8(15));
  }
  APR_AVX2_INLINE static __m256i integers(const std::byte* at) {
    return _mm256_sub_epi8(nibbles(at), _mm256_set1_epi8(8));
  }
  using Once = ShiftedIntegers;
  APR_AVX2_INLINE static Once once(const std::byte* at) { return {nibbles(at)}; }
  /// 8 times the sum of x, lane by lane.
  APR_AVX2_INLINE static __m256i offset(__m256i x) {
    const __m256i words = _mm256_maddubs_epi16(_mm256_set1_epi8(8), x);
    return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
  }
};

inline constexpr Size kLine = 64;  ///< bytes of a cache line

/// How far ahead of what is being read memory is asked for. Weights are read once, several rows
/// side by side, which hides the pattern from the processor's own prefetcher; about 8 KiB in flight
/// per thread covers the latency. Short rows: so many groups of rows ahead. Long rows: further
/// along the same row.
inline Size bytes_ahead(Size row_bytes, Size rows_together) {
  constexpr Size kInFlight = 8192;
  if (row_bytes * rows_together >= 2 * kInFlight) return kInFlight / rows_together;
  const Size groups = kInFlight / (row_bytes * rows_together);
  return (groups > 0 ? groups : 1) * rows_together * row_bytes;
}

APR_AVX2_INLINE void prefetch(const std::byte* at) {
  _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
}

/// Four halves that lie `stride` bytes apart, as floats.
APR_AVX2_INLINE __m128 four_halves(const std::byte* at, Size stride) {
  std::uint16_t h[4];
  for (Size i = 0; i < 4; ++i) std::memcpy(&h[i], at + i * stride, 2);
  const std::uint64_t all =
      h[0] | std::uint64_t{h[1]} << 16 | std::uint64_t{h[2]} << 32 | std::uint64_t{h[3]} << 48;
  return _mm_cvtph_ps(_mm_cvtsi64_si128(static_cast<long long>(all)));
}

}  // namespace apr::cpu::avx2

#endif
