// Discrete Fourier transform of real numbers, for lengths that are products of small primes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"

namespace apr {

class APR_API RealFft {
 public:
  /// `size` is even and has no prime factor above kLargestPrime.
  static Result<RealFft> create(std::size_t size);
  static constexpr std::size_t kLargestPrime = 13;

  std::size_t size() const { return 2 * half_; }
  std::size_t bins() const { return half_ + 1; }

  /// Memory of one transform; a thread that transforms needs its own.
  struct Scratch {
    std::vector<double> a, b;
  };
  Scratch scratch() const;

  /// |X(k)|² of the size() samples for k = 0 … size() / 2, which is bins() numbers.
  void power(std::span<const double> samples, std::span<double> out, Scratch& scratch) const;

 private:
  struct Stage {
    std::size_t radix = 0;
    std::size_t done = 0;          ///< length of the transforms that this stage joins
    std::size_t rest = 0;          ///< how many interleaved transforms are left after it
    std::vector<double> twiddles;  ///< (cos, sin) of −2π·q·k / (done·radix), [k][q]
    std::vector<double> roots;     ///< (cos, sin) of −2π·j / radix
  };
  void run(const Stage& stage, const double* from, double* to) const;
  std::size_t half_ = 0;
  std::vector<Stage> stages_;
  std::vector<double> split_;  ///< (cos, sin) of −2π·k / size, k <= half
};

}  // namespace apr
