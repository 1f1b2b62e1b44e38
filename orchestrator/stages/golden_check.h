// Holding a model to a golden trace.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/runtime/model.h"
#include "orchestrator/stages/golden_trace.h"

namespace apr {

/// How near is near enough; docs/golden-traces.md explains the figures.
struct GoldenTolerance {
  /// For a model with the reference's weights: largest differences of single numbers.
  double node = 1e-4;    ///< times max(1, largest reference number)
  double embed = 1e-5;   ///< absolute
  double logits = 2e-4;  ///< absolute
  /// Further absolute limits, of inner values and of attention probabilities.
  std::optional<double> hidden_states;
  std::optional<double> attention_probabilities;

  /// For quantized weights, by the coarsest type among them: the root mean square of the difference
  /// divided by that of the reference, and how many of the reference's best ids must be among the
  /// model's.
  bool type_aware = false;
  double relative_rms = 0;
  std::size_t top_overlap = 10;
};

/// The tolerance for a type of weights. f16 and bf16 are held to the strict one unless
/// `type_aware`: the reference may have been computed with the very same numbers.
GoldenTolerance tolerance_for(Type weights, bool type_aware);
/// Tightened by what the trace's makers suggest. Nothing changes for quantized weights.
void tighten(GoldenTolerance& tolerance, const SuggestedTolerance& suggested);
/// The coarsest type (fewest bits per element) among the matrices that the graph multiplies with.
Type coarsest_weight_type(const Model& model);

/// One compared value.
struct NodeCheck {
  std::string node;
  double difference = 0;  ///< largest |model - reference|; NaN if a number is none
  double tolerance = 0;   ///< of `measured`
  double measured = 0;    ///< the difference, or the relative RMS for quantized weights
  double relative_rms = 0;
  std::vector<std::uint64_t> at;  ///< index of the largest difference
  double reference = 0;
  double found = 0;
  bool passed = false;
  std::string remark;  ///< what the numbers say about the mistake; empty if they say nothing
};

/// Compares numbers of the given shape. NaN never passes.
NodeCheck check_node(std::string node, const GoldenValue& reference, std::span<const float> found,
                     const GoldenTolerance& tolerance);

struct PromptCheck {
  std::string prompt;
  std::optional<bool> ids;  ///< the tokenizer's ids are the reference's; nothing: not checked
  std::string ids_problem;
  std::vector<NodeCheck> nodes;  ///< in the order in which they are computed
  /// Values of a model with a known mistake; passed: the model differs from them. Not compared for
  /// quantized weights, whose noise may be larger than the mistake.
  std::vector<NodeCheck> controls;
  std::vector<TokenId> top_reference, top_found;
  std::size_t top_common = 0;
  bool top_passed = false;
  std::size_t greedy_compared = 0;
  std::size_t greedy_equal = 0;
  std::optional<bool> greedy_passed;  ///< nothing: quantized weights are free to differ here
  bool passed() const;
};

struct GoldenCheckOptions {
  GoldenTolerance tolerance;
  bool check_tokenizer = true;
};

/// Runs one prompt. The model was compiled with the trace's tap names.
Result<PromptCheck> check_prompt(const Model& model, const GoldenTrace& trace,
                                 const GoldenPrompt& prompt, const GoldenCheckOptions& options);

Json to_json(const NodeCheck& check);
Json to_json(const PromptCheck& check);

}  // namespace apr
