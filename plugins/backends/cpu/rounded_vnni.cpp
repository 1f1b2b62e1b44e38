// Products of stored blocks with rounded rows by VNNI: sixteen weight rows at a time, one to a
// lane.
//
// vpdpbusd multiplies four unsigned bytes with four signed ones in every lane and adds the products
// to the lane. So the weights of sixteen rows are laid out column by column, four bytes of each row
// together, and eight instructions make sixteen exact sums of 32 products. A sum then costs one
// conversion and one fused multiply-add, where dots along a row would pay these for every eighth of
// a block.
//
// Weights are made unsigned by adding an offset (128 to signed bytes; nibbles have their 8 added in
// the file), which adds offset * sum(x) to every sum: it starts at minus that, so what comes out is
// the exact integer.
//
// Many rows of x: the weights are turned a slab of columns at a time into memory that stays in the
// L1 cache, and all rows of x pass over it; sums wait in y between slabs. One row of x: nothing is
// turned; sixteen dots along the rows are added across instead. Both do the same to each output:
// y = fma(float(sum of block), d_weight * d_x, y), block by block.
#include "plugins/backends/cpu/avx512.h"

#if defined(__x86_64__)

#include <algorithm>

#include "plugins/backends/cpu/kernels_avx512.h"

namespace apr::cpu::avx512 {
namespace {

constexpr Size kGroup = 16;         ///< weight rows, one to a lane
constexpr Size kSlab = 16;          ///< blocks
constexpr Size kQuads = kUnit / 4;  ///< four bytes of a block at a time

struct SignedBytes {
  static constexpr Size kBytes = sizeof(BlockQ8_0);
  static constexpr int kOffsetBits = 7;
  /// A block as 32 unsigned bytes.
  APR_VNNI_INLINE static __m256i load(const std::byte* at) {
    return _mm256_xor_si256(avx2::load_bytes(at + 2), _mm256_set1_epi8(-128));
  }
};

struct Nibbles {
  static constexpr Size kBytes = sizeof(BlockQ4_0);
  static constexpr int kOffsetBits = 3;
  APR_VNNI_INLINE static __m256i load(const std::byte* at) { return avx2::Q4_0::nibbles(at); }
};

/// A slab of sixteen weight rows.
struct Panel {
  alignas(64) std::uint8_t w[kSlab][kQuads][kGroup][4];
  alignas(64) float d[kSlab][kGroup];
};

/// The scales of sixteen blocks that lie row_bytes apart.
APR_VNNI_INLINE __m512 sixteen_halves(const std::byte* at, Size row_bytes) {
  std::uint16_t h[kGroup];
  APR_UNROLL
  for (Size i = 0; i < kGroup; ++i) std::memcpy(&h[i], at + i * row_bytes, 2);
  const auto four = [&](int i) __attribute__((always_inline)) {
    return static_cast<long long>(h[i] | std::uint64_t{h[i + 1]} << 16 |
                                  std::uint64_t{h[i + 2]} << 32 | std::uint64_t{h[i + 3]} << 48);
  };
  return _mm512_cvtph_ps(_mm256_set_epi64x(four(12), four(8), four(4), four(0)));
}

/// Rows i and i + 8 side by side.
template <typename W>
APR_VNNI_INLINE __m512i two_rows(const std::byte* at, Size row_bytes) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(W::load(at)), W::load(at + 8 * row_bytes), 1);
}

/// 16 rows of 8 quads to 8 quads of 16 rows.
APR_VNNI_INLINE void turn(const __m512i (&rows)[8], __m512i (&quads)[8]) {
  __m512i pairs[8];
  APR_UNROLL
  for (int i = 0; i < 4; ++i) {
    pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  __m512i fours[8];  // [4 h + q]: quad q (and 4 + q beside it) of rows 4 h ... 4 h + 3
  APR_UNROLL
  for (int h = 0; h < 2; ++h) {
    fours[4 * h] = _mm512_unpacklo_epi64(pairs[4 * h], pairs[4 * h + 2]);
    fours[4 * h + 1] = _mm512_unpackhi_epi64(pairs[4 * h], pairs[4 * h + 2]);
    fours[4 * h + 2] = _mm512_unpacklo_epi64(pairs[4 * h + 1], pairs[4 * h + 3]);
    fours[4 * h + 3] = _mm512_unpackhi_epi64(pairs[4 * h + 1], pairs[4 * h + 3]);
  }
  const __m512i lower = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
  const __m512i upper = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  APR_UNROLL
  for (int q = 0; q < 4; ++q) {
    quads[q] = _mm512_permutex2var_epi64(fours[q], lower, fours[4 + q]);
    quads[4 + q] = _mm512_permutex2var_epi64(fours[q], upper, fours[4 + q]);
  }
}

/// Lanes of 16 rows (i and i + 8 in one vector) to their 16 sums, in the order of rows.
APR_VNNI_INLINE __m512i sums_across(const __m512i (&rows)[8]) {
  __m512i pairs[4];
  APR_UNROLL
  for (int i = 0; i < 4; ++i) {
    pairs[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]),
                                _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]));
  }
  __m512i fours[2];
  APR_UNROLL
  for (int i = 0; i < 2; ++i) {
    fours[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pairs[2 * i], pairs[2 * i + 1]),
                                _mm512_unpackhi_epi64(pairs[2 * i], pairs[2 * i + 1]));
  }
  const __m512i lower = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
  const __m512i upper = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  return _mm512_add_epi32(_mm512_permutex2var_epi64(fours[0], lower, fours[1]),
                          _mm512_permutex2var_epi64(fours[0], upper, fours[1]));
}

