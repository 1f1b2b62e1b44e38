// Drawing the next token.
//
// Random numbers: xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number
// generators", 2021), its state filled from the seed by splitmix64 as its authors advise. One
// number is drawn per sampled token and none in greedy mode, so a seed fixes the whole answer.
//
// Weights are exp((logit - max) / temperature) in float64. Top-k keeps the k largest logits;
// typical-p (Meister et al., "Locally typical sampling", 2023) the tokens whose surprise is nearest
// to the entropy, until their share of what is left reaches p; top-p (nucleus sampling, Holtzman et
// al. 2020) the shortest run of the most probable tokens whose share does; min-p (Nguyen et al.
// 2024) those that are at least p times as probable as the likeliest one left. Ties go to the lower
// id everywhere, so that no result depends on how a sort treats equals. No whole vocabulary is
// sorted: the best 64 are, and eight times as many whenever they do not reach p.
//
// Mirostat (Basu et al., "Mirostat: a neural text decoding algorithm that directly controls
// perplexity", 2021; the second version, without an estimate of Zipf's exponent) keeps the tokens
// whose surprise, -log2 p, is below a limit, and moves the limit by rate * (target - surprise)
// after each token drawn, the surprise being that under the whole distribution.
#include "core/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/base/cat.h"

namespace apr {

namespace {

constexpr double kMaxWindow = 65536;

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

/// The id of the largest logit, the lowest among equals; refuses what is no distribution.
Result<TokenId> largest_logit(std::span<const float> logits) {
  if (logits.empty()) return make_error(ErrorCode::inference, "there are no logits to sample from");
  std::size_t best = 0;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id]) || logits[id] == std::numeric_limits<float>::infinity()) {
      return make_error(ErrorCode::inference,
                        cat("the logit of token ", id, " is ",
                            std::isnan(logits[id]) ? "not a number" : "infinite"),
                        {}, "`apr validate --quality` finds weights that are no numbers");
    }
    if (logits[id] > logits[best]) best = id;
  }
  if (std::isinf(logits[best])) {
    return make_error(ErrorCode::inference, "every logit is minus infinity: no token is possible");
  }
  return static_cast<TokenId>(best);
}

Status check_bias(const std::vector<LogitBias>& sorted) {
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const LogitBias& entry = sorted[i];
    if (entry.id < 0) {
      return make_error(ErrorCode::usage, cat("a logit bias is given for token ", entry.id));
    }
    const bool forbids = std::isinf(entry.bias) && entry.bias < 0;
    if (!forbids && !(entry.bias >= -100 && entry.bias <= 100)) {
      return make_error(ErrorCode::usage,
                        cat("the logit bias of token ", entry.id, " is ", entry.bias,
                            ", but must be from -100 to 100, or -inf"));
    }
    if (i > 0 && sorted[i - 1].id == entry.id) {
      return make_error(ErrorCode::usage, cat("token ", entry.id, " is given two logit biases"));
    }
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
  struct Row {
    const char* name;
    double value;
    double least;
    double most;
    bool least_too;
    const char* range;
  };
  constexpr double kMost = std::numeric_limits<double>::max();
  const Row rows[] = {
      {"the temperature", options.temperature, 0, kMost, true, "0 or more"},
      {"top-p", options.top_p, 0, 1, false, "more than 0 and at most 1"},
      {"typical-p", options.typical_p, 0, 1, false, "more than 0 and at most 1"},
      {"min-p", options.min_p, 0, 1, true, "from 0 to 1"},
      {"the repetition penalty", options.repetition_penalty, 0, kMost, false, "more than 0"},
      {"the frequency penalty", options.frequency_penalty, -2, 2, true, "from -2 to 2"},
      {"the presence penalty", options.presence_penalty, -2, 2, true, "from -2 to 2"},
      {"mirostat", options.mirostat, 0, 30, true, "from 0 to 30"},
      {"the mirostat rate", options.mirostat_rate, 0, 1, false, "more than 0 and at most 1"},
      {"the DRY multiplier", options.dry_multiplier, 0, 100, true, "from 0 to 100"},
      {"the DRY base", options.dry_base, 1, 10, true, "from 1 to 10"},
      {"the DRY length", static_cast<double>(options.dry_allowed_length), 1, kMost, true,
       "1 or more"},
      {"the DRY window", static_cast<double>(options.dry_window), 1, kMaxWindow, true,
       "from 1 to 65536"},
      {"the repetition window", static_cast<double>(options.repetition_window), 0, kMaxWindow, true,
       "from 0 to 65536"},
  };
  for (const Row& row : rows) {
    const bool in_range =
        row.value <= row.most && (row.least_too ? row.value >= row.least : row.value > row.least);
    if (!in_range) return out_of_range(row.name, row.value, row.range);
  }
  const bool truncates =
      options.top_k > 0 || options.typical_p < 1 || options.top_p < 1 || options.min_p > 0;
  if (options.mirostat > 0 && truncates) {
    return make_error(ErrorCode::usage,
                      "mirostat stands in for top-k, typical-p, top-p and min-p: give it alone");
  }
  SamplerOptions checked = options;
  std::sort(checked.logit_bias.begin(), checked.logit_bias.end(),
            [](const LogitBias& a, const LogitBias& b) { return a.id < b.id; });
  APR_TRY(check_bias(checked.logit_bias));
  std::sort(checked.dry_breakers.begin(), checked.dry_breakers.end());
  return Sampler(checked);
}

