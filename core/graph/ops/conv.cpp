// Convolution along a sequence's frames (or states), as PyTorch's Conv1d with padding of half a
// kernel computes it.
#include <cmath>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"
#include "core/runtime/batch.h"

namespace apr::ops {

namespace {

constexpr std::int64_t kMaxStride = 64;

Result<std::vector<ValueType>> infer_conv1d(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  APR_TRY(expect_count(draft, "stride", kMaxStride));
  const ValueType& x = draft.inputs[0]->type;
  const std::int64_t stride = draft.node->integer("stride");
  if (x.rows != Rows::frames && !(x.rows == Rows::states && stride == 1)) {
    return misfit(cat(describe_input(draft, 0), " must have one row per frame",
                      stride == 1 ? " or state" : ""));
  }
  const Shape& weight = draft.parameters[0]->shape;
  if (weight.rank() != 3 || weight[1] != x.features || weight[2] % 2 == 0) {
    return misfit(cat(describe_parameter(draft, 0), " must have shape [features, ", x.features,
                      ", odd kernel] to go with ", describe_input(draft, 0)));
  }
  if (draft.parameters.size() > 1) APR_TRY(expect_shape(draft, 1, Shape{weight[0]}));
  return std::vector<ValueType>{{Element::f32, stride == 1 ? x.rows : Rows::states, weight[0]}};
}

Status reference_conv1d(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const Shape& shape = call.parameters[0].shape;
  const std::size_t channels = size_of(shape[1]);
  const std::size_t kernel = size_of(shape[2]);
  const std::size_t stride = size_of(call.node->integer("stride"));
  APR_ASSIGN(const std::vector<float> weight, decode_vector(call.parameters[0]));
  std::vector<float> bias(size_of(shape[0]), 0.0F);
  if (call.parameters.size() > 1) {
    APR_ASSIGN(bias, decode_vector(call.parameters[1]));
  }
  const bool of_states = call.graph->value(call.node->inputs[0]).type.rows == Rows::states;
  std::size_t first = 0;
  std::size_t out_row = 0;
  for (const EncodedFrames& encoded : call.batch->encoded) {
    const std::size_t rows =
        of_states ? size_of(call.graph->facts().states_of(encoded.frames)) : encoded.frames;
    for (std::size_t centre = 0; centre < rows; centre += stride, ++out_row) {
      for (std::size_t o = 0; o < bias.size(); ++o) {
        double sum = 0;
        for (std::size_t c = 0; c < channels; ++c) {
          for (std::size_t tap = 0; tap < kernel; ++tap) {
            const std::size_t at = centre + tap;  // kernel / 2 ahead of the row
            if (at < kernel / 2 || at - kernel / 2 >= rows) continue;
            sum += static_cast<double>(weight[(o * channels + c) * kernel + tap]) *
                   static_cast<double>(row_of(x, first + at - kernel / 2)[c]);
          }
        }
        row_of(out, out_row)[o] = static_cast<float>(sum + static_cast<double>(bias[o]));
      }
    }
    first += rows;
  }
  return {};
}

Cost cost_conv1d(const NodeDraft& draft, double rows, double) {
  const Shape& weight = draft.parameters[0]->shape;
  const auto elements = static_cast<double>(weight.elements());
  return {rows * 2 * elements,
          parameter_bytes(draft) + rows * row_bytes_moved(draft, static_cast<double>(weight[0]))};
}

}  // namespace

std::vector<OpRow> conv_ops() {
  return {{
      .name = "conv1d",
      .summary = "out[t][o] = sum over c, j of weight[o][c][j] * x[stride*t + j - kernel/2][c] + "
                 "bias[o], zeros outside of the sequence",
      .inputs = {"x"},
      .parameters = {{"weight"}, {"bias", true}},
      .attributes = {{"stride", std::int64_t{1}}},
      .outputs = {"out"},
      .infer = infer_conv1d,
      .reference = reference_conv1d,
      .cost = cost_conv1d,
  }};
}

}  // namespace apr::ops
