#include "core/tensor/shape.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

Shape::Shape(std::initializer_list<std::uint64_t> dims) {
  for (const std::uint64_t dim : dims) {
    if (rank_ == kMaxRank) break;
    dims_[rank_++] = dim;
  }
}

std::optional<Shape> Shape::from(std::span<const std::uint64_t> dims) {
  if (dims.size() > kMaxRank) return std::nullopt;
  Shape shape;
  shape.rank_ = dims.size();
  std::copy(dims.begin(), dims.end(), shape.dims_.begin());
  return shape;
}

std::optional<std::uint64_t> Shape::checked_elements() const {
  // A zero anywhere makes the product zero, but the others must not overflow on the way there:
  // rows() and columns() are used without checks afterwards.
  std::uint64_t product = 1;
  bool empty = false;
  for (const std::uint64_t dim : dims()) {
    if (dim == 0) {
      empty = true;
      continue;
    }
    const auto next = checked_mul(product, dim);
    if (!next) return std::nullopt;
    product = *next;
  }
  return empty ? 0 : product;
}

std::uint64_t Shape::elements() const {
  std::uint64_t product = 1;
  for (const std::uint64_t dim : dims()) product *= dim;
  return product;
}

std::uint64_t Shape::rows() const {
  std::uint64_t product = 1;
  for (std::size_t i = 0; i + 1 < rank_; ++i) product *= dims_[i];
  return product;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (std::size_t i = 0; i < rank_; ++i) {
    if (i > 0) text += ", ";
    text += cat(dims_[i]);
  }
  return text + "]";
}

}  // namespace apr
