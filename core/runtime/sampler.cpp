// Drawing the next token.
//
// Random numbers: xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number
// generators", 2021), its state filled from the seed by splitmix64 as its authors advise. One
// number is drawn per sampled token and none in greedy mode, so a seed fixes the whole answer.
//
// Weights are exp((logit - max) / temperature) in float64. Top-k keeps the k largest logits; top-p
// (nucleus sampling, Holtzman et al. 2020) then keeps the shortest run of the most probable tokens
// whose share of what top-k left reaches p. Ties go to the lower id everywhere, so that no result
// depends on how a sort treats equals. Top-p does not sort a whole vocabulary: it sorts the best
// 64, and eight times as many whenever they do not reach p.
#include "core/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/cat.h"

namespace apr {

namespace {

using Candidate = std::pair<float, TokenId>;

bool better(const Candidate& a, const Candidate& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

std::uint64_t rotated(std::uint64_t x, int by) {
  return (x << by) | (x >> (64 - by));
}

/// A number in [0, 1) with 53 random bits.
double next_uniform(std::uint64_t (&state)[4]) {
  const std::uint64_t result = rotated(state[1] * 5, 7) * 9;
  const std::uint64_t shifted = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotated(state[3], 45);
  return static_cast<double>(result >> 11) * 0x1p-53;
}

Error out_of_range(std::string_view name, double value, std::string_view range) {
  return make_error(ErrorCode::usage, cat(name, " is ", value, ", but must be ", range));
}

Status check_logits(std::span<const float> logits) {
  if (logits.empty()) return make_error(ErrorCode::inference, "there are no logits to sample from");
  float largest = -std::numeric_limits<float>::infinity();
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id]) || logits[id] == std::numeric_limits<float>::infinity()) {
      return make_error(ErrorCode::inference,
                        cat("the logit of token ", id, " is ",
                            std::isnan(logits[id]) ? "not a number" : "infinite"),
                        {}, "`apr validate --quality` finds weights that are no numbers");
    }
    largest = std::max(largest, logits[id]);
  }
  if (std::isinf(largest)) {
    return make_error(ErrorCode::inference, "every logit is minus infinity: no token is possible");
  }
  return {};
}

/// The largest logit and log(sum(exp(logit))); logits that are no numbers count as impossible.
double log_sum_exp(std::span<const float> logits) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const float logit : logits) {
    if (logit > largest) largest = logit;
  }
  if (std::isinf(largest)) return largest;
  double sum = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) sum += std::exp(logit - largest);
  }
  return largest + std::log(sum);
}

}  // namespace

Result<Sampler> Sampler::create(const SamplerOptions& options) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature)) {
    return out_of_range("the temperature", options.temperature, "0 or more");
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return out_of_range("top-p", options.top_p, "more than 0 and at most 1");
  }
  if (!(options.repetition_penalty > 0) || std::isinf(options.repetition_penalty)) {
    return out_of_range("the repetition penalty", options.repetition_penalty, "more than 0");
  }
  return Sampler(options);
}

Sampler::Sampler(const SamplerOptions& options) : options_(options) {
  std::uint64_t seed = options.seed;
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    word = mixed ^ (mixed >> 31);
  }
}

Result<TokenId> Sampler::sample(std::span<const float> logits, std::span<const TokenId> history) {
  APR_TRY(check_logits(logits));
  scratch_.resize(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    scratch_[id] = {logits[id], static_cast<TokenId>(id)};
  }
  if (options_.repetition_penalty != 1) {
    const std::size_t window = std::min<std::size_t>(options_.repetition_window, history.size());
    for (const TokenId id : history.last(window)) {
      if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
      // From the logit itself, so that a token seen twice is not penalized twice.
      const float logit = logits[static_cast<std::size_t>(id)];
      const auto penalty = static_cast<float>(options_.repetition_penalty);
      scratch_[static_cast<std::size_t>(id)].first = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (options_.temperature == 0) {
    return std::min_element(scratch_.begin(), scratch_.end(), better)->second;
  }

  std::size_t kept = scratch_.size();
  if (options_.top_k > 0 && options_.top_k < kept) {
    kept = options_.top_k;
    std::nth_element(scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(kept),
                     scratch_.end(), better);
  }
  const auto candidates = std::span(scratch_).first(kept);
  const float largest = std::min_element(candidates.begin(), candidates.end(), better)->first;
  const auto weight = [&](const Candidate& candidate) {
    return std::exp((static_cast<double>(candidate.first) - static_cast<double>(largest)) /
                    options_.temperature);
  };
  if (kept < scratch_.size()) {  // an order that does not hang on how nth_element works
    std::sort(candidates.begin(), candidates.end(), better);
  }
  double mass = 0;
  for (const Candidate& candidate : candidates) mass += weight(candidate);

  if (options_.top_p < 1) {
    const double wanted = options_.top_p * mass;
    std::size_t sorted = 0;
    double reached = 0;
    std::size_t nucleus = 0;
    for (std::size_t next = 64; reached < wanted && nucleus < kept; next *= 8) {
      const std::size_t end = std::min(next, kept);
      std::partial_sort(candidates.begin() + static_cast<std::ptrdiff_t>(sorted),
                        candidates.begin() + static_cast<std::ptrdiff_t>(end), candidates.end(),
                        better);
      sorted = end;
      while (nucleus < sorted && reached < wanted) reached += weight(candidates[nucleus++]);
    }
    kept = std::max<std::size_t>(nucleus, 1);
    mass = reached > 0 ? reached : weight(candidates[0]);
  }

  double left = next_uniform(state_) * mass;
  TokenId last = candidates[0].second;
  for (const Candidate& candidate : candidates.first(kept)) {
    const double share = weight(candidate);
    if (share == 0) continue;  // too improbable for float64, or masked
    last = candidate.second;
    left -= share;
    if (left < 0) break;
  }
  return last;
}

std::vector<TokenProbability> top_probabilities(std::span<const float> logits, std::size_t k) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    const float logit =
        std::isnan(logits[id]) ? -std::numeric_limits<float>::infinity() : logits[id];
    candidates.emplace_back(logit, static_cast<TokenId>(id));
  }
  const std::size_t count = std::min(k, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(count),
                    candidates.end(), better);
  const double total = log_sum_exp(logits);
  std::vector<TokenProbability> best(count);
  for (std::size_t i = 0; i < count; ++i) {
    best[i].id = candidates[i].second;
    best[i].probability =
        std::isinf(total) ? 0 : std::exp(static_cast<double>(candidates[i].first) - total);
  }
  return best;
}

double log_probability(std::span<const float> logits, TokenId id) {
  if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) {
    return -std::numeric_limits<double>::infinity();
  }
  return static_cast<double>(logits[static_cast<std::size_t>(id)]) - log_sum_exp(logits);
}

}  // namespace apr
