// What attention needs of the AVX2 table: scores, exponentials and weighted sums, a block of
// queries against a run of keys.
//
// As in the products, an output has one accumulator whatever is computed beside it: eight lanes and
// a fixed tree for a score, one lane in the order of keys for an element of a weighted sum.
#include "plugins/backends/cpu/avx2.h"

#if defined(__x86_64__)

#include <algorithm>

#include "plugins/backends/cpu/kernels_avx2.h"

namespace apr::cpu::avx2 {
namespace {

/// Q queries times four keys.
template <int Q>
APR_AVX2_INLINE void scores_of_four(const float* q, Size q_stride, const float* keys, Size dim,
                                    float scale, float* out, Size out_stride) {
  __m256 sums[Q][4];
  APR_UNROLL
  for (int t = 0; t < Q; ++t) {
    APR_UNROLL
    for (int k = 0; k < 4; ++k) sums[t][k] = _mm256_setzero_ps();
  }
  Size i = 0;
  for (; i + 8 <= dim; i += 8) {
    __m256 part[Q];
    APR_UNROLL
    for (int t = 0; t < Q; ++t) part[t] = _mm256_loadu_ps(q + static_cast<Size>(t) * q_stride + i);
    APR_UNROLL
    for (int k = 0; k < 4; ++k) {
      const __m256 key = _mm256_loadu_ps(keys + static_cast<Size>(k) * dim + i);
      APR_UNROLL
      for (int t = 0; t < Q; ++t) sums[t][k] = _mm256_fmadd_ps(part[t], key, sums[t][k]);
    }
  }
  if (i < dim) {
    APR_UNROLL
    for (int k = 0; k < 4; ++k) {
      const __m256 key = load_some(keys + static_cast<Size>(k) * dim + i, dim - i);
      APR_UNROLL
      for (int t = 0; t < Q; ++t) {
        const __m256 part = load_some(q + static_cast<Size>(t) * q_stride + i, dim - i);
        sums[t][k] = _mm256_fmadd_ps(part, key, sums[t][k]);
      }
    }
  }
  APR_UNROLL
  for (int t = 0; t < Q; ++t) {
    _mm_storeu_ps(out + static_cast<Size>(t) * out_stride,
                  _mm_mul_ps(four_tree_sums(sums[t]), _mm_set1_ps(scale)));
  }
}

APR_AVX2_INLINE float score(const float* q, const float* key, Size dim, float scale) {
  __m256 sum = _mm256_setzero_ps();
  Size i = 0;
  for (; i + 8 <= dim; i += 8) {
    sum = _mm256_fmadd_ps(_mm256_loadu_ps(q + i), _mm256_loadu_ps(key + i), sum);
  }
  if (i < dim) sum = _mm256_fmadd_ps(load_some(q + i, dim - i), load_some(key + i, dim - i), sum);
  return tree_sum(sum) * scale;
}

/// One query times eight keys; whole vectors only.
APR_AVX2_INLINE void scores_of_eight(const float* q, const float* keys, Size dim, float scale,
                                     float* out) {
  __m256 sums[8];
  APR_UNROLL
  for (int k = 0; k < 8; ++k) sums[k] = _mm256_setzero_ps();
  for (Size i = 0; i < dim; i += 8) {
    const __m256 part = _mm256_loadu_ps(q + i);
    APR_UNROLL
    for (int k = 0; k < 8; ++k) {
      const __m256 key = _mm256_loadu_ps(keys + static_cast<Size>(k) * dim + i);
      sums[k] = _mm256_fmadd_ps(part, key, sums[k]);
    }
  }
  _mm256_storeu_ps(out, _mm256_mul_ps(tree_sums(sums), _mm256_set1_ps(scale)));
}

/// Q rows of weights times columns [0, 8 V) of the values, which stay in registers while all values
/// pass by.
template <int Q, int V>
APR_AVX2_INLINE void weighted_tile(const float* weights, Size weights_stride, const float* values,
                                   Size count, Size dim, float* out, Size out_stride) {
  __m256 sums[Q][V];
  APR_UNROLL
  for (int t = 0; t < Q; ++t) {
    APR_UNROLL
    for (int v = 0; v < V; ++v) {
      sums[t][v] = _mm256_loadu_ps(out + static_cast<Size>(t) * out_stride + 8 * v);
    }
  }
  for (Size j = 0; j < count; ++j) {
    __m256 weight[Q];
    APR_UNROLL
    for (int t = 0; t < Q; ++t) {
      weight[t] = _mm256_broadcast_ss(weights + static_cast<Size>(t) * weights_stride + j);
    }
    APR_UNROLL
    for (int v = 0; v < V; ++v) {
      const __m256 value = _mm256_loadu_ps(values + j * dim + 8 * static_cast<Size>(v));
      APR_UNROLL
      for (int t = 0; t < Q; ++t) sums[t][v] = _mm256_fmadd_ps(weight[t], value, sums[t][v]);
    }
  }
  APR_UNROLL
  for (int t = 0; t < Q; ++t) {
    APR_UNROLL
    for (int v = 0; v < V; ++v) {
      _mm256_storeu_ps(out + static_cast<Size>(t) * out_stride + 8 * v, sums[t][v]);
    }
  }
}

/// One row of weights times the last columns, fewer than eight.
APR_AVX2_INLINE void weighted_tail(const float* weights, const float* values, Size count, Size dim,
                                   Size columns, float* out) {
  __m256 sum = load_some(out, columns);
  for (Size j = 0; j < count; ++j) {
    const __m256 value = load_some(values + j * dim, columns);
    sum = _mm256_fmadd_ps(_mm256_broadcast_ss(weights + j), value, sum);
  }
  store_some(out, sum, columns);
}

template <int Q>
APR_AVX2_INLINE void weighted_rows(const float* weights, Size weights_stride, const float* values,
                                   Size count, Size dim, float* out, Size out_stride) {
  constexpr int kVectors = Q == 1 ? 8 : 4;
  Size d = 0;
  for (; d + 8 * kVectors <= dim; d += 8 * kVectors) {
    weighted_tile<Q, kVectors>(weights, weights_stride, values + d, count, dim, out + d,
                               out_stride);
  }
  for (; d + 8 <= dim; d += 8) {
    weighted_tile<Q, 1>(weights, weights_stride, values + d, count, dim, out + d, out_stride);
  }
  if (d == dim) return;
  for (Size t = 0; t < Q; ++t) {
    weighted_tail(weights + t * weights_stride, values + d, count, dim, dim - d,
                  out + t * out_stride + d);
  }
}

}  // namespace

APR_AVX2 void scores(const float* q, Size q_stride, Size queries, const float* keys, Size count,
                     Size dim, float scale, float* out, Size out_stride) noexcept {
  Size j = 0;
  if (queries == 1 && dim % 8 == 0) {
    for (; j + 8 <= count; j += 8) scores_of_eight(q, keys + j * dim, dim, scale, out + j);
  }
  for (; j + 4 <= count; j += 4) {
    const float* const four = keys + j * dim;
    Size t = 0;
    for (; t + 3 <= queries; t += 3) {
      scores_of_four<3>(q + t * q_stride, q_stride, four, dim, scale, out + t * out_stride + j,
                        out_stride);
    }
    for (; t < queries; ++t) {
      scores_of_four<1>(q + t * q_stride, q_stride, four, dim, scale, out + t * out_stride + j,
                        out_stride);
    }
  }
  for (; j < count; ++j) {
    for (Size t = 0; t < queries; ++t) {
      out[t * out_stride + j] = score(q + t * q_stride, keys + j * dim, dim, scale);
    }
  }
}

APR_AVX2 float exponentials(float* x, Size n) noexcept {
  __m256 largest8 = _mm256_set1_ps(x[0]);
  Size i = 0;
  for (; i + 8 <= n; i += 8) largest8 = _mm256_max_ps(largest8, _mm256_loadu_ps(x + i));
  float lanes[8];
  _mm256_storeu_ps(lanes, largest8);
  float largest = *std::max_element(lanes, lanes + 8);
  for (; i < n; ++i) largest = std::max(largest, x[i]);
  largest8 = _mm256_set1_ps(largest);
  __m256 sum = _mm256_setzero_ps();
  for (i = 0; i + 8 <= n; i += 8) {
    const __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), largest8));
    _mm256_storeu_ps(x + i, e);
    sum = _mm256_add_ps(sum, e);
  }
  if (i < n) {
    store_some(x + i, exp8(_mm256_sub_ps(load_some(x + i, n - i), largest8)), n - i);
    sum = _mm256_add_ps(sum, load_some(x + i, n - i));
  }
  return tree_sum(sum);
}

APR_AVX2 void weighted_sums(const float* weights, Size weights_stride, Size queries,
                            const float* values, Size count, Size dim, float* out,
                            Size out_stride) noexcept {
  constexpr Size kTogether = 64;  // keys whose values stay in the L1 cache for all queries
  for (Size begin = 0; begin < count; begin += kTogether) {
    const Size n = std::min(kTogether, count - begin);
    const float* const from = values + begin * dim;
    Size t = 0;
    for (; t + 3 <= queries; t += 3) {
      weighted_rows<3>(weights + t * weights_stride + begin, weights_stride, from, n, dim,
                       out + t * out_stride, out_stride);
    }
    for (; t < queries; ++t) {
      weighted_rows<1>(weights + t * weights_stride + begin, weights_stride, from, n, dim,
                       out + t * out_stride, out_stride);
    }
  }
}

}  // namespace apr::cpu::avx2

#endif
