#include <cmath>
#include <numbers>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"

namespace apr::ops {

namespace {

Result<std::vector<ValueType>> infer_pair(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  APR_TRY(expect_element(draft, 1, Element::f32));
  if (draft.inputs[0]->type != draft.inputs[1]->type) {
    return misfit(cat(describe_input(draft, 0), " and ", describe_input(draft, 1),
                      " must have the same rows and features"));
  }
  return std::vector<ValueType>{draft.inputs[0]->type};
}

template <typename Function>
Status each_pair(const KernelCall& call, Function&& function) {
  const RowsView& a = call.inputs[0];
  const RowsView& b = call.inputs[1];
  const RowsView& out = call.outputs[0];
  const std::uint64_t count = out.rows * out.features;
  for (std::uint64_t i = 0; i < count; ++i) out.f32[i] = function(a.f32[i], b.f32[i]);
  return {};
}

Status reference_add(const KernelCall& call) {
  return each_pair(call, [](float a, float b) { return a + b; });
}

Status reference_silu_mul(const KernelCall& call) {
  return each_pair(call, [](float gate, float up) {
    const auto g = static_cast<double>(gate);
    return static_cast<float>(g / (1.0 + std::exp(-g)) * static_cast<double>(up));
  });
}

// Hendrycks and Gimpel 2016, arXiv:1606.08415: x times the normal distribution's share below x, and
// the approximation of it that GPT-2 was trained with.
Result<std::vector<ValueType>> infer_gelu(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  const std::string& approximation = draft.node->text("approximation");
  if (approximation != "none" && approximation != "tanh") {
    return misfit(cat("attribute approximation is '", approximation, "', not none or tanh"));
  }
  return std::vector<ValueType>{draft.inputs[0]->type};
}

Status reference_gelu(const KernelCall& call) {
  const RowsView& in = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const bool tanh_form = call.node->text("approximation") == "tanh";
  const std::uint64_t count = out.rows * out.features;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto x = static_cast<double>(in.f32[i]);
    const double share =
        tanh_form ? std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))
                  : std::erf(x / std::numbers::sqrt2);
    out.f32[i] = static_cast<float>(0.5 * x * (1 + share));
  }
  return {};
}

Result<std::vector<ValueType>> infer_tanh(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  return std::vector<ValueType>{draft.inputs[0]->type};
}

Status reference_tanh(const KernelCall& call) {
  const RowsView& in = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const std::uint64_t count = out.rows * out.features;
  for (std::uint64_t i = 0; i < count; ++i) {
    out.f32[i] = static_cast<float>(std::tanh(static_cast<double>(in.f32[i])));
  }
  return {};
}

Cost cost_gelu(const NodeDraft& draft, double rows, double) {
  const auto features = static_cast<double>(draft.inputs[0]->type.features);
  return {rows * 8 * features, rows * row_bytes_moved(draft, features)};
}

Cost cost_add(const NodeDraft& draft, double rows, double) {
  const auto features = static_cast<double>(draft.inputs[0]->type.features);
  return {rows * features, rows * row_bytes_moved(draft, features)};
}

Cost cost_silu_mul(const NodeDraft& draft, double rows, double) {
  const auto features = static_cast<double>(draft.inputs[0]->type.features);
  return {rows * 4 * features, rows * row_bytes_moved(draft, features)};
}

}  // namespace

std::vector<OpRow> elementwise_ops() {
  return {{
              .name = "add",
              .summary = "out = a + b",
              .inputs = {"a", "b"},
              .parameters = {},
              .attributes = {},
              .outputs = {"out"},
              .infer = infer_pair,
              .reference = reference_add,
              .cost = cost_add,
          },
          {
              .name = "gelu",
              .summary = "out = x/2 (1 + erf(x / sqrt 2)); approximation tanh: "
                         "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))",
              .inputs = {"x"},
              .parameters = {},
              .attributes = {{"approximation", std::string("none")}},
              .outputs = {"out"},
              .infer = infer_gelu,
              .reference = reference_gelu,
              .cost = cost_gelu,
          },
          {
              .name = "silu_mul",
              .summary = "out = gate / (1 + exp(-gate)) * up",
              .inputs = {"gate", "up"},
              .parameters = {},
              .attributes = {},
              .outputs = {"out"},
              .infer = infer_pair,
              .reference = reference_silu_mul,
              .cost = cost_silu_mul,
          },
          {
              .name = "tanh",
              .summary = "out = tanh(x)",
              .inputs = {"x"},
              .parameters = {},
              .attributes = {},
              .outputs = {"out"},
              .infer = infer_tanh,
              .reference = reference_tanh,
              .cost = cost_gelu,
          }};
}

}  // namespace apr::ops
