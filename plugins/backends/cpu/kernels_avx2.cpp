// The AVX2 + FMA + F16C table, less the products (products_avx2.cpp) and what
// attention needs (attention_avx2.cpp).
#include "plugins/backends/cpu/avx2.h"

#if defined(__x86_64__)

#include <algorithm>
#include <cmath>

#include "plugins/backends/cpu/approximations.h"
#include "plugins/backends/cpu/kernels_avx2.h"

namespace apr::cpu {
namespace avx2 {

APR_AVX2 void rms_norm(const float* x, const float* weight, Size n, float epsilon,
                       float* out) noexcept {
  __m256 squares[4] = {};
  Size i = 0;
  for (; i + 32 <= n; i += 32) {
    for (Size k = 0; k < 4; ++k) {
      const __m256 v = _mm256_loadu_ps(x + i + 8 * k);
      squares[k] = _mm256_fmadd_ps(v, v, squares[k]);
    }
  }
  for (; i < n; i += 8) {
    const __m256 v = load_some(x + i, std::min<Size>(8, n - i));
    squares[0] = _mm256_fmadd_ps(v, v, squares[0]);
  }
  const float sum = tree_sum(
      _mm256_add_ps(_mm256_add_ps(squares[0], squares[1]), _mm256_add_ps(squares[2], squares[3])));
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
  const __m256 scale8 = _mm256_set1_ps(scale);
  for (i = 0; i + 8 <= n; i += 8) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), scale8);
    _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
  }
  for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

APR_AVX2 void layer_norm(const float* x, const float* weight, const float* bias, Size n,
                         float epsilon, float* out) noexcept {
  __m256 sums[4] = {};
  Size i = 0;
  for (; i + 32 <= n; i += 32) {
    for (Size k = 0; k < 4; ++k) sums[k] = _mm256_add_ps(sums[k], _mm256_loadu_ps(x + i + 8 * k));
  }
  for (; i < n; i += 8) {
    sums[0] = _mm256_add_ps(sums[0], load_some(x + i, std::min<Size>(8, n - i)));
  }
  const float total =
      tree_sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  const float mean = total / static_cast<float>(n);
  const __m256 mean8 = _mm256_set1_ps(mean);
  __m256 squares[2] = {};
  for (i = 0; i + 16 <= n; i += 16) {
    for (Size k = 0; k < 2; ++k) {
      const __m256 centred = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8 * k), mean8);
      squares[k] = _mm256_fmadd_ps(centred, centred, squares[k]);
    }
  }
  float square = tree_sum(_mm256_add_ps(squares[0], squares[1]));
  for (; i < n; ++i) square += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.0f / std::sqrt(square / static_cast<float>(n) + epsilon);
  const __m256 scale8 = _mm256_set1_ps(scale);
  for (i = 0; i + 8 <= n; i += 8) {
    const __m256 normed = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), mean8), scale8);
    const __m256 shift = bias == nullptr ? _mm256_setzero_ps() : _mm256_loadu_ps(bias + i);
    _mm256_storeu_ps(out + i, _mm256_fmadd_ps(normed, _mm256_loadu_ps(weight + i), shift));
  }
  for (; i < n; ++i) {
    out[i] = (x[i] - mean) * scale * weight[i] + (bias == nullptr ? 0.0f : bias[i]);
  }
}

/// x/2 (1 + tanh u) = x / (1 + exp(-2u))
APR_AVX2_INLINE __m256 gelu_tanh8(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  const __m256 cubic = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(kGeluCubic), x), x, one);
  const __m256 minus_twice_u = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(-kGeluTwice), x), cubic);
  return _mm256_div_ps(x, _mm256_add_ps(one, exp8(minus_twice_u)));
}

APR_AVX2 void gelu_tanh(const float* x, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, gelu_tanh8(_mm256_loadu_ps(x + i)));
  if (i < n) store_some(out + i, gelu_tanh8(load_some(x + i, n - i)), n - i);
}

