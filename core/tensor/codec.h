// Stored elements <-> float32, one row at a time. The scalar definition of every type: kernels are
// tested against it. Decoding is exact (each result is the float nearest to the real value the
// block denotes; for all types here that value is computed as in GGML: scale converted to f32, one
// product, and for the *_1 types one sum).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/tensor/tensor.h"

namespace apr {

APR_API float f16_to_f32(std::uint16_t bits);
APR_API std::uint16_t f32_to_f16(float value);  ///< IEEE round to nearest even
APR_API float bf16_to_f32(std::uint16_t bits);
APR_API std::uint16_t f32_to_bf16(float value);  ///< round to nearest even, NaN kept quiet

/// Whether decode() knows the type; the k-quants are named but not decoded by this build.
APR_API bool can_decode(Type type);

/// Decodes row `row` of a tensor (rows = all leading dimensions flattened) into shape.columns()
/// floats.
APR_API Status decode_row(const TensorView& tensor, std::uint64_t row, std::span<float> out);
/// Decodes `out.size()` elements from element `begin` of the flattened tensor; begin must be a
/// multiple of the block length for block types.
APR_API Status decode(const TensorView& tensor, std::uint64_t begin, std::span<float> out);
/// Encodes floats as f32, f16 or bf16; quantized types are the business of a Quantizer.
APR_API Status encode_plain(Type type, std::span<const float> in, std::span<std::byte> out);

}  // namespace apr
