#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"

namespace apr::ops {

namespace {

Result<std::vector<ValueType>> infer_embedding(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::i32));
  APR_TRY(expect_features(draft, 0, 1, "the op"));
  const Shape& table = draft.parameters[0]->shape;
  if (table.rank() != 2) {
    return misfit(cat(describe_parameter(draft, 0), " must be a matrix [ids, features]"));
  }
  return std::vector<ValueType>{{Element::f32, draft.inputs[0]->type.rows, table[1]}};
}

Status reference_embedding(const KernelCall& call) {
  const RowsView& ids = call.inputs[0];
  const RowsView& out = call.outputs[0];
  const TensorView& table = call.parameters[0];
  for (std::uint64_t row = 0; row < ids.rows; ++row) {
    const std::int32_t id = ids.i32[row];
    if (id < 0 || static_cast<std::uint64_t>(id) >= table.shape[0]) {
      return make_error(ErrorCode::inference,
                        cat("id ", id, " is outside the table's ", table.shape[0], " rows"));
    }
    APR_TRY(decode_row(table, static_cast<std::uint64_t>(id),
                       {row_of(out, row), static_cast<std::size_t>(out.features)}));
  }
  return {};
}

Cost cost_embedding(const NodeDraft& draft, double rows, double) {
  const Shape& table = draft.parameters[0]->shape;
  const double row_bytes =
      parameter_bytes(draft) / static_cast<double>(table[0] > 0 ? table[0] : 1);
  return {0, rows * (row_bytes + row_bytes_moved(draft, static_cast<double>(table[1])))};
}

}  // namespace

std::vector<OpRow> embedding_ops() {
  return {{
      .name = "embedding",
      .summary = "out[r] = table[ids[r]]: the row of a table for each id",
      .inputs = {"ids"},
      .parameters = {{"table"}},
      .attributes = {},
      .outputs = {"out"},
      .infer = infer_embedding,
      .reference = reference_embedding,
      .cost = cost_embedding,
  }};
}

}  // namespace apr::ops
