#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"

namespace apr::ops {

namespace {

Result<std::vector<ValueType>> infer_linear(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  const ValueType& x = draft.inputs[0]->type;
  const Shape& weight = draft.parameters[0]->shape;
  if (weight.rank() != 2 || weight[1] != x.features) {
    return misfit(cat(describe_parameter(draft, 0), " must be [out, ", x.features, "] to multiply ",
                      describe_input(draft, 0)));
  }
  if (draft.parameters.size() > 1) APR_TRY(expect_shape(draft, 1, Shape{weight[0]}));
  return std::vector<ValueType>{{Element::f32, x.rows, weight[0]}};
}

Status reference_linear(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const TensorView& weight = call.parameters[0];
  std::vector<float> bias;
  if (call.parameters.size() > 1) {
    APR_ASSIGN(bias, decode_vector(call.parameters[1]));
  }
  std::vector<float> weight_row(static_cast<std::size_t>(x.features));
  for (std::size_t o = 0; o < out.features; ++o) {
    APR_TRY(decode_row(weight, o, weight_row));
    for (std::uint64_t row = 0; row < x.rows; ++row) {
      const float* in = row_of(x, row);
      double sum = 0;
      for (std::size_t i = 0; i < weight_row.size(); ++i) {
        sum += static_cast<double>(in[i]) * static_cast<double>(weight_row[i]);
      }
      if (!bias.empty()) sum += static_cast<double>(bias[o]);
      row_of(out, row)[o] = static_cast<float>(sum);
    }
  }
  return {};
}

Cost cost_linear(const NodeDraft& draft, double rows, double) {
  const Shape& weight = draft.parameters[0]->shape;
  const auto outputs = static_cast<double>(weight[0]);
  const auto inputs = static_cast<double>(weight[1]);
  const double bias = draft.parameters.size() > 1 ? outputs : 0;
  return {rows * (2 * outputs * inputs + bias),
          parameter_bytes(draft) + rows * row_bytes_moved(draft, outputs)};
}

}  // namespace

std::vector<OpRow> linear_ops() {
  return {{
      .name = "linear",
      .summary = "out[r][o] = sum_i x[r][i] * weight[o][i] (+ bias[o])",
      .inputs = {"x"},
      .parameters = {{"weight"}, {"bias", true}},
      .attributes = {},
      .outputs = {"out"},
      .infer = infer_linear,
      .reference = reference_linear,
      .cost = cost_linear,
  }};
}

}  // namespace apr::ops
