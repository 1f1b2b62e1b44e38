#include "core/tensor/codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/tensor/blocks.h"

namespace apr {
namespace {

template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Upstream treats an apr_q4 scale that is not a normal number as zero.
float apr_q4_scale(std::uint16_t bits) {
  const unsigned exponent = (bits >> 10) & 0x1f;
  return exponent == 0 || exponent == 0x1f ? 0.0f : f16_to_f32(bits);
}

int fifth_bit(const std::uint8_t* qh, unsigned i) {
  return ((qh[i / 8] >> (i % 8)) & 1) << 4;
}

// One whole block -> 32 floats.

void decode_block(const BlockQ4_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (unsigned i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

void decode_block(const BlockQ4_1& block, float* out) {
  const float d = f16_to_f32(block.d);
  const float m = f16_to_f32(block.m);
  for (unsigned i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
  }
}

void decode_block(const BlockQ5_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (unsigned i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(((block.qs[i] & 15) | fifth_bit(block.qh, i)) - 16);
    out[i + 16] = d * static_cast<float>(((block.qs[i] >> 4) | fifth_bit(block.qh, i + 16)) - 16);
  }
}

void decode_block(const BlockQ5_1& block, float* out) {
  const float d = f16_to_f32(block.d);
  const float m = f16_to_f32(block.m);
  for (unsigned i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) | fifth_bit(block.qh, i)) + m;
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) | fifth_bit(block.qh, i + 16)) + m;
  }
}

void decode_block(const BlockQ8_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (unsigned i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

void decode_block(const BlockAprQ4& block, float* out) {
  const float d = apr_q4_scale(block.d);
  for (unsigned i = 0; i < 16; ++i) {
    out[2 * i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[2 * i + 1] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

/// Elements [first, first + out.size()) of a run of blocks.
template <typename Block>
void decode_blocks(const std::byte* blocks, std::uint64_t first, std::span<float> out) {
  std::uint64_t block = first / kBlock;
  std::size_t skip = first % kBlock;
  std::size_t done = 0;
  while (done < out.size()) {
    const Block stored = load<Block>(blocks + block * sizeof(Block));
    const std::size_t count = std::min<std::size_t>(kBlock - skip, out.size() - done);
    if (count == kBlock) {
      decode_block(stored, out.data() + done);
    } else {
      std::array<float, kBlock> whole;
      decode_block(stored, whole.data());
      std::copy_n(whole.data() + skip, count, out.data() + done);
    }
    done += count;
    skip = 0;
    ++block;
  }
}

template <typename Stored, typename Convert>
void decode_elements(const std::byte* bytes, std::span<float> out, Convert convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = convert(load<Stored>(bytes + i * sizeof(Stored)));
  }
}

template <typename Stored>
void decode_numbers(const std::byte* bytes, std::span<float> out) {
  decode_elements<Stored>(bytes, out, [](Stored value) { return static_cast<float>(value); });
}

/// Elements [first, first + out.size()) of a run that starts at `bytes`: a row, or the whole
/// tensor.
void decode_run(Type type, const std::byte* bytes, std::uint64_t first, std::span<float> out) {
  const TypeTraits& row = traits(type);
  const std::byte* plain = row.rule == RowRule::element ? bytes + first * row.block_bytes : bytes;
  switch (type) {
    case Type::f32:
      return decode_numbers<float>(plain, out);
    case Type::f64:
      return decode_numbers<double>(plain, out);
    case Type::i8:
      return decode_numbers<std::int8_t>(plain, out);
    case Type::u8:
      return decode_numbers<std::uint8_t>(plain, out);
    case Type::i32:
      return decode_numbers<std::int32_t>(plain, out);
    case Type::i64:
      return decode_numbers<std::int64_t>(plain, out);
    case Type::f16:
      return decode_elements<std::uint16_t>(plain, out, f16_to_f32);
    case Type::bf16:
      return decode_elements<std::uint16_t>(plain, out, bf16_to_f32);
    case Type::q4_0:
      return decode_blocks<BlockQ4_0>(bytes, first, out);
    case Type::q4_1:
      return decode_blocks<BlockQ4_1>(bytes, first, out);
    case Type::q5_0:
      return decode_blocks<BlockQ5_0>(bytes, first, out);
    case Type::q5_1:
      return decode_blocks<BlockQ5_1>(bytes, first, out);
    case Type::q8_0:
      return decode_blocks<BlockQ8_0>(bytes, first, out);
    case Type::apr_q4:
      return decode_blocks<BlockAprQ4>(bytes, first, out);
    case Type::apr_q8: {
      const float scale = load<float>(bytes);
      return decode_elements<std::int8_t>(
          bytes + sizeof(float) + first, out,
          [scale](std::int8_t q) { return scale * static_cast<float>(q); });
    }
    case Type::q4_k:
    case Type::q5_k:
    case Type::q6_k:
      break;  // refused by check()
  }
}

/// Type known, the elements inside the tensor, the tensor's bytes all there.
Status check(const TensorView& tensor, std::uint64_t begin, std::uint64_t count) {
  if (!can_decode(tensor.type)) {
    return make_error(
        ErrorCode::unsupported,
        cat("elements of type ", name_of(tensor.type), " cannot be decoded by this build"), {},
        "convert the model to q8_0, q4_0, f16, bf16 or f32 first");
  }
  if (tensor.layout != kRowsLayout) {
    return make_error(ErrorCode::unsupported,
                      cat("a tensor in layout ", tensor.layout, " cannot be decoded row by row"));
  }
  APR_ASSIGN(const std::uint64_t bytes, storage_bytes(tensor.type, tensor.shape));
  if (tensor.data.size() < bytes) {
    return make_error(ErrorCode::format,
                      cat("a tensor ", tensor.shape.to_string(), " of type ", name_of(tensor.type),
                          " needs ", bytes, " bytes and has ", tensor.data.size()));
  }
  if (!range_fits(begin, count, tensor.shape.elements())) {
    return make_error(ErrorCode::generic, cat("elements ", begin, " to ", begin + count,
                                              " lie outside a tensor ", tensor.shape.to_string()));
  }
  return {};
}

}  // namespace

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1f;
  const std::uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0x1f) {  // infinity, or a NaN made quiet as the hardware does
    const std::uint32_t quiet = mantissa != 0 ? 0x400000 : 0;
    return std::bit_cast<float>(sign | 0x7f800000 | quiet | (mantissa << 13));
  }
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact in float
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

std::uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return static_cast<std::uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x1ff));
  }
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds to 65536 or beyond: infinity
  if (magnitude < 0x38800000) {                       // below 2^-14: a multiple of 2^-24
    // Adding 0.5 puts the last kept bit at 2^-24, so the sum is rounded to nearest even there.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
  }
  const std::uint32_t round = 0xfff + ((magnitude >> 13) & 1);
  return static_cast<std::uint16_t>(sign | ((magnitude - (112u << 23) + round) >> 13));
}

