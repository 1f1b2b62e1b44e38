// Sampler: logits -> id.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"

namespace apr {

struct LogitBias {
  TokenId id = 0;
  double bias = 0;  ///< added to the logit; minus infinity forbids the token
};

/// Applied in this order, whatever the order they are given in: logit bias; repetition, frequency
/// and presence penalty; DRY; temperature; top-k; typical-p; top-p; min-p; draw. Each of them works
/// on what the ones before it left. Mirostat stands in for top-k to min-p. Temperature 0 is greedy:
/// the largest logit after bias and penalties, the lowest id among equals, whatever else is set.
/// docs/sampling.md has the formulas.
struct SamplerOptions {
  double temperature = 0.0;  ///< >= 0
  std::uint32_t top_k = 0;   ///< 0: off
  double top_p = 1.0;        ///< (0, 1]; Holtzman et al. 2020
  double repetition_penalty =
      1.0;  ///< > 0; as in Keskar et al. 2019 (CTRL): divides positive logits
  std::uint32_t repetition_window = 64;  ///< last tokens looked at, by the next two as well
  std::uint64_t seed = 0;
  double frequency_penalty = 0.0;  ///< [-2, 2]; times how often a token stands in the window
  double presence_penalty = 0.0;   ///< [-2, 2]; once for every token of the window
  double min_p = 0.0;              ///< [0, 1]; 0: off; Nguyen et al. 2024
  double typical_p = 1.0;          ///< (0, 1]; Meister et al. 2023
  std::vector<LogitBias> logit_bias = {};
  double mirostat = 0.0;        ///< [0, 30] bits of surprise aimed at; 0: off; Basu et al. 2021
  double mirostat_rate = 0.1;   ///< (0, 1]
  double dry_multiplier = 0.0;  ///< [0, 100]; 0: off
  double dry_base = 1.75;       ///< [1, 10]
  std::uint32_t dry_allowed_length = 2;    ///< >= 1; shorter repetitions cost nothing
  std::uint32_t dry_window = 1024;         ///< last tokens searched for repetitions
  std::vector<TokenId> dry_breakers = {};  ///< tokens over which no repetition reaches
};

struct TokenProbability {
  TokenId id = 0;
  double probability = 0;  ///< softmax of the raw logits
};

class APR_API Sampler {
 public:
  /// Refuses values outside their ranges by name, and settings that cannot go together.
  static Result<Sampler> create(const SamplerOptions& options);
  /// `history`: the tokens so far, prompt included. NaN logits are an error that names the id.
  /// Allocates on the first call only, as long as the vocabulary stays as large.
  Result<TokenId> sample(std::span<const float> logits, std::span<const TokenId> history);
  const SamplerOptions& options() const { return options_; }

 private:
  struct Candidate {
    float logit;
    TokenId id;
    double weight;
  };
  struct Repetition {
    TokenId next;
    std::uint32_t length;
  };

  explicit Sampler(const SamplerOptions& options);
  bool adjusts() const;
  Status adjust(std::span<const TokenId> history);
  void apply_penalties(std::span<const TokenId> window);
  void apply_dry(std::span<const TokenId> window);
  static bool better(const Candidate& a, const Candidate& b);
  double weight(const Candidate& candidate) const;
  std::span<Candidate> keep_top_k();
  std::span<Candidate> keep_typical(std::span<Candidate> candidates);
  std::span<Candidate> keep_top_p(std::span<Candidate> candidates);
  std::span<Candidate> keep_min_p(std::span<Candidate> candidates);
  std::span<Candidate> keep_unsurprising(std::span<Candidate> candidates);
  const Candidate& draw(std::span<const Candidate> candidates);

  SamplerOptions options_;
  std::uint64_t state_[4];  ///< xoshiro256**
  double mirostat_limit_;   ///< bits
  double largest_ = 0;      ///< of the logits that are sampled from
  double mass_ = 0;         ///< of the candidates left
  std::vector<Candidate> scratch_;
  std::vector<TokenId> seen_;
  std::vector<std::uint32_t> matches_;
  std::vector<Repetition> repetitions_;
};

/// The k most probable tokens, most probable first, lower ids first among equals.
APR_API std::vector<TokenProbability> top_probabilities(std::span<const float> logits,
                                                        std::size_t k);
/// log softmax(logits)[id], computed in float64.
APR_API double log_probability(std::span<const float> logits, TokenId id);

}  // namespace apr