/// `blocks` blocks of `count` rows from block `first` on; rows that are missing become zeros.
template <typename W>
APR_VNNI_INLINE void fill(Panel& panel, const std::byte* rows, Size row_bytes, Size count,
                          Size first, Size blocks) {
  for (Size b = 0; b < blocks; ++b) {
    const std::byte* from = rows + (first + b) * W::kBytes;
    std::byte some[kGroup * W::kBytes];
    Size stride = row_bytes;
    if (count < kGroup) {
      std::memset(some, 0, sizeof some);
      for (Size r = 0; r < count; ++r) {
        std::memcpy(some + r * W::kBytes, from + r * row_bytes, W::kBytes);
      }
      from = some;
      stride = W::kBytes;
    }
    __m512i along[8];
    APR_UNROLL
    for (int r = 0; r < 8; ++r)
      along[r] = two_rows<W>(from + static_cast<Size>(r) * stride, stride);
    __m512i quads[8];
    turn(along, quads);
    APR_UNROLL
    for (int k = 0; k < 8; ++k) _mm512_store_si512(panel.w[b][k], quads[k]);
    _mm512_store_ps(panel.d[b], sixteen_halves(from, stride));
  }
}

/// T rows of x over a slab of G groups; y has the sums of the slabs before.
template <typename W, int G, int T>
APR_VNNI_INLINE void slab_tile(const Panel* panels, const RoundedRows& x, Size token, Size first,
                               Size blocks, float* y, Size y_stride, const __mmask16 (&lanes)[G]) {
  __m512 sums[T][G];
  const std::int8_t* q[T];
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    const Size row = token + static_cast<Size>(t);
    q[t] = x.q + (row * x.blocks + first) * kUnit;
    APR_UNROLL
    for (int g = 0; g < G; ++g) {
      const float* from = y + static_cast<Size>(t) * y_stride + static_cast<Size>(g) * kGroup;
      sums[t][g] = first == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes[g], from);
    }
  }
  const float* const scales = x.d + token * x.blocks + first;
  const std::int32_t* const minus_sums = x.minus_sums + token * x.blocks + first;
  for (Size b = 0; b < blocks; ++b) {
    __m512i whole[T][G];
    APR_UNROLL
    for (int t = 0; t < T; ++t) {
      const __m512i start = _mm512_slli_epi32(
          _mm512_set1_epi32(minus_sums[static_cast<Size>(t) * x.blocks + b]), W::kOffsetBits);
      APR_UNROLL
      for (int g = 0; g < G; ++g) whole[t][g] = start;
    }
    APR_UNROLL
    for (Size k = 0; k < kQuads; ++k) {
      __m512i w[G];
      APR_UNROLL
      for (int g = 0; g < G; ++g) w[g] = _mm512_load_si512(panels[g].w[b][k]);
      APR_UNROLL
      for (int t = 0; t < T; ++t) {
        std::int32_t four;
        std::memcpy(&four, q[t] + b * kUnit + 4 * k, 4);
        const __m512i v = _mm512_set1_epi32(four);
        APR_UNROLL
        for (int g = 0; g < G; ++g) whole[t][g] = _mm512_dpbusd_epi32(whole[t][g], w[g], v);
      }
    }
    APR_UNROLL
    for (int g = 0; g < G; ++g) {
      const __m512 d = _mm512_load_ps(panels[g].d[b]);
      APR_UNROLL
      for (int t = 0; t < T; ++t) {
        const __m512 both =
            _mm512_mul_ps(d, _mm512_set1_ps(scales[static_cast<Size>(t) * x.blocks + b]));
        sums[t][g] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[t][g]), both, sums[t][g]);
      }
    }
  }
  APR_UNROLL
  for (int t = 0; t < T; ++t) {
    APR_UNROLL
    for (int g = 0; g < G; ++g) {
      float* const to = y + static_cast<Size>(t) * y_stride + static_cast<Size>(g) * kGroup;
      _mm512_mask_storeu_ps(to, lanes[g], sums[t][g]);
    }
  }
}

