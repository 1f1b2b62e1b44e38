// What the node kernels of one compiled model share: memory, threads, kernel table.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/graph/memory_plan.h"
#include "core/graph/op.h"
#include "core/platform/team.h"
#include "core/runtime/backend.h"
#include "core/runtime/batch.h"
#include "core/runtime/bind.h"
#include "core/runtime/buffer.h"
#include "plugins/backends/cpu/kernels.h"

namespace apr::cpu {

/// One step as the kernels see it.
struct Step {
  const Batch* batch = nullptr;
  KvCache* cache = nullptr;
  RowCounts counts;
};

/// cos and sin of every token's position, shared by all nodes that turn by the same frequencies.
struct RopeTurns {
  std::vector<double> inverse_frequencies;
  double attention_factor = 1.0;
  ValueId positions = 0;
  Buffer cosines;  ///< max_tokens rows of one float per pair
  Buffer sines;
  bool ready = false;  ///< filled for this step
};

class Engine {
 public:
  Engine(const Graph& graph_in, const KernelTable& kernels_in, CompileOptions options_in);

  const Graph& graph;
  const KernelTable& kernels;
  const CompileOptions options;
  const std::shared_ptr<Team> team;
  BoundParameters parameters;

  /// Rows of a value in this step; no pointer for values without planned memory (see wanted_pairs).
  RowsView rows(ValueId id, const Step& step) const;
  /// A small parameter (a norm's weight, a bias) as floats, kept for the life of the engine.
  Result<const float*> floats(ParameterId id);
  /// Asks for scratch memory of every thread; kernels name their needs while compiling.
  void need_scratch(std::uint64_t bytes);
  template <typename T>
  T* scratch(unsigned thread) const {
    return reinterpret_cast<T*>(scratch_[thread].data());
  }
  /// Asks for memory that all threads share while one node runs.
  void need_shared(std::uint64_t bytes);
  float* shared() const { return reinterpret_cast<float*>(shared_.data()); }
  /// Whose rows are whose in this step, for a kind of pairs.
  std::span<const RowSegment> segments(Rows pairs, const Step& step);
  /// Asks for room to round values of `features` columns.
  void need_rounded(std::uint64_t features);
  /// The rows of a value rounded to int8 blocks; done once for all nodes of a step that use the
  /// value.
  RoundedRows rounded(ValueId id, const RowsView& x);
  std::size_t need_turns(std::span<const double> inverse_frequencies, double attention_factor,
                         ValueId positions);
  const RopeTurns& turns(std::size_t index, const Step& step);

  /// Plans and allocates once every node has said what it needs.
  Status allocate();
  void begin_step();

  /// Memory of the attention probabilities that a node shall report in this step; nullptr: not
  /// wanted.
  float* wanted_pairs = nullptr;

 private:
  MemoryPlan plan_;
  Buffer memory_;
  std::uint64_t scratch_bytes_ = 0;
  std::vector<Buffer> scratch_;
  std::uint64_t shared_bytes_ = 0;
  Buffer shared_;
  struct Segments {
    bool ready = false;  ///< filled for this step
    std::vector<RowSegment> rows;
  };
  Segments segments_[3];  ///< pairs, state_pairs, cross_pairs
  std::uint64_t rounded_blocks_ = 0;
  Buffer rounded_q_;
  Buffer rounded_d_;
  Buffer rounded_sums_;
  ValueId rounded_value_ = 0;
  bool rounded_ready_ = false;
  std::vector<RopeTurns> turns_;
  std::vector<std::unique_ptr<std::vector<float>>> floats_;
};

/// One node, ready to run.
class NodeKernel {
 public:
  virtual ~NodeKernel() = default;
  virtual Status run(const Step& step) noexcept = 0;
};

/// The kernel of a node: this backend's own, or the op table's scalar one for ops and variants that
/// it has no kernel for.
Result<std::unique_ptr<NodeKernel>> compile_node(Engine& engine, const Node& node);

// The kernels by file; nullptr where a variant is left to the op table.
Result<std::unique_ptr<NodeKernel>> compile_linear(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_attention(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_rope(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_embedding(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_rms_norm(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_layer_norm(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_gelu(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_tanh(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_conv1d(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_row_selection(Engine& engine, const Node& node);
Result<std::unique_ptr<NodeKernel>> compile_elementwise(Engine& engine, const Node& node);

}  // namespace apr::cpu
