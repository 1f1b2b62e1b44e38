// How well a model predicts a text, and how near its predictions are to another model's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/runtime/model.h"

namespace apr {

/// The tokens are cut into windows that do not overlap; a last one of less than two tokens is left
/// out. Every window starts with an empty cache, and its first token is not predicted. Sums are
/// taken in float64 in the order of the tokens, so they do not depend on the number of threads.
struct EvalOptions {
  std::uint32_t window = 256;
  std::uint64_t max_windows = 0;  ///< 0: all
  unsigned threads = 0;
  /// Told after every step; returning an error stops.
  std::function<Status(std::uint64_t done, std::uint64_t total)> on_tokens;
};

struct WindowScore {
  std::uint64_t predicted = 0;
  double nll = 0;  ///< sum of -log p(token), nats
};

/// Over all predicted tokens; KL(parent || model) in nats.
struct Divergence {
  double mean = 0;
  double max = 0;
  std::uint64_t max_at = 0;  ///< index of the token in the text
  double top1_agreement = 0;
  double parent_perplexity = 0;
};

struct EvalResult {
  std::vector<WindowScore> windows;
  std::uint64_t predicted = 0;
  double nll = 0;
  double perplexity = 0;
  std::optional<Divergence> divergence;
};

/// Tokens in one step for a vocabulary of this size: what logits of a step may take is bounded.
std::uint32_t eval_step(std::uint32_t window, std::uint32_t vocabulary);

/// Both models were compiled for steps of eval_step() tokens with all their logits.
Result<EvalResult> evaluate(const Model& model, const Model* parent,
                            std::span<const TokenId> tokens, const EvalOptions& options);

}  // namespace apr
