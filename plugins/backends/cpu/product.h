// A weight matrix times rows of x, plus a bias: what "linear" and "conv1d" are made of.
#pragma once

#include "plugins/backends/cpu/engine.h"

namespace apr::cpu {

class Product {
 public:
  explicit Product(Engine& engine) : engine_(engine) {}

  /// `weight` as a matrix of `rows` stored rows; `bias` has one float for each, or is nullptr.
  /// With `may_round`, x may be rounded to int8 blocks where the mode and the type allow it.
  void prepare(const TensorView& weight, Size rows, Size columns, const float* bias,
               bool may_round);

  /// y = x * weight^T + bias. `value` names x among the values of the step, for those that round.
  Status multiply(ValueId value, const RowsView& x, const RowsView& y);

 private:
  const std::byte* stored(Size row) const { return weight_.data.data() + row * row_bytes_; }
  template <typename Work>
  void for_chunks(Size rows_per_chunk, const Work& work);
  void multiply_rounded(ValueId value, const RowsView& x, const RowsView& y);
  bool multiply_panel(const RowsView& x, const RowsView& y, Size begin, Size count,
                      float* panel) const;
  void add_bias(const RowsView& y, Size begin, Size count) const;

  Engine& engine_;
  TensorView weight_;
  Size out_rows_ = 0;
  Size columns_ = 0;
  Size row_bytes_ = 0;
  const WeightKernels* kernels_ = nullptr;
  bool use_rounded_ = false;
  const float* bias_ = nullptr;
  Size panel_rows_ = 4;
  Size panel_tokens_ = 12;
  Size stream_rows_ = 4;
};

/// The weights must be of a type and layout that this build can multiply.
Status check_weight(const Engine& engine, ParameterId parameter);

}  // namespace apr::cpu
