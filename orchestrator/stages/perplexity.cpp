#include "orchestrator/stages/perplexity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/stages/parallel.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxStepLogits = std::uint64_t{8} << 20;  // 32 MiB of float32
constexpr std::uint32_t kMaxStep = 512;

/// log of the sum of the exponentials, without overflow.
double log_sum_exp(std::span<const float> logits) {
  double largest = -HUGE_VAL;
  for (const float logit : logits) largest = std::max(largest, static_cast<double>(logit));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

struct TokenScore {
  double nll = 0;
  double parent_nll = 0;
  double kl = 0;
  bool same_best = false;
  unsigned same_five = 0;  ///< of the parent's five best, how many are among the model's
};

constexpr std::size_t kFive = 5;
using Five = std::array<std::size_t, kFive>;

/// Indices of the five largest, lower ones first among equals.
Five five_best(std::span<const float> row) {
  Five best{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    std::size_t place = count;
    while (place > 0 && row[i] > row[best[place - 1]]) --place;
    if (place >= kFive) continue;
    count = std::min(count + 1, kFive);
    for (std::size_t j = count - 1; j > place; --j) best[j] = best[j - 1];
    best[place] = i;
  }
  return best;
}

struct Moments {
  double sum = 0;
  double squares = 0;
  void add(double value) {
    sum += value;
    squares += value * value;
  }
  /// Standard error of the mean of `count` values.
  double error(double count) const {
    if (count < 2) return 0;
    const double mean = sum / count;
    return std::sqrt(std::max(0.0, squares / count - mean * mean) / (count - 1));
  }
};

TokenScore score(std::span<const float> logits, std::span<const float> parent, TokenId next) {
  TokenScore result;
  const double norm = log_sum_exp(logits);
  result.nll = norm - static_cast<double>(logits[static_cast<std::size_t>(next)]);
  if (parent.empty()) return result;
  const double parent_norm = log_sum_exp(parent);
  result.parent_nll = parent_norm - static_cast<double>(parent[static_cast<std::size_t>(next)]);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double log_parent = static_cast<double>(parent[i]) - parent_norm;
    const double log_model = static_cast<double>(logits[i]) - norm;
    result.kl += std::exp(log_parent) * (log_parent - log_model);
  }
  const Five own = five_best(logits);
  const Five wanted = five_best(parent);
  result.same_best = own.front() == wanted.front();
  const std::size_t ranks = std::min(kFive, logits.size());
  for (std::size_t i = 0; i < ranks; ++i) {
    const auto end = own.begin() + static_cast<std::ptrdiff_t>(ranks);
    if (std::find(own.begin(), end, wanted[i]) != end) ++result.same_five;
  }
  return result;
}

class Evaluation {
 public:
  Evaluation(const Model& model, const Model* parent, std::span<const TokenId> tokens,
             const EvalOptions& options)
      : model_(model), parent_(parent), tokens_(tokens), options_(options) {}

  Result<EvalResult> run() {
    APR_ASSIGN(Session session, model_.start(options_.window));
    std::optional<Session> parent_session;
    if (parent_ != nullptr) {
      APR_ASSIGN(parent_session, parent_->start(options_.window));
    }
    const std::uint64_t end = last_token();
    std::uint64_t counted = 0;  // tokens before this one were counted by earlier windows
    for (std::uint64_t begin = 0; counted < end; begin += stride()) {
      const std::uint64_t size = std::min<std::uint64_t>(options_.window, end - begin);
      APR_TRY(run_window(session, parent_session ? &*parent_session : nullptr, begin, size,
                         std::max(counted, begin + 1)));
      session.release(0);
      if (parent_session) parent_session->release(0);
      counted = begin + size;
    }
    if (result_.predicted == 0) {
      return make_error(ErrorCode::validation,
                        cat("the text has ", tokens_.size(), " tokens; at least 2 are needed"));
    }
    return finish();
  }

 private:
  std::uint64_t stride() const { return options_.stride > 0 ? options_.stride : options_.window; }

  /// Where the last window ends.
  std::uint64_t last_token() const {
    std::uint64_t end = tokens_.size();
    if (options_.max_windows > 0 && options_.max_windows - 1 < end / stride()) {
      end = std::min<std::uint64_t>(end, (options_.max_windows - 1) * stride() + options_.window);
    }
    return stride() == options_.window && end % options_.window == 1 ? end - 1 : end;
  }

  /// Counts the predictions of tokens from `first` on.
  Status run_window(Session& session, Session* parent, std::uint64_t begin, std::uint64_t size,
                    std::uint64_t first) {
    WindowScore window;
    const std::uint32_t step = eval_step(options_.window, model_.facts().vocab_size);
    // The last token is predicted and predicts nothing.
    for (std::uint64_t at = 0; at + 1 < size; at += step) {
      const std::uint64_t count = std::min<std::uint64_t>(step, size - 1 - at);
      const auto ids = tokens_.subspan(begin + at, count);
      APR_ASSIGN(const auto logits, session.append_all_logits(0, ids));
      std::span<const float> parent_logits;
      if (parent != nullptr) {
        APR_ASSIGN(parent_logits, parent->append_all_logits(0, ids));
      }
      const std::uint64_t skipped =
          first > begin + at + 1 ? std::min(count, first - (begin + at + 1)) : 0;
      const std::size_t vocabulary = model_.facts().vocab_size;
      APR_TRY(add_rows(
          window, begin + at + skipped, count - skipped, logits.subspan(skipped * vocabulary),
          parent_logits.empty() ? parent_logits : parent_logits.subspan(skipped * vocabulary)));
      if (options_.on_tokens) APR_TRY(options_.on_tokens(begin + at + count, last_token()));
    }
    result_.windows.push_back(window);
    parent_nll_ += std::exchange(window_parent_nll_, 0.0);
    return {};
  }

