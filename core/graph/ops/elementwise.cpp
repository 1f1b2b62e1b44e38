#include <cmath>

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
              .name = "silu_mul",
              .summary = "out = gate / (1 + exp(-gate)) * up",
              .inputs = {"gate", "up"},
              .parameters = {},
              .attributes = {},
              .outputs = {"out"},
              .infer = infer_pair,
              .reference = reference_silu_mul,
              .cost = cost_silu_mul,
          }};
}

}  // namespace apr::ops
