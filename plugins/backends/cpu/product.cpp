// Products with weights, on the stored bytes.
//
// Rows of the weight are the unit of work: a chunk is a run of them, whatever the number of
// threads. Two kinds of products, by what x is:
//
//   float x     few rows of x: each weight row is decoded in registers while it streams by;
//               many: a panel of weight rows is decoded once into memory that stays in the cache,
//               and all rows of x pass over it. Both sum in the same order.
//   rounded x   for block types outside exact mode: x is rounded to int8 blocks once for all
//   weights that
//               it meets, and blocks meet blocks in integer arithmetic.
#include "plugins/backends/cpu/product.h"

#include <algorithm>
#include <atomic>

#include "core/base/cat.h"
#include "core/tensor/codec.h"

namespace apr::cpu {
namespace {

constexpr Size kPanelBytes = 256 << 10;  ///< decoded weights of one chunk: a part of the L2 cache
constexpr Size kTokenBytes = 128 << 10;  ///< rows of x that pass over a panel together
constexpr Size kStreamBytes = 32 << 10;  ///< stored weights of one chunk when they are read once
constexpr Size kPanelTokens = 4;         ///< from here on decoding a panel pays

Size round_down(Size value, Size multiple) {
  return value / multiple * multiple;
}

}  // namespace

Status check_weight(const Engine& engine, ParameterId parameter) {
  const TensorView& weight = engine.parameters.views[parameter];
  if (can_decode(weight.type) && weight.layout == kRowsLayout) return {};
  return make_error(ErrorCode::unsupported,
                    cat("weights of type ", name_of(weight.type), ", layout ", weight.layout,
                        ", cannot be multiplied by this build"),
                    cat("tensor ", engine.graph.parameter(parameter).tensor),
                    "convert the model to q8_0, q4_0, f16, bf16 or f32");
}

void Product::prepare(const TensorView& weight, Size rows, Size columns, const float* bias,
                      bool may_round) {
  weight_ = weight;
  out_rows_ = rows;
  columns_ = columns;
  bias_ = bias;
  row_bytes_ = row_bytes(weight_.type, columns_);
  kernels_ = engine_.kernels.weights(weight_.type);
  use_rounded_ = may_round && engine_.options.mode != Mode::exact && kernels_ != nullptr &&
                 kernels_->dot_rounded != nullptr;
  if (use_rounded_) engine_.need_rounded(columns_);
  const Size column_bytes = std::max<Size>(columns_, 1) * sizeof(float);
  panel_rows_ = std::clamp<Size>(round_down(kPanelBytes / column_bytes, 4), 4, 64);
  panel_tokens_ = std::max<Size>(round_down(kTokenBytes / column_bytes, 12), 12);
  const Size least = use_rounded_ ? 32 : 4;  // rows that kernels take together
  stream_rows_ =
      std::clamp<Size>(round_down(kStreamBytes / std::max<Size>(row_bytes_, 1), least), least, 64);
  if (!use_rounded_) engine_.need_scratch(panel_rows_ * column_bytes);
}

Status Product::multiply(ValueId value, const RowsView& x, const RowsView& y) {
  if (x.rows == 0) return {};
  if (use_rounded_) {
    multiply_rounded(value, x, y);
    return {};
  }
  const bool panel = kernels_ == nullptr || x.rows >= kPanelTokens;
  const Size rows_per_chunk = panel ? panel_rows_ : stream_rows_;
  std::atomic<bool> failed{false};
  for_chunks(rows_per_chunk, [&](Size begin, Size count, unsigned thread) {
    if (panel) {
      if (!multiply_panel(x, y, begin, count, engine_.scratch<float>(thread))) failed = true;
    } else {
      for (Size t = 0; t < x.rows; ++t) {
        kernels_->dot(stored(begin), row_bytes_, count, columns_, x.f32 + t * x.features,
                      y.f32 + t * y.features + begin);
      }
    }
    add_bias(y, begin, count);
  });
  if (failed) return make_error(ErrorCode::inference, "a weight could not be decoded");
  return {};
}

/// Calls work(begin, count, thread) for every run of weight rows.
template <typename Work>
void Product::for_chunks(Size rows_per_chunk, const Work& work) {
  const auto chunks = static_cast<std::uint32_t>((out_rows_ + rows_per_chunk - 1) / rows_per_chunk);
  engine_.team->for_each(chunks, [&](std::uint32_t chunk, unsigned thread) {
    const Size begin = Size{chunk} * rows_per_chunk;
    work(begin, std::min(rows_per_chunk, out_rows_ - begin), thread);
  });
}

void Product::multiply_rounded(ValueId value, const RowsView& x, const RowsView& y) {
  const RoundedRows rounded = engine_.rounded(value, x);
  for_chunks(stream_rows_, [&](Size begin, Size count, unsigned) {
    kernels_->dot_rounded(stored(begin), row_bytes_, count, rounded, x.rows, y.f32 + begin,
                          y.features);
    add_bias(y, begin, count);
  });
}

bool Product::multiply_panel(const RowsView& x, const RowsView& y, Size begin, Size count,
                             float* panel) const {
  if (kernels_ == nullptr) {
    if (!decode(weight_, begin * columns_, std::span(panel, count * columns_))) return false;
  } else {
    for (Size r = 0; r < count; ++r) {
      kernels_->decode(stored(begin + r), columns_, panel + r * columns_);
    }
  }
  for (Size t = 0; t < x.rows; t += panel_tokens_) {
    engine_.kernels.dot_panel(panel, count, columns_, x.f32 + t * x.features, x.features,
                              std::min(panel_tokens_, x.rows - t), y.f32 + t * y.features + begin,
                              y.features);
  }
  return true;
}

void Product::add_bias(const RowsView& y, Size begin, Size count) const {
  if (bias_ == nullptr) return;
  for (Size t = 0; t < y.rows; ++t) {
    float* const out = y.f32 + t * y.features + begin;
    for (Size r = 0; r < count; ++r) out[r] += bias_[begin + r];
  }
}

}  // namespace apr::cpu
