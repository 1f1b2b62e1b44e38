// Each step of sampling against its law, and all of them together against a second, naive
// implementation: its distribution by chi-square, with fixed seeds.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "core/runtime/sampler.h"
#include "tests/unit/sampler/allocations.h"

namespace apr {
namespace {

using Catch::Matchers::Contains;
using History = std::vector<TokenId>;

constexpr int kDraws = 20000;

Sampler make(const SamplerOptions& options) {
  auto sampler = Sampler::create(options);
  if (!sampler) throw std::runtime_error(sampler.error().to_string());
  return *std::move(sampler);
}

std::string refusal(const SamplerOptions& options) {
  const auto sampler = Sampler::create(options);
  return sampler ? std::string("no error") : sampler.error().to_string();
}

TokenId draw(Sampler& sampler, const std::vector<float>& logits, const History& history = {}) {
  const auto id = sampler.sample(logits, history);
  if (!id) throw std::runtime_error(id.error().to_string());
  return *id;
}

std::vector<double> counts_of(const SamplerOptions& options, const std::vector<float>& logits,
                              int draws, const History& history = {}) {
  Sampler sampler = make(options);
  std::vector<double> counts(logits.size(), 0);
  for (int i = 0; i < draws; ++i)
    ++counts[static_cast<std::size_t>(draw(sampler, logits, history))];
  return counts;
}

// The second implementation: every definition as it is written, over whole vectors.

struct Entry {
  std::size_t id;
  double logit;
  double p;
};

void normalize(std::vector<Entry>& entries) {
  double sum = 0;
  for (const Entry& entry : entries) sum += entry.p;
  for (Entry& entry : entries) entry.p /= sum;
}

void by_probability(std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
}

void keep_until(std::vector<Entry>& entries, double wanted) {
  double sum = 0;
  std::size_t kept = 0;
  while (kept < entries.size() && sum < wanted) sum += entries[kept++].p;
  entries.resize(std::max<std::size_t>(kept, 1));
  normalize(entries);
}

std::vector<double> adjusted(const SamplerOptions& o, const std::vector<float>& logits,
                             const History& history) {
  std::vector<double> out(logits.begin(), logits.end());
  for (const LogitBias& entry : o.logit_bias) out[static_cast<std::size_t>(entry.id)] += entry.bias;
  const std::size_t window = std::min<std::size_t>(o.repetition_window, history.size());
  std::map<TokenId, int> counts;
  for (std::size_t i = history.size() - window; i < history.size(); ++i) ++counts[history[i]];
  for (const auto& [id, count] : counts) {
    double& x = out[static_cast<std::size_t>(id)];
    x = x > 0 ? x / o.repetition_penalty : x * o.repetition_penalty;
    x -= o.frequency_penalty * count + o.presence_penalty;
  }
  return out;
}

std::vector<double> expected(const SamplerOptions& o, const std::vector<float>& logits,
                             const History& history = {}) {
  const std::vector<double> x = adjusted(o, logits, history);
  const double largest = *std::max_element(x.begin(), x.end());
  std::vector<Entry> entries;
  for (std::size_t id = 0; id < x.size(); ++id) {
    entries.push_back({id, x[id], std::exp((x[id] - largest) / o.temperature)});
  }
  by_probability(entries);
  if (o.top_k > 0 && o.top_k < entries.size()) entries.resize(o.top_k);
  normalize(entries);
  if (o.typical_p < 1) {
    double entropy = 0;
    for (const Entry& entry : entries) {
      if (entry.p > 0) entropy -= entry.p * std::log(entry.p);
    }
    std::sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) {
      const double near_a = std::abs(-std::log(a.p) - entropy);
      const double near_b = std::abs(-std::log(b.p) - entropy);
      return near_a != near_b     ? near_a < near_b
             : a.logit != b.logit ? a.logit > b.logit
                                  : a.id < b.id;
    });
    keep_until(entries, o.typical_p);
    by_probability(entries);
  }
  if (o.top_p < 1) keep_until(entries, o.top_p);
  if (o.min_p > 0) {
    double most = 0;
    for (const Entry& entry : entries) most = std::max(most, entry.p);
    std::erase_if(entries, [&](const Entry& entry) { return entry.p < o.min_p * most; });
    normalize(entries);
  }
  std::vector<double> p(logits.size(), 0);
  for (const Entry& entry : entries) p[entry.id] = entry.p;
  return p;
}

