#include "core/graph/ops/helpers.h"

namespace apr::ops {

std::string describe_input(const NodeDraft& draft, std::size_t index) {
  const Value& value = *draft.inputs[index];
  return cat("input ", draft.node->op->inputs[index], " (value ", value.name, ", ",
             name_of(value.type.rows), " x ", value.type.features, ")");
}

std::string describe_parameter(const NodeDraft& draft, std::size_t index) {
  const Parameter& parameter = *draft.parameters[index];
  return cat("parameter ", draft.node->op->parameters[index].name, " (tensor ", parameter.tensor,
             ", ", parameter.shape.to_string(), ")");
}

Error misfit(std::string message) {
  return make_error(ErrorCode::load, std::move(message));
}

Status expect_element(const NodeDraft& draft, std::size_t index, Element element) {
  if (draft.inputs[index]->type.element == element) return {};
  return misfit(cat(describe_input(draft, index), " must hold ",
                    element == Element::f32 ? "f32" : "i32", " elements"));
}

Status expect_features(const NodeDraft& draft, std::size_t index, std::uint64_t features,
                       std::string_view why) {
  if (draft.inputs[index]->type.features == features) return {};
  return misfit(
      cat(describe_input(draft, index), " must have ", features, " features, as ", why, " says"));
}

Status expect_same_rows(const NodeDraft& draft, std::size_t a, std::size_t b) {
  if (draft.inputs[a]->type.rows == draft.inputs[b]->type.rows) return {};
  return misfit(cat(describe_input(draft, a), " and ", describe_input(draft, b),
                    " have rows of different kinds"));
}

Status expect_shape(const NodeDraft& draft, std::size_t index, const Shape& shape) {
  if (draft.parameters[index]->shape == shape) return {};
  std::string message = describe_parameter(draft, index);
  message += " must have shape ";
  message += shape.to_string();
  if (!draft.inputs.empty()) message += cat(" to go with ", describe_input(draft, 0));
  return misfit(std::move(message));
}

Status expect_count(const NodeDraft& draft, std::string_view attribute, std::int64_t limit) {
  const std::int64_t value = draft.node->integer(attribute);
  if (value >= 1 && value <= limit) return {};
  return misfit(cat("attribute ", attribute, " is ", value, ", which is not within 1 ... ", limit));
}

double parameter_bytes(const NodeDraft& draft) {
  double bytes = 0;
  if (!draft.tensors.empty()) {
    for (const TensorView& tensor : draft.tensors) bytes += static_cast<double>(tensor.data.size());
    return bytes;
  }
  for (const Parameter* parameter : draft.parameters) {
    double elements = 1;
    for (const std::uint64_t dim : parameter->shape.dims()) elements *= static_cast<double>(dim);
    bytes += 4 * elements;
  }
  return bytes;
}

double row_bytes_moved(const NodeDraft& draft, double output_features) {
  double features = output_features;
  for (const Value* input : draft.inputs) features += static_cast<double>(input->type.features);
  return 4 * features;
}

Result<std::vector<float>> decode_vector(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
  APR_TRY(decode(tensor, 0, values));
  return values;
}

}  // namespace apr::ops
