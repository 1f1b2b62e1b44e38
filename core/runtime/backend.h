// Backend: compiles a graph and a package into something that runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/graph/graph.h"
#include "core/graph/op.h"
#include "core/package/package.h"
#include "core/platform/team.h"
#include "core/runtime/batch.h"
#include "core/runtime/kv_cache.h"

namespace apr {

/// What may differ from the mathematical definition.
enum class Mode : std::uint8_t {
  /// float32 activations and sums, weights decoded exactly. Bit-identical for any number of
  /// threads,
  /// any batching, cache or no cache (on one instruction set).
  exact,
  /// As exact in its promise of identical bits, but free to round activations to 8 bits before a
  /// product
  /// with quantized weights.
  deterministic,
  /// May also choose kernels by the number of rows, so bits may depend on batching.
  fast,
};
APR_API std::string_view name_of(Mode mode);
APR_API std::optional<Mode> mode_from_name(std::string_view name);

/// Receives values while a step runs. The span is valid during the call only. Attention
/// probabilities come once per sequence of the step, in order: [heads][queries][keys], told as
/// heads·queries rows of `keys` features. Values without rows in a step are not reported.
class TapSink {
 public:
  virtual ~TapSink() = default;
  virtual void on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                        std::span<const float> data) noexcept = 0;
};

/// Receives one span per executed node.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  /// `nodes`: names of the graph's nodes this span covers (several where a backend fused them).
  virtual void on_span(std::span<const std::string_view> nodes, std::uint64_t begin_ns,
                       std::uint64_t end_ns, Cost cost) noexcept = 0;
};

struct CompileOptions {
  Mode mode = Mode::deterministic;
  std::uint32_t max_tokens = 512;      ///< largest step
  std::uint32_t max_logit_rows = 512;  ///< cut to max_tokens
  std::uint32_t max_frames = 0;        ///< largest step of an encoder of frames; 0: one sequence's
  /// Values to report to a TapSink, by name; "*" for every float value that a node makes. Attention
  /// probabilities are computed only when named ("layer0.attn_probs" or "*").
  std::vector<std::string> taps;
  std::shared_ptr<Team> team;  ///< none: one thread
};

struct StepSinks {
  TapSink* taps = nullptr;
  SpanSink* spans = nullptr;
};

/// A compiled model. Holds the package's mappings alive, reads weights where they lie, owns its
/// activation memory. One step at a time.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual const Graph& graph() const noexcept = 0;
  virtual const CompileOptions& options() const noexcept = 0;
  /// Runs one step; KV cache space for its tokens was reserved by the caller (Session does).
  /// Returns the graph's first output, valid until the next step: batch.logit_rows.size() ×
  /// vocab_size floats for a causal model, a row per token for others. A failed step leaves the
  /// cache's lengths as they were.
  virtual Result<std::span<const float>> run(const Batch& batch, KvCache& cache,
                                             const StepSinks& sinks) noexcept = 0;
  /// What runs: "cpu avx2 deterministic", for reports.
  virtual std::string description() const = 0;
};

/// Checks a step against the graph, the options and what the cache's sequences hold: sizes, order
/// of sequences, positions, token ids, logit rows, further inputs, frames. Session calls it before
/// every step, so that run() may rely on it.
APR_API Status check_step(const Graph& graph, const CompileOptions& options, const KvCache& cache,
                          const Batch& batch);

/// The values that CompileOptions::taps names, in order of the graph; an error names one that is
/// not there.
APR_API Result<std::vector<ValueId>> resolve_taps(const Graph& graph,
                                                  std::span<const std::string> taps);

/// What backends plan memory for: the options' limits, the encoder's from the graph's facts.
APR_API RowCounts largest_step(const Graph& graph, const CompileOptions& options);
/// The values of an input that the step gives or that follow from it (positions, ...), into memory
/// of the input's rows.
APR_API Status fill_input(const Graph& graph, const Value& input, const Batch& batch,
                          const RowsView& to);
/// Tells a sink of one value of a finished node; `data` holds counts.of(its rows) rows.
APR_API void report_value(const Graph& graph, const Value& value, const Batch& batch,
                          const KvCache& cache, const RowCounts& counts, const float* data,
                          TapSink& sink);
/// Whether a node has anything to do in a step: rows to make, or states to keep.
APR_API bool has_work(const Graph& graph, const Node& node, const RowCounts& counts);

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view id() const noexcept = 0;  ///< "cpu"
  /// Fails with the name of the tensor that is missing, misshapen or of a type it cannot multiply.
  virtual Result<std::unique_ptr<Executable>> compile(const Graph& graph, const Package& package,
                                                      const CompileOptions& options) noexcept = 0;
};

}  // namespace apr