/// Pearson's statistic as a number of standard deviations above its mean (Wilson and Hilferty's
/// cube root); huge if something was drawn that cannot be. Cells below 5 are taken together.
double chi_square_score(const std::vector<double>& counts, const std::vector<double>& p,
                        int draws) {
  double sum = 0;
  double rest_seen = 0;
  double rest_wanted = 0;
  int cells = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double wanted = p[i] * draws;
    if (wanted == 0 && counts[i] > 0) return 1e9;
    if (wanted < 5) {
      rest_seen += counts[i];
      rest_wanted += wanted;
      continue;
    }
    ++cells;
    sum += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
  }
  if (rest_wanted >= 1) {
    ++cells;
    sum += (rest_seen - rest_wanted) * (rest_seen - rest_wanted) / rest_wanted;
  }
  const double freedom = cells - 1;
  if (freedom < 1) return 0;
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(sum / freedom) - (1 - spread)) / std::sqrt(spread);
}

/// Five standard deviations: one in three million.
constexpr double kUnlikely = 5;

std::vector<float> random_logits(std::mt19937& random, std::size_t count, float spread) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

const std::vector<float> kLogits = {1.0f, 3.0f, -1.0f, 2.0f, 0.5f, 2.5f, -2.0f, 0.0f};

TEST_CASE("min-p keeps what is at least that share of the likeliest") {
  for (const double min_p : {0.01, 0.1, 0.3, 0.61, 1.0}) {
    for (const double temperature : {0.7, 1.0, 1.8}) {
      const SamplerOptions options{.temperature = temperature, .seed = 5, .min_p = min_p};
      const auto counts = counts_of(options, kLogits, kDraws);
      const auto p = expected(options, kLogits);
      INFO("min-p " << min_p << ", temperature " << temperature);
      CHECK(chi_square_score(counts, p, kDraws) < kUnlikely);
      // The law itself: in, if and only if exp((logit - largest) / temperature) >= min-p.
      for (std::size_t id = 0; id < kLogits.size(); ++id) {
        const bool in = std::exp((kLogits[id] - 3.0) / temperature) >= min_p;
        CHECK((counts[id] > 0) == in);
      }
    }
  }
  // Able to fail: another threshold's law does not fit.
  const auto counts = counts_of({.temperature = 1, .seed = 5, .min_p = 0.1}, kLogits, kDraws);
  CHECK(chi_square_score(counts, expected({.temperature = 1, .min_p = 0.3}, kLogits), kDraws) >
        kUnlikely);
}

TEST_CASE("typical-p keeps the tokens whose surprise is nearest to the entropy") {
  // Entropy 1.28 bits: the token of probability 0.4 is nearest, then 0.5, and the rare ones last.
  const std::vector<double> p = {0.5, 0.4, 0.05, 0.03, 0.02};
  std::vector<float> logits;
  for (const double value : p) logits.push_back(static_cast<float>(std::log(value)));
  const auto kept = [&](double typical_p) {
    const auto counts =
        counts_of({.temperature = 1, .seed = 2, .typical_p = typical_p}, logits, 5000);
    std::vector<std::size_t> ids;
    for (std::size_t id = 0; id < counts.size(); ++id) {
      if (counts[id] > 0) ids.push_back(id);
    }
    return ids;
  };
  CHECK(kept(0.3) == std::vector<std::size_t>{1});  // not the likeliest
  CHECK(kept(0.5) == std::vector<std::size_t>{0, 1});
  CHECK(kept(0.92) == std::vector<std::size_t>{0, 1, 2});
  CHECK(kept(0.9999).size() == 5);
  for (const double typical_p : {0.2, 0.5, 0.8, 0.95}) {
    const SamplerOptions options{.temperature = 1.3, .seed = 8, .typical_p = typical_p};
    CHECK(chi_square_score(counts_of(options, kLogits, kDraws), expected(options, kLogits),
                           kDraws) < kUnlikely);
  }
}