template <int n>
APR_AVX2_INLINE __m256 polynomial8(const float (&c)[n], __m256 x) {
  __m256 sum = _mm256_set1_ps(c[n - 1]);
  APR_UNROLL
  for (int i = n - 2; i >= 0; --i) sum = _mm256_fmadd_ps(sum, x, _mm256_set1_ps(c[i]));
  return sum;
}

APR_AVX2_INLINE __m256 magnitude8(__m256 x) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

APR_AVX2_INLINE __m256 gelu_erf8(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  const __m256 z = _mm256_min_ps(_mm256_set1_ps(kTailEnd), magnitude8(x));  // NaN stays
  const __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(_mm256_set1_ps(kTailSlope), z, one));
  const __m256 square = _mm256_mul_ps(z, z);
  const __m256 lost = _mm256_fmsub_ps(z, z, square);
  const __m256 half = _mm256_set1_ps(-0.5f);
  const __m256 rough = exp8(_mm256_mul_ps(half, square));
  const __m256 e = _mm256_fmadd_ps(rough, _mm256_mul_ps(half, lost), rough);
  const __m256 tail = _mm256_mul_ps(e, _mm256_mul_ps(t, polynomial8(kTail, t)));
  return _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_sub_ps(one, tail), tail, x));
}

APR_AVX2 void gelu_erf(const float* x, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, gelu_erf8(_mm256_loadu_ps(x + i)));
  if (i < n) store_some(out + i, gelu_erf8(load_some(x + i, n - i)), n - i);
}

APR_AVX2_INLINE __m256 tanh8(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  const __m256 z = _mm256_min_ps(_mm256_set1_ps(kTanhLarge), magnitude8(x));  // NaN stays
  const __m256 e = exp8(_mm256_add_ps(z, z));
  const __m256 large =
      _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0f), _mm256_add_ps(e, one)));
  const __m256 square = _mm256_mul_ps(z, z);
  const __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(z, square), polynomial8(kTanh, square), z);
  const __m256 is_small = _mm256_cmp_ps(z, _mm256_set1_ps(kTanhSmall), _CMP_LT_OQ);
  const __m256 sign = _mm256_and_ps(_mm256_set1_ps(-0.0f), x);
  return _mm256_or_ps(_mm256_blendv_ps(large, small, is_small), sign);
}

APR_AVX2 void tanh(const float* x, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, tanh8(_mm256_loadu_ps(x + i)));
  if (i < n) store_some(out + i, tanh8(load_some(x + i, n - i)), n - i);
}

APR_AVX2_INLINE __m256 silu_mul8(__m256 gate, __m256 up) {
  const __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), gate));
  return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(_mm256_set1_ps(1.0f), e)), up);
}

APR_AVX2 void silu_mul(const float* gate, const float* up, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(out + i, silu_mul8(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
  }
  if (i < n)
    store_some(out + i, silu_mul8(load_some(gate + i, n - i), load_some(up + i, n - i)), n - i);
}

APR_AVX2 void add(const float* a, const float* b, Size n, float* out) noexcept {
  Size i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
  }
  for (; i < n; ++i) out[i] = a[i] + b[i];
}

