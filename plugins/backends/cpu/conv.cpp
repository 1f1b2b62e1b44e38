// Convolution along a sequence as a product: what a kernel sees of a row's neighbourhood is laid
// out as one row, channel by channel as the weights have it, and multiplied with the kernels.
#include <algorithm>

#include "core/base/checked.h"
#include "core/tensor/codec.h"
#include "plugins/backends/cpu/product.h"

namespace apr::cpu {
namespace {

class Conv1dKernel final : public NodeKernel {
 public:
  Conv1dKernel(Engine& engine, const Node& node)
      : engine_(engine),
        node_(node),
        product_(engine),
        of_states_(engine.graph.value(node.inputs[0]).type.rows == Rows::states),
        stride_(static_cast<Size>(node.integer("stride"))) {}

  Status prepare() {
    APR_TRY(check_weight(engine_, node_.parameters[0]));
    TensorView weight = engine_.parameters.views[node_.parameters[0]];
    const Shape shape = weight.shape;
    channels_ = shape[1];
    kernel_ = shape[2];
    if (traits(weight.type).quantized) {  // blocks may end anywhere in a kernel
      APR_ASSIGN(const float* floats, engine_.floats(node_.parameters[0]));
      weight.type = Type::f32;
      weight.data = std::as_bytes(std::span(floats, shape.elements()));
    }
    const float* bias = nullptr;
    if (node_.parameters.size() > 1) {
      APR_ASSIGN(bias, engine_.floats(node_.parameters[1]));
    }
    const Size columns = channels_ * kernel_;
    product_.prepare(weight, shape[0], columns, bias, false);
    const RowCounts most = largest_step(engine_.graph, engine_.options);
    const auto bytes = checked_mul(most.of(engine_.graph.value(node_.outputs[0]).type.rows),
                                   columns * sizeof(float));
    if (!bytes)
      return make_error(ErrorCode::load, "rows of a convolution would not fit any memory");
    engine_.need_shared(*bytes);
    return {};
  }

  Status run(const Step& step) noexcept override {
    const RowsView x = engine_.rows(node_.inputs[0], step);
    const RowsView y = engine_.rows(node_.outputs[0], step);
    Size first = 0;
    Size out_row = 0;
    for (const EncodedFrames& encoded : step.batch->encoded) {
      const Size rows =
          of_states_ ? engine_.graph.facts().states_of(encoded.frames) : Size{encoded.frames};
      const Size out_rows = (rows + stride_ - 1) / stride_;
      unfold(x.f32 + first * channels_, rows, out_row, out_rows);
      first += rows;
      out_row += out_rows;
    }
    RowsView unfolded;
    unfolded.f32 = engine_.shared();
    unfolded.rows = y.rows;
    unfolded.features = channels_ * kernel_;
    return product_.multiply(node_.inputs[0], unfolded, y);
  }

 private:
  /// The neighbourhoods of one sequence's rows, zeros outside of it.
  void unfold(const float* x, Size rows, Size out_row, Size out_rows) {
    constexpr Size kRowsPerChunk = 16;
    const auto chunks = static_cast<std::uint32_t>((out_rows + kRowsPerChunk - 1) / kRowsPerChunk);
    engine_.team->for_each(chunks, [&](std::uint32_t chunk, unsigned) {
      const Size begin = Size{chunk} * kRowsPerChunk;
      for (Size t = begin; t < std::min(begin + kRowsPerChunk, out_rows); ++t) {
        float* const to = engine_.shared() + (out_row + t) * channels_ * kernel_;
        for (Size tap = 0; tap < kernel_; ++tap) {
          const Size at = t * stride_ + tap;  // kernel / 2 ahead of the row
          if (at < kernel_ / 2 || at - kernel_ / 2 >= rows) {
            for (Size c = 0; c < channels_; ++c) to[c * kernel_ + tap] = 0.0f;
            continue;
          }
          const float* const from = x + (at - kernel_ / 2) * channels_;
          for (Size c = 0; c < channels_; ++c) to[c * kernel_ + tap] = from[c];
        }
      }
    });
  }

  Engine& engine_;
  const Node& node_;
  Product product_;
  const bool of_states_;
  const Size stride_;
  Size channels_ = 0;
  Size kernel_ = 0;
};

}  // namespace

Result<std::unique_ptr<NodeKernel>> compile_conv1d(Engine& engine, const Node& node) {
  auto kernel = std::make_unique<Conv1dKernel>(engine, node);
  APR_TRY(kernel->prepare());
  return std::unique_ptr<NodeKernel>(std::move(kernel));
}

}  // namespace apr::cpu