/// At most G groups of weight rows times all rows of x.
template <typename W, int G>
APR_VNNI_INLINE void panel_rows(const std::byte* rows, Size row_bytes, Size count,
                                const RoundedRows& x, Size tokens, float* y, Size y_stride) {
  constexpr int kTokens = G == 1 ? 8 : 6;
  Panel panels[G];
  __mmask16 lanes[G];
  for (int g = 0; g < G; ++g) {
    lanes[g] = first_lanes(std::min(kGroup, count - static_cast<Size>(g) * kGroup));
  }
  for (Size first = 0; first < x.blocks; first += kSlab) {
    const Size blocks = std::min(kSlab, x.blocks - first);
    for (int g = 0; g < G; ++g) {
      const Size row = static_cast<Size>(g) * kGroup;
      fill<W>(panels[g], rows + row * row_bytes, row_bytes, std::min(kGroup, count - row), first,
              blocks);
    }
    Size t = 0;
    for (; t + kTokens <= tokens; t += kTokens) {
      slab_tile<W, G, kTokens>(panels, x, t, first, blocks, y + t * y_stride, y_stride, lanes);
    }
    for (; t + 2 <= tokens; t += 2) {
      slab_tile<W, G, 2>(panels, x, t, first, blocks, y + t * y_stride, y_stride, lanes);
    }
    if (t < tokens)
      slab_tile<W, G, 1>(panels, x, t, first, blocks, y + t * y_stride, y_stride, lanes);
  }
}

/// Sixteen weight rows times one row of x. The same columns of the next sixteen are asked for
/// meanwhile: of all distances and orders that were tried, short rows or long, nothing came faster.
template <typename W>
APR_VNNI_INLINE void stream(const std::byte* rows, Size row_bytes, const RoundedRows& x, float* y) {
  __m512 sums = _mm512_setzero_ps();
  const Size ahead = kGroup * row_bytes;
  for (Size b = 0; b < x.blocks; ++b) {
    const std::byte* const column = rows + b * W::kBytes;
    const __m256i q = avx2::load_bytes(x.q + b * kUnit);
    const __m512i twice = _mm512_broadcast_i64x4(q);
    if (b % (avx2::kLine / W::kBytes) == 0) {
      APR_UNROLL
      for (Size r = 0; r < kGroup; ++r) avx2::prefetch(column + r * row_bytes + ahead);
    }
    __m512i along[8];
    APR_UNROLL
    for (int r = 0; r < 8; ++r) {
      const __m512i w = two_rows<W>(column + static_cast<Size>(r) * row_bytes, row_bytes);
      along[r] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, twice);
    }
    const __m512i start = _mm512_slli_epi32(_mm512_set1_epi32(x.minus_sums[b]), W::kOffsetBits);
    const __m512i whole = _mm512_add_epi32(start, sums_across(along));
    const __m512 both = _mm512_mul_ps(sixteen_halves(column, row_bytes), _mm512_set1_ps(x.d[b]));
    sums = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), both, sums);
  }
  _mm512_storeu_ps(y, sums);
}

template <typename W>
APR_VNNI_INLINE void dot_vnni(const std::byte* rows, Size row_bytes, Size count,
                              const RoundedRows& x, Size tokens, float* y, Size y_stride) {
  Size r = 0;
  if (tokens == 1) {
    for (; r + kGroup <= count; r += kGroup) stream<W>(rows + r * row_bytes, row_bytes, x, y + r);
  }
  for (; r + kGroup < count; r += 2 * kGroup) {
    panel_rows<W, 2>(rows + r * row_bytes, row_bytes, std::min(2 * kGroup, count - r), x, tokens,
                     y + r, y_stride);
  }
  if (r < count) {
    panel_rows<W, 1>(rows + r * row_bytes, row_bytes, count - r, x, tokens, y + r, y_stride);
  }
}

}  // namespace

APR_VNNI void dot_vnni_q8_0(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                            Size tokens, float* y, Size y_stride) noexcept {
  dot_vnni<SignedBytes>(rows, row_bytes, count, x, tokens, y, y_stride);
}

APR_VNNI void dot_vnni_q4_0(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                            Size tokens, float* y, Size y_stride) noexcept {
  dot_vnni<Nibbles>(rows, row_bytes, count, x, tokens, y, y_stride);
}

}  // namespace apr::cpu::avx512

#endif