Sampler::Sampler(const SamplerOptions& options)
    : options_(options), mirostat_limit_(2 * options.mirostat) {
  std::uint64_t seed = options.seed;
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    word = mixed ^ (mixed >> 31);
  }
  seen_.reserve(options_.repetition_window);
  if (options_.dry_multiplier != 0) {
    matches_.reserve(options_.dry_window);
    repetitions_.reserve(options_.dry_window);
  }
}

bool Sampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

double Sampler::weight(const Candidate& candidate) const {
  return std::exp((static_cast<double>(candidate.logit) - largest_) / options_.temperature);
}

Result<TokenId> Sampler::sample(std::span<const float> logits, std::span<const TokenId> history) {
  APR_ASSIGN(const TokenId likeliest, largest_logit(logits));
  const bool adjusted = adjusts();
  if (options_.temperature == 0 && !adjusted) return likeliest;

  scratch_.resize(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    scratch_[id] = {logits[id], static_cast<TokenId>(id), 0};
  }
  largest_ = static_cast<double>(logits[static_cast<std::size_t>(likeliest)]);
  if (adjusted) {
    APR_TRY(adjust(history));
    const Candidate& best = *std::min_element(scratch_.begin(), scratch_.end(), better);
    if (std::isinf(best.logit)) {
      return make_error(ErrorCode::inference,
                        "the logit bias forbids every token that the model thinks possible");
    }
    if (options_.temperature == 0) return best.id;
    largest_ = static_cast<double>(best.logit);
  }

  std::span<Candidate> candidates = keep_top_k();
  mass_ = 0;
  for (Candidate& candidate : candidates) mass_ += candidate.weight = weight(candidate);
  if (options_.mirostat > 0) {
    const double whole = mass_;
    const Candidate& drawn = draw(keep_unsurprising(candidates));
    const double surprise = std::log2(whole) - std::log2(drawn.weight);
    mirostat_limit_ += options_.mirostat_rate * (options_.mirostat - surprise);
    return drawn.id;
  }
  if (options_.typical_p < 1) candidates = keep_typical(candidates);
  if (options_.top_p < 1) candidates = keep_top_p(candidates);
  if (options_.min_p > 0) candidates = keep_min_p(candidates);
  return draw(candidates).id;
}

std::span<Sampler::Candidate> Sampler::keep_top_k() {
  std::span<Candidate> candidates = scratch_;
  if (options_.top_k == 0 || options_.top_k >= candidates.size()) return candidates;
  const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(options_.top_k);
  std::nth_element(candidates.begin(), end, candidates.end(), better);
  candidates = candidates.first(options_.top_k);
  // An order that does not hang on how nth_element works.
  std::sort(candidates.begin(), candidates.end(), better);
  return candidates;
}

