// Pieces of AVX-512 code shared by the kernels of that level. Only included by files whose
// functions carry APR_AVX512; nothing here is ever compiled into code for other processors.
#pragma once

#if defined(__x86_64__)

#include "plugins/backends/cpu/avx2.h"

#define APR_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define APR_AVX512_INLINE APR_AVX512 __attribute__((always_inline)) inline
#define APR_VNNI \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define APR_VNNI_INLINE APR_VNNI __attribute__((always_inline)) inline

namespace apr::cpu::avx512 {

inline constexpr Size kLanes = 16;
inline constexpr Size kUnit = 32;  ///< elements that all types are walked by

/// The first n of sixteen lanes.
APR_AVX512_INLINE __mmask16 first_lanes(Size n) {
  return static_cast<__mmask16>((1U << n) - 1U);
}

/// The upper eight lanes are added to the lower ones, then these as AVX2 does.
APR_AVX512_INLINE float tree_sum(__m512 v) {
  return avx2::tree_sum(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

/// See avx2::exp8.
APR_AVX512_INLINE __m512 exp16(__m512 x) {
  const __m512 smallest = _mm512_set1_ps(-87.3f);
  const __m512 clamped = _mm512_max_ps(smallest, _mm512_min_ps(_mm512_set1_ps(88.0f), x));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(clamped, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), clamped);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 5040);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  const __m512i power =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
  const __mmask16 counts = _mm512_cmp_ps_mask(x, smallest, _CMP_NLT_UQ);  // NaN stays
  return _mm512_maskz_mul_ps(counts, p, _mm512_castsi512_ps(power));
}

// How 32 elements of each type become two vectors of floats. kBytes: bytes of 32 elements.

struct F32 {
  static constexpr Size kBytes = 128;
  APR_AVX512_INLINE static void load(const std::byte* at, __m512 (&w)[2]) {
    w[0] = _mm512_loadu_ps(at);
    w[1] = _mm512_loadu_ps(at + 64);
  }
};

struct F16 {
  static constexpr Size kBytes = 64;
  APR_AVX512_INLINE static void load(const std::byte* at, __m512 (&w)[2]) {
    w[0] = _mm512_cvtph_ps(avx2::load_bytes(at));
    w[1] = _mm512_cvtph_ps(avx2::load_bytes(at + 32));
  }
};

struct Bf16 {
  static constexpr Size kBytes = 64;
  APR_AVX512_INLINE static void load(const std::byte* at, __m512 (&w)[2]) {
    for (int i = 0; i < 2; ++i) {
      const __m512i bits = _mm512_cvtepu16_epi32(avx2::load_bytes(at + 32 * i));
      w[i] = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
    }
  }
};

/// Integers of a block times its scale.
APR_AVX512_INLINE void scaled(const std::byte* at, __m256i integers, __m512 (&w)[2]) {
  const __m512 d = _mm512_set1_ps(avx2::half_to_float(at));
  const __m128i halves[2] = {_mm256_castsi256_si128(integers),
                             _mm256_extracti128_si256(integers, 1)};
  for (int i = 0; i < 2; ++i) {
    w[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(halves[i])));
  }
}

struct Q8_0 {
  static constexpr Size kBytes = sizeof(BlockQ8_0);
  APR_AVX512_INLINE static void load(const std::byte* at, __m512 (&w)[2]) {
    scaled(at, avx2::Q8_0::integers(at), w);
  }
};

struct Q4_0 {
  static constexpr Size kBytes = sizeof(BlockQ4_0);
  APR_AVX512_INLINE static void load(const std::byte* at, __m512 (&w)[2]) {
    scaled(at, avx2::Q4_0::integers(at), w);
  }
};

}  // namespace apr::cpu::avx512

#endif
