#include "core/runtime/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>

namespace apr {
namespace {

using Catch::Matchers::Contains;

Sampler make(const SamplerOptions& options) {
  auto sampler = Sampler::create(options);
  if (!sampler) throw std::runtime_error(sampler.error().to_string());
  return *std::move(sampler);
}

TokenId draw(Sampler& sampler, const std::vector<float>& logits,
             const std::vector<TokenId>& history = {}) {
  const auto id = sampler.sample(logits, history);
  if (!id) throw std::runtime_error(id.error().to_string());
  return *id;
}

std::map<TokenId, int> histogram(const SamplerOptions& options, const std::vector<float>& logits,
                                 int draws) {
  Sampler sampler = make(options);
  std::map<TokenId, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[draw(sampler, logits)];
  return counts;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  double sum = 0;
  std::vector<double> p;
  for (const float logit : logits) sum += p.emplace_back(std::exp(logit / temperature));
  for (double& value : p) value /= sum;
  return p;
}

/// Pearson's statistic of counts against probabilities.
double chi_square(const std::map<TokenId, int>& counts, const std::vector<double>& expected,
                  int draws) {
  double sum = 0;
  for (std::size_t id = 0; id < expected.size(); ++id) {
    if (expected[id] == 0) continue;
    const auto found = counts.find(static_cast<TokenId>(id));
    const double seen = found == counts.end() ? 0 : found->second;
    const double wanted = expected[id] * draws;
    sum += (seen - wanted) * (seen - wanted) / wanted;
  }
  return sum;
}

const std::vector<float> kLogits = {1.0f, 3.0f, -1.0f, 2.0f, 0.5f, 2.5f, -2.0f, 0.0f};
constexpr int kDraws = 40000;
/// Seven degrees of freedom: one in a million would be beyond.
constexpr double kLimit = 40.5;

TEST_CASE("greedy takes the largest, the lowest id among equals") {
  Sampler sampler = make({});
  CHECK(draw(sampler, {0, 2, 1, 2}) == 1);
  CHECK(draw(sampler, {0, 0, 0}) == 0);
  CHECK(draw(sampler, {-5}) == 0);
  CHECK(draw(sampler, {-std::numeric_limits<float>::infinity(), -3}) == 1);
  // Whatever else is set.
  Sampler other = make({.temperature = 0, .top_k = 1, .top_p = 0.1, .seed = 9});
  CHECK(draw(other, {0, 2, 1, 2}) == 1);
}

TEST_CASE("logits that are no numbers are named") {
  Sampler sampler = make({});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto error = [&](const std::vector<float>& logits) {
    const auto id = sampler.sample(logits, {});
    return id ? std::string("no error") : id.error().to_string();
  };
  CHECK_THAT(error({1, 2, nan}), Contains("token 2") && Contains("not a number"));
  CHECK_THAT(error({1, infinity}), Contains("token 1") && Contains("infinite"));
  CHECK_THAT(error({-infinity, -infinity}), Contains("no token is possible"));
  CHECK_THAT(error({}), Contains("no logits"));
}

TEST_CASE("settings out of their ranges are refused by name") {
  const auto error = [](const SamplerOptions& options) {
    const auto sampler = Sampler::create(options);
    return sampler ? std::string("no error") : sampler.error().to_string();
  };
  const double nan = std::nan("");
  CHECK_THAT(error({.temperature = -0.1}), Contains("temperature"));
  CHECK_THAT(error({.temperature = nan}), Contains("temperature"));
  CHECK_THAT(error({.top_p = 0}), Contains("top-p"));
  CHECK_THAT(error({.top_p = 1.01}), Contains("top-p"));
  CHECK_THAT(error({.top_p = nan}), Contains("top-p"));
  CHECK_THAT(error({.repetition_penalty = 0}), Contains("repetition penalty"));
  CHECK_THAT(error({.repetition_penalty = nan}), Contains("repetition penalty"));
  CHECK(error({.temperature = 0.7, .top_k = 40, .top_p = 0.9}) == "no error");
}

TEST_CASE("the temperature law holds") {
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const auto counts = histogram({.temperature = temperature, .seed = 11}, kLogits, kDraws);
    CHECK(chi_square(counts, softmax(kLogits, temperature), kDraws) < kLimit);
    // The test is able to fail: another temperature's law does not fit.
    CHECK(chi_square(counts, softmax(kLogits, temperature * 1.2), kDraws) > kLimit);
  }
}

TEST_CASE("a seed fixes every draw, and seeds differ") {
  Sampler a = make({.temperature = 1, .seed = 5});
  Sampler b = make({.temperature = 1, .seed = 5});
  Sampler c = make({.temperature = 1, .seed = 6});
  int different = 0;
  for (int i = 0; i < 200; ++i) {
    const TokenId id = draw(a, kLogits);
    CHECK(draw(b, kLogits) == id);
    if (draw(c, kLogits) != id) ++different;
  }
  CHECK(different > 50);
}

TEST_CASE("top-k keeps the k largest") {
  const auto counts = histogram({.temperature = 1, .top_k = 3, .seed = 3}, kLogits, kDraws);
  std::vector<double> expected(kLogits.size(), 0);
  const double sum = std::exp(3.0) + std::exp(2.5) + std::exp(2.0);
  expected[1] = std::exp(3.0) / sum;
  expected[5] = std::exp(2.5) / sum;
  expected[3] = std::exp(2.0) / sum;
  CHECK(counts.size() == 3);
  CHECK(chi_square(counts, expected, kDraws) < kLimit);
  CHECK(histogram({.temperature = 1, .top_k = 1, .seed = 3}, kLogits, 100).size() == 1);
  CHECK(histogram({.temperature = 1, .top_k = 99, .seed = 3}, kLogits, kDraws).size() == 8);
  // Equals at the border: the lower ids stay.
  const auto tied = histogram({.temperature = 1, .top_k = 2, .seed = 3}, {1, 1, 1, 1}, 1000);
  CHECK(tied.size() == 2);
  CHECK(tied.count(0) + tied.count(1) == 2);
}

TEST_CASE("top-p keeps the nucleus and its proportions") {
  const std::vector<double> p = softmax(kLogits, 1);
  std::vector<TokenId> order = {1, 5, 3, 0, 4, 7, 2, 6};  // by falling probability
  for (const double top_p : {0.05, 0.3, 0.6, 0.8, 0.95, 0.999}) {
    double mass = 0;
    std::size_t size = 0;
    while (mass < top_p && size < order.size()) mass += p[static_cast<std::size_t>(order[size++])];
    std::vector<double> expected(kLogits.size(), 0);
    for (std::size_t i = 0; i < size; ++i) {
      expected[static_cast<std::size_t>(order[i])] = p[static_cast<std::size_t>(order[i])] / mass;
    }
    const auto counts = histogram({.temperature = 1, .top_p = top_p, .seed = 21}, kLogits, kDraws);
    INFO("top-p " << top_p << ", nucleus of " << size);
    CHECK(counts.size() == size);
    CHECK(chi_square(counts, expected, kDraws) < kLimit);
  }
}

TEST_CASE("top-p over a large vocabulary equals its definition") {
  // A slowly falling distribution, so that the nucleus is far larger than the first 64.
  std::vector<float> logits(5000);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[(i * 2909) % logits.size()] = -0.001f * static_cast<float>(i);
  }
  std::vector<double> p = softmax(logits, 1);
  std::sort(p.begin(), p.end(), std::greater<>());
  double mass = 0;
  std::size_t size = 0;
  while (mass < 0.9) mass += p[size++];
  REQUIRE(size > 1000);
  const float threshold = -0.001f * static_cast<float>(size - 1);
  Sampler sampler = make({.temperature = 1, .top_p = 0.9, .seed = 4});
  float lowest = 0;
  for (int i = 0; i < 3000; ++i) {
    lowest = std::min(lowest, logits[static_cast<std::size_t>(draw(sampler, logits))]);
  }
  CHECK(lowest >= threshold);
  CHECK(lowest < threshold * 0.95f);
}

