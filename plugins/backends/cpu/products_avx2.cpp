// Products of weight rows with activations, AVX2.
//
// Every output has one accumulator of eight lanes: element i is added to lane i mod 8 by a fused
// multiply-add, in the order of i, and the lanes are added in a fixed tree at the end. Parallelism
// comes from computing several outputs at once, never from splitting one, so a tile of any shape
// gives the same bits. Rounded products work the same way with one fused multiply-add per block of
// 32: its eight lanes hold exact integer sums of four products each.
#include "plugins/backends/cpu/avx2.h"
#include "plugins/backends/cpu/kernels_avx2.h"

#if defined(__x86_64__)

#include <algorithm>

namespace apr::cpu::avx2 {
namespace {

constexpr Size kRowsTogether = 4;  ///< weight rows that stream by side by side

/// The elements behind the last whole unit as a unit of their own, padded with zeros.
template <typename W>
APR_AVX2_INLINE void load_tail(const std::byte* at, Size n, __m256 (&w)[4]) {
  std::byte stored[W::kBytes] = {};
  constexpr bool kBlocks = W::kBytes == sizeof(BlockQ8_0) || W::kBytes == sizeof(BlockQ4_0);
  std::memcpy(stored, at, kBlocks ? W::kBytes : n * (W::kBytes / kUnit));
  W::load(stored, w);
  float whole[kUnit];
  APR_UNROLL
  for (int i = 0; i < 4; ++i) _mm256_storeu_ps(whole + 8 * i, w[i]);
  std::fill(whole + n, whole + kUnit, 0.0f);
  APR_UNROLL
  for (int i = 0; i < 4; ++i) w[i] = _mm256_loadu_ps(whole + 8 * i);
}

APR_AVX2_INLINE void load_tail_x(const float* x, Size n, __m256 (&v)[4]) {
  float whole[kUnit] = {};
  std::memcpy(whole, x, n * sizeof(float));
  APR_UNROLL
  for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(whole + 8 * i);
}

template <typename W>
APR_AVX2_INLINE void decode(const std::byte* row, Size columns, float* out) {
  __m256 w[4];
  Size i = 0;
  for (; i + kUnit <= columns; i += kUnit, row += W::kBytes) {
    W::load(row, w);
    APR_UNROLL
    for (int k = 0; k < 4; ++k) _mm256_storeu_ps(out + i + 8 * k, w[k]);
  }
  if (i == columns) return;
  load_tail<W>(row, columns - i, w);
  float whole[kUnit];
  APR_UNROLL
  for (int k = 0; k < 4; ++k) _mm256_storeu_ps(whole + 8 * k, w[k]);
  std::memcpy(out + i, whole, (columns - i) * sizeof(float));
}

/// `R` weight rows times one row of x, while the next ones come from memory.
template <typename W, int R>
APR_AVX2_INLINE void dot_some(const std::byte* rows, Size row_bytes, Size columns, const float* x,
                              float* y) {
  __m256 sums[R];
  APR_UNROLL
  for (int r = 0; r < R; ++r) sums[r] = _mm256_setzero_ps();
  const Size units = columns / kUnit;
  const Size ahead = bytes_ahead(row_bytes, kRowsTogether);
  const std::byte* at = rows;
  for (Size u = 0; u < units; ++u, at += W::kBytes) {
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      const std::byte* unit = at + static_cast<Size>(r) * row_bytes;
      if constexpr (W::kBytes > kLine) prefetch(unit + ahead + kLine);
      if (W::kBytes >= kLine || u % (kLine / W::kBytes) == 0) prefetch(unit + ahead);
      __m256 w[4];
      W::load(unit, w);
      APR_UNROLL
      for (int k = 0; k < 4; ++k) {
        const float* from = x + u * kUnit + 8 * static_cast<Size>(k);
        sums[r] = _mm256_fmadd_ps(w[k], _mm256_loadu_ps(from), sums[r]);
      }
    }
  }
  if (const Size rest = columns % kUnit; rest != 0) {
    __m256 v[4];
    load_tail_x(x + units * kUnit, rest, v);
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      __m256 w[4];
      load_tail<W>(at + static_cast<Size>(r) * row_bytes, rest, w);
      APR_UNROLL
      for (int k = 0; k < 4; ++k) sums[r] = _mm256_fmadd_ps(w[k], v[k], sums[r]);
    }
  }
  APR_UNROLL
  for (int r = 0; r < R; ++r) y[r] = tree_sum(sums[r]);
}

