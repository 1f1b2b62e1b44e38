#include <cmath>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"

namespace apr::ops {

namespace {

Status check_epsilon(const NodeDraft& draft) {
  const double epsilon = draft.node->number("epsilon");
  if (epsilon >= 0 && epsilon < 1) return {};
  return misfit(cat("attribute epsilon is ", epsilon, ", which is not within [0, 1)"));
}

// Zhang and Sennrich 2019, arXiv:1910.07467.
Result<std::vector<ValueType>> infer_rms_norm(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  const ValueType& x = draft.inputs[0]->type;
  APR_TRY(expect_shape(draft, 0, Shape{x.features}));
  APR_TRY(check_epsilon(draft));
  return std::vector<ValueType>{x};
}

Status reference_rms_norm(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const double epsilon = call.node->number("epsilon");
  APR_ASSIGN(const std::vector<float> weight, decode_vector(call.parameters[0]));
  for (std::uint64_t row = 0; row < x.rows; ++row) {
    const float* in = row_of(x, row);
    double squares = 0;
    for (std::size_t i = 0; i < weight.size(); ++i) {
      squares += static_cast<double>(in[i]) * static_cast<double>(in[i]);
    }
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(weight.size()) + epsilon);
    for (std::size_t i = 0; i < weight.size(); ++i) {
      row_of(out, row)[i] =
          static_cast<float>(static_cast<double>(in[i]) * scale * static_cast<double>(weight[i]));
    }
  }
  return {};
}

Cost cost_rms_norm(const NodeDraft& draft, double rows, double) {
  const auto features = static_cast<double>(draft.inputs[0]->type.features);
  return {rows * 4 * features, parameter_bytes(draft) + rows * row_bytes_moved(draft, features)};
}

// Ba, Kiros and Hinton 2016, arXiv:1607.06450.
Result<std::vector<ValueType>> infer_layer_norm(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  const ValueType& x = draft.inputs[0]->type;
  for (std::size_t i = 0; i < draft.parameters.size(); ++i) {
    APR_TRY(expect_shape(draft, i, Shape{x.features}));
  }
  APR_TRY(check_epsilon(draft));
  return std::vector<ValueType>{x};
}

Status reference_layer_norm(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const double epsilon = call.node->number("epsilon");
  APR_ASSIGN(const std::vector<float> weight, decode_vector(call.parameters[0]));
  std::vector<float> bias(weight.size(), 0.0F);
  if (call.parameters.size() > 1) {
    APR_ASSIGN(bias, decode_vector(call.parameters[1]));
  }
  const auto count = static_cast<double>(weight.size());
  for (std::uint64_t row = 0; row < x.rows; ++row) {
    const float* in = row_of(x, row);
    double sum = 0;
    for (std::size_t i = 0; i < weight.size(); ++i) sum += static_cast<double>(in[i]);
    const double mean = sum / count;
    double squares = 0;
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const double centred = static_cast<double>(in[i]) - mean;
      squares += centred * centred;
    }
    const double scale = 1.0 / std::sqrt(squares / count + epsilon);
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const double normed = (static_cast<double>(in[i]) - mean) * scale;
      row_of(out, row)[i] = static_cast<float>(normed * static_cast<double>(weight[i]) +
                                               static_cast<double>(bias[i]));
    }
  }
  return {};
}

Cost cost_layer_norm(const NodeDraft& draft, double rows, double) {
  const auto features = static_cast<double>(draft.inputs[0]->type.features);
  return {rows * 8 * features, parameter_bytes(draft) + rows * row_bytes_moved(draft, features)};
}

}  // namespace

std::vector<OpRow> norm_ops() {
  OpRow layer_norm = {
      .name = "layer_norm",
      .summary =
          "out[r][i] = (x[r][i] - mean_j x[r][j]) / sqrt(var_j x[r][j] + epsilon) * "
          "weight[i] (+ bias[i])",
      .inputs = {"x"},
      .parameters = {{"weight"}, {"bias", true}},
      .attributes = {{"epsilon", 1e-5, true}},
      .outputs = {"out"},
      .infer = infer_layer_norm,
      .reference = reference_layer_norm,
      .cost = cost_layer_norm,
  };
  return {std::move(layer_norm),
          {
              .name = "rms_norm",
              .summary = "out[r][i] = x[r][i] / sqrt(mean_j x[r][j]^2 + epsilon) * weight[i]",
              .inputs = {"x"},
              .parameters = {{"weight"}},
              .attributes = {{"epsilon", 1e-6, true}},
              .outputs = {"out"},
              .infer = infer_rms_norm,
              .reference = reference_rms_norm,
              .cost = cost_rms_norm,
          }};
}

}  // namespace apr::ops