TEST_CASE("all steps together draw from the distribution of their definitions") {
  std::mt19937 random(20240901);
  const auto pick = [&](std::initializer_list<double> values) {
    return values.begin()[random() % values.size()];
  };
  int misfits = 0;
  for (int round = 0; round < 40; ++round) {
    const std::vector<float> logits = random_logits(random, 40 + random() % 100, 2.5f);
    SamplerOptions options;
    options.temperature = pick({0.5, 0.8, 1.0, 1.5});
    options.top_k = static_cast<std::uint32_t>(pick({0, 0, 5, 30}));
    options.typical_p = pick({1, 1, 0.5, 0.9});
    options.top_p = pick({1, 1, 0.7, 0.95});
    options.min_p = pick({0, 0, 0.02, 0.2});
    options.repetition_penalty = pick({1, 1, 1.3});
    options.frequency_penalty = pick({0, 0, 0.5, -0.5});
    options.presence_penalty = pick({0, 0, 1, -1});
    options.repetition_window = static_cast<std::uint32_t>(pick({0, 5, 64}));
    options.seed = static_cast<std::uint64_t>(round);
    if (random() % 2 == 0) {
      options.logit_bias = {{7, 2.0}, {3, -std::numeric_limits<double>::infinity()}, {11, -1.5}};
    }
    History history;
    for (int i = 0; i < 20; ++i) history.push_back(static_cast<TokenId>(random() % 12));
    const auto p = expected(options, logits, history);
    const auto counts = counts_of(options, logits, 8000, history);
    INFO("round " << round);
    CHECK(chi_square_score(counts, p, 8000) < kUnlikely);
    // The same draws against a slightly warmer law: mostly noticed.
    SamplerOptions warmer = options;
    warmer.temperature *= 1.15;
    if (chi_square_score(counts, expected(warmer, logits, history), 8000) > kUnlikely) ++misfits;
  }
  CHECK(misfits > 10);
}

TEST_CASE("large vocabularies: the runs that are sorted in pieces are the whole ones") {
  std::mt19937 random(7);
  for (const SamplerOptions& options :
       {SamplerOptions{.temperature = 1, .top_p = 0.9, .seed = 1},
        SamplerOptions{.temperature = 1, .seed = 2, .typical_p = 0.8},
        SamplerOptions{.temperature = 1.5, .seed = 3, .min_p = 0.05},
        SamplerOptions{.temperature = 1,
                       .top_k = 900,
                       .top_p = 0.95,
                       .seed = 4,
                       .min_p = 0.01,
                       .typical_p = 0.9}}) {
    const std::vector<float> logits = random_logits(random, 1000, 1.0f);
    const auto p = expected(options, logits);
    const auto counts = counts_of(options, logits, 6000);
    CHECK(chi_square_score(counts, p, 6000) < kUnlikely);
  }
}

