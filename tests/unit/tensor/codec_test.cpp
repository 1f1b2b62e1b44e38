// The codec against independent formulations: the processor's own half conversions, and blocks
// decoded in float64 from the description of their layout.
#include "core/tensor/codec.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace apr;

namespace {

std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) std::uint16_t hardware_half(float value) {
  return static_cast<std::uint16_t>(_cvtss_sh(value, 0));
}
__attribute__((target("f16c"))) float hardware_float(std::uint16_t half) {
  return _cvtsh_ss(half);
}
#endif

/// The real value of an f16, from its definition.
double half_value(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

struct RandomTensor {
  std::vector<std::byte> bytes;
  TensorView view;
};

/// Random blocks whose scales are finite.
RandomTensor random_blocks(Type type, Shape shape, unsigned seed) {
  RandomTensor tensor;
  std::mt19937 random(seed);
  tensor.bytes.resize(*storage_bytes(type, shape));
  for (auto& byte : tensor.bytes) byte = static_cast<std::byte>(random());
  const std::size_t block = traits(type).block_bytes;
  for (std::size_t at = 0; at + block <= tensor.bytes.size(); at += block) {
    tensor.bytes[at + 1] &= std::byte{0xbb};  // f16 exponent below 31
    if (block > 3) tensor.bytes[at + 3] &= std::byte{0xbb};
  }
  tensor.view = {type, shape, tensor.bytes};
  return tensor;
}

/// Element `i` of a run of blocks in float64, from the words of the layout.
double element_value(Type type, const std::byte* run, std::uint64_t i) {
  const auto* block =
      reinterpret_cast<const std::uint8_t*>(run) + i / 32 * traits(type).block_bytes;
  const unsigned k = i % 32;
  const auto half_at = [&](int at) {
    return half_value(static_cast<std::uint16_t>(block[at] | block[at + 1] << 8));
  };
  const double d = half_at(0);
  const auto nibble = [&](int at) { return (block[at + k % 16] >> (k / 16 * 4)) & 15; };
  const auto high_bit = [&](int at) {
    std::uint32_t word;
    std::memcpy(&word, block + at, 4);
    return static_cast<int>((word >> k) & 1) * 16;
  };
  switch (type) {
    case Type::q4_0:
      return d * (nibble(2) - 8);
    case Type::q4_1:
      return d * nibble(4) + half_at(2);
    case Type::q5_0:
      return d * (nibble(6) + high_bit(2) - 16);
    case Type::q5_1:
      return d * (nibble(8) + high_bit(4)) + half_at(2);
    case Type::q8_0:
      return d * static_cast<std::int8_t>(block[2 + k]);
    case Type::apr_q4: {
      const bool normal = std::fabs(d) >= 0x1p-14;
      return normal ? d * (((block[2 + k / 2] >> (k % 2 * 4)) & 15) - 8) : 0.0;
    }
    default:
      return NAN;
  }
}

bool has_sum(Type type) {
  return type == Type::q4_1 || type == Type::q5_1;
}

}  // namespace

TEST_CASE("every half becomes the float of its value") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    const float value = f16_to_f32(half);
    if (static_cast<double>(value) != half_value(half) || std::signbit(value) != (bits > 0x7fff)) {
      FAIL("half " << bits);
    }
    if (f32_to_f16(value) != half) FAIL("half " << bits << " does not come back");
  }
  CHECK(f16_to_f32(0x7c00) == INFINITY);
  CHECK(f16_to_f32(0xfc00) == -INFINITY);
  CHECK(std::isnan(f16_to_f32(0x7c01)));
}

TEST_CASE("halves round to nearest even, also at every midpoint") {
  for (std::uint16_t half = 0; half < 0x7bff; ++half) {
    const float low = f16_to_f32(half);
    const float high = f16_to_f32(static_cast<std::uint16_t>(half + 1));
    const float middle = (low + high) / 2;
    const std::uint16_t even = half % 2 == 0 ? half : static_cast<std::uint16_t>(half + 1);
    const std::uint16_t up = static_cast<std::uint16_t>(half + 1);
    if (f32_to_f16(middle) != even || f32_to_f16(std::nextafterf(middle, 0)) != half ||
        f32_to_f16(std::nextafterf(middle, INFINITY)) != up) {
      FAIL("between halves " << half << " and " << up);
    }
  }
  CHECK(f32_to_f16(65519.996f) == 0x7bff);
  CHECK(f32_to_f16(65520.0f) == 0x7c00);
  CHECK(f32_to_f16(-1e30f) == 0xfc00);
  CHECK(f32_to_f16(0x1p-25f) == 0);
  CHECK(f32_to_f16(-0.0f) == 0x8000);
}

#if defined(__x86_64__)
TEST_CASE("half conversions equal the processor's") {
  if (!__builtin_cpu_supports("f16c")) {
    WARN("skipped: this processor has no F16C");
    return;
  }
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (bits_of(f16_to_f32(half)) != bits_of(hardware_float(half))) FAIL("half " << bits);
  }
  for (std::uint64_t bits = 0; bits < 0x100000000; bits += 211) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (f32_to_f16(value) != hardware_half(value)) FAIL("float " << bits);
  }
}
#endif

TEST_CASE("bfloat16 keeps the upper half and rounds to nearest even") {
  for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const float low = bf16_to_f32(static_cast<std::uint16_t>(bits));
    CHECK(bits_of(low) == bits << 16);
    const float middle = std::bit_cast<float>((bits << 16) | 0x8000);
    if (f32_to_bf16(middle) != bits + bits % 2) FAIL("above " << bits);
    if (f32_to_bf16(std::bit_cast<float>((bits << 16) | 0x7fff)) != bits) FAIL("above " << bits);
    if (f32_to_bf16(std::bit_cast<float>((bits << 16) | 0x8001)) != bits + 1)
      FAIL("above " << bits);
  }
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001)))));
  CHECK(f32_to_bf16(-INFINITY) == 0xff80);
}

