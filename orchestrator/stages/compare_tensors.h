// How far two tensors of the same shape are from one another, whatever types they are stored in.
#pragma once

#include <cstdint>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/tensor/tensor.h"

namespace apr {

struct TensorDifference {
  std::uint64_t elements = 0;
  std::uint64_t different = 0;  ///< elements that are not equal; NaN equals NaN
  bool same_bytes = false;      ///< type and storage are the same
  /// Places where one is finite and the other is not, or the infinities have different signs.
  std::uint64_t not_comparable = 0;
  double max_abs = 0;    ///< over the places where both are finite, as is what follows
  std::uint64_t at = 0;  ///< flat index of the largest difference
  double a = 0;          ///< the numbers there
  double b = 0;
  double relative_rms = 0;  ///< RMS of the difference / RMS of a; infinite if a is all zero
  double cosine = 1;        ///< of the angle between them; 1 if both are all zero
  /// Largest of, for runs of 32 elements of a row: largest |a - b| / largest |a| of the run. What
  /// block types bound, and where a single changed weight shows.
  double block_ratio = 0;

  bool equal() const { return different == 0; }
};

/// `a` and `b` have the same shape and types that can be decoded. Streams over rows on up to
/// `threads` threads (0: all); the result does not depend on how many.
Result<TensorDifference> compare_tensors(const TensorView& a, const TensorView& b,
                                         unsigned threads);

/// Same type and same bytes; decodes nothing.
bool same_storage(const TensorView& a, const TensorView& b, unsigned threads);

/// {"max_abs", "at": [indices], "a", "b", "relative_rms", "cosine", "different", "elements", …}
Json difference_as_json(const TensorDifference& difference, const Shape& shape);

}  // namespace apr
