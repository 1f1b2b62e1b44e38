// The reference backend: runs every node with the op table's own scalar kernel, one after the
// other, on one thread. Slow and simple on purpose: what it computes is what the op table says, in
// every mode.
#include <algorithm>
#include <memory>
#include <utility>

#include "core/base/cat.h"
#include "core/graph/memory_plan.h"
#include "core/platform/clock.h"
#include "core/plugin/plugin.h"
#include "core/runtime/bind.h"
#include "core/runtime/buffer.h"

namespace apr::reference {

namespace {

class ReferenceExecutable final : public Executable {
 public:
  static Result<std::unique_ptr<Executable>> create(const Graph& graph, const Package& package,
                                                    CompileOptions options) {
    if (options.max_tokens < 1) {
      return make_error(ErrorCode::usage, "a step of at most 0 tokens runs nothing");
    }
    options.max_logit_rows = std::clamp(options.max_logit_rows, 1U, options.max_tokens);
    for (const Node& node : graph.nodes()) {
      if (node.op->reference == nullptr) {
        return make_error(ErrorCode::unsupported,
                          cat("the reference backend has no kernel for op ", node.op->name),
                          cat("node ", node.name));
      }
    }
    APR_ASSIGN(const auto taps, resolve_taps(graph, options.taps));
    std::unique_ptr<ReferenceExecutable> executable(
        new ReferenceExecutable(graph, package, std::move(options)));
    ReferenceExecutable& self = *executable;
    self.tapped_.assign(self.graph_.values().size(), false);
    for (const ValueId id : taps) self.tapped_[id] = true;
    APR_ASSIGN(self.parameters_, bind_parameters(self.graph_, self.package_));
    const RowCounts most = largest_step(self.graph_, self.options_);
    const RowLimits limits{most.tokens, most.logit_rows, most.frames, most.states};
    APR_ASSIGN(self.plan_, plan_memory(self.graph_, limits, {}));
    APR_ASSIGN(self.memory_, Buffer::create(self.plan_.bytes, "activations"));
    for (const Node& node : self.graph_.nodes()) {
      self.drafts_.push_back(draft_of(self.graph_, node, self.parameters_.views));
    }
    return std::unique_ptr<Executable>(std::move(executable));
  }

  const Graph& graph() const noexcept override { return graph_; }
  const CompileOptions& options() const noexcept override { return options_; }
  std::string description() const override { return cat("reference ", name_of(options_.mode)); }

  Result<std::span<const float>> run(const Batch& batch, KvCache& cache,
                                     const StepSinks& sinks) noexcept override {
    const RowCounts counts = count_rows(graph_, batch, cache);
    for (const ValueId id : graph_.inputs()) {
      APR_TRY(fill_input(graph_, graph_.value(id), batch, view(id, counts)));
    }
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      APR_TRY(run_node(n, batch, counts, cache, sinks));
    }
    const RowsView out = view(graph_.outputs().front(), counts);
    return std::span<const float>(out.f32, static_cast<std::size_t>(out.rows * out.features));
  }

 private:
  ReferenceExecutable(const Graph& graph, const Package& package, CompileOptions options)
      : graph_(graph), package_(package), options_(std::move(options)) {}

  RowsView view(ValueId id, const RowCounts& counts) const {
    const ValueType& type = graph_.value(id).type;
    RowsView result;
    result.rows = counts.of(type.rows);
    result.features = type.features;
    if (plan_.offsets[id] == MemoryPlan::kUnplanned) return result;
    std::byte* start = memory_.data() + plan_.offsets[id];
    if (type.element == Element::f32) {
      result.f32 = reinterpret_cast<float*>(start);
    } else {
      result.i32 = reinterpret_cast<std::int32_t*>(start);
    }
    return result;
  }

  Status run_node(std::size_t index, const Batch& batch, const RowCounts& counts, KvCache& cache,
                  const StepSinks& sinks) {
    const Node& node = graph_.nodes()[index];
    if (!has_work(graph_, node, counts)) return {};
    inputs_.clear();
    for (const ValueId id : node.inputs) inputs_.push_back(view(id, counts));
    tensors_.clear();
    for (const ParameterId id : node.parameters) tensors_.push_back(parameters_.views[id]);
    outputs_.clear();
    Buffer step_memory;
    for (const ValueId id : node.outputs) {
      RowsView out = view(id, counts);
      if (plan_.offsets[id] == MemoryPlan::kUnplanned && sinks.taps != nullptr && tapped_[id]) {
        APR_ASSIGN(step_memory,
                   Buffer::create(out.rows * out.features * sizeof(float), graph_.value(id).name));
        out.f32 = reinterpret_cast<float*>(step_memory.data());
      }
      outputs_.push_back(out);
    }
    const std::uint64_t begin = sinks.spans != nullptr ? monotonic_ns() : 0;
    const KernelCall call{&graph_, &node, inputs_, tensors_, outputs_, &batch, &cache};
    if (auto status = node.op->reference(call); !status) {
      return std::move(status).error().within(cat("node ", node.name));
    }
    if (sinks.spans != nullptr) {
      const std::string_view name = node.name;
      sinks.spans->on_span({&name, 1}, begin, monotonic_ns(),
                           cost_of(drafts_[index], graph_, counts));
    }
    if (sinks.taps == nullptr) return {};
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (!tapped_[node.outputs[i]]) continue;
      report_value(graph_, graph_.value(node.outputs[i]), batch, cache, counts, outputs_[i].f32,
                   *sinks.taps);
    }
    return {};
  }

  Graph graph_;
  Package package_;
  CompileOptions options_;
  std::vector<bool> tapped_;
  BoundParameters parameters_;
  MemoryPlan plan_;
  Buffer memory_;
  std::vector<NodeDraft> drafts_;
  std::vector<RowsView> inputs_;
  std::vector<RowsView> outputs_;
  std::vector<TensorView> tensors_;
};

class ReferenceBackend final : public Backend {
 public:
  std::string_view id() const noexcept override { return "reference"; }
  Result<std::unique_ptr<Executable>> compile(const Graph& graph, const Package& package,
                                              const CompileOptions& options) noexcept override {
    return ReferenceExecutable::create(graph, package, options);
  }
};

constexpr Provision kProvides[] = {
    {"backend", "reference", "scalar float32 kernels, the specification of every op"}};

Status add(Registry& registry) noexcept {
  return registry.add(std::make_unique<ReferenceBackend>());
}

}  // namespace

}  // namespace apr::reference

APR_PLUGIN(backend_reference, APR_VERSION, "Apache-2.0",
           "Runs a model by the op table's own scalar kernels.", apr::reference::kProvides,
           apr::reference::add)
