#include "core/tensor/type.h"

#include <array>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

namespace {

// The dtype byte of plain numbers is upstream's, of block types GGML's id. The two overlap (2
// apart, 3 is both f64 and q4_1, 6 both i8 and q5_0, 7 both u8 and q5_1): a file says which one it
// means in its metadata, and for files that do not the stored size tells them apart.
constexpr std::array kTypes = {
    TypeTraits{Type::f32, "f32", 1, 4, RowRule::element, false, 0},
    TypeTraits{Type::f16, "f16", 1, 2, RowRule::element, false, 1},
    TypeTraits{Type::bf16, "bf16", 1, 2, RowRule::element, false, 30},
    TypeTraits{Type::f64, "f64", 1, 8, RowRule::element, false, 3},
    TypeTraits{Type::i8, "i8", 1, 1, RowRule::element, false, 6},
    TypeTraits{Type::u8, "u8", 1, 1, RowRule::element, false, 7},
    TypeTraits{Type::i32, "i32", 1, 4, RowRule::element, false, 4},
    TypeTraits{Type::i64, "i64", 1, 8, RowRule::element, false, 5},
    TypeTraits{Type::q4_0, "q4_0", 32, 18, RowRule::padded, true, 2},
    TypeTraits{Type::q4_1, "q4_1", 32, 20, RowRule::padded, true, 3},
    TypeTraits{Type::q5_0, "q5_0", 32, 22, RowRule::padded, true, 6},
    TypeTraits{Type::q5_1, "q5_1", 32, 24, RowRule::padded, true, 7},
    TypeTraits{Type::q8_0, "q8_0", 32, 34, RowRule::padded, true, 8},
    TypeTraits{Type::q4_k, "q4_k", 256, 144, RowRule::padded, true, 12},
    TypeTraits{Type::q5_k, "q5_k", 256, 176, RowRule::padded, true, 13},
    TypeTraits{Type::q6_k, "q6_k", 256, 210, RowRule::padded, true, 14},
    TypeTraits{Type::apr_q4, "apr_q4", 32, 18, RowRule::flat, true, 128},
    TypeTraits{Type::apr_q8, "apr_q8", 1, 1, RowRule::tensor, true, 129},
};

constexpr bool in_enum_order() {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].type != static_cast<Type>(i)) return false;
  }
  return true;
}
static_assert(in_enum_order());

constexpr std::uint64_t kTensorScaleBytes = 4;

std::uint64_t blocks_for(std::uint64_t elements, std::uint32_t block) {
  return elements / block + (elements % block != 0 ? 1 : 0);
}

}  // namespace

const TypeTraits& traits(Type type) {
  const auto index = static_cast<std::size_t>(type);
  return kTypes[index < kTypes.size() ? index : 0];
}

std::span<const TypeTraits> all_types() {
  return kTypes;
}

std::optional<Type> type_from_name(std::string_view name) {
  for (const TypeTraits& row : kTypes) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

Result<std::uint64_t> storage_bytes(Type type, const Shape& shape) {
  const TypeTraits& row = traits(type);
  const auto overflow = [&] {
    return make_error(ErrorCode::format, cat("a tensor of shape ", shape.to_string(), " and type ",
                                             row.name, " is larger than 64 bits can count"));
  };
  const auto elements = shape.checked_elements();
  if (!elements) return overflow();
  std::optional<std::uint64_t> bytes;
  switch (row.rule) {
    case RowRule::element:
      bytes = checked_mul(*elements, row.block_bytes);
      break;
    case RowRule::padded: {
      if (*elements == 0) return std::uint64_t{0};
      const auto blocks =
          checked_mul(shape.rows(), blocks_for(shape.columns(), row.block_elements));
      if (blocks) bytes = checked_mul(*blocks, row.block_bytes);
      break;
    }
    case RowRule::flat:
      bytes = checked_mul(blocks_for(*elements, row.block_elements), row.block_bytes);
      break;
    case RowRule::tensor:
      bytes = checked_add(*elements, kTensorScaleBytes);
      break;
  }
  if (!bytes) return overflow();
  return *bytes;
}

std::uint64_t row_bytes(Type type, std::uint64_t columns) {
  const TypeTraits& row = traits(type);
  return blocks_for(columns, row.block_elements) * row.block_bytes;
}

double bits_per_element(Type type) {
  const TypeTraits& row = traits(type);
  return 8.0 * row.block_bytes / row.block_elements;
}

}  // namespace apr