template <typename W>
APR_AVX2_INLINE void dot(const std::byte* rows, Size row_bytes, Size count, Size columns,
                         const float* x, float* y) {
  constexpr int kRows = kRowsTogether;
  Size r = 0;
  for (; r + kRows <= count; r += kRows) {
    dot_some<W, kRows>(rows + r * row_bytes, row_bytes, columns, x, y + r);
  }
  for (; r < count; ++r) dot_some<W, 1>(rows + r * row_bytes, row_bytes, columns, x, y + r);
}

/// R weight rows (floats) times T rows of x.
template <int R, int T>
APR_AVX2_INLINE void panel_tile(const float* weights, Size columns, const float* x, Size x_stride,
                                float* y, Size y_stride) {
  __m256 sums[T][R];
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    APR_UNROLL
    for (int r = 0; r < R; ++r) sums[t][r] = _mm256_setzero_ps();
  }
  Size i = 0;
  for (; i + 8 <= columns; i += 8) {
    __m256 v[T];
    APR_UNROLL
    for (int t = 0; t < T; ++t) v[t] = _mm256_loadu_ps(x + static_cast<Size>(t) * x_stride + i);
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m256 w = _mm256_loadu_ps(weights + static_cast<Size>(r) * columns + i);
      APR_UNROLL
      for (int t = 0; t < T; ++t) sums[t][r] = _mm256_fmadd_ps(w, v[t], sums[t][r]);
    }
  }
  if (const Size rest = columns - i; rest != 0) {
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      __m256 w[4];
      load_tail_x(weights + static_cast<Size>(r) * columns + i, rest, w);
      APR_UNROLL
      for (int t = 0; t < T; ++t) {
        __m256 v[4];
        load_tail_x(x + static_cast<Size>(t) * x_stride + i, rest, v);
        sums[t][r] = _mm256_fmadd_ps(w[0], v[0], sums[t][r]);
      }
    }
  }
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      y[static_cast<Size>(t) * y_stride + static_cast<Size>(r)] = tree_sum(sums[t][r]);
    }
  }
}

template <int R>
APR_AVX2_INLINE void panel_rows(const float* weights, Size columns, const float* x, Size x_stride,
                                Size tokens, float* y, Size y_stride) {
  constexpr Size kTokens = 3;
  Size t = 0;
  for (; t + kTokens <= tokens; t += kTokens) {
    panel_tile<R, kTokens>(weights, columns, x + t * x_stride, x_stride, y + t * y_stride,
                           y_stride);
  }
  for (; t < tokens; ++t) {
    panel_tile<R, 1>(weights, columns, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
  }
}

/// R stored weight rows times T rounded rows of x.
template <typename W, int R, int T>
APR_AVX2_INLINE void rounded_tile(const std::byte* rows, Size row_bytes, const std::int8_t* q,
                                  const float* d, Size blocks, float* y, Size y_stride) {
  __m256 sums[T][R];
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    APR_UNROLL
    for (int r = 0; r < R; ++r) sums[t][r] = _mm256_setzero_ps();
  }
  for (Size b = 0; b < blocks; ++b) {
    __m256i x[T];
    APR_UNROLL
    for (int t = 0; t < T; ++t) {
      x[t] = load_bytes(q + (static_cast<Size>(t) * blocks + b) * kUnit);
    }
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      const std::byte* unit = rows + static_cast<Size>(r) * row_bytes + b * W::kBytes;
      const SignedIntegers w = signed_integers(W::integers(unit));
      const __m256 scale = _mm256_set1_ps(half_to_float(unit));
      APR_UNROLL
      for (int t = 0; t < T; ++t) {
        const __m256 exact = _mm256_cvtepi32_ps(dot_block(w, x[t]));
        const __m256 both =
            _mm256_mul_ps(scale, _mm256_set1_ps(d[static_cast<Size>(t) * blocks + b]));
        sums[t][r] = _mm256_fmadd_ps(exact, both, sums[t][r]);
      }
    }
  }
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      y[static_cast<Size>(t) * y_stride + static_cast<Size>(r)] = tree_sum(sums[t][r]);
    }
  }
}

