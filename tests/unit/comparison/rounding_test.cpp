#include <catch2/catch.hpp>
#include <limits>

#include "orchestrator/stages/type_error.h"

using namespace apr;

namespace {

TensorDifference difference(double max_abs, double relative_rms, double block_ratio) {
  TensorDifference found;
  found.elements = 1000;
  found.different = 10;
  found.max_abs = max_abs;
  found.relative_rms = relative_rms;
  found.block_ratio = block_ratio;
  return found;
}

}  // namespace

TEST_CASE("a type that holds the source's numbers must hold the same") {
  const TensorDifference least = difference(1e-30, 1e-30, 1e-30);
  CHECK_FALSE(beyond_rounding(least, Type::f32, Type::bf16).empty());
  CHECK_FALSE(beyond_rounding(least, Type::q8_0, Type::q8_0).empty());
  CHECK_FALSE(beyond_rounding(least, Type::bf16, Type::bf16).empty());
  CHECK_FALSE(beyond_rounding(least, Type::f32, Type::q4_0).empty());
  CHECK(beyond_rounding(TensorDifference{}, Type::f32, Type::f32).empty());
}

TEST_CASE("rounding is allowed by type, of the whole and of single numbers") {
  CHECK(beyond_rounding(difference(0.1, 0.006, 0.0044), Type::q8_0, Type::bf16).empty());
  CHECK_FALSE(beyond_rounding(difference(0.1, 0.03, 0.0044), Type::q8_0, Type::bf16).empty());
  CHECK_FALSE(beyond_rounding(difference(0.1, 0.006, 0.006), Type::q8_0, Type::bf16).empty());
  CHECK(beyond_rounding(difference(0.1, 0.1, 0.1254), Type::q4_0, Type::f32).empty());
  CHECK_FALSE(beyond_rounding(difference(0.1, 0.1, 0.14), Type::q4_0, Type::f32).empty());
  CHECK(beyond_rounding(difference(1e-4, 3e-4, 4.8e-4), Type::f16, Type::f32).empty());
  CHECK_FALSE(beyond_rounding(difference(1e-4, 3e-4, 6e-4), Type::f16, Type::f32).empty());
  // too small to be a normal f16: lost, and allowed to be
  CHECK(beyond_rounding(difference(2e-8, 1, 1), Type::f16, Type::f32).empty());
  // f32 does not hold every f64, but no type of ours is allowed to be far from one
  CHECK_FALSE(beyond_rounding(difference(0.1, 0.1, 0.1), Type::f32, Type::f64).empty());
}

TEST_CASE("what is no number is never rounding") {
  TensorDifference found = difference(0, 0, 0);
  found.not_comparable = 1;
  CHECK_FALSE(beyond_rounding(found, Type::q4_0, Type::f32).empty());
}
