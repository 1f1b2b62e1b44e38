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

/// The tokens are cut into windows; a last one of less than two tokens is left out. Every window
/// starts with an empty cache, and its first token is not predicted. With a stride smaller than
/// the window, windows overlap: each begins `stride` tokens after the one before, and only the
/// tokens that no earlier window has counted are counted, with all of the window before them as
/// context. Sums are taken in float64 in the order of the tokens, so they do not depend on the
/// number of threads.
struct EvalOptions {
  std::uint32_t window = 256;
  std::uint32_t stride = 0;       ///< 1 ... window; 0: the window
  std::uint64_t max_windows = 0;  ///< 0: all
  unsigned threads = 0;
  /// Told after every step; returning an error stops.
  std::function<Status(std::uint64_t done, std::uint64_t total)> on_tokens;
};

struct WindowScore {
  std::uint64_t predicted = 0;
  double nll = 0;  ///< sum of -log p(token), nats
};

/// Over all predicted tokens; KL(parent || model) in nats. Percentiles lie between two values in
/// proportion, as llama-perplexity takes them.
struct Divergence {
  double mean = 0;
  double mean_error = 0;  ///< standard error of the mean
  double median = 0;
  double p90 = 0, p95 = 0, p99 = 0, p999 = 0;
  double max = 0;
  double min = 0;
  std::uint64_t max_at = 0;   ///< index of the token in the text
  double top1_agreement = 0;  ///< both find the same token likeliest
  /// Mean share of the parent's five likeliest tokens among the model's five.
  double top5_agreement = 0;
  double parent_perplexity = 0;
  /// Root mean square of p(model) - p(parent) of the text's own tokens.
  double rms_delta_p = 0;
};

struct EvalResult {
  std::vector<WindowScore> windows;
  std::uint64_t predicted = 0;
  double nll = 0;
  double perplexity = 0;
  double perplexity_error = 0;  ///< standard error, by that of the mean of -log p
  std::optional<Divergence> divergence;
};

/// Tokens in one step for a vocabulary of this size: what logits of a step may take is bounded.
std::uint32_t eval_step(std::uint32_t window, std::uint32_t vocabulary);

/// The quantile `q` of sorted values: between two of them in proportion.
double quantile(std::span<const double> sorted, double q);

/// Both models were compiled for steps of eval_step() tokens with all their logits.
Result<EvalResult> evaluate(const Model& model, const Model* parent,
                            std::span<const TokenId> tokens, const EvalOptions& options);

}  // namespace apr
