#include <algorithm>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"
#include "core/runtime/batch.h"

namespace apr::ops {

namespace {

Result<std::vector<ValueType>> infer_select(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  const ValueType& x = draft.inputs[0]->type;
  if (x.rows != Rows::tokens) {
    return misfit(cat(describe_input(draft, 0), " must have one row per token"));
  }
  return std::vector<ValueType>{{Element::f32, Rows::logit_rows, x.features}};
}

Status reference_select(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& out = call.outputs[0];
  for (std::size_t row = 0; row < out.rows; ++row) {
    const float* from = row_of(x, call.batch->logit_rows[row]);
    std::copy(from, from + x.features, row_of(out, row));
  }
  return {};
}

Result<std::vector<ValueType>> infer_first(const NodeDraft& draft) {
  APR_ASSIGN(auto types, infer_select(draft));
  types.front().rows = Rows::sequences;
  return types;
}

Status reference_first(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& out = call.outputs[0];
  std::uint64_t row = 0;
  for (std::size_t begin = 0; begin < call.batch->tokens();
       begin = segment_end(*call.batch, begin)) {
    const float* from = row_of(x, begin);
    std::copy(from, from + x.features, row_of(out, row++));
  }
  return {};
}

Cost cost_select(const NodeDraft& draft, double rows, double) {
  return {0, rows * 8 * static_cast<double>(draft.inputs[0]->type.features)};
}

}  // namespace

std::vector<OpRow> row_ops() {
  return {
      {
          .name = "first_of_sequence",
          .summary = "out[s] = x[first row of sequence s]: the rows of each sequence's first token",
          .inputs = {"x"},
          .parameters = {},
          .attributes = {},
          .outputs = {"out"},
          .infer = infer_first,
          .reference = reference_first,
          .cost = cost_select,
      },
      {
          .name = "select_logit_rows",
          .summary = "out[r] = x[logit_rows[r]]: the rows of the tokens whose logits are wanted",
          .inputs = {"x"},
          .parameters = {},
          .attributes = {},
          .outputs = {"out"},
          .infer = infer_select,
          .reference = reference_select,
          .cost = cost_select,
      }};
}

}  // namespace apr::ops
