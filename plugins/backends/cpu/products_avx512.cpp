// Products of weight rows with activations, AVX-512.
//
// As with AVX2 every output has one accumulator, here of sixteen lanes: element i is added to lane
// i mod 16 by a fused multiply-add, in the order of i, and the lanes are added in a fixed tree.
#include "plugins/backends/cpu/avx512.h"

#if defined(__x86_64__)

#include <algorithm>

#include "plugins/backends/cpu/kernels_avx512.h"

namespace apr::cpu::avx512 {
namespace {

/// The elements behind the last whole unit as a unit of their own, padded with zeros.
template <typename W>
APR_AVX512_INLINE void load_tail(const std::byte* at, Size n, __m512 (&w)[2]) {
  std::byte stored[W::kBytes] = {};
  constexpr bool kBlocks = W::kBytes == sizeof(BlockQ8_0) || W::kBytes == sizeof(BlockQ4_0);
  std::memcpy(stored, at, kBlocks ? W::kBytes : n * (W::kBytes / kUnit));
  W::load(stored, w);
  w[0] = _mm512_maskz_mov_ps(first_lanes(std::min(n, kLanes)), w[0]);
  w[1] = _mm512_maskz_mov_ps(first_lanes(n > kLanes ? n - kLanes : 0), w[1]);
}

/// `R` weight rows times one row of x, while the next ones come from memory.
template <typename W, int R>
APR_AVX512_INLINE void dot_some(const std::byte* rows, Size row_bytes, Size columns, const float* x,
                                float* y) {
  __m512 sums[R];
  APR_UNROLL
  for (int r = 0; r < R; ++r) sums[r] = _mm512_setzero_ps();
  const Size units = columns / kUnit;
  const Size ahead = avx2::bytes_ahead(row_bytes, 4);
  const std::byte* at = rows;
  for (Size u = 0; u < units; ++u, at += W::kBytes) {
    const __m512 v[2] = {_mm512_loadu_ps(x + u * kUnit), _mm512_loadu_ps(x + u * kUnit + kLanes)};
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      const std::byte* unit = at + static_cast<Size>(r) * row_bytes;
      if constexpr (W::kBytes > avx2::kLine) avx2::prefetch(unit + ahead + avx2::kLine);
      if (W::kBytes >= avx2::kLine || u % (avx2::kLine / W::kBytes) == 0) {
        avx2::prefetch(unit + ahead);
      }
      __m512 w[2];
      W::load(unit, w);
      sums[r] = _mm512_fmadd_ps(w[0], v[0], sums[r]);
      sums[r] = _mm512_fmadd_ps(w[1], v[1], sums[r]);
    }
  }
  if (const Size rest = columns % kUnit; rest != 0) {
    const float* from = x + units * kUnit;
    const __m512 v[2] = {
        _mm512_maskz_loadu_ps(first_lanes(std::min(rest, kLanes)), from),
        _mm512_maskz_loadu_ps(first_lanes(rest > kLanes ? rest - kLanes : 0), from + kLanes)};
    APR_UNROLL
    for (int r = 0; r < R; ++r) {
      __m512 w[2];
      load_tail<W>(at + static_cast<Size>(r) * row_bytes, rest, w);
      sums[r] = _mm512_fmadd_ps(w[0], v[0], sums[r]);
      if (rest > kLanes) sums[r] = _mm512_fmadd_ps(w[1], v[1], sums[r]);
    }
  }
  APR_UNROLL
  for (int r = 0; r < R; ++r) y[r] = tree_sum(sums[r]);
}

template <typename W>
APR_AVX512_INLINE void dot(const std::byte* rows, Size row_bytes, Size count, Size columns,
                           const float* x, float* y) {
  Size r = 0;
  for (; r + 4 <= count; r += 4) {
    dot_some<W, 4>(rows + r * row_bytes, row_bytes, columns, x, y + r);
  }
  for (; r < count; ++r) dot_some<W, 1>(rows + r * row_bytes, row_bytes, columns, x, y + r);
}

// A panel of weight rows meets rows of x in blocks that the L1 cache holds: kTokens rows of x, a
// slab of columns, and weight rows that pass by. Accumulators wait in memory between slabs.

constexpr Size kSlab = 512;  ///< columns
constexpr Size kRows = 32;
constexpr int kTile = 6;  ///< rows of x in registers, with four weight rows
constexpr Size kTokens = 2 * kTile;

struct Parked {
  __m512 sums[kRows / 4][kTokens][4];
};

/// tree_sum of four vectors.
APR_AVX512_INLINE __m128 tree_sums(const __m512 (&v)[4]) {
  __m256 half[4];
  APR_UNROLL
  for (int i = 0; i < 4; ++i) {
    half[i] = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));
  }
  return avx2::four_tree_sums(half);
}

