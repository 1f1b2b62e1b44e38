// Polynomials that all tables share. Fitted by iteratively reweighted least squares to 40-digit
// values.
//
// GELU. x times the share of the normal distribution below x. Its tail, the share beyond z >= 0, is
// exp(-z^2/2) R(z) with R smooth and falling like 1/z. With t = 1/(1 + a z), R(z) = t P(t) for a
// polynomial P of degree 9, to a relative 2.3e-9 for z up to 14, where the tail is no longer a
// float. The share below is the tail for negative x, so that nothing cancels, and 1 less the tail
// for positive x. The rounding error of z^2, which exp would magnify, is made good by a factor.
//
// tanh. Below 0.625: x + x^3 P(x^2), to 6e-10; above: 1 - 2 / (exp(2x) + 1).
#pragma once

namespace apr::cpu {

/// gelu_tanh: 2 sqrt(2/pi), and the weight of the cube.
inline constexpr float kGeluTwice = 1.59576912160573f;
inline constexpr float kGeluCubic = 0.044715f;

inline constexpr float kTailSlope = 0.296875f;  ///< a
inline constexpr float kTailEnd = 14.0f;
inline constexpr float kTail[] = {0.118442968f, 0.118259549f,   0.109940045f, 0.0748828202f,
                                  0.107292354f, -0.0994198993f, 0.219594255f, -0.243885025f,
                                  0.115459479f, -0.0205665436f};

inline constexpr float kTanhSmall = 0.625f;
inline constexpr float kTanhLarge = 20.0f;  ///< from here on tanh is 1
inline constexpr float kTanh[] = {-0.333333343f, 0.133333057f,    -0.0539595485f,
                                  0.0217709951f, -0.00835000724f, 0.00229894021f};

/// c[0] + c[1] x + ..., for the scalar table.
template <int n>
float polynomial(const float (&c)[n], float x) {
  float sum = c[n - 1];
  for (int i = n - 2; i >= 0; --i) sum = sum * x + c[i];
  return sum;
}

}  // namespace apr::cpu
