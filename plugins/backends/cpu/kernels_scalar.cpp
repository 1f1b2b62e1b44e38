// Kernels in plain C++: for processors without a table of their own, for WebAssembly, and as the
// middle ground between the specification (core/graph/ops) and the vector tables in tests.
//
// Sums run over eight interleaved partial sums, element i into partial sum i mod 8, which keeps
// rounding errors small and lets compilers vectorise; the partial sums are added in a fixed tree.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/tensor/blocks.h"
#include "core/tensor/codec.h"
#include "plugins/backends/cpu/approximations.h"
#include "plugins/backends/cpu/kernels.h"

namespace apr::cpu {
namespace {

constexpr Size kLanes = 8;

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float tree_sum(const float* lanes) {
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

float dot(const float* a, const float* b, Size n) {
  float lanes[kLanes] = {};
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Size lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  for (Size lane = 0; i < n; ++i, ++lane) lanes[lane] += a[i] * b[i];
  return tree_sum(lanes);
}

// Decoding, a piece of at most kPiece elements (whole blocks) at a time.

constexpr Size kPiece = 256;

void decode_f32(const std::byte* row, Size columns, float* out) noexcept {
  std::memcpy(out, row, columns * sizeof(float));
}

void decode_f16(const std::byte* row, Size columns, float* out) noexcept {
  for (Size i = 0; i < columns; ++i) out[i] = f16_to_f32(load<std::uint16_t>(row + 2 * i));
}

void decode_bf16(const std::byte* row, Size columns, float* out) noexcept {
  for (Size i = 0; i < columns; ++i) out[i] = bf16_to_f32(load<std::uint16_t>(row + 2 * i));
}

void decode_block(const BlockQ8_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (Size i = 0; i < kBlock; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

void decode_block(const BlockQ4_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (Size i = 0; i < kBlock / 2; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + kBlock / 2] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

template <typename Block>
void decode_blocks(const std::byte* row, Size columns, float* out) noexcept {
  for (Size i = 0; i < columns; i += kBlock, row += sizeof(Block)) {
    float whole[kBlock];
    decode_block(load<Block>(row), whole);
    std::copy_n(whole, std::min<Size>(kBlock, columns - i), out + i);
  }
}

/// Decodes piece by piece and sums as dot() does: pieces are multiples of eight, so element i stays
/// in partial sum i mod 8.
template <DecodeRow decode>
void dot_rows(const std::byte* rows, Size row_bytes, Size count, Size columns, const float* x,
              float* y) noexcept {
  for (Size r = 0; r < count; ++r) {
    const std::byte* row = rows + r * row_bytes;
    float lanes[kLanes] = {};
    float piece[kPiece];
    for (Size begin = 0; begin < columns; begin += kPiece) {
      const Size n = std::min(kPiece, columns - begin);
      decode(row, n, piece);
      Size i = 0;
      for (; i + kLanes <= n; i += kLanes) {
        for (Size lane = 0; lane < kLanes; ++lane) {
          lanes[lane] += piece[i + lane] * x[begin + i + lane];
        }
      }
      for (Size lane = 0; i < n; ++i, ++lane) lanes[lane] += piece[i] * x[begin + i];
      // Bytes of one piece: all types here have a whole number of bytes for kPiece elements.
      row += decode == &decode_f32                 ? kPiece * 4
             : decode == &decode_blocks<BlockQ8_0> ? kPiece / kBlock * sizeof(BlockQ8_0)
             : decode == &decode_blocks<BlockQ4_0> ? kPiece / kBlock * sizeof(BlockQ4_0)
                                                   : kPiece * 2;
    }
    y[r] = tree_sum(lanes);
  }
}

void dot_panel(const float* weights, Size count, Size columns, const float* x, Size x_stride,
               Size tokens, float* y, Size y_stride) noexcept {
  for (Size t = 0; t < tokens; ++t) {
    for (Size r = 0; r < count; ++r) {
      y[t * y_stride + r] = dot(weights + r * columns, x + t * x_stride, columns);
    }
  }
}

void round_row(const float* x, Size columns, std::int8_t* q, float* d,
               std::int32_t* minus_sums) noexcept {
  for (Size begin = 0; begin < columns; begin += kBlock) {
    const Size n = std::min<Size>(kBlock, columns - begin);
    float largest = 0.0f;
    for (Size i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[begin + i]));
    const float scale = largest / 127.0f;
    float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
    if (!std::isfinite(inverse)) inverse = 0.0f;  // too small to count
    for (Size i = 0; i < n; ++i) {
      // A NaN cannot become an integer; the scale carries it to the result.
      const float scaled = x[begin + i] * inverse;
      q[begin + i] = std::fabs(scaled) <= 127.5f ? static_cast<std::int8_t>(std::nearbyint(scaled))
                                                 : std::int8_t{0};
    }
    std::fill(q + begin + n, q + begin + kBlock, std::int8_t{0});
    bool finite = true;
    for (Size i = 0; i < n; ++i) finite = finite && std::isfinite(x[begin + i]);
    d[begin / kBlock] = finite ? scale : std::nanf("");
    std::int32_t sum = 0;
    for (Size i = 0; i < n; ++i) sum += q[begin + i];
    minus_sums[begin / kBlock] = -sum;
  }
}

int dot_block(const BlockQ8_0& block, const std::int8_t* q) {
  int sum = 0;
  for (Size i = 0; i < kBlock; ++i) sum += block.qs[i] * q[i];
  return sum;
}

int dot_block(const BlockQ4_0& block, const std::int8_t* q) {
  int sum = 0;
  for (Size i = 0; i < kBlock / 2; ++i) {
    sum += ((block.qs[i] & 15) - 8) * q[i] + ((block.qs[i] >> 4) - 8) * q[i + kBlock / 2];
  }
  return sum;
}

template <typename Block>
void dot_rounded(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                 Size tokens, float* y, Size y_stride) noexcept {
  for (Size r = 0; r < count; ++r) {
    const std::byte* row = rows + r * row_bytes;
    for (Size t = 0; t < tokens; ++t) {
      const std::int8_t* q = x.q + t * x.blocks * kBlock;
      const float* d = x.d + t * x.blocks;
      float sum = 0.0f;
      for (Size b = 0; b < x.blocks; ++b) {
        const auto block = load<Block>(row + b * sizeof(Block));
        sum += static_cast<float>(dot_block(block, q + b * kBlock)) * (f16_to_f32(block.d) * d[b]);
      }
      y[t * y_stride + r] = sum;
    }
  }
}

void rms_norm(const float* x, const float* weight, Size n, float epsilon, float* out) noexcept {
  const float mean = dot(x, x, n) / static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(mean + epsilon);
  for (Size i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void layer_norm(const float* x, const float* weight, const float* bias, Size n, float epsilon,
                float* out) noexcept {
  float lanes[kLanes] = {};
  for (Size i = 0; i < n; ++i) lanes[i % kLanes] += x[i];
  const float mean = tree_sum(lanes) / static_cast<float>(n);
  for (Size i = 0; i < n; ++i) out[i] = x[i] - mean;
  const float scale = 1.0f / std::sqrt(dot(out, out, n) / static_cast<float>(n) + epsilon);
  for (Size i = 0; i < n; ++i) {
    out[i] = out[i] * scale * weight[i] + (bias == nullptr ? 0.0f : bias[i]);
  }
}

/// x/2 (1 + tanh u) = x / (1 + exp(-2u))
void gelu_tanh(const float* x, Size n, float* out) noexcept {
  for (Size i = 0; i < n; ++i) {
    const float twice_u = kGeluTwice * x[i] * (1.0f + kGeluCubic * x[i] * x[i]);
    out[i] = x[i] / (1.0f + std::exp(-twice_u));
  }
}

void gelu_erf(const float* x, Size n, float* out) noexcept {
  for (Size i = 0; i < n; ++i) {
    const float z = std::fabs(x[i]) < kTailEnd ? std::fabs(x[i]) : kTailEnd;
    const float t = 1.0f / (1.0f + kTailSlope * z);
    const double square = static_cast<double>(z) * static_cast<double>(z);
    const float tail = static_cast<float>(std::exp(-0.5 * square)) * (t * polynomial(kTail, t));
    out[i] = x[i] * (x[i] < 0.0f ? tail : 1.0f - tail);
  }
}

void tanh(const float* x, Size n, float* out) noexcept {
  for (Size i = 0; i < n; ++i) {
    const float z = std::fabs(x[i]);
    float size = z + z * (z * z) * polynomial(kTanh, z * z);
    if (z >= kTanhSmall) {
      size = 1.0f - 2.0f / (std::exp(2.0f * std::min(z, kTanhLarge)) + 1.0f);
    }
    out[i] = std::copysign(size, x[i]);
  }
}

void silu_mul(const float* gate, const float* up, Size n, float* out) noexcept {
  for (Size i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void add(const float* a, const float* b, Size n, float* out) noexcept {
  for (Size i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

void rope_halves(const float* x, const float* cosines, const float* sines, Size pairs,
                 float* out) noexcept {
  for (Size i = 0; i < pairs; ++i) {
    const float a = x[i];
    const float b = x[i + pairs];
    out[i] = a * cosines[i] - b * sines[i];
    out[i + pairs] = b * cosines[i] + a * sines[i];
  }
}

void scores(const float* q, Size q_stride, Size queries, const float* keys, Size count, Size dim,
            float scale, float* out, Size out_stride) noexcept {
  for (Size j = 0; j < count; ++j) {
    for (Size t = 0; t < queries; ++t) {
      out[t * out_stride + j] = dot(q + t * q_stride, keys + j * dim, dim) * scale;
    }
  }
}

float exponentials(float* x, Size n) noexcept {
  float largest = x[0];
  for (Size i = 1; i < n; ++i) largest = std::max(largest, x[i]);
  float lanes[kLanes] = {};
  for (Size i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - largest);
    lanes[i % kLanes] += x[i];
  }
  return tree_sum(lanes);
}

void weighted_sums(const float* weights, Size weights_stride, Size queries, const float* values,
                   Size count, Size dim, float* out, Size out_stride) noexcept {
  for (Size j = 0; j < count; ++j) {
    for (Size t = 0; t < queries; ++t) {
      const float weight = weights[t * weights_stride + j];
      for (Size i = 0; i < dim; ++i) out[t * out_stride + i] += weight * values[j * dim + i];
    }
  }
}

}  // namespace

const KernelTable kScalarKernels = {
    .level = CpuLevel::scalar,
    .f32 = {decode_f32, dot_rows<decode_f32>, nullptr},
    .f16 = {decode_f16, dot_rows<decode_f16>, nullptr},
    .bf16 = {decode_bf16, dot_rows<decode_bf16>, nullptr},
    .q8_0 = {decode_blocks<BlockQ8_0>, dot_rows<decode_blocks<BlockQ8_0>>, dot_rounded<BlockQ8_0>},
    .q4_0 = {decode_blocks<BlockQ4_0>, dot_rows<decode_blocks<BlockQ4_0>>, dot_rounded<BlockQ4_0>},
    .dot_panel = dot_panel,
    .round_row = round_row,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .gelu_erf = gelu_erf,
    .gelu_tanh = gelu_tanh,
    .tanh = tanh,
    .silu_mul = silu_mul,
    .add = add,
    .rope_halves = rope_halves,
    .scores = scores,
    .exponentials = exponentials,
    .weighted_sums = weighted_sums,
};

}  // namespace apr::cpu
