// Sampler: logits -> id.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"

namespace apr {

/// Applied in this order: repetition penalty, temperature, top-k, top-p, draw. Temperature 0 is
/// greedy: the largest logit after the penalty, the lowest id among equals, whatever else is set.
struct SamplerOptions {
  double temperature = 0.0;  ///< >= 0
  std::uint32_t top_k = 0;   ///< 0: off
  double top_p = 1.0;        ///< (0, 1]
  double repetition_penalty =
      1.0;  ///< > 0; as in Keskar et al. 2019 (CTRL): divides positive logits
  std::uint32_t repetition_window = 64;  ///< last tokens looked at
  std::uint64_t seed = 0;
};

struct TokenProbability {
  TokenId id = 0;
  double probability = 0;  ///< softmax of the raw logits
};

class APR_API Sampler {
 public:
  /// Refuses values outside their ranges by name.
  static Result<Sampler> create(const SamplerOptions& options);
  /// `history`: the tokens so far, prompt included. NaN logits are an error that names the id.
  Result<TokenId> sample(std::span<const float> logits, std::span<const TokenId> history);
  const SamplerOptions& options() const { return options_; }

 private:
  explicit Sampler(const SamplerOptions& options);
  SamplerOptions options_;
  std::uint64_t state_[4];  ///< xoshiro256**
  std::vector<std::pair<float, TokenId>> scratch_;
};

/// The k most probable tokens, most probable first, lower ids first among equals.
APR_API std::vector<TokenProbability> top_probabilities(std::span<const float> logits,
                                                        std::size_t k);
/// log softmax(logits)[id], computed in float64.
APR_API double log_probability(std::span<const float> logits, TokenId id);

}  // namespace apr