TEST_CASE("frequency and presence penalties and bias change logits by what they say") {
  // Greedy shows the exact border.
  const auto best = [](const SamplerOptions& options, const std::vector<float>& logits,
                       const History& history) {
    Sampler sampler = make(options);
    return draw(sampler, logits, history);
  };
  const SamplerOptions frequency{.frequency_penalty = 0.5};
  CHECK(best(frequency, {2, 1.01f}, {0}) == 0);
  CHECK(best(frequency, {2, 1.01f}, {0, 0}) == 1);  // 2 - 2 * 0.5 = 1
  CHECK(best(frequency, {2, 0.99f}, {0, 0}) == 0);
  CHECK(best(frequency, {2, 1.01f}, {0, 0, 1}) == 0);  // 1 against 0.51
  const SamplerOptions presence{.presence_penalty = 1};
  CHECK(best(presence, {2, 1.01f}, {0, 0, 0}) == 1);  // once, however often
  CHECK(best(presence, {2, 0.99f}, {0, 0, 0}) == 0);
  CHECK(best({.frequency_penalty = -1}, {1, 2.5f}, {0, 0}) == 0);  // rewards
  CHECK(best({.repetition_window = 1, .presence_penalty = 2}, {2, 1}, {0, 1}) == 0);
  // Bias comes first, then the repetition penalty, then the others.
  CHECK(best({.repetition_penalty = 2, .logit_bias = {{0, 4}}}, {-2, 1.1f}, {0}) == 1);  // 1
  CHECK(best({.repetition_penalty = 2, .logit_bias = {{0, 4}}}, {-2, 0.9f}, {0}) == 0);
  CHECK(best({.repetition_penalty = 2, .presence_penalty = 1}, {4, 1.1f}, {0}) == 1);  // 4 / 2 - 1
  CHECK(best({.repetition_penalty = 2, .presence_penalty = 1}, {4, 0.9f}, {0}) == 0);
  CHECK(best({.logit_bias = {{1, -100}}}, {1, 9}, {}) == 0);
  CHECK(best({.logit_bias = {{1, 100}, {0, 0}}}, {1, -9}, {}) == 1);
}

TEST_CASE("forbidden tokens are never drawn, and forbidding all is an error") {
  const double never = -std::numeric_limits<double>::infinity();
  const auto counts =
      counts_of({.temperature = 5, .logit_bias = {{1, never}, {5, never}}}, kLogits, 5000);
  CHECK(counts[1] == 0);
  CHECK(counts[5] == 0);
  CHECK(std::count(counts.begin(), counts.end(), 0.0) == 2);
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler = make({.temperature = temperature, .logit_bias = {{0, never}, {1, never}}});
    const std::vector<float> two = {1, 2};
    const auto id = sampler.sample(two, {});
    REQUIRE_FALSE(id.ok());
    CHECK_THAT(id.error().to_string(), Contains("forbids every token"));
  }
  Sampler sampler = make({.logit_bias = {{9, 1}}});
  const auto id = sampler.sample(kLogits, {});
  REQUIRE_FALSE(id.ok());
  CHECK_THAT(id.error().to_string(), Contains("token 9") && Contains("ends at 7"));
}

TEST_CASE("mirostat keeps the surprise near its target") {
  std::mt19937 random(3);
  for (const double target : {3.0, 4.5, 6.0}) {
    Sampler sampler =
        make({.temperature = 1, .seed = 17, .mirostat = target, .mirostat_rate = 0.1});
    double bits = 0;
    constexpr int kTokens = 2000;
    for (int i = 0; i < kTokens; ++i) {
      // Distributions as language models make them: a few likely tokens, a long tail.
      std::vector<float> logits(1000);
      for (std::size_t rank = 0; rank < logits.size(); ++rank) {
        logits[rank] = -1.1f * std::log(static_cast<float>(rank + 1));
      }
      const TokenId id = draw(sampler, logits);
      bits -= log_probability(logits, id) / std::log(2.0);
    }
    INFO("target " << target);
    CHECK(bits / kTokens == Approx(target).margin(0.05));
  }
  // Without it the same distribution surprises by its entropy, whatever the target.
  std::vector<float> logits(1000);
  for (std::size_t rank = 0; rank < logits.size(); ++rank) {
    logits[rank] = -1.1f * std::log(static_cast<float>(rank + 1));
  }
  Sampler plain = make({.temperature = 1, .seed = 17});
  double bits = 0;
  for (int i = 0; i < 2000; ++i)
    bits -= log_probability(logits, draw(plain, logits)) / std::log(2.0);
  CHECK(bits / 2000 > 6.5);
  // A target below what the distribution can give ends at the likeliest token.
  const auto sure =
      counts_of({.temperature = 1, .mirostat = 0.001, .mirostat_rate = 1}, {9, 1, 1}, 500);
  CHECK(sure[0] > 490);
}