/// Four stored weight rows times one rounded row of x, while the next four come from memory.
template <typename W>
APR_AVX2_INLINE void rounded_stream(const std::byte* rows, Size row_bytes, const std::int8_t* q,
                                    const float* d, Size blocks, float* y) {
  __m256 sums[4];
  APR_UNROLL
  for (int r = 0; r < 4; ++r) sums[r] = _mm256_setzero_ps();
  const Size ahead = bytes_ahead(row_bytes, kRowsTogether);
  for (Size b = 0; b < blocks; ++b) {
    const __m256i x = load_bytes(q + b * kUnit);
    const __m256i offset = W::offset(x);
    const std::byte* column = rows + b * W::kBytes;
    const __m128 scales = _mm_mul_ps(four_halves(column, row_bytes), _mm_set1_ps(d[b]));
    const __m256 scales8 = _mm256_castps128_ps256(scales);
    APR_UNROLL
    for (int r = 0; r < 4; ++r) {
      const std::byte* unit = column + static_cast<Size>(r) * row_bytes;
      if (b % (kLine / W::kBytes) == 0) prefetch(unit + ahead);
      const __m256 exact = _mm256_cvtepi32_ps(dot_block(W::once(unit), x, offset));
      const __m256 scale = _mm256_permutevar8x32_ps(scales8, _mm256_set1_epi32(r));
      sums[r] = _mm256_fmadd_ps(exact, scale, sums[r]);
    }
  }
  APR_UNROLL
  for (int r = 0; r < 4; ++r) y[r] = tree_sum(sums[r]);
}

template <typename W, int R>
APR_AVX2_INLINE void rounded_rows(const std::byte* rows, Size row_bytes, const RoundedRows& x,
                                  Size tokens, float* y, Size y_stride) {
  constexpr Size kTokens = 4;
  Size t = 0;
  for (; t + kTokens <= tokens; t += kTokens) {
    rounded_tile<W, R, kTokens>(rows, row_bytes, x.q + t * x.blocks * kUnit, x.d + t * x.blocks,
                                x.blocks, y + t * y_stride, y_stride);
  }
  for (; t < tokens; ++t) {
    rounded_tile<W, R, 1>(rows, row_bytes, x.q + t * x.blocks * kUnit, x.d + t * x.blocks, x.blocks,
                          y + t * y_stride, y_stride);
  }
}

template <typename W>
APR_AVX2_INLINE void dot_rounded(const std::byte* rows, Size row_bytes, Size count,
                                 const RoundedRows& x, Size tokens, float* y, Size y_stride) {
  Size r = 0;
  if (tokens < 4) {
    for (; r + 4 <= count; r += 4) {
      for (Size t = 0; t < tokens; ++t) {
        rounded_stream<W>(rows + r * row_bytes, row_bytes, x.q + t * x.blocks * kUnit,
                          x.d + t * x.blocks, x.blocks, y + t * y_stride + r);
      }
    }
  }
  for (; r + 2 <= count; r += 2) {
    rounded_rows<W, 2>(rows + r * row_bytes, row_bytes, x, tokens, y + r, y_stride);
  }
  if (r < count) {
    rounded_rows<W, 1>(rows + r * row_bytes, row_bytes, x, tokens, y + r, y_stride);
  }
}

}  // namespace

#define APR_AVX2_PRODUCTS(name, Kind)                                                       \
  APR_AVX2 void decode_##name(const std::byte* row, Size columns, float* out) noexcept {    \
    decode<Kind>(row, columns, out);                                                        \
  }                                                                                         \
  APR_AVX2 void dot_##name(const std::byte* rows, Size row_bytes, Size count, Size columns, \
                           const float* x, float* y) noexcept {                             \
    dot<Kind>(rows, row_bytes, count, columns, x, y);                                       \
  }

APR_AVX2_PRODUCTS(f32, F32)
APR_AVX2_PRODUCTS(f16, F16)
APR_AVX2_PRODUCTS(bf16, Bf16)
APR_AVX2_PRODUCTS(q8_0, Q8_0)
APR_AVX2_PRODUCTS(q4_0, Q4_0)

APR_AVX2 void dot_panel(const float* weights, Size count, Size columns, const float* x,
                        Size x_stride, Size tokens, float* y, Size y_stride) noexcept {
  Size r = 0;
  for (; r + 4 <= count; r += 4) {
    panel_rows<4>(weights + r * columns, columns, x, x_stride, tokens, y + r, y_stride);
  }
  for (; r < count; ++r)
    panel_rows<1>(weights + r * columns, columns, x, x_stride, tokens, y + r, y_stride);
}

APR_AVX2 void dot_rounded_q8_0(const std::byte* rows, Size row_bytes, Size count,
                               const RoundedRows& x, Size tokens, float* y,
                               Size y_stride) noexcept {
  dot_rounded<Q8_0>(rows, row_bytes, count, x, tokens, y, y_stride);
}

APR_AVX2 void dot_rounded_q4_0(const std::byte* rows, Size row_bytes, Size count,
                               const RoundedRows& x, Size tokens, float* y,
                               Size y_stride) noexcept {
  dot_rounded<Q4_0>(rows, row_bytes, count, x, tokens, y, y_stride);
}

}  // namespace apr::cpu::avx2

#endif
