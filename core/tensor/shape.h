// Dimensions of a tensor, outermost first (row-major, numpy order).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>

#include "core/base/export.h"

namespace apr {

class APR_API Shape {
 public:
  static constexpr std::size_t kMaxRank = 8;

  Shape() = default;  ///< rank 0: a single element
  /// Dimensions beyond kMaxRank are a programming error; readers check with from().
  Shape(std::initializer_list<std::uint64_t> dims);
  static std::optional<Shape> from(std::span<const std::uint64_t> dims);

  std::size_t rank() const { return rank_; }
  std::uint64_t operator[](std::size_t i) const { return dims_[i]; }
  std::span<const std::uint64_t> dims() const { return {dims_.data(), rank_}; }

  /// Product of all dimensions (1 for rank 0), or nothing if it overflows.
  std::optional<std::uint64_t> checked_elements() const;
  /// For shapes already checked.
  std::uint64_t elements() const;
  /// Last dimension (1 for rank 0).
  std::uint64_t columns() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }
  /// Product of all but the last dimension.
  std::uint64_t rows() const;

  std::string to_string() const;  ///< "[2048, 256]"
  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.dims().begin(), a.dims().end(), b.dims().begin(), b.dims().end());
  }

 private:
  std::array<std::uint64_t, kMaxRank> dims_{};
  std::size_t rank_ = 0;
};

}  // namespace apr
