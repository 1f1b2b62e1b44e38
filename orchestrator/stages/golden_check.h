// Holding a model to a golden trace.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/runtime/model.h"
#include "orchestrator/stages/golden_rows.h"
#include "orchestrator/stages/golden_trace.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// Values that are held to one limit.
enum class ValueClass : std::uint8_t {
  embed,
  hidden_states,
  attention_probabilities,
  logits,
  pooler_output,
  sentence_embedding,
  encoder_hidden_states,
  encoder_final_norm,
  decoder_hidden_states,  ///< of a decoder that has an encoder
  input_features,
  mel_filters,
};
/// As in suggested_tolerance, without its "_float32_engine".
std::string_view name_of(ValueClass value_class);
/// By the value's rows in the graph and its name.
ValueClass class_of(const Graph& graph, std::string_view value);

/// How near is near enough; docs/golden-traces.md explains the figures.
struct GoldenTolerance {
  /// For a model with the reference's weights: largest differences of single numbers.
  double node = 1e-4;    ///< times max(1, largest reference number)
  double embed = 1e-5;   ///< absolute
  double logits = 2e-4;  ///< absolute
  SuggestedTolerance suggested;

  /// For quantized weights, by the coarsest type among them: the root mean square of the difference
  /// divided by that of the reference, and how many of the reference's best ids must be among the
  /// model's.
  bool type_aware = false;
  double relative_rms = 0;
  std::size_t top_overlap = 10;

  /// For single numbers of a value whose largest reference number is as given.
  double allowed(ValueClass value_class, double largest) const;
};

/// The tolerance for a type of weights. f16 and bf16 are held to the strict one unless
/// `type_aware`: the reference may have been computed with the very same numbers.
GoldenTolerance tolerance_for(Type weights, bool type_aware);
/// The coarsest type (fewest bits per element) among the matrices that the graph multiplies with.
Type coarsest_weight_type(const Model& model);

/// One compared value.
struct NodeCheck {
  std::string node;
  std::size_t order = static_cast<std::size_t>(-1);  ///< of computation; controls come last
  double difference = 0;  ///< largest |model - reference|; NaN if a number is none
  double tolerance = 0;   ///< of `measured`
  double measured = 0;    ///< the difference, or the relative RMS for quantized weights
  double relative_rms = 0;
  std::vector<std::uint64_t> at;  ///< index of the largest difference in the stored value
  double reference = 0;
  double found = 0;
  bool passed = false;
  std::string remark;  ///< what the numbers say about the mistake; empty if they say nothing
};

/// Compares numbers with stored ones. NaN never passes.
NodeCheck check_node(std::string node, const GoldenValue& reference, const Pairing& pairing,
                     const GoldenTolerance& tolerance, ValueClass value_class);

struct PromptCheck {
  std::string prompt;
  bool is_audio = false;    ///< not a prompt but what all of them share
  std::optional<bool> ids;  ///< the tokenizer's ids are the reference's; nothing: not checked
  std::string ids_problem;
  std::vector<NodeCheck> nodes;  ///< in the order in which they are computed
  /// Values of a model with a known mistake; passed: the model differs from them. Not compared for
  /// quantized weights, whose noise may be larger than the mistake.
  std::vector<NodeCheck> controls;
  std::vector<TokenId> top_reference, top_found;
  std::size_t top_common = 0;
  bool top_passed = true;
  std::size_t greedy_compared = 0;
  std::size_t greedy_equal = 0;
  std::optional<bool> greedy_passed;  ///< nothing: none stored, or quantized weights
  bool passed() const;
};

struct GoldenCheckOptions {
  GoldenTolerance tolerance;
  bool check_tokenizer = true;
  /// Test the front end on the trace's recording and let the encoder hear what it makes; otherwise
  /// the encoder hears the trace's own features.
  bool check_features = true;
};

/// Runs the prompts of a trace. The model was compiled for its tap names and step sizes.
class GoldenRun {
 public:
  static Result<GoldenRun> start(const Model& model, const GoldenTrace& trace,
                                 const GoldenCheckOptions& options);
  /// The audio that all prompts share, and its values; first. Nothing: the trace has no audio.
  Result<std::optional<PromptCheck>> check_audio(RunContext& context);
  Result<PromptCheck> check(const GoldenPrompt& prompt);

 private:
  GoldenRun(const Model& model, const GoldenTrace& trace, const GoldenCheckOptions& options,
            Session session)
      : model_(model), trace_(trace), options_(options), session_(std::move(session)) {}
  /// What the encoder shall hear, after comparing how it was made.
  Result<std::vector<float>> hear(RunContext& context, PromptCheck& check) const;
  const Model& model_;
  const GoldenTrace& trace_;
  const GoldenCheckOptions& options_;
  Session session_;
  TapCollector encoder_;
  EncoderRows encoder_rows_;
  std::optional<double> encoder_noise_;  ///< relative RMS of the last value of the encoder
};

Json to_json(const NodeCheck& check);
Json to_json(const PromptCheck& check);

}  // namespace apr
