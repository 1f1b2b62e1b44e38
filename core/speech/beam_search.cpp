// Beam search as Whisper's reference decoder does it: each step extends every unfinished answer by
// its beams + 1 likeliest tokens, keeps the likeliest `beams` of all extensions that do not end,
// and sets aside those that end before the last of these in the order of likelihood. It stops once
// `beams` answers are set aside.
//
// Unfinished answers live in the decoder's sequences. An answer's first extension stays in its
// sequence; further ones get copies in the sequences of answers that have no extension left. No
// sequence is both a source and a target, so the order of copies does not matter.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/base/cat.h"
#include "core/speech/candidates.h"

namespace apr {

namespace {

struct Beam {
  Candidate candidate;
  SequenceId sequence = 0;
};

struct Extension {
  double log_probability = 0;
  std::size_t beam = 0;
  TokenId token = 0;
};

/// Among equals the earlier answer and the lower id come first, whatever a sort does.
bool likelier(const Extension& a, const Extension& b) {
  if (a.log_probability != b.log_probability) return a.log_probability > b.log_probability;
  return a.beam != b.beam ? a.beam < b.beam : a.token < b.token;
}

class BeamSearch {
 public:
  explicit BeamSearch(Search& search) : search_(search), width_(search.options.beams) {}

  Result<std::vector<Candidate>> run() {
    const std::size_t vocabulary = search_.decoder.vocab_size();
    live_.resize(1);
    std::span<const float> rows = search_.logits;
    for (std::uint32_t length = 0; length < search_.max_tokens; ++length) {
      APR_TRY(check_not_interrupted(search_.options));
      std::vector<Extension> extensions;
      for (std::size_t i = 0; i < live_.size(); ++i) {
        APR_TRY(extend(i, rows.subspan(i * vocabulary, vocabulary), extensions));
      }
      std::sort(extensions.begin(), extensions.end(), likelier);
      APR_TRY(keep(extensions));
      if (finished_.size() >= width_ || live_.empty() || length + 1 == search_.max_tokens) break;
      APR_ASSIGN(rows, step());
    }
    std::sort(live_.begin(), live_.end(), [](const Beam& a, const Beam& b) {
      const double x = a.candidate.log_probability;
      const double y = b.candidate.log_probability;
      return x != y ? x > y : a.sequence < b.sequence;
    });
    for (Beam& beam : live_) {
      if (finished_.size() >= width_) break;
      finished_.push_back(std::move(beam.candidate));
    }
    return std::move(finished_);
  }

 private:
  /// The likeliest next tokens of one answer, lower ids first among equals.
  Status extend(std::size_t index, std::span<const float> logits,
                std::vector<Extension>& extensions) {
    const Candidate& answer = live_[index].candidate;
    allowed_.assign(logits.begin(), logits.end());
    APR_TRY(search_.rules.apply(allowed_, answer.tokens));
    order_.resize(allowed_.size());
    std::iota(order_.begin(), order_.end(), TokenId{0});
    const std::size_t count = std::min<std::size_t>(width_ + 1, order_.size());
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(count),
                      order_.end(), [&](TokenId a, TokenId b) {
                        const float x = allowed_[static_cast<std::size_t>(a)];
                        const float y = allowed_[static_cast<std::size_t>(b)];
                        return x != y ? x > y : a < b;
                      });
    const double largest = allowed_[static_cast<std::size_t>(order_[0])];
    double sum = 0;
    for (const float logit : allowed_) sum += std::exp(static_cast<double>(logit) - largest);
    const double norm = largest + std::log(sum);
    for (std::size_t i = 0; i < count; ++i) {
      const float logit = allowed_[static_cast<std::size_t>(order_[i])];
      if (std::isinf(logit)) break;
      extensions.push_back(
          {answer.log_probability + static_cast<double>(logit) - norm, index, order_[i]});
    }
    return {};
  }

  /// Sorts extensions into finished answers and the next unfinished ones, and makes sequences for
  /// these.
  Status keep(std::span<const Extension> extensions) {
    std::vector<Beam> next;
    std::vector<std::size_t> sources;
    for (const Extension& extension : extensions) {
      Candidate candidate = live_[extension.beam].candidate;
      candidate.log_probability = extension.log_probability;
      if (extension.token == search_.tokens.end) {
        candidate.complete = true;
        if (finished_.size() < width_) finished_.push_back(std::move(candidate));
        continue;
      }
      candidate.tokens.push_back(extension.token);
      next.push_back({std::move(candidate), 0});
      sources.push_back(extension.beam);
      if (next.size() == width_) break;
    }
    if (finished_.size() < width_) APR_TRY(place(next, sources));
    live_ = std::move(next);
    std::sort(live_.begin(), live_.end(),
              [](const Beam& a, const Beam& b) { return a.sequence < b.sequence; });
    return {};
  }

  Status place(std::vector<Beam>& next, std::span<const std::size_t> sources) {
    std::vector<bool> taken(width_, false);
    for (const std::size_t source : sources) taken[live_[source].sequence] = true;
    std::vector<bool> stayed(live_.size(), false);
    SequenceId free = 0;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const SequenceId own = live_[sources[i]].sequence;
      if (!stayed[sources[i]]) {
        stayed[sources[i]] = true;
        next[i].sequence = own;
        continue;
      }
      while (taken[free]) ++free;  // there are as many sequences as answers
      taken[free] = true;
      next[i].sequence = free;
      APR_TRY(search_.decoder.copy(own, free));
    }
    return {};
  }

  Result<std::span<const float>> step() {
    std::vector<SequenceId> sequences;
    std::vector<TokenId> tokens;
    for (const Beam& beam : live_) {
      sequences.push_back(beam.sequence);
      tokens.push_back(beam.candidate.tokens.back());
    }
    return search_.decoder.step(sequences, tokens);
  }

  Search& search_;
  std::uint32_t width_;
  std::vector<Beam> live_;
  std::vector<Candidate> finished_;
  std::vector<float> allowed_;
  std::vector<TokenId> order_;
};

}  // namespace

Result<std::vector<Candidate>> beam_candidates(Search& search) {
  return BeamSearch(search).run();
}

}  // namespace apr
