// Element and block types by versioned name, in one traits table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/tensor/shape.h"

namespace apr {

/// How the elements of one number type are stored. Block types are GGML's, bit for bit, except the
/// two that carry apr's own name. A layout (how rows are arranged in memory) is never a type.
enum class Type : std::uint8_t {
  f32,
  f16,
  bf16,
  f64,
  i8,
  u8,
  i32,
  i64,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q4_k,
  q5_k,
  q6_k,
  apr_q4,
  apr_q8,
};

/// What a block runs along.
enum class RowRule : std::uint8_t {
  element,  ///< no blocks: one element after the other
  padded,   ///< every row (last dimension) starts a block and is padded to whole blocks
  flat,     ///< blocks run over the flattened tensor; only the last one is padded
  tensor,   ///< one f32 scale for the whole tensor, then one byte per element
};

struct TypeTraits {
  Type type;
  std::string_view name;         ///< as in metadata and on the command line: "q8_0"
  std::uint32_t block_elements;  ///< 1 for plain numbers
  std::uint32_t block_bytes;
  RowRule rule;
  bool quantized;
  std::uint8_t apr_code;  ///< dtype byte in `.apr` v2, as apr writes it
};

APR_API const TypeTraits& traits(Type type);
APR_API std::span<const TypeTraits> all_types();
APR_API std::optional<Type> type_from_name(std::string_view name);
inline std::string_view name_of(Type type) {
  return traits(type).name;
}

/// Bytes that a tensor takes in storage; an error if that overflows 64 bits.
APR_API Result<std::uint64_t> storage_bytes(Type type, const Shape& shape);
/// Bytes of one row of `columns` elements under RowRule::element or RowRule::padded.
APR_API std::uint64_t row_bytes(Type type, std::uint64_t columns);
/// Average bits per element of a type, scales included (q4_0: 4.5).
APR_API double bits_per_element(Type type);

}  // namespace apr
