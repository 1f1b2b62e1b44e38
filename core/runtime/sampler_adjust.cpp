// What is done to logits before anything is drawn from them: bias, penalties, DRY.
//
// DRY ("don't repeat yourself", p-e-w 2024) looks for places where the text so far already said
// what it has just said. If the last n tokens stood earlier in the window, followed by token t,
// then t would lengthen the repetition, and its logit loses multiplier * base^(n - allowed_length)
// if n is at least allowed_length. All n for a window are found at once: read backwards, the n of a
// place is how far the window's beginning recurs there, which is the Z function of the reversed
// window (Gusfield 1997, 1.4), linear in its length.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/cat.h"
#include "core/runtime/sampler.h"

namespace apr {

namespace {

constexpr double kLargestPenalty = 1e6;

/// Logits stay finite whatever is added to them, so that weights do.
float finite(double logit) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(logit, -kMost, kMost));
}

}  // namespace

bool Sampler::adjusts() const {
  return options_.repetition_penalty != 1 || options_.frequency_penalty != 0 ||
         options_.presence_penalty != 0 || options_.dry_multiplier != 0 ||
         !options_.logit_bias.empty();
}

Status Sampler::adjust(std::span<const TokenId> history) {
  for (const LogitBias& entry : options_.logit_bias) {
    if (static_cast<std::size_t>(entry.id) >= scratch_.size()) {
      return make_error(ErrorCode::usage,
                        cat("a logit bias is given for token ", entry.id,
                            ", but the vocabulary ends at ", scratch_.size() - 1));
    }
    float& logit = scratch_[static_cast<std::size_t>(entry.id)].logit;
    if (std::isinf(entry.bias)) {
      logit = -std::numeric_limits<float>::infinity();
    } else if (!std::isinf(logit)) {
      logit = finite(static_cast<double>(logit) + entry.bias);
    }
  }
  apply_penalties(history.last(std::min<std::size_t>(options_.repetition_window, history.size())));
  apply_dry(history.last(std::min<std::size_t>(options_.dry_window, history.size())));
  return {};
}

void Sampler::apply_penalties(std::span<const TokenId> window) {
  if (options_.repetition_penalty == 1 && options_.frequency_penalty == 0 &&
      options_.presence_penalty == 0) {
    return;
  }
  seen_.assign(window.begin(), window.end());
  std::sort(seen_.begin(), seen_.end());
  const auto repetition = static_cast<float>(options_.repetition_penalty);
  for (std::size_t begin = 0; begin < seen_.size();) {
    const TokenId id = seen_[begin];
    std::size_t end = begin + 1;
    while (end < seen_.size() && seen_[end] == id) ++end;
    const auto count = static_cast<double>(end - begin);
    begin = end;
    if (id < 0 || static_cast<std::size_t>(id) >= scratch_.size()) continue;
    float& logit = scratch_[static_cast<std::size_t>(id)].logit;
    if (std::isinf(logit)) continue;
    if (repetition != 1) {
      logit = finite(static_cast<double>(logit > 0 ? logit / repetition : logit * repetition));
    }
    const double penalty = options_.frequency_penalty * count + options_.presence_penalty;
    if (penalty != 0) logit = finite(static_cast<double>(logit) - penalty);
  }
}

void Sampler::apply_dry(std::span<const TokenId> window) {
  if (options_.dry_multiplier == 0 || window.size() < 2) return;
  const std::vector<TokenId>& breakers = options_.dry_breakers;
  const auto breaks = [&](TokenId id) {
    return std::binary_search(breakers.begin(), breakers.end(), id);
  };
  const std::size_t size = window.size();
  const auto backwards = [&](std::size_t i) { return window[size - 1 - i]; };
  std::size_t reach = 0;  // tokens since the last breaker
  while (reach < size && !breaks(backwards(reach))) ++reach;
  if (reach == 0) return;

  matches_.assign(size, 0);
  repetitions_.clear();
  std::size_t box_begin = 0;  // the match found so far that reaches furthest
  std::size_t box_end = 0;
  for (std::size_t i = 1; i < size; ++i) {
    std::size_t length =
        i < box_end ? std::min<std::size_t>(box_end - i, matches_[i - box_begin]) : 0;
    while (i + length < size && backwards(length) == backwards(i + length)) ++length;
    matches_[i] = static_cast<std::uint32_t>(length);
    if (i + length > box_end) {
      box_begin = i;
      box_end = i + length;
    }
    const auto counted = static_cast<std::uint32_t>(std::min(length, reach));
    const TokenId next = backwards(i - 1);
    if (counted >= options_.dry_allowed_length && !breaks(next)) {
      repetitions_.push_back({next, counted});
    }
  }
  // The longest repetition that a token would go on with is what it pays for.
  std::sort(repetitions_.begin(), repetitions_.end(), [](const Repetition& a, const Repetition& b) {
    return a.next != b.next ? a.next < b.next : a.length > b.length;
  });
  TokenId done = -1;
  for (const Repetition& repetition : repetitions_) {
    const TokenId id = repetition.next;
    if (id == done || id < 0 || static_cast<std::size_t>(id) >= scratch_.size()) continue;
    done = id;
    float& logit = scratch_[static_cast<std::size_t>(id)].logit;
    if (std::isinf(logit)) continue;
    const auto over = static_cast<double>(repetition.length - options_.dry_allowed_length);
    const double penalty = options_.dry_multiplier * std::pow(options_.dry_base, over);
    logit = finite(static_cast<double>(logit) - std::min(penalty, kLargestPenalty));
  }
}

}  // namespace apr
