// A speech frame has 400 samples, 2⁴·5², which no radix-2 transform can take. This is a mixed-radix
// transform in Stockham's ordering (Cochran et al., "What is the fast Fourier transform?", 1967,
// gives both the factorization and the ordering; Temperton, "Self-sorting mixed-radix fast Fourier
// transforms", 1983, the form used here).
//
// Let the subsequence t of a step s be x[t], x[t+s], x[t+2s], … of l = n/s elements. The state
// before a stage is the transform of each subsequence, frequency k of subsequence t at place
// t + s·k; at first s = n and the state is the input itself. A stage of radix r joins r
// subsequences of step s into one of step s' = s/r:
//
//   X'[t', k + l·c] = Σ_q  w_r^(q·c) · w_(l·r)^(q·k) · X[t' + s'·q, k]      w_m = exp(−2πi/m)
//
// for t' < s', k < l, c < r, written to place t' + s'·(k + l·c). At the end s = 1 and the spectrum
// stands in its natural order: no bit-reversal pass, and both sides of every stage are read and
// written in runs of s' numbers.
//
// Real input of 2h samples is taken as h complex numbers z = even + i·odd. Even and odd samples
// have spectra E and O with Z = E + i·O; since both have conjugate symmetry,
//   E[k] = (Z[k] + conj Z[h−k]) / 2,  O[k] = (Z[k] − conj Z[h−k]) / 2i,  X[k] = E[k] + w_2h^k·O[k].
//
// Everything is float64: the features that come of it are a logarithm, which makes the rounding of
// small powers visible.
#include "core/speech/fft.h"

#include <array>
#include <cmath>
#include <numbers>

#include "core/base/cat.h"

