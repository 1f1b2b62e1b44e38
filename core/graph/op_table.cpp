#include <algorithm>
#include <utility>

#include "core/graph/op.h"
#include "core/graph/ops/families.h"

namespace apr {

namespace {

std::vector<OpRow> all_ops() {
  std::vector<OpRow> table;
  for (auto family : {ops::embedding_ops, ops::linear_ops, ops::norm_ops, ops::rope_ops,
                      ops::attention_ops, ops::elementwise_ops, ops::row_ops, ops::conv_ops}) {
    for (OpRow& row : family()) table.push_back(std::move(row));
  }
  std::sort(table.begin(), table.end(),
            [](const OpRow& a, const OpRow& b) { return a.name < b.name; });
  return table;
}

}  // namespace

std::span<const OpRow> op_table() {
  static const std::vector<OpRow> table = all_ops();
  return table;
}

const OpRow* find_op(std::string_view name) {
  const auto table = op_table();
  const auto found =
      std::lower_bound(table.begin(), table.end(), name,
                       [](const OpRow& row, std::string_view wanted) { return row.name < wanted; });
  return found != table.end() && found->name == name ? &*found : nullptr;
}

NodeDraft draft_of(const Graph& graph, const Node& node, std::span<const TensorView> bound) {
  NodeDraft draft;
  draft.node = &node;
  for (const ValueId id : node.inputs) draft.inputs.push_back(&graph.value(id));
  for (const ParameterId id : node.parameters) {
    draft.parameters.push_back(&graph.parameter(id));
    if (!bound.empty()) draft.tensors.push_back(bound[id]);
  }
  if (node.cache) draft.cache = &graph.caches()[*node.cache];
  return draft;
}

Cost cost_of(const NodeDraft& draft, const Graph& graph, const RowCounts& counts) {
  const Node& node = *draft.node;
  if (node.op->cost == nullptr || node.outputs.empty()) return {};
  const std::uint64_t rows = counts.of(graph.value(node.outputs.front()).type.rows);
  std::uint64_t pairs = counts.pairs;
  for (const ValueId id : node.outputs) {
    if (is_pairs(graph.value(id).type.rows)) pairs = counts.of(graph.value(id).type.rows);
  }
  const double context = rows == 0 ? 0 : static_cast<double>(pairs) / static_cast<double>(rows);
  return node.op->cost(draft, static_cast<double>(rows), context);
}

}  // namespace apr