namespace {

/// The shortest run of candidates, in the order of `before`, whose weights reach `wanted`; at least
/// one. `reached` is what they come to.
template <typename Candidate, typename Before, typename Weight>
std::span<Candidate> shortest_run(std::span<Candidate> candidates, double wanted, double& reached,
                                  Before before, Weight weight) {
  std::size_t sorted = 0;
  std::size_t kept = 0;
  reached = 0;
  for (std::size_t next = 64; reached < wanted && kept < candidates.size(); next *= 8) {
    const std::size_t end = std::min(next, candidates.size());
    const auto from = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto to = candidates.begin() + static_cast<std::ptrdiff_t>(end);
    if (end <= 64) {
      std::partial_sort(from, to, candidates.end(), before);
    } else {
      if (to != candidates.end()) std::nth_element(from, to, candidates.end(), before);
      std::sort(from, to, before);
    }
    sorted = end;
    while (kept < sorted && reached < wanted) reached += weight(candidates[kept++]);
  }
  return candidates.first(std::max<std::size_t>(kept, 1));
}

}  // namespace

std::span<Sampler::Candidate> Sampler::keep_typical(std::span<Candidate> candidates) {
  // With p = w / mass and w = exp(s): the entropy is log(mass) - sum(p s), and how far a token's
  // surprise is from it is |sum(p s) - s|. It takes the weight's place while it is sorted by.
  double mean = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight > 0) mean += candidate.weight / mass_ * std::log(candidate.weight);
  }
  for (Candidate& candidate : candidates) {
    candidate.weight = candidate.weight > 0 ? std::abs(mean - std::log(candidate.weight))
                                            : std::numeric_limits<double>::infinity();
  }
  const auto nearer = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight < b.weight : better(a, b);
  };
  double reached = 0;
  candidates = shortest_run(candidates, options_.typical_p * mass_, reached, nearer,
                            [this](const Candidate& candidate) { return weight(candidate); });
  std::sort(candidates.begin(), candidates.end(), better);
  mass_ = 0;
  for (Candidate& candidate : candidates) mass_ += candidate.weight = weight(candidate);
  return candidates;
}

std::span<Sampler::Candidate> Sampler::keep_top_p(std::span<Candidate> candidates) {
  double reached = 0;
  candidates = shortest_run(candidates, options_.top_p * mass_, reached, better,
                            [](const Candidate& candidate) { return candidate.weight; });
  mass_ = reached > 0 ? reached : candidates[0].weight;
  return candidates;
}

std::span<Sampler::Candidate> Sampler::keep_min_p(std::span<Candidate> candidates) {
  double largest = 0;
  for (const Candidate& candidate : candidates) largest = std::max(largest, candidate.weight);
  const double threshold = options_.min_p * largest;
  std::size_t kept = 0;
  mass_ = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight < threshold) continue;
    mass_ += candidate.weight;
    candidates[kept++] = candidate;
  }
  return candidates.first(kept);
}

std::span<Sampler::Candidate> Sampler::keep_unsurprising(std::span<Candidate> candidates) {
  const double threshold = mass_ * std::exp2(-mirostat_limit_);
  const Candidate best = *std::min_element(candidates.begin(), candidates.end(), better);
  std::size_t kept = 0;
  mass_ = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight < threshold) continue;
    mass_ += candidate.weight;
    candidates[kept++] = candidate;
  }
  if (kept > 0) return candidates.first(kept);
  candidates[0] = best;
  mass_ = best.weight;
  return candidates.first(1);
}

const Sampler::Candidate& Sampler::draw(std::span<const Candidate> candidates) {
  double left = next_uniform(state_) * mass_;
  const Candidate* last = &candidates[0];
  for (const Candidate& candidate : candidates) {
    if (candidate.weight == 0) continue;  // too improbable for float64, or masked
    last = &candidate;
    left -= candidate.weight;
    if (left < 0) break;
  }
  return *last;
}

std::vector<TokenProbability> top_probabilities(std::span<const float> logits, std::size_t k) {
  using Entry = std::pair<float, TokenId>;
  const auto better = [](const Entry& a, const Entry& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  std::vector<Entry> candidates;
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
