// Taking a canary of a model, and holding a model to one.
#pragma once

#include <string>
#include <vector>

#include "core/runtime/model.h"
#include "orchestrator/stages/canary_file.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// Statistics and digest of every tensor that has bytes of its own.
Result<std::vector<CanaryTensor>> measure_tensors(RunContext& context, const Package& package);

/// Texts to run when the user names none.
std::vector<std::string> canary_texts();
/// Ids to run when the model has no tokenizer: made up, the same for every model of that size.
std::vector<std::vector<TokenId>> canary_ids(const ModelFacts& facts);

/// Frames that a canary gives an encoder of frames; 0: the model has none.
std::uint64_t canary_frames(const ModelFacts& facts);

/// Runs the ids and records what came of them. `frames`: made-up ones, for an encoder of frames.
Result<CanaryPrompt> measure_prompt(const Model& model, std::vector<TokenId> ids,
                                    std::uint64_t frames);

struct CanaryFinding {
  std::string part;  ///< "tensor", "config", "settings", "tokenizer", "template", "logits"
  std::string name;  ///< of the tensor, the field, or the prompt; may be empty
  std::string problem;
};

struct CanaryLimits {
  bool type_aware = false;  ///< allow tensors of other types, with their noise
  double tolerance = -1;    ///< of single logits, absolute; negative: what the types allow
};

/// The tensors that changed. `retyped` gets how many were only stored in another type.
Result<std::vector<CanaryFinding>> check_tensors(RunContext& context, const Canary& canary,
                                                 const Package& package, const CanaryLimits& limits,
                                                 std::uint64_t& retyped);

struct PromptFinding {
  std::string problem;      ///< empty: as recorded
  double difference = 0;    ///< largest, of the recorded numbers
  double relative_rms = 0;  ///< of the recorded numbers
  bool same_digest = false;
};
/// `retyped`: weights of other types were allowed, so the numbers are held to their noise.
PromptFinding compare_prompt(const CanaryPrompt& wanted, const CanaryPrompt& found,
                             bool must_be_exact, bool retyped, Type coarsest, double tolerance);

}  // namespace apr
