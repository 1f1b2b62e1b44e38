#include "core/speech/fft.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>
#include <vector>

namespace {

std::vector<double> noise(std::size_t count) {
  std::vector<double> values;
  std::uint64_t state = 0x9e3779b97f4a7c15 ^ count;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    values.push_back(static_cast<double>(state >> 11) * 0x1p-53 - 0.5);
  }
  return values;
}

std::vector<double> power_by_definition(const std::vector<double>& x) {
  std::vector<double> power;
  for (std::size_t k = 0; k <= x.size() / 2; ++k) {
    std::complex<double> sum = 0;
    for (std::size_t n = 0; n < x.size(); ++n) {
      const double angle = -2 * std::numbers::pi * static_cast<double>(k * n % x.size()) /
                           static_cast<double>(x.size());
      sum += x[n] * std::complex<double>(std::cos(angle), std::sin(angle));
    }
    power.push_back(std::norm(sum));
  }
  return power;
}

}  // namespace

TEST_CASE("The transform is the definition's, for every length it takes") {
  std::size_t taken = 0;
  for (std::size_t size = 2; size <= 416; size += 2) {
    const auto fft = apr::RealFft::create(size);
    if (!fft) continue;
    ++taken;
    const std::vector<double> x = noise(size);
    std::vector<double> power(fft->bins());
    auto scratch = fft->scratch();
    fft->power(x, power, scratch);
    const std::vector<double> wanted = power_by_definition(x);
    REQUIRE(power.size() == wanted.size());
    for (std::size_t k = 0; k < power.size(); ++k) {
      INFO("size " << size << ", bin " << k);
      REQUIRE(std::abs(power[k] - wanted[k]) < 1e-11);
    }
  }
  CHECK(taken > 90);
}

TEST_CASE("A tone has its power in its own bin") {
  const auto fft = apr::RealFft::create(400);
  REQUIRE(fft.ok());
  std::vector<double> x;
  for (int n = 0; n < 400; ++n) x.push_back(std::cos(2 * std::numbers::pi * 7 * n / 400));
  std::vector<double> power(fft->bins());
  auto scratch = fft->scratch();
  fft->power(x, power, scratch);
  for (std::size_t k = 0; k < power.size(); ++k) {
    CHECK(power[k] == Approx(k == 7 ? 40000.0 : 0.0).margin(1e-20));
  }
}

TEST_CASE("Lengths that are refused") {
  for (const std::size_t size : {0, 1, 3, 401, 2 * 17, 2 * 199}) {
    INFO(size);
    CHECK_FALSE(apr::RealFft::create(size).ok());
  }
}
