// How far numbers may be from those they were made from.
//
// Two limits. The relative RMS of the whole tensor says whether it is the same tensor at all. The
// largest error of a run of 32 elements, divided by the run's largest number m, is what a block
// type bounds for every single element, so that one changed weight shows. With d the distance of
// two neighbouring numbers of a block, rounding makes at most d/2, and d itself is rounded to f16,
// which moves a number by up to 2^-11 of itself:
//   q8_0  d = m/127                    0.0040 + 0.0005
//   q5_0  d = m/16; the end that is not reached loses up to d: 0.0625 + 0.0005
//   q5_1  d = range/31 <= 2m/31        0.0323 + 0.001 (two rounded numbers)
//   q4_0  d = m/8, likewise            0.125 + 0.0005
//   q4_1  d = range/15 <= 2m/15        0.0667 + 0.001
//   f16   half a unit in the last place: 2^-12, 2^-11 at most; bf16: 2^-8 at most
#include "orchestrator/stages/type_error.h"

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"

namespace apr {

namespace {

struct RoundingLimit {
  double relative_rms;
  double block_ratio;  ///< 0: the type's blocks are not these runs
};

RoundingLimit limit_for(Type type) {
  switch (type) {
    case Type::f16:
      return {0.001, 0.0005};
    case Type::bf16:
      return {0.004, 0.004};
    case Type::q8_0:
      return {0.02, 0.005};
    case Type::q5_0:
      return {0.08, 0.065};
    case Type::q5_1:
      return {0.08, 0.034};
    case Type::q4_0:
      return {0.2, 0.127};
    case Type::q4_1:
      return {0.2, 0.069};
    case Type::apr_q8:
      return {0.05, 0};
    case Type::q6_k:
      return {0.05, 0};
    case Type::q5_k:
      return {0.1, 0};
    case Type::q4_k:
    case Type::apr_q4:
      return {0.2, 0};
    default:
      return {0, 0};
  }
}

/// True if every number of `source` is one of `type`.
bool holds_all(Type type, Type source) {
  if (type == source) return true;
  if (type == Type::f64) return !traits(source).quantized;
  return type == Type::f32 && source != Type::f64;
}

/// What an f16 too small to be normal may lose: half of the smallest.
constexpr double kSmallestHalf = 3.0e-8;

}  // namespace

std::string beyond_rounding(const TensorDifference& found, Type type, Type source) {
  if (found.equal()) return {};
  if (found.not_comparable > 0) return "holds numbers that are not finite where the source's are";
  if (holds_all(type, source)) {
    return cat(with_commas(found.different), " of ", plural(found.elements, "number"),
               " differ, by up to ", significant(found.max_abs, 3));
  }
  const RoundingLimit limit = limit_for(type);
  if (found.relative_rms > limit.relative_rms && found.max_abs > kSmallestHalf) {
    return cat("relative RMS ", significant(found.relative_rms, 3), "; rounding to ", name_of(type),
               " makes at most ", significant(limit.relative_rms, 3));
  }
  if (limit.block_ratio > 0 && found.block_ratio > limit.block_ratio &&
      found.max_abs > kSmallestHalf) {
    return cat("a number differs by ", significant(found.block_ratio, 3),
               " of the largest near it; rounding to ", name_of(type), " makes at most ",
               significant(limit.block_ratio, 3));
  }
  return {};
}

}  // namespace apr
