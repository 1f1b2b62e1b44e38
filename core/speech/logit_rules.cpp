#include "core/speech/logit_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/cat.h"

namespace apr {

namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

void forbid(std::span<float> logits, std::int64_t begin, std::int64_t end) {
  const auto size = static_cast<std::int64_t>(logits.size());
  begin = std::clamp<std::int64_t>(begin, 0, size);
  end = std::clamp<std::int64_t>(end, begin, size);
  std::fill(logits.begin() + begin, logits.begin() + end, kImpossible);
}

}  // namespace

void LogitRules::apply_timestamp_rules(std::span<float> logits,
                                       std::span<const TokenId> answer) const {
  const std::int64_t first = tokens_.first_timestamp;
  const std::int64_t after = first + tokens_.timestamps;
  const auto size = static_cast<std::int64_t>(logits.size());
  if (tokens_.no_timestamps) forbid(logits, *tokens_.no_timestamps, *tokens_.no_timestamps + 1);

  const std::size_t length = answer.size();
  const bool last_is_time = length >= 1 && tokens_.is_timestamp(answer[length - 1]);
  const bool before_is_time = length < 2 || tokens_.is_timestamp(answer[length - 2]);
  if (last_is_time) {
    if (before_is_time) {
      forbid(logits, first, size);  // a segment has begun
    } else {
      forbid(logits, 0, tokens_.end);  // a segment has ended
    }
  }
  for (std::size_t i = length; i-- > 0;) {
    if (!tokens_.is_timestamp(answer[i])) continue;
    // The begin of the next segment may be the end of this one; an end is after its begin.
    const bool may_repeat = last_is_time && !before_is_time;
    forbid(logits, first, answer[i] + (may_repeat ? 0 : 1));
    break;
  }
  if (length == 0) {
    forbid(logits, 0, first);
    if (tokens_.max_initial_timestamp) {
      forbid(logits, first + std::int64_t{*tokens_.max_initial_timestamp} + 1, size);
    }
  }

  // Sums of probabilities compare as sums of exp(logit).
  float largest_other = kImpossible;
  for (std::int64_t i = 0; i < first; ++i) largest_other = std::max(largest_other, logits[i]);
  float largest_time = kImpossible;
  for (std::int64_t i = first; i < after; ++i) largest_time = std::max(largest_time, logits[i]);
  if (largest_time == kImpossible || largest_other == kImpossible) return;
  double sum = 0;
  for (std::int64_t i = first; i < after; ++i) {
    sum += std::exp(static_cast<double>(logits[i]) - largest_time);
  }
  if (largest_time + std::log(sum) > static_cast<double>(largest_other)) forbid(logits, 0, first);
}

Status LogitRules::apply(std::span<float> logits, std::span<const TokenId> answer) const {
  const auto size = static_cast<std::int64_t>(logits.size());
  if (size < std::int64_t{tokens_.first_timestamp} + tokens_.timestamps || size <= tokens_.end) {
    return make_error(ErrorCode::inference, cat(size, " logits are fewer than the vocabulary has"));
  }
  for (std::int64_t id = 0; id < size; ++id) {
    if (std::isnan(logits[id]) || logits[id] == std::numeric_limits<float>::infinity()) {
      return make_error(ErrorCode::inference, cat("the logit of token ", id, " is not a number"),
                        {}, "`apr validate --quality` finds weights that are no numbers");
    }
  }
  const auto suppress = [&](std::span<const TokenId> ids) {
    for (const TokenId id : ids) forbid(logits, id, std::int64_t{id} + 1);
  };
  suppress(tokens_.suppressed);
  if (answer.empty()) suppress(tokens_.suppressed_at_begin);
  // Ids behind the last timestamp are padding of the vocabulary.
  forbid(logits, std::int64_t{tokens_.first_timestamp} + tokens_.timestamps, size);
  if (timestamps_) apply_timestamp_rules(logits, answer);
  if (std::all_of(logits.begin(), logits.end(), [](float v) { return v == kImpossible; })) {
    return make_error(ErrorCode::inference,
                      cat("no token may follow the ", answer.size(),
                          " so far: the model's suppressed tokens leave none"));
  }
  return {};
}

}  // namespace apr
