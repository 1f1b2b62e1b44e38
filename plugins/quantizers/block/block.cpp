// The quantizer "block": symmetric block types of 32 elements, and conversion between float types.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/plugin/plugin.h"
#include "core/tensor/codec.h"
#include "plugins/quantizers/block/encode.h"

namespace apr {
namespace {

constexpr Quantizer::Scheme kSchemes[] = {
    {"q8_0", "8 bits and an f16 scale per 32 elements (8.5 bits each)", Type::q8_0},
    {"q4_0", "4 bits and an f16 scale per 32 elements (4.5 bits each)", Type::q4_0},
    {"int8", "q8_0 by its common name", Type::q8_0},
    {"int4", "q4_0 by its common name", Type::q4_0},
    {"f16", "IEEE half precision", Type::f16},
    {"fp16", "f16 by its other name", Type::f16},
    {"bf16", "bfloat16: float32 without its lower 16 mantissa bits", Type::bf16},
    {"f32", "IEEE single precision; every tensor is converted", Type::f32},
};

constexpr std::uint64_t kTinyElements =
    1024;  ///< below this, quantizing saves nothing worth its error

const Quantizer::Scheme* find_scheme(std::string_view name) {
  const auto* found = std::ranges::find(kSchemes, name, &Quantizer::Scheme::name);
  return found == std::end(kSchemes) ? nullptr : found;
}

bool is_real(Type type) {
  return traits(type).quantized || type == Type::f32 || type == Type::f16 || type == Type::bf16 ||
         type == Type::f64;
}

Error bad_value(std::size_t index, std::uint64_t columns, float value, std::string_view why,
                std::string hint) {
  return make_error(ErrorCode::validation,
                    cat("the value at row ", index / columns, ", column ", index % columns, " is ",
                        value, ", ", why),
                    {}, std::move(hint));
}

/// Refuses NaN and infinities, and values beyond `limit` (after which a scale or half would
/// overflow).
Status check_values(std::span<const float> values, std::uint64_t columns, float limit,
                    std::string_view type) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::fabs(values[i]) <= limit) continue;
    if (!std::isfinite(values[i])) {
      return bad_value(i, columns, values[i], "which no block or float type can stand for",
                       "the model is damaged; see `apr validate --quality`");
    }
    return bad_value(i, columns, values[i], cat("too large for ", type), "use bf16 or f32");
  }
  return {};
}

/// The largest magnitude that a type can stand for; for blocks, the largest whose scale is a finite
/// f16.
float largest_magnitude(Type type) {
  constexpr float kLargestHalf = 65504.0f;
  switch (type) {
    case Type::f16:
      return kLargestHalf;
    case Type::q8_0:
      return kLargestHalf * 127.0f;
    case Type::q4_0:
      return kLargestHalf * 8.0f;
    case Type::bf16:
      return std::bit_cast<float>(0x7f7f7fffu);  // the next one rounds to infinity
    default:
      return std::numeric_limits<float>::max();
  }
}

template <typename Block>
void encode_blocks(std::span<const float> values, std::byte* out,
                   Block (*encode)(std::span<const float, kBlock>)) {
  for (std::size_t i = 0; i < values.size(); i += kBlock, out += sizeof(Block)) {
    const Block block = encode(values.subspan(i).first<kBlock>());
    std::memcpy(out, &block, sizeof block);
  }
}

class BlockQuantizer final : public Quantizer {
 public:
  std::string_view id() const noexcept override { return "block"; }
  std::string_view summary() const noexcept override {
    return "Q8_0 and Q4_0 blocks of 32, and conversion to f16, bf16 and f32";
  }
  std::span<const Scheme> schemes() const noexcept override { return kSchemes; }

  Type target_type(std::string_view scheme, std::string_view tensor_name, Type type,
                   const Shape& shape) const noexcept override {
    const Scheme* found = find_scheme(scheme);
    if (found == nullptr || !is_real(type)) return type;
    if (found->type == Type::f32) return Type::f32;
    // Norms and biases act on every activation and weigh next to nothing.
    if (shape.rank() < 2 || shape.elements() < kTinyElements) return type;
    if (tensor_name.find("norm") != tensor_name.npos) return type;
    if (traits(found->type).block_elements > 1 && shape.columns() % kBlock != 0) return type;
    return found->type;
  }

  Status quantize_rows(std::string_view scheme, Type type, std::uint64_t columns,
                       std::span<const float> values,
                       std::span<std::byte> out) const noexcept override {
    if (find_scheme(scheme) == nullptr) {
      return make_error(ErrorCode::usage, cat("quantizer block has no scheme ", scheme));
    }
    if (columns == 0 || values.size() % columns != 0) {
      return make_error(ErrorCode::generic,
                        cat(values.size(), " values are not whole rows of ", columns));
    }
    const bool plain = type == Type::f32 || type == Type::f16 || type == Type::bf16;
    if (!plain && type != Type::q8_0 && type != Type::q4_0) {
      return make_error(ErrorCode::unsupported,
                        cat("quantizer block cannot write type ", name_of(type)));
    }
    APR_TRY(check_values(values, columns, largest_magnitude(type), name_of(type)));
    if (plain) return encode_plain(type, values, out);
    if (columns % kBlock != 0) {
      return make_error(ErrorCode::unsupported,
                        cat("rows of ", columns, " elements are not whole blocks of ", kBlock));
    }
    const auto needed = checked_mul(values.size() / columns, row_bytes(type, columns));
    if (!needed || *needed != out.size()) {
      return make_error(ErrorCode::generic, cat(values.size(), " elements of type ", name_of(type),
                                                " do not fill ", out.size(), " bytes"));
    }
    if (type == Type::q8_0) {
      encode_blocks(values, out.data(), encode_q8_0);
    } else {
      encode_blocks(values, out.data(), encode_q4_0);
    }
    return {};
  }
};

constexpr Provision kProvides[] = {
    {"quantizer", "block", "q8_0, q4_0 (int8, int4) and float conversions"},
    {"scheme", "q8_0", "8 bits and an f16 scale per 32 elements (8.5 bits each)"},
    {"scheme", "q4_0", "4 bits and an f16 scale per 32 elements (4.5 bits each)"},
    {"scheme", "int8", "q8_0 by its common name"},
    {"scheme", "int4", "q4_0 by its common name"},
    {"scheme", "f16", "IEEE half precision"},
    {"scheme", "fp16", "f16 by its other name"},
    {"scheme", "bf16", "bfloat16: float32 without its lower 16 mantissa bits"},
    {"scheme", "f32", "IEEE single precision; every tensor is converted"},
};

Status add(Registry& registry) noexcept {
  return registry.add(std::make_unique<BlockQuantizer>());
}

}  // namespace
}  // namespace apr

APR_PLUGIN(quantizer_block, APR_VERSION, "Apache-2.0", "Block quantization and float conversion",
           apr::kProvides, apr::add)