APR_AVX2 void rope_halves(const float* x, const float* cosines, const float* sines, Size pairs,
                          float* out) noexcept {
  Size i = 0;
  for (; i + 8 <= pairs; i += 8) {
    const __m256 a = _mm256_loadu_ps(x + i);
    const __m256 b = _mm256_loadu_ps(x + i + pairs);
    const __m256 c = _mm256_loadu_ps(cosines + i);
    const __m256 s = _mm256_loadu_ps(sines + i);
    _mm256_storeu_ps(out + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
    _mm256_storeu_ps(out + i + pairs, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
  }
  for (; i < pairs; ++i) {
    const float a = x[i];
    const float b = x[i + pairs];
    out[i] = a * cosines[i] - b * sines[i];
    out[i + pairs] = b * cosines[i] + a * sines[i];
  }
}

APR_AVX2 void round_row(const float* x, Size columns, std::int8_t* q, float* d,
                        std::int32_t* minus_sums) noexcept {
  const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256 infinity = _mm256_set1_ps(INFINITY);
  for (Size begin = 0; begin < columns; begin += kUnit, x += kUnit, q += kUnit, ++d, ++minus_sums) {
    const Size n = columns - begin;
    float whole[kUnit] = {};
    const float* from = x;
    if (n < kUnit) {
      std::memcpy(whole, x, n * sizeof(float));
      from = whole;
    }
    __m256 v[4];
    __m256 largest8 = _mm256_setzero_ps();
    __m256 finite = _mm256_cmp_ps(infinity, infinity, _CMP_EQ_OQ);
    for (int k = 0; k < 4; ++k) {
      v[k] = _mm256_loadu_ps(from + 8 * k);
      const __m256 magnitude = _mm256_and_ps(v[k], no_sign);
      largest8 = _mm256_max_ps(largest8, magnitude);
      finite = _mm256_and_ps(finite, _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ));
    }
    if (_mm256_movemask_ps(finite) !=
        0xff) {  // NaN or infinity: the scale carries it to the result
      std::memset(q, 0, kUnit);
      *d = NAN;
      *minus_sums = 0;
      continue;
    }
    __m128 largest4 =
        _mm_max_ps(_mm256_castps256_ps128(largest8), _mm256_extractf128_ps(largest8, 1));
    largest4 = _mm_max_ps(largest4, _mm_movehl_ps(largest4, largest4));
    largest4 = _mm_max_ss(largest4, _mm_movehdup_ps(largest4));
    const float largest = _mm_cvtss_f32(largest4);
    float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
    if (!(inverse < INFINITY)) inverse = 0.0f;  // too small to count
    *d = largest / 127.0f;
    const __m256 inverse8 = _mm256_set1_ps(inverse);
    __m256i whole_numbers[4];
    for (int k = 0; k < 4; ++k)
      whole_numbers[k] = _mm256_cvtps_epi32(_mm256_mul_ps(v[k], inverse8));
    const __m256i words_a = _mm256_packs_epi32(whole_numbers[0], whole_numbers[1]);
    const __m256i words_b = _mm256_packs_epi32(whole_numbers[2], whole_numbers[3]);
    const __m256i bytes =
        _mm256_packs_epi16(words_a, words_b);  // in the order 0 2 4 6 1 3 5 7 of fours
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_permutevar8x32_epi32(bytes, order));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(-1));
    const __m128i halves =
        _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    const __m128i twos = _mm_add_epi32(halves, _mm_shuffle_epi32(halves, 0x4e));
    *minus_sums = _mm_cvtsi128_si32(_mm_add_epi32(twos, _mm_shuffle_epi32(twos, 0xb1)));
  }
}

}  // namespace avx2

const KernelTable kAvx2Kernels = {
    .level = CpuLevel::avx2,
    .f32 = {avx2::decode_f32, avx2::dot_f32, nullptr},
    .f16 = {avx2::decode_f16, avx2::dot_f16, nullptr},
    .bf16 = {avx2::decode_bf16, avx2::dot_bf16, nullptr},
    .q8_0 = {avx2::decode_q8_0, avx2::dot_q8_0, avx2::dot_rounded_q8_0},
    .q4_0 = {avx2::decode_q4_0, avx2::dot_q4_0, avx2::dot_rounded_q4_0},
    .dot_panel = avx2::dot_panel,
    .round_row = avx2::round_row,
    .rms_norm = avx2::rms_norm,
    .layer_norm = avx2::layer_norm,
    .gelu_erf = avx2::gelu_erf,
    .gelu_tanh = avx2::gelu_tanh,
    .tanh = avx2::tanh,
    .silu_mul = avx2::silu_mul,
    .add = avx2::add,
    .rope_halves = avx2::rope_halves,
    .scores = avx2::scores,
    .exponentials = avx2::exponentials,
    .weighted_sums = avx2::weighted_sums,
};

}  // namespace apr::cpu

#endif