TEST_CASE("the repetition penalty divides positive and multiplies negative logits, once") {
  Sampler sampler = make({.repetition_penalty = 2});
  CHECK(draw(sampler, {3, 2}) == 0);
  CHECK(draw(sampler, {3, 2}, {0}) == 1);
  CHECK(draw(sampler, {3, 1.4f}, {0, 0, 0}) == 0);  // 1.5, not 0.375
  CHECK(draw(sampler, {-1, -1.5f}, {0}) == 1);      // -2
  CHECK(draw(sampler, {3, 2}, {7, -1}) == 0);       // ids outside are nothing
  Sampler near = make({.repetition_penalty = 2, .repetition_window = 2});
  CHECK(draw(near, {3, 2}, {0, 5, 6}) == 0);  // beyond the window
  CHECK(draw(near, {3, 2}, {5, 0}) == 1);
}

TEST_CASE("masked tokens are never drawn") {
  const float masked = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {masked, 0, masked, 0, masked};
  for (const SamplerOptions& options :
       {SamplerOptions{.temperature = 1}, SamplerOptions{.temperature = 1, .top_k = 4},
        SamplerOptions{.temperature = 1, .top_p = 0.9999}, SamplerOptions{.temperature = 1e-6},
        SamplerOptions{.temperature = 1e6}}) {
    const auto counts = histogram(options, logits, 2000);
    CHECK(counts.size() == 2);
    CHECK(counts.count(1) + counts.count(3) == 2);
  }
}

TEST_CASE("extreme temperatures and logits stay sound") {
  CHECK(histogram({.temperature = 1e-30}, {1, 2, 1.9f}, 100).size() == 1);
  CHECK(histogram({.temperature = 1e30, .seed = 1}, {1000, -1000}, 1000).size() == 2);
  const float huge = std::numeric_limits<float>::max();
  CHECK(histogram({.temperature = 1}, {-huge, huge}, 100).begin()->first == 1);
}

TEST_CASE("top probabilities are the softmax, best first, lower ids first among equals") {
  const auto best = top_probabilities(kLogits, 3);
  const std::vector<double> p = softmax(kLogits, 1);
  REQUIRE(best.size() == 3);
  CHECK(best[0].id == 1);
  CHECK(best[1].id == 5);
  CHECK(best[2].id == 3);
  for (const auto& entry : best) {
    CHECK(entry.probability == Approx(p[static_cast<std::size_t>(entry.id)]).epsilon(1e-12));
    CHECK(std::exp(log_probability(kLogits, entry.id)) == Approx(entry.probability).epsilon(1e-12));
  }
  double sum = 0;
  for (const auto& entry : top_probabilities(kLogits, 100)) sum += entry.probability;
  CHECK(sum == Approx(1).epsilon(1e-12));
  const auto tied = top_probabilities(std::vector<float>{1, 2, 2, 2}, 2);
  CHECK(tied[0].id == 1);
  CHECK(tied[1].id == 2);
  CHECK(top_probabilities({}, 3).empty());
  CHECK(std::isinf(log_probability(kLogits, 99)));
  const std::vector<float> far = {1000, 0};
  CHECK(log_probability(far, 1) == Approx(-1000));
}

}  // namespace
}  // namespace apr