TEST_CASE("block types decode to the float nearest their float64 value") {
  for (const Type type :
       {Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0, Type::apr_q4}) {
    for (const std::uint64_t columns : {32u, 64u, 896u, 40u, 7u}) {
      const Shape shape{5, columns};
      const auto tensor = random_blocks(type, shape, static_cast<unsigned>(columns));
      std::vector<float> row(columns);
      for (std::uint64_t r = 0; r < 5; ++r) {
        REQUIRE(decode_row(tensor.view, r, row));
        for (std::uint64_t c = 0; c < columns; ++c) {
          const bool flat = type == Type::apr_q4;
          const double expected =
              flat ? element_value(type, tensor.bytes.data(), r * columns + c)
                   : element_value(type, tensor.bytes.data() + r * row_bytes(type, columns), c);
          const float nearest = static_cast<float>(expected);
          if (!has_sum(type)) REQUIRE(static_cast<double>(nearest) == expected);
          INFO(name_of(type) << " row " << r << " column " << c);
          REQUIRE(row[c] == nearest);
        }
      }
    }
  }
}

TEST_CASE("plain types and the one-scale type") {
  const std::vector<double> doubles{1.5, -2.25, 1e300};
  const TensorView f64{Type::f64, {3}, std::as_bytes(std::span(doubles))};
  std::vector<float> out(3);
  REQUIRE(decode(f64, 0, out));
  CHECK(out == std::vector<float>{1.5f, -2.25f, INFINITY});

  const std::vector<std::int64_t> longs{-7, 1 << 24, (1 << 24) + 1};
  REQUIRE(decode({Type::i64, {3}, std::as_bytes(std::span(longs))}, 0, out));
  CHECK(out == std::vector<float>{-7, 16777216, 16777216});

  const std::vector<std::uint8_t> bytes{0, 128, 255};
  REQUIRE(decode({Type::u8, {3}, std::as_bytes(std::span(bytes))}, 0, out));
  CHECK(out == std::vector<float>{0, 128, 255});
  REQUIRE(decode({Type::i8, {3}, std::as_bytes(std::span(bytes))}, 0, out));
  CHECK(out == std::vector<float>{0, -128, -1});

  std::vector<std::byte> scaled(4 + 3);
  const float scale = 0.5f;
  std::memcpy(scaled.data(), &scale, 4);
  std::memcpy(scaled.data() + 4, bytes.data(), 3);
  REQUIRE(decode({Type::apr_q8, {3}, scaled}, 0, out));
  CHECK(out == std::vector<float>{0, -64, -0.5f});
}

TEST_CASE("a range of elements equals the same elements of whole rows") {
  for (const Type type : {Type::q8_0, Type::q4_0, Type::f16, Type::apr_q4}) {
    const Shape shape{6, 96};
    const auto tensor = random_blocks(type, shape, 3);
    std::vector<float> all(6 * 96);
    REQUIRE(decode(tensor.view, 0, all));
    std::vector<float> part(150);
    REQUIRE(decode(tensor.view, 64, part));
    CHECK(std::memcmp(part.data(), all.data() + 64, part.size() * 4) == 0);
  }
}

TEST_CASE("what cannot be decoded is an error, not a crash") {
  std::vector<std::byte> bytes(144);
  std::vector<float> out(256);
  const auto k_quant = decode_row({Type::q4_k, {1, 256}, bytes}, 0, out);
  REQUIRE_FALSE(k_quant);
  CHECK(k_quant.error().code == ErrorCode::unsupported);
  CHECK(k_quant.error().message.find("q4_k") != std::string::npos);

  const auto truncated = decode_row({Type::f32, {1, 256}, bytes}, 0, out);
  REQUIRE_FALSE(truncated);
  CHECK(truncated.error().code == ErrorCode::format);

  const std::vector<std::byte> enough(1024);
  CHECK(decode_row({Type::f32, {1, 256}, enough}, 0, out));
  CHECK_FALSE(decode_row({Type::f32, {1, 256}, enough}, 1, out));
  CHECK_FALSE(decode_row({Type::f32, {1, 256}, enough}, ~0ull, out));
  CHECK_FALSE(decode_row({Type::f32, {1, 256}, enough}, 0, std::span(out).first(255)));
  CHECK_FALSE(decode({Type::f32, {256}, enough}, 1, out));
  CHECK_FALSE(decode({Type::f32, {256}, enough, "x8.v1"}, 0, out));
}

TEST_CASE("plain encoding rounds and checks its sizes") {
  const std::vector<float> in{1.0f, -0.1f, 65520.0f};
  std::vector<std::byte> out(6);
  REQUIRE(encode_plain(Type::f16, in, out));
  std::uint16_t halves[3];
  std::memcpy(halves, out.data(), 6);
  CHECK(halves[0] == 0x3c00);
  CHECK(halves[1] == 0xae66);
  CHECK(halves[2] == 0x7c00);
  REQUIRE(encode_plain(Type::bf16, in, out));
  std::memcpy(halves, out.data(), 6);
  CHECK(halves[1] == 0xbdcd);
  CHECK_FALSE(encode_plain(Type::f32, in, out));
  CHECK_FALSE(encode_plain(Type::f16, in, std::span(out).first(5)));
  CHECK_FALSE(encode_plain(Type::q8_0, in, out));
}