/// DRY as its definition reads: for every earlier place of the last token, how far back it agrees.
std::vector<double> dry_penalties(const SamplerOptions& o, const History& history,
                                  std::size_t vocabulary) {
  std::vector<double> penalties(vocabulary, 0);
  const std::size_t begin = history.size() - std::min<std::size_t>(o.dry_window, history.size());
  const History window(history.begin() + static_cast<std::ptrdiff_t>(begin), history.end());
  const auto breaks = [&](TokenId id) {
    return std::find(o.dry_breakers.begin(), o.dry_breakers.end(), id) != o.dry_breakers.end();
  };
  for (std::size_t end = 0; end + 1 < window.size(); ++end) {
    std::uint32_t length = 0;
    while (length <= end && window[end - length] == window[window.size() - 1 - length] &&
           !breaks(window[end - length])) {
      ++length;
    }
    const TokenId next = window[end + 1];
    if (length < o.dry_allowed_length || breaks(next)) continue;
    double& penalty = penalties[static_cast<std::size_t>(next)];
    penalty =
        std::max(penalty, o.dry_multiplier * std::pow(o.dry_base, length - o.dry_allowed_length));
  }
  return penalties;
}

TEST_CASE("DRY penalizes what would lengthen a repetition, as its definition says") {
  std::mt19937 random(99);
  int penalized = 0;
  for (int round = 0; round < 800; ++round) {
    SamplerOptions options;
    options.dry_multiplier = 0.25 * static_cast<double>(1 + random() % 8);
    options.dry_base = 1.0 + 0.25 * static_cast<double>(random() % 5);
    options.dry_allowed_length = static_cast<std::uint32_t>(1 + random() % 4);
    options.dry_window = static_cast<std::uint32_t>(random() % 3 == 0 ? 1 + random() % 20 : 1024);
    if (random() % 2 == 0) options.dry_breakers = {3, 1};
    const std::size_t vocabulary = 2 + random() % 5;
    History history;
    for (std::size_t i = random() % 60; i > 0; --i) {
      history.push_back(static_cast<TokenId>(random() % vocabulary));
    }
    const std::vector<double> penalties = dry_penalties(options, history, vocabulary);
    // Greedy over logits that differ by known amounts finds each penalty to a hundredth.
    for (std::size_t id = 0; id < vocabulary; ++id) {
      if (penalties[id] > 40) continue;
      for (const double slack : {-0.01, 0.01}) {
        std::vector<float> logits(vocabulary + 1, -1e4f);
        logits[id] = 50;
        logits[vocabulary] = static_cast<float>(50 - penalties[id] + slack);
        Sampler sampler = make(options);
        const auto wanted = static_cast<TokenId>(slack < 0 ? id : vocabulary);
        if (draw(sampler, logits, history) != wanted) {
          FAIL("round " << round << ", token " << id << ", penalty " << penalties[id]);
        }
      }
      if (penalties[id] > 0) ++penalized;
    }
  }
  CHECK(penalized > 300);
}

TEST_CASE("DRY by example") {
  const SamplerOptions options{.dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2};
  const std::vector<float> logits = {0, 0, 3.5f, 0, 0, 0};
  Sampler sampler = make(options);
  CHECK(draw(sampler, logits, {0, 1, 2, 5, 0, 1}) == 2);              // n = 2: loses 1
  CHECK(draw(sampler, logits, {5, 4, 0, 1, 2, 3, 5, 4, 0, 1}) == 0);  // n = 4: loses 4
  SamplerOptions broken = options;
  broken.dry_breakers = {4};
  Sampler other = make(broken);
  CHECK(draw(other, logits, {5, 4, 0, 1, 2, 3, 5, 4, 0, 1}) == 2);  // only 0 1 counts
  // Penalties that would overflow stay numbers.
  Sampler hard = make({.temperature = 1, .dry_multiplier = 100, .dry_base = 10});
  const History same(2000, 2);
  CHECK(draw(hard, {-5, -6, 3}, same) != 2);
}