namespace apr {

namespace {

struct Complex {
  double re = 0;
  double im = 0;
};

Complex operator+(Complex a, Complex b) {
  return {a.re + b.re, a.im + b.im};
}
Complex operator-(Complex a, Complex b) {
  return {a.re - b.re, a.im - b.im};
}
Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
Complex load(const double* at) {
  return {at[0], at[1]};
}
void store(double* at, Complex value) {
  at[0] = value.re;
  at[1] = value.im;
}
/// −i·a
Complex turned(Complex a) {
  return {a.im, -a.re};
}

/// exp(−2πi·k / n), with k reduced first so that large products lose nothing.
Complex root(std::size_t k, std::size_t n) {
  const double angle =
      -2.0 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  return {std::cos(angle), std::sin(angle)};
}

using Points = std::array<Complex, RealFft::kLargestPrime>;

void transform2(Points& x) {
  const Complex difference = x[0] - x[1];
  x[0] = x[0] + x[1];
  x[1] = difference;
}

void transform4(Points& x) {
  const Complex a = x[0] + x[2];
  const Complex b = x[0] - x[2];
  const Complex c = x[1] + x[3];
  const Complex d = turned(x[1] - x[3]);
  x[0] = a + c;
  x[1] = b + d;
  x[2] = a - c;
  x[3] = b - d;
}

/// Cosines and sines of 2π/5 and 4π/5; outputs 1 and 4, and 2 and 3, are conjugate combinations.
void transform5(Points& x) {
  constexpr double kCos1 = 0.30901699437494742410;
  constexpr double kSin1 = 0.95105651629515357212;
  constexpr double kCos2 = -0.80901699437494742410;
  constexpr double kSin2 = 0.58778525229247312917;
  const Complex s14 = x[1] + x[4];
  const Complex d14 = turned(x[1] - x[4]);
  const Complex s23 = x[2] + x[3];
  const Complex d23 = turned(x[2] - x[3]);
  const Complex even1 = {x[0].re + kCos1 * s14.re + kCos2 * s23.re,
                         x[0].im + kCos1 * s14.im + kCos2 * s23.im};
  const Complex even2 = {x[0].re + kCos2 * s14.re + kCos1 * s23.re,
                         x[0].im + kCos2 * s14.im + kCos1 * s23.im};
  const Complex odd1 = {kSin1 * d14.re + kSin2 * d23.re, kSin1 * d14.im + kSin2 * d23.im};
  const Complex odd2 = {kSin2 * d14.re - kSin1 * d23.re, kSin2 * d14.im - kSin1 * d23.im};
  x[0] = x[0] + s14 + s23;
  x[1] = even1 + odd1;
  x[4] = even1 - odd1;
  x[2] = even2 + odd2;
  x[3] = even2 - odd2;
}

/// By the definition; for the odd primes that come up rarely.
void transform_any(Points& x, std::size_t radix, const double* roots) {
  Points out;
  for (std::size_t c = 0; c < radix; ++c) {
    Complex sum = x[0];
    for (std::size_t q = 1; q < radix; ++q) {
      sum = sum + x[q] * load(roots + 2 * (q * c % radix));
    }
    out[c] = sum;
  }
  x = out;
}

std::vector<std::size_t> factors_of(std::size_t n) {
  std::vector<std::size_t> factors;
  for (const std::size_t radix : {4, 2, 3, 5, 7, 11, 13}) {
    for (; n % radix == 0; n /= radix) factors.push_back(radix);
  }
  if (n != 1) factors.clear();
  return factors;
}

}  // namespace

Result<RealFft> RealFft::create(std::size_t size) {
  if (size < 2 || size % 2 != 0) {
    return make_error(ErrorCode::unsupported,
                      cat("a transform of ", size, " real numbers: the number must be even"));
  }
  RealFft fft;
  fft.half_ = size / 2;
  const std::vector<std::size_t> factors = factors_of(fft.half_);
  if (factors.empty() && fft.half_ != 1) {
    return make_error(
        ErrorCode::unsupported,
        cat("a transform of ", size, " numbers: it has a prime factor above ", kLargestPrime));
  }
  std::size_t done = 1;
  for (const std::size_t radix : factors) {
    Stage stage;
    stage.radix = radix;
    stage.done = done;
    stage.rest = fft.half_ / (done * radix);
    for (std::size_t k = 0; k < done; ++k) {
      for (std::size_t q = 0; q < radix; ++q) {
        const Complex twiddle = root(q * k, done * radix);
        stage.twiddles.push_back(twiddle.re);
        stage.twiddles.push_back(twiddle.im);
      }
    }
    for (std::size_t j = 0; j < radix; ++j) {
      const Complex value = root(j, radix);
      stage.roots.push_back(value.re);
      stage.roots.push_back(value.im);
    }
    done *= radix;
    fft.stages_.push_back(std::move(stage));
  }
  for (std::size_t k = 0; k <= fft.half_; ++k) {
    const Complex value = root(k, size);
    fft.split_.push_back(value.re);
    fft.split_.push_back(value.im);
  }
  return fft;
}

RealFft::Scratch RealFft::scratch() const {
  return {std::vector<double>(2 * half_), std::vector<double>(2 * half_)};
}

void RealFft::run(const Stage& stage, const double* from, double* to) const {
  const std::size_t radix = stage.radix;
  const std::size_t rest = stage.rest;
  Points x;
  for (std::size_t k = 0; k < stage.done; ++k) {
    const double* twiddles = stage.twiddles.data() + 2 * radix * k;
    const double* source = from + 2 * rest * radix * k;
    for (std::size_t t = 0; t < rest; ++t) {
      x[0] = load(source + 2 * t);
      for (std::size_t q = 1; q < radix; ++q) {
        x[q] = load(source + 2 * (t + rest * q)) * load(twiddles + 2 * q);
      }
      switch (radix) {
        case 2:
          transform2(x);
          break;
        case 4:
          transform4(x);
          break;
        case 5:
          transform5(x);
          break;
        default:
          transform_any(x, radix, stage.roots.data());
      }
      for (std::size_t c = 0; c < radix; ++c) {
        store(to + 2 * (t + rest * (k + stage.done * c)), x[c]);
      }
    }
  }
}

void RealFft::power(std::span<const double> samples, std::span<double> out,
                    Scratch& scratch) const {
  const double* from = samples.data();  // pairs of samples are the complex numbers already
  double* to = scratch.a.data();
  double* other = scratch.b.data();
  for (const Stage& stage : stages_) {
    run(stage, from, to);
    from = to;
    std::swap(to, other);
  }
  for (std::size_t k = 0; k <= half_; ++k) {
    const Complex z = load(from + 2 * (k % half_));
    const Complex mirrored = load(from + 2 * ((half_ - k) % half_));
    const Complex conjugate = {mirrored.re, -mirrored.im};
    const Complex even = z + conjugate;         // 2·E
    const Complex odd = turned(z - conjugate);  // 2·O
    const Complex sum = even + load(split_.data() + 2 * k) * odd;
    out[k] = (sum.re * sum.re + sum.im * sum.im) * 0.25;
  }
}

}  // namespace apr