/// Which part of the columns a tile works on.
struct Slab {
  Size first = 0;
  Size columns = 0;
  bool last = false;
};

/// Four weight rows (floats) times T rows of x over one slab.
template <int T>
APR_AVX512_INLINE void panel_tile(const float* weights, Size columns, const float* x, Size x_stride,
                                  const Slab& slab, __m512 (*parked)[4], float* y, Size y_stride) {
  __m512 sums[T][4];
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    APR_UNROLL
    for (int r = 0; r < 4; ++r) sums[t][r] = slab.first == 0 ? _mm512_setzero_ps() : parked[t][r];
  }
  weights += slab.first;
  x += slab.first;
  const Size whole = slab.columns / kLanes * kLanes;
  for (Size i = 0; i < whole; i += kLanes) {
    __m512 v[T];
    APR_UNROLL
    for (int t = 0; t < T; ++t) v[t] = _mm512_loadu_ps(x + static_cast<Size>(t) * x_stride + i);
    APR_UNROLL
    for (int r = 0; r < 4; ++r) {
      const __m512 w = _mm512_loadu_ps(weights + static_cast<Size>(r) * columns + i);
      APR_UNROLL
      for (int t = 0; t < T; ++t) sums[t][r] = _mm512_fmadd_ps(w, v[t], sums[t][r]);
    }
  }
  if (!slab.last) {
    APR_UNROLL
    for (int t = 0; t < T; ++t) {
      APR_UNROLL
      for (int r = 0; r < 4; ++r) parked[t][r] = sums[t][r];
    }
    return;
  }
  if (whole < slab.columns) {
    const __mmask16 rest = first_lanes(slab.columns - whole);
    APR_UNROLL
    for (int r = 0; r < 4; ++r) {
      const __m512 w =
          _mm512_maskz_loadu_ps(rest, weights + static_cast<Size>(r) * columns + whole);
      APR_UNROLL
      for (int t = 0; t < T; ++t) {
        const __m512 v = _mm512_maskz_loadu_ps(rest, x + static_cast<Size>(t) * x_stride + whole);
        sums[t][r] = _mm512_fmadd_ps(w, v, sums[t][r]);
      }
    }
  }
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    _mm_storeu_ps(y + static_cast<Size>(t) * y_stride, tree_sums(sums[t]));
  }
}

/// At most kRows weight rows, in fours, times at most kTokens rows of x.
APR_AVX512_INLINE void panel_block(const float* weights, Size rows, Size columns, const float* x,
                                   Size x_stride, Size tokens, float* y, Size y_stride) {
  Parked parked;
  for (Size first = 0; first < columns; first += kSlab) {
    const Slab slab{first, std::min(kSlab, columns - first), first + kSlab >= columns};
    for (Size r = 0; r < rows; r += 4) {
      const float* const four = weights + r * columns;
      __m512(*const sums)[4] = parked.sums[r / 4];
      Size t = 0;
      for (; t + kTile <= tokens; t += kTile) {
        panel_tile<kTile>(four, columns, x + t * x_stride, x_stride, slab, sums + t,
                          y + t * y_stride + r, y_stride);
      }
      for (; t < tokens; ++t) {
        panel_tile<1>(four, columns, x + t * x_stride, x_stride, slab, sums + t,
                      y + t * y_stride + r, y_stride);
      }
    }
  }
}

}  // namespace

#define APR_AVX512_DOT(name, Kind)                                                            \
  APR_AVX512 void dot_##name(const std::byte* rows, Size row_bytes, Size count, Size columns, \
                             const float* x, float* y) noexcept {                             \
    dot<Kind>(rows, row_bytes, count, columns, x, y);                                         \
  }

APR_AVX512_DOT(f32, F32)
APR_AVX512_DOT(f16, F16)
APR_AVX512_DOT(bf16, Bf16)
APR_AVX512_DOT(q8_0, Q8_0)
APR_AVX512_DOT(q4_0, Q4_0)

APR_AVX512 void dot_panel(const float* weights, Size count, Size columns, const float* x,
                          Size x_stride, Size tokens, float* y, Size y_stride) noexcept {
  const Size fours = count / 4 * 4;
  for (Size r = 0; r < fours; r += kRows) {
    for (Size t = 0; t < tokens; t += kTokens) {
      panel_block(weights + r * columns, std::min(kRows, fours - r), columns, x + t * x_stride,
                  x_stride, std::min(kTokens, tokens - t), y + t * y_stride + r, y_stride);
    }
  }
  for (Size t = 0; t < tokens && fours < count; ++t) {
    dot<F32>(reinterpret_cast<const std::byte*>(weights + fours * columns), columns * sizeof(float),
             count - fours, columns, x + t * x_stride, y + t * y_stride + fours);
  }
}

}  // namespace apr::cpu::avx512

#endif
