// The cpu backend: kernels chosen for the processor at run time, work shared by a team of threads.
//
// Modes. exact: float activations, weights decoded exactly. deterministic: as exact for float
// weights; for q8_0 and q4_0 weights activations are rounded to int8 blocks. Both give a token the
// same bits alone and in any batch, with any number of threads, cached or not. fast: the same
// kernels as deterministic, until some are faster when they may look at the number of rows.
#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/cpu.h"
#include "core/plugin/plugin.h"
#include "plugins/backends/cpu/engine.h"

namespace apr::cpu {
namespace {

class CpuExecutable final : public Executable {
 public:
  static Result<std::unique_ptr<Executable>> create(const Graph& graph, const Package& package,
                                                    CompileOptions options) {
    if (options.max_tokens < 1) {
      return make_error(ErrorCode::usage, "a step of at most 0 tokens runs nothing");
    }
    options.max_logit_rows = std::clamp(options.max_logit_rows, 1U, options.max_tokens);
    APR_ASSIGN(const auto taps, resolve_taps(graph, options.taps));
    std::unique_ptr<CpuExecutable> executable(
        new CpuExecutable(graph, package, std::move(options)));
    APR_TRY(executable->compile(taps));
    return std::unique_ptr<Executable>(std::move(executable));
  }

  const Graph& graph() const noexcept override { return graph_; }
  const CompileOptions& options() const noexcept override { return engine_.options; }
  std::string description() const override {
    return cat("cpu ", name_of(engine_.kernels.level), " ", name_of(engine_.options.mode));
  }

  Result<std::span<const float>> run(const Batch& batch, KvCache& cache,
                                     const StepSinks& sinks) noexcept override {
    const Step step{&batch, &cache, count_rows(graph_, batch, cache)};
    engine_.begin_step();
    for (const ValueId id : graph_.inputs()) {
      APR_TRY(fill_input(graph_, graph_.value(id), batch, engine_.rows(id, step)));
    }
    for (std::size_t n = 0; n < kernels_.size(); ++n) APR_TRY(run_node(n, step, sinks));
    const RowsView out = engine_.rows(graph_.outputs().front(), step);
    return std::span<const float>(out.f32, static_cast<std::size_t>(out.rows * out.features));
  }

 private:
  CpuExecutable(const Graph& graph, const Package& package, CompileOptions options)
      : graph_(graph),
        package_(package),
        engine_(graph_, table_for(cpu_level()), std::move(options)) {}

  Status compile(std::span<const ValueId> taps) {
    tapped_.assign(graph_.values().size(), false);
    for (const ValueId id : taps) tapped_[id] = true;
    APR_ASSIGN(engine_.parameters, bind_parameters(graph_, package_));
    for (const Node& node : graph_.nodes()) {
      auto kernel = compile_node(engine_, node);
      if (!kernel) return std::move(kernel).error().within(cat("node ", node.name));
      kernels_.push_back(*std::move(kernel));
      drafts_.push_back(draft_of(graph_, node, engine_.parameters.views));
    }
    return engine_.allocate();
  }

  Status run_node(std::size_t index, const Step& step, const StepSinks& sinks) {
    const Node& node = graph_.nodes()[index];
    if (!has_work(graph_, node, step.counts)) return {};
    Buffer pairs;
    engine_.wanted_pairs = nullptr;
    if (sinks.taps != nullptr) {
      for (const ValueId id : node.outputs) {
        const ValueType& type = graph_.value(id).type;
        if (!tapped_[id] || !is_pairs(type.rows)) continue;
        const std::uint64_t elements = step.counts.of(type.rows) * type.features;
        APR_ASSIGN(pairs, Buffer::create(elements * sizeof(float), graph_.value(id).name));
        engine_.wanted_pairs = reinterpret_cast<float*>(pairs.data());
      }
    }
    const std::uint64_t begin = sinks.spans != nullptr ? monotonic_ns() : 0;
    if (auto status = kernels_[index]->run(step); !status) {
      return std::move(status).error().within(cat("node ", node.name));
    }
    if (sinks.spans != nullptr) {
      const std::string_view name = node.name;
      sinks.spans->on_span({&name, 1}, begin, monotonic_ns(),
                           cost_of(drafts_[index], graph_, step.counts));
    }
    if (sinks.taps != nullptr) report(node, step, *sinks.taps);
    return {};
  }

  void report(const Node& node, const Step& step, TapSink& sink) const {
    for (const ValueId id : node.outputs) {
      if (!tapped_[id]) continue;
      const Value& value = graph_.value(id);
      const float* data =
          is_pairs(value.type.rows) ? engine_.wanted_pairs : engine_.rows(id, step).f32;
      report_value(graph_, value, *step.batch, *step.cache, step.counts, data, sink);
    }
  }

  const Graph graph_;
  const Package package_;
  Engine engine_;
  std::vector<bool> tapped_;
  std::vector<std::unique_ptr<NodeKernel>> kernels_;
  std::vector<NodeDraft> drafts_;
};

class CpuBackend final : public Backend {
 public:
  std::string_view id() const noexcept override { return "cpu"; }
  Result<std::unique_ptr<Executable>> compile(const Graph& graph, const Package& package,
                                              const CompileOptions& options) noexcept override {
    return CpuExecutable::create(graph, package, options);
  }
};

constexpr Provision kProvides[] = {
    {"backend", "cpu", "kernels for this processor, chosen at run time"}};

Status add(Registry& registry) noexcept {
  return registry.add(std::make_unique<CpuBackend>());
}

}  // namespace
}  // namespace apr::cpu

APR_PLUGIN(backend_cpu, APR_VERSION, "Apache-2.0", "Runs a model on this processor.",
           apr::cpu::kProvides, apr::cpu::add)
