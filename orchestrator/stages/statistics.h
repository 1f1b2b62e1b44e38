// What the numbers of a tensor look like.
#pragma once

#include <cstdint>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/package/package.h"

namespace apr {

/// Of all elements, decoded. Mean, deviation and extremes are over the finite ones.
struct TensorStatistics {
  std::uint64_t elements = 0;
  std::uint64_t zeros = 0;
  std::uint64_t nans = 0;
  std::uint64_t infinities = 0;
  std::uint64_t zero_rows = 0;  ///< rows of nothing but zeros, of a matrix
  std::uint64_t rows = 0;
  double mean = 0;
  double deviation = 0;  ///< of the population
  double minimum = 0;
  double maximum = 0;
  double norm = 0;  ///< Euclidean

  double zero_share() const {
    return elements == 0 ? 0 : static_cast<double>(zeros) / static_cast<double>(elements);
  }
  bool finite() const { return nans == 0 && infinities == 0; }
};

/// Decodes every element, on up to `threads` threads; the result does not depend on how many.
Result<TensorStatistics> statistics_of(const TensorEntry& entry, unsigned threads);

Json statistics_as_json(const TensorStatistics& statistics);

}  // namespace apr
