// The op table: one row per operation, with everything anyone needs to know about it. A new
// operation is one more row (and, where speed matters, a kernel in a backend); nothing else
// changes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"
#include "core/tensor/tensor.h"

namespace apr {

class KvCache;
struct Batch;
class GraphBuilder;

/// A table of rows in memory: rows × features, row-major, f32 or i32. A table of Rows::pairs is
/// laid out as said there. An output that nobody wants (attention probabilities without a tap) has
/// no memory: both pointers are null and the kernel leaves it out.
struct RowsView {
  float* f32 = nullptr;
  std::int32_t* i32 = nullptr;
  std::uint64_t rows = 0;
  std::uint64_t features = 0;
};

/// What a reference kernel gets. Parameters are the tensors after their transforms, as stored.
struct KernelCall {
  const Graph* graph = nullptr;
  const Node* node = nullptr;
  std::span<const RowsView> inputs;
  std::span<const TensorView> parameters;
  std::span<const RowsView> outputs;
  const Batch* batch = nullptr;
  KvCache* cache = nullptr;  ///< for nodes with a cache
};

struct AttributeSpec {
  std::string_view name;
  AttributeValue fallback;  ///< also fixes the type
  bool required = false;
};

struct ParameterSpec {
  std::string_view name;
  bool optional = false;
};

/// Work of one node for a number of rows. Bytes are what must move at least: weights once, inputs
/// and outputs once, cached keys and values once.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

/// A node with what its ids stand for; a node under construction has no outputs yet.
struct NodeDraft {
  const Node* node = nullptr;
  std::vector<const Value*> inputs;          ///< the node's inputs, in order
  std::vector<const Parameter*> parameters;  ///< the node's parameters, in order
  const CacheDecl* cache = nullptr;          ///< or nullptr
  /// The tensors bound to the parameters, in order; empty before binding (costs then assume f32).
  std::vector<TensorView> tensors;
};

struct OpRow {
  std::string_view name;     ///< "rms_norm"
  std::string_view summary;  ///< one sentence with the formula
  std::vector<std::string_view> inputs;
  std::vector<ParameterSpec> parameters;
  std::vector<AttributeSpec> attributes;
  std::vector<std::string_view> outputs;  ///< "out", or "out", "probabilities" (optional ones last)
  bool uses_cache = false;

  /// Types of the outputs, or what does not fit, naming the input or parameter.
  Result<std::vector<ValueType>> (*infer)(const NodeDraft& draft) = nullptr;
  /// The scalar specification: plain loops over float32 values; sums run in index order in float64
  /// and are rounded to float32 once, so that the specification is nearer to the mathematics than
  /// any kernel.
  Status (*reference)(const KernelCall& call) = nullptr;
  /// For `rows` rows of output, each of which sees `context` positions on average.
  Cost (*cost)(const NodeDraft& draft, double rows, double context) = nullptr;
  /// Rewrites the node in terms of other ops; nullptr: the op is primitive.
  Result<std::vector<ValueId>> (*decompose)(GraphBuilder& builder,
                                            const NodeDraft& draft) = nullptr;
  // A slot for vjp() joins with training.
};

/// All ops of this build, sorted by name.
APR_API std::span<const OpRow> op_table();
/// nullptr if there is no such op.
APR_API const OpRow* find_op(std::string_view name);

/// A node of a finished graph as shape inference and cost see it. `bound` may be empty.
APR_API NodeDraft draft_of(const Graph& graph, const Node& node,
                           std::span<const TensorView> bound = {});
/// Work of a drafted node in one step.
APR_API Cost cost_of(const NodeDraft& draft, const Graph& graph, const RowCounts& counts);

}  // namespace apr
