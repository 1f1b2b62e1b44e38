#include "core/runtime/pooler.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace apr {

namespace {

struct Named {
  Pooling pooling;
  std::string_view name;
};
constexpr std::array<Named, 7> kNames = {{{Pooling::cls, "cls"},
                                          {Pooling::max, "max"},
                                          {Pooling::mean, "mean"},
                                          {Pooling::mean_sqrt_len, "mean_sqrt_len"},
                                          {Pooling::weighted_mean, "weightedmean"},
                                          {Pooling::last_token, "lasttoken"},
                                          {Pooling::pooler, "pooler"}}};

}  // namespace

std::string_view name_of(Pooling pooling) {
  for (const Named& named : kNames) {
    if (named.pooling == pooling) return named.name;
  }
  return "";
}

std::optional<Pooling> pooling_from_name(std::string_view name) {
  for (const Named& named : kNames) {
    if (named.name == name) return named.pooling;
  }
  return std::nullopt;
}

std::string name_of(std::span<const Pooling> poolings) {
  std::string names;
  for (const Pooling pooling : poolings) {
    if (!names.empty()) names += '+';
    names += name_of(pooling);
  }
  return names;
}

TokenPooler::TokenPooler(std::span<const Pooling> poolings, std::uint32_t features)
    : poolings_(poolings.begin(), poolings.end()), first_(features), last_(features) {
  for (const Pooling pooling : poolings_) {
    sums_ = sums_ || pooling == Pooling::mean || pooling == Pooling::mean_sqrt_len;
    weighs_ = weighs_ || pooling == Pooling::weighted_mean;
    compares_ = compares_ || pooling == Pooling::max;
  }
  if (sums_) sum_.resize(features);
  if (weighs_) weighted_.resize(features);
  if (compares_) largest_.resize(features);
}

void TokenPooler::begin(std::uint32_t unpooled) {
  unpooled_ = unpooled;
  seen_ = 0;
  pooled_ = 0;
  weight_ = 0;
  std::fill(sum_.begin(), sum_.end(), 0.0);
  std::fill(weighted_.begin(), weighted_.end(), 0.0);
}

void TokenPooler::add(std::span<const float> token) {
  if (seen_++ == 0) std::copy(token.begin(), token.end(), first_.begin());
  if (seen_ <= unpooled_) return;
  ++pooled_;
  std::copy(token.begin(), token.end(), last_.begin());
  for (std::size_t i = 0; sums_ && i < token.size(); ++i) sum_[i] += token[i];
  if (weighs_) {
    const auto weight = static_cast<double>(seen_);
    weight_ += weight;
    for (std::size_t i = 0; i < token.size(); ++i) {
      weighted_[i] += weight * static_cast<double>(token[i]);
    }
  }
  for (std::size_t i = 0; compares_ && i < token.size(); ++i) {
    // A NaN is taken and stays, so that it is noticed.
    if (pooled_ == 1 || token[i] > largest_[i] || std::isnan(token[i])) largest_[i] = token[i];
  }
}

void TokenPooler::finish(Pooling pooling, std::span<float> part) const {
  const auto divided = [&](const std::vector<double>& sum, double by) {
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>(sum[i] / by);
  };
  const auto count = static_cast<double>(pooled_);
  switch (pooling) {
    case Pooling::cls:
      std::copy(first_.begin(), first_.end(), part.begin());
      return;
    case Pooling::max:
      std::copy(largest_.begin(), largest_.end(), part.begin());
      return;
    case Pooling::mean:
      return divided(sum_, count);
    case Pooling::mean_sqrt_len:
      return divided(sum_, std::sqrt(count));
    case Pooling::weighted_mean:
      return divided(weighted_, weight_);
    case Pooling::last_token:
      std::copy(last_.begin(), last_.end(), part.begin());
      return;
    case Pooling::pooler:  // not made of token vectors
      return;
  }
}

void TokenPooler::finish(std::span<float> vector) const {
  const std::size_t features = first_.size();
  for (std::size_t p = 0; p < poolings_.size(); ++p) {
    finish(poolings_[p], vector.subspan(p * features, features));
  }
}

}  // namespace apr