  Status add_rows(WindowScore& window, std::uint64_t first, std::uint64_t count,
                  std::span<const float> logits, std::span<const float> parent) {
    const std::size_t vocabulary = model_.facts().vocab_size;
    scores_.resize(count);
    APR_TRY(parallel_pieces(options_.threads, count, [&](std::size_t i) -> Status {
      const auto row = logits.subspan(i * vocabulary, vocabulary);
      const auto parent_row = parent.empty() ? parent : parent.subspan(i * vocabulary, vocabulary);
      scores_[i] = score(row, parent_row, tokens_[first + i + 1]);
      if (std::isfinite(scores_[i].nll) && std::isfinite(scores_[i].kl) &&
          std::isfinite(scores_[i].parent_nll)) {
        return {};
      }
      return make_error(ErrorCode::inference,
                        cat("the prediction of token ", first + i + 1, " is not a number"), {},
                        "the weights or the computation are broken; `apr validate` looks for NaN");
    }));
    for (std::uint64_t i = 0; i < count; ++i) {
      const TokenScore& token = scores_[i];
      window.nll += token.nll;
      ++window.predicted;
      nll_.add(token.nll);
      if (parent.empty()) continue;
      window_parent_nll_ += token.parent_nll;
      kl_.add(token.kl);
      same_best_ += token.same_best ? 1 : 0;
      same_five_ += token.same_five;
      const double delta = std::exp(-token.nll) - std::exp(-token.parent_nll);
      squared_delta_p_ += delta * delta;
      if (divergences_.empty() || token.kl > max_kl_) {
        max_kl_ = token.kl;
        max_kl_at_ = first + i + 1;
      }
      divergences_.push_back(token.kl);
    }
    result_.predicted += count;
    return {};
  }

  EvalResult finish() {
    for (const WindowScore& window : result_.windows) result_.nll += window.nll;
    const auto predicted = static_cast<double>(result_.predicted);
    result_.perplexity = std::exp(result_.nll / predicted);
    result_.perplexity_error = result_.perplexity * nll_.error(predicted);
    if (parent_ != nullptr) result_.divergence = divergence(predicted);
    return std::move(result_);
  }

  Divergence divergence(double predicted) {
    std::sort(divergences_.begin(), divergences_.end());
    Divergence result;
    result.mean = kl_.sum / predicted;
    result.mean_error = kl_.error(predicted);
    result.median = quantile(divergences_, 0.5);
    result.p90 = quantile(divergences_, 0.9);
    result.p95 = quantile(divergences_, 0.95);
    result.p99 = quantile(divergences_, 0.99);
    result.p999 = quantile(divergences_, 0.999);
    result.max = max_kl_;
    result.min = divergences_.front();
    result.max_at = max_kl_at_;
    result.top1_agreement = static_cast<double>(same_best_) / predicted;
    const auto ranks = static_cast<double>(std::min<std::size_t>(kFive, model_.facts().vocab_size));
    result.top5_agreement = static_cast<double>(same_five_) / (ranks * predicted);
    result.parent_perplexity = std::exp(parent_nll_ / predicted);
    result.rms_delta_p = std::sqrt(squared_delta_p_ / predicted);
    return result;
  }

  const Model& model_;
  const Model* parent_;
  std::span<const TokenId> tokens_;
  const EvalOptions& options_;
  EvalResult result_;
  std::vector<TokenScore> scores_;
  double window_parent_nll_ = 0;
  double parent_nll_ = 0;
  Moments nll_;
  Moments kl_;
  std::vector<double> divergences_;
  double max_kl_ = 0;
  std::uint64_t max_kl_at_ = 0;
  std::uint64_t same_best_ = 0;
  std::uint64_t same_five_ = 0;
  double squared_delta_p_ = 0;
};

}  // namespace

double quantile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return 0;
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = place - static_cast<double>(below);
  return (1 - share) * sorted[below] + share * sorted[above];
}

std::uint32_t eval_step(std::uint32_t window, std::uint32_t vocabulary) {
  const std::uint64_t by_memory = kMaxStepLogits / std::max<std::uint32_t>(vocabulary, 1);
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(by_memory, 1, std::min(window, kMaxStep)));
}

Result<EvalResult> evaluate(const Model& model, const Model* parent,
                            std::span<const TokenId> tokens, const EvalOptions& options) {
  return Evaluation(model, parent, tokens, options).run();
}

}  // namespace apr