float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

bool can_decode(Type type) {
  return type != Type::q4_k && type != Type::q5_k && type != Type::q6_k;
}

Status decode_row(const TensorView& tensor, std::uint64_t row, std::span<float> out) {
  const std::uint64_t columns = tensor.shape.columns();
  if (out.size() != columns) {
    return make_error(
        ErrorCode::generic,
        cat("a row of ", columns, " elements was to be decoded into ", out.size(), " floats"));
  }
  const auto begin = checked_mul(row, columns);
  if (!begin) return make_error(ErrorCode::generic, cat("row ", row, " does not exist"));
  return decode(tensor, *begin, out);
}

Status decode(const TensorView& tensor, std::uint64_t begin, std::span<float> out) {
  APR_TRY(check(tensor, begin, out.size()));
  if (traits(tensor.type).rule != RowRule::padded) {
    decode_run(tensor.type, tensor.data.data(), begin, out);
    return {};
  }
  const std::uint64_t columns = tensor.shape.columns();
  const std::uint64_t stride = row_bytes(tensor.type, columns);
  while (!out.empty()) {
    const std::uint64_t column = begin % columns;
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(columns - column, out.size()));
    decode_run(tensor.type, tensor.data.data() + begin / columns * stride, column,
               out.first(count));
    out = out.subspan(count);
    begin += count;
  }
  return {};
}

Status encode_plain(Type type, std::span<const float> in, std::span<std::byte> out) {
  const std::size_t width = type == Type::f32 ? 4 : 2;
  if (type != Type::f32 && type != Type::f16 && type != Type::bf16) {
    return make_error(ErrorCode::unsupported,
                      cat("floats cannot be stored as plain ", name_of(type)));
  }
  if (out.size() / width != in.size() || out.size() % width != 0) {
    return make_error(ErrorCode::generic, cat(in.size(), " elements of type ", name_of(type),
                                              " do not fill ", out.size(), " bytes"));
  }
  if (type == Type::f32) {
    if (!in.empty()) std::memcpy(out.data(), in.data(), out.size());
    return {};
  }
  const auto convert = type == Type::f16 ? f32_to_f16 : f32_to_bf16;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::uint16_t bits = convert(in[i]);
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
  return {};
}

}  // namespace apr