TEST_CASE("further settings out of their ranges are refused by name") {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THAT(refusal({.min_p = -0.1}), Contains("min-p") && Contains("-0.1"));
  CHECK_THAT(refusal({.min_p = 1.1}), Contains("min-p"));
  CHECK_THAT(refusal({.min_p = nan}), Contains("min-p"));
  CHECK_THAT(refusal({.typical_p = 0}), Contains("typical-p"));
  CHECK_THAT(refusal({.typical_p = nan}), Contains("typical-p"));
  CHECK_THAT(refusal({.frequency_penalty = 2.1}), Contains("frequency penalty"));
  CHECK_THAT(refusal({.presence_penalty = -infinity}), Contains("presence penalty"));
  CHECK_THAT(refusal({.repetition_window = 70000}), Contains("repetition window"));
  CHECK_THAT(refusal({.repetition_penalty = infinity}), Contains("repetition penalty"));
  CHECK_THAT(refusal({.logit_bias = {{4, 101}}}), Contains("token 4") && Contains("101"));
  CHECK_THAT(refusal({.logit_bias = {{4, nan}}}), Contains("token 4"));
  CHECK_THAT(refusal({.logit_bias = {{4, infinity}}}), Contains("token 4"));
  CHECK_THAT(refusal({.logit_bias = {{-1, 1}}}), Contains("token -1"));
  CHECK_THAT(refusal({.logit_bias = {{4, 1}, {2, 1}, {4, 2}}}),
             Contains("token 4") && Contains("two"));
  CHECK_THAT(refusal({.mirostat = -1}), Contains("mirostat"));
  CHECK_THAT(refusal({.mirostat = 5, .mirostat_rate = 0}), Contains("mirostat rate"));
  CHECK_THAT(refusal({.dry_multiplier = nan}), Contains("DRY multiplier"));
  CHECK_THAT(refusal({.dry_base = 0.5}), Contains("DRY base"));
  CHECK_THAT(refusal({.dry_allowed_length = 0}), Contains("DRY length"));
  CHECK_THAT(refusal({.dry_window = 0}), Contains("DRY window"));
  CHECK_THAT(refusal({.top_k = 5, .mirostat = 5}), Contains("stands in for"));
  CHECK_THAT(refusal({.min_p = 0.1, .mirostat = 5}), Contains("stands in for"));
  CHECK(refusal({.temperature = 1, .mirostat = 5}) == "no error");
}

TEST_CASE("sampling allocates nothing once it runs") {
  std::mt19937 random(11);
  const std::vector<float> logits = random_logits(random, 5000, 2);
  History history;
  for (int i = 0; i < 3000; ++i) history.push_back(static_cast<TokenId>(random() % 50));
  const std::vector<SamplerOptions> all = {
      {},
      {.temperature = 1, .top_k = 40, .top_p = 0.9, .min_p = 0.05, .typical_p = 0.95},
      {.temperature = 1,
       .repetition_penalty = 1.1,
       .frequency_penalty = 0.5,
       .logit_bias = {{3, 1}},
       .dry_multiplier = 1,
       .dry_breakers = {1}},
      {.temperature = 1, .mirostat = 4}};
  for (const SamplerOptions& options : all) {
    Sampler sampler = make(options);
    draw(sampler, logits, {1});
    const std::size_t before = allocations();
    TokenId sum = 0;
    for (std::size_t i = 1; i < 200; ++i) {
      const auto id = sampler.sample(logits, std::span(history).first(i * 15));
      sum += id ? *id : 0;
    }
    CHECK(allocations() == before);
    CHECK(sum >= 0);
  }
  const std::size_t before = allocations();
  const std::vector<int> counted(10);
  CHECK(allocations() > before);  // the counter counts
}

}  // namespace
}  // namespace apr
