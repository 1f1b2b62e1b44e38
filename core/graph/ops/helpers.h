// What the op rows share: sentences for what does not fit, and sums of bytes for costs.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/cat.h"
#include "core/graph/op.h"
#include "core/tensor/codec.h"

namespace apr::ops {

/// "x (value layer0.norm, tokens × 256)" — an input as error messages name it.
std::string describe_input(const NodeDraft& draft, std::size_t index);
/// "weight (tensor model.norm.weight, [256])".
std::string describe_parameter(const NodeDraft& draft, std::size_t index);

Error misfit(std::string message);

/// The input must hold elements of this kind.
Status expect_element(const NodeDraft& draft, std::size_t index, Element element);
/// The input must have this many features per row.
Status expect_features(const NodeDraft& draft, std::size_t index, std::uint64_t features,
                       std::string_view why);
/// Two inputs must have the same rows.
Status expect_same_rows(const NodeDraft& draft, std::size_t a, std::size_t b);
/// The parameter must have this shape.
Status expect_shape(const NodeDraft& draft, std::size_t index, const Shape& shape);
/// An integer attribute within [1, limit].
Status expect_count(const NodeDraft& draft, std::string_view attribute, std::int64_t limit);

/// Features of heads are products of counts up to this.
inline constexpr std::int64_t kMaxCount = std::int64_t{1} << 24;

/// Bytes of the parameters as stored, or as f32 while none are bound.
double parameter_bytes(const NodeDraft& draft);
/// Bytes of one row of each input and of `output_features` floats.
double row_bytes_moved(const NodeDraft& draft, double output_features);

/// Sizes of memory that exists fit std::size_t; with 32 bits it is narrower than what shapes are
/// told in.
inline std::size_t size_of(std::uint64_t count) {
  return static_cast<std::size_t>(count);
}
inline std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

inline float* row_of(const RowsView& view, std::uint64_t row) {
  return view.f32 + row * view.features;
}

/// A vector parameter as floats.
Result<std::vector<float>> decode_vector(const TensorView& tensor);

}  // namespace apr::ops
