// Every kernel of every table against float64, and the promise that sums do not depend on company.
#include "plugins/backends/cpu/kernels.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core/tensor/blocks.h"
#include "core/tensor/codec.h"

using namespace apr;
using namespace apr::cpu;

namespace {

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all{&kScalarKernels};
  for (const CpuLevel level : {CpuLevel::avx2, CpuLevel::avx512, CpuLevel::avx512_vnni}) {
    if (cpu_level() >= level) all.push_back(&table_for(level));
  }
  return all;
}

std::mt19937& random_source() {
  static std::mt19937 source(20240607);
  return source;
}

std::vector<float> random_floats(std::size_t n, float size = 1.0f) {
  std::uniform_real_distribution<float> uniform(-size, size);
  std::vector<float> values(n);
  for (float& value : values) value = uniform(random_source());
  return values;
}

/// Random storage of a type; scales are ordinary numbers. Bytes behind the last column of a block
/// are random too: kernels must not look at them.
std::vector<std::byte> random_storage(Type type, Size rows, Size columns) {
  const Size stride = row_bytes(type, columns);
  std::vector<std::byte> out(rows * stride);
  if (!traits(type).quantized) {
    for (Size r = 0; r < rows; ++r) {
      const auto row = random_floats(columns);
      REQUIRE(encode_plain(type, row, std::span(out).subspan(r * stride, stride)));
    }
    return out;
  }
  for (auto& byte : out) byte = static_cast<std::byte>(random_source()());
  const Size block = traits(type).block_bytes;
  for (Size at = 0; at < out.size(); at += block) {
    const std::uint16_t d = f32_to_f16(random_floats(1, 0.02f)[0]);
    std::memcpy(out.data() + at, &d, 2);
  }
  return out;
}

constexpr Type kTypes[] = {Type::f32, Type::f16, Type::bf16, Type::q8_0, Type::q4_0};
constexpr Size kColumns[] = {1, 7, 8, 31, 32, 33, 64, 100, 256, 300, 896};
constexpr Size kRows[] = {1, 2, 3, 4, 5, 9, 16, 37};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("tables decode weights as the codec does") {
  for (const KernelTable* table : tables()) {
    for (const Type type : kTypes) {
      for (const Size columns : kColumns) {
        const auto stored = random_storage(type, 1, columns);
        std::vector<float> expected(columns);
        REQUIRE(decode_row({type, {1, columns}, stored}, 0, expected));
        std::vector<float> decoded(columns + 1, 77.0f);
        table->weights(type)->decode(stored.data(), columns, decoded.data());
        CHECK(decoded.back() == 77.0f);
        decoded.pop_back();
        INFO(name_of(table->level) << " " << name_of(type) << " " << columns);
        REQUIRE(same_bits(decoded, expected));
      }
    }
  }
}

TEST_CASE("products are near float64, and equal for streamed rows, panels and any tile") {
  for (const KernelTable* table : tables()) {
    for (const Type type : kTypes) {
      for (const Size columns : kColumns) {
        for (const Size rows : kRows) {
          constexpr Size kTokens = 8;
          const auto stored = random_storage(type, rows, columns);
          std::vector<float> weights(rows * columns);
          REQUIRE(decode({type, {rows, columns}, stored}, 0, weights));
          const auto x = random_floats(kTokens * columns);
          INFO(name_of(table->level) << " " << name_of(type) << " " << rows << " x " << columns);

          std::vector<float> alone(kTokens * rows);  // one token at a time, streamed
          for (Size t = 0; t < kTokens; ++t) {
            table->weights(type)->dot(stored.data(), row_bytes(type, columns), rows, columns,
                                      x.data() + t * columns, alone.data() + t * rows);
          }
          for (Size t = 0; t < kTokens; ++t) {
            for (Size r = 0; r < rows; ++r) {
              double exact = 0;
              double magnitude = 0;
              for (Size i = 0; i < columns; ++i) {
                const double product = static_cast<double>(weights[r * columns + i]) *
                                       static_cast<double>(x[t * columns + i]);
                exact += product;
                magnitude += std::fabs(product);
              }
              REQUIRE(std::fabs(static_cast<double>(alone[t * rows + r]) - exact) <=
                      2e-6 * magnitude);
            }
          }
          for (Size tokens = 1; tokens <= kTokens; ++tokens) {  // all tiles of a panel
            std::vector<float> panel(tokens * rows);
            table->dot_panel(weights.data(), rows, columns, x.data(), columns, tokens, panel.data(),
                             rows);
            REQUIRE(std::memcmp(panel.data(), alone.data(), panel.size() * sizeof(float)) == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("rounding to blocks: nearest integers of x / d, padded with zeros") {
  for (const KernelTable* table : tables()) {
    for (const Size columns : kColumns) {
      auto x = random_floats(columns, 3.0f);
      const Size blocks = (columns + 31) / 32;
      std::vector<std::int8_t> q(blocks * 32, 99);
      std::vector<float> d(blocks);
      std::vector<std::int32_t> sums(blocks, 99);
      table->round_row(x.data(), columns, q.data(), d.data(), sums.data());
      for (Size b = 0; b < blocks; ++b) {
        REQUIRE(sums[b] == -std::accumulate(q.begin() + 32 * b, q.begin() + 32 * b + 32, 0));
      }
      x.resize(blocks * 32, 0.0f);
      for (Size i = 0; i < x.size(); ++i) {
        const double scaled = static_cast<double>(x[i]) / static_cast<double>(d[i / 32]);
        REQUIRE(std::fabs(static_cast<double>(q[i]) - scaled) <= 0.5001);
        if (i >= columns) REQUIRE(q[i] == 0);
      }
    }
    std::vector<float> zeros(32, 0.0f);
    std::vector<std::int8_t> q(32, 99);
    float d = 1;
    std::int32_t sum = 0;
    table->round_row(zeros.data(), 32, q.data(), &d, &sum);
    CHECK(d == 0.0f);
    CHECK(q == std::vector<std::int8_t>(32, 0));
    zeros[5] = 1e-44f;  // 127 / 1e-44 overflows
    table->round_row(zeros.data(), 32, q.data(), &d, &sum);
    CHECK(q == std::vector<std::int8_t>(32, 0));
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      zeros[5] = bad;
      table->round_row(zeros.data(), 32, q.data(), &d, &sum);
      CHECK(std::isnan(d));
    }
  }
}

TEST_CASE("rounded products are the exact product of the rounded numbers, in any tile") {
  for (const KernelTable* table : tables()) {
    for (const Type type : {Type::q8_0, Type::q4_0}) {
      for (const Size columns : kColumns) {
        for (const Size rows : kRows) {
          constexpr Size kTokens = 9;
          const auto stored = random_storage(type, rows, columns);
          std::vector<float> weights(rows * columns);
          REQUIRE(decode({type, {rows, columns}, stored}, 0, weights));
          const auto x = random_floats(kTokens * columns);
          const Size blocks = (columns + 31) / 32;
          std::vector<std::int8_t> q(kTokens * blocks * 32);
          std::vector<float> d(kTokens * blocks);
          std::vector<std::int32_t> sums(kTokens * blocks);
          for (Size t = 0; t < kTokens; ++t) {
            table->round_row(x.data() + t * columns, columns, q.data() + t * blocks * 32,
                             d.data() + t * blocks, sums.data() + t * blocks);
          }
          INFO(name_of(table->level) << " " << name_of(type) << " " << rows << " x " << columns);
          const auto* kernels = table->weights(type);
          std::vector<float> all(kTokens * rows);
          kernels->dot_rounded(stored.data(), row_bytes(type, columns), rows,
                               {q.data(), d.data(), sums.data(), blocks}, kTokens, all.data(),
                               rows);
          for (Size t = 0; t < kTokens; ++t) {
            std::vector<float> alone(rows);
            kernels->dot_rounded(stored.data(), row_bytes(type, columns), rows,
                                 {q.data() + t * blocks * 32, d.data() + t * blocks,
                                  sums.data() + t * blocks, blocks},
                                 1, alone.data(), rows);
            REQUIRE(std::memcmp(alone.data(), all.data() + t * rows, rows * sizeof(float)) == 0);
            for (Size r = 0; r < rows; ++r) {
              double exact = 0;
              double magnitude = 0;
              for (Size i = 0; i < columns; ++i) {
                const double rounded = static_cast<double>(d[t * blocks + i / 32]) *
                                       static_cast<double>(q[t * blocks * 32 + i]);
                exact += static_cast<double>(weights[r * columns + i]) * rounded;
                magnitude += std::fabs(static_cast<double>(weights[r * columns + i]) * rounded);
              }
              REQUIRE(std::fabs(static_cast<double>(alone[r]) - exact) <= 2e-6 * magnitude + 1e-12);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("extreme integers do not overflow") {
  BlockQ8_0 block{};
  block.d = f32_to_f16(1.0f);
  for (auto& value : block.qs) value = -128;  // no encoder of ours writes it, a file may hold it
  std::vector<std::int8_t> q(32, -127);
  const float d = 1.0f;
  const std::int32_t minus_sum = 32 * 127;
  for (const KernelTable* table : tables()) {
    float y = 0;
    table->q8_0.dot_rounded(reinterpret_cast<const std::byte*>(&block), sizeof block, 1,
                            {q.data(), &d, &minus_sum, 1}, 1, &y, 1);
    CHECK(y == 32.0f * 128 * 127);
  }
}

TEST_CASE("norm, activation, addition and rotation are near float64") {
  for (const KernelTable* table : tables()) {
    for (const Size n : kColumns) {
      const auto a = random_floats(n, 20.0f);
      const auto b = random_floats(n);
      std::vector<float> out(n);
      INFO(name_of(table->level) << " " << n);

      table->rms_norm(a.data(), b.data(), n, 1e-6f, out.data());
      double squares = 0;
      for (const float v : a) squares += static_cast<double>(v) * static_cast<double>(v);
      const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
      for (Size i = 0; i < n; ++i) {
        const double exact = static_cast<double>(a[i]) * scale * static_cast<double>(b[i]);
        REQUIRE(std::fabs(static_cast<double>(out[i]) - exact) <= 2e-6 * std::fabs(exact) + 1e-30);
      }
      table->silu_mul(a.data(), b.data(), n, out.data());
      for (Size i = 0; i < n; ++i) {
        const auto gate = static_cast<double>(a[i]);
        const double exact = gate / (1 + std::exp(-gate)) * static_cast<double>(b[i]);
        REQUIRE(std::fabs(static_cast<double>(out[i]) - exact) <= 1e-6 * std::fabs(exact) + 1e-30);
      }
      table->add(a.data(), b.data(), n, out.data());
      for (Size i = 0; i < n; ++i) REQUIRE(out[i] == a[i] + b[i]);

      const auto x = random_floats(2 * n);
      std::vector<float> turned(2 * n);
      table->rope_halves(x.data(), a.data(), b.data(), n, turned.data());
      for (Size i = 0; i < n; ++i) {
        const double c = static_cast<double>(a[i]);
        const double s = static_cast<double>(b[i]);
        const double first = static_cast<double>(x[i]);
        const double second = static_cast<double>(x[i + n]);
        REQUIRE(static_cast<double>(turned[i]) == Approx(first * c - second * s).margin(1e-5));
        REQUIRE(static_cast<double>(turned[i + n]) == Approx(second * c + first * s).margin(1e-5));
      }
    }
  }
}

TEST_CASE("activation at the ends of the float range") {
  for (const KernelTable* table : tables()) {
    const std::vector<float> gate{0.0f, 100.0f, -100.0f, 1e30f, -1e30f, NAN, -0.0f, 88.5f, -88.5f};
    const std::vector<float> up(gate.size(), 1.0f);
    std::vector<float> out(gate.size());
    table->silu_mul(gate.data(), up.data(), gate.size(), out.data());
    CHECK(out[0] == 0.0f);
    CHECK(out[1] == Approx(100.0f));
    CHECK(std::fabs(out[2]) < 1e-30f);
    CHECK(out[3] == Approx(1e30f));
    CHECK(std::fabs(out[4]) < 1e-5f);
    CHECK(std::isnan(out[5]));
    CHECK(out[6] == 0.0f);
    CHECK(out[7] == Approx(88.5f));
    CHECK(std::fabs(out[8]) < 1e-30f);
  }
}

TEST_CASE("exponentials: near float64, the largest is 1, the order is fixed by the count") {
  for (const KernelTable* table : tables()) {
    for (const Size n : {1u, 5u, 8u, 13u, 64u, 1000u}) {
      auto x = random_floats(n, 30.0f);
      if (n > 3) x[2] = -1e30f;
      const auto original = x;
      const float largest = *std::max_element(x.begin(), x.end());
      const float sum = table->exponentials(x.data(), n);
      double total = 0;
      for (Size i = 0; i < n; ++i) {
        const double exact =
            std::exp(static_cast<double>(original[i]) - static_cast<double>(largest));
        REQUIRE(std::fabs(static_cast<double>(x[i]) - exact) <= 4e-6 * exact + 1e-37);
        total += exact;
      }
      CHECK(static_cast<double>(sum) == Approx(total).epsilon(1e-6));
    }
  }
}

TEST_CASE("gelu by erf, and tanh: a few units in the last place off float64") {
  std::vector<float> x{0.0f, -0.0f, 1e-40f, 1e-30f, -1e-30f, 0.625f, -0.625f, 5.0f, 30.0f, 1e30f};
  for (int i = -40000; i <= 40000; ++i) x.push_back(static_cast<float>(i) * 3.3e-4f);
  std::vector<float> out(x.size());
  for (const KernelTable* table : tables()) {
    INFO(name_of(table->level));
    double worst = 0;
    table->gelu_erf(x.data(), x.size(), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto v = static_cast<double>(x[i]);
      const double exact = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
      const double off = std::fabs(static_cast<double>(out[i]) - exact) - 2e-38;
      if (exact != 0) worst = std::max(worst, off / std::fabs(exact));
      REQUIRE(std::signbit(out[i]) == std::signbit(x[i]));
    }
    CHECK(worst < 5e-7);
    worst = 0;
    table->tanh(x.data(), x.size(), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = std::tanh(static_cast<double>(x[i]));
      const double off = std::fabs(static_cast<double>(out[i]) - exact);
      if (exact != 0) worst = std::max(worst, off / std::fabs(exact));
      REQUIRE(std::fabs(out[i]) <= 1.0f);
      REQUIRE(std::signbit(out[i]) == std::signbit(x[i]));
    }
    CHECK(worst < 2.5e-7);

    const std::vector<float> ends{NAN, INFINITY, -1e30f, 1e30f, -20.0f};
    std::vector<float> at_ends(ends.size());
    table->gelu_erf(ends.data(), ends.size(), at_ends.data());
    CHECK(std::isnan(at_ends[0]));
    CHECK(at_ends[1] == INFINITY);
    CHECK(std::fabs(at_ends[2]) < 1e-10f);
    CHECK(at_ends[3] == 1e30f);
    CHECK(std::fabs(at_ends[4]) < 1e-37f);
    const std::vector<float> tanh_ends{NAN, INFINITY, -INFINITY, 1e30f, -9.1f};
    table->tanh(tanh_ends.data(), tanh_ends.size(), at_ends.data());
    CHECK(std::isnan(at_ends[0]));
    CHECK(at_ends[1] == 1.0f);
    CHECK(at_ends[2] == -1.0f);
    CHECK(at_ends[3] == 1.0f);
    CHECK(at_ends[4] == -1.0f);
    for (Size n = 1; n < 40; ++n) {  // tails have the same bits, and end where they should
      for (const auto function : {table->gelu_erf, table->tanh}) {
        std::vector<float> some(n + 1, 77.0f);
        function(x.data() + 41000, n, some.data());
        CHECK(some.back() == 77.0f);
        std::vector<float> whole(40);
        function(x.data() + 41000, 40, whole.data());
        CHECK(std::memcmp(some.data(), whole.data(), n * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("scores and weighted sums: near float64, alike whole, in pieces and in any company") {
  for (const KernelTable* table : tables()) {
    for (const Size dim : {1u, 6u, 8u, 20u, 37u, 64u, 80u, 128u}) {
      for (const Size keys_count : {1u, 4u, 37u, 150u}) {
        constexpr Size kQueries = 13;
        const Size stride = dim + 3;
        const auto q = random_floats(kQueries * stride);
        const auto keys = random_floats(keys_count * dim);
        INFO(name_of(table->level) << " " << dim << " " << keys_count);
        std::vector<float> alone(kQueries * keys_count);
        for (Size t = 0; t < kQueries; ++t) {
          table->scores(q.data() + t * stride, stride, 1, keys.data(), keys_count, dim, 0.125f,
                        alone.data() + t * keys_count, keys_count);
        }
        for (Size queries = 1; queries <= kQueries; ++queries) {
          std::vector<float> pieces(queries * keys_count);  // as pages of 5 would give them
          for (Size j = 0; j < keys_count; j += 5) {
            table->scores(q.data(), stride, queries, keys.data() + j * dim,
                          std::min<Size>(5, keys_count - j), dim, 0.125f, pieces.data() + j,
                          keys_count);
          }
          REQUIRE(std::memcmp(pieces.data(), alone.data(), pieces.size() * sizeof(float)) == 0);
          table->scores(q.data(), stride, queries, keys.data(), keys_count, dim, 0.125f,
                        pieces.data(), keys_count);
          REQUIRE(std::memcmp(pieces.data(), alone.data(), pieces.size() * sizeof(float)) == 0);
        }
        for (Size t = 0; t < kQueries; ++t) {
          for (Size j = 0; j < keys_count; ++j) {
            double exact = 0;
            for (Size i = 0; i < dim; ++i) {
              exact +=
                  static_cast<double>(q[t * stride + i]) * static_cast<double>(keys[j * dim + i]);
            }
            REQUIRE(static_cast<double>(alone[t * keys_count + j]) ==
                    Approx(exact * 0.125).margin(1e-5));
          }
        }

        std::vector<float> sums(kQueries * stride, 0.5f);  // what is there is added to
        for (Size t = 0; t < kQueries; ++t) {
          table->weighted_sums(alone.data() + t * keys_count, keys_count, 1, keys.data(),
                               keys_count, dim, sums.data() + t * stride, stride);
        }
        for (Size queries = 1; queries <= kQueries; ++queries) {
          std::vector<float> pieces(kQueries * stride, 0.5f);
          for (Size j = 0; j < keys_count; j += 5) {
            table->weighted_sums(alone.data() + j, keys_count, queries, keys.data() + j * dim,
                                 std::min<Size>(5, keys_count - j), dim, pieces.data(), stride);
          }
          REQUIRE(std::memcmp(pieces.data(), sums.data(), queries * stride * sizeof(float)) == 0);
          std::vector<float> whole(kQueries * stride, 0.5f);
          table->weighted_sums(alone.data(), keys_count, queries, keys.data(), keys_count, dim,
                               whole.data(), stride);
          REQUIRE(std::memcmp(whole.data(), sums.data(), queries * stride * sizeof(float)) == 0);
        }
        for (Size t = 0; t < kQueries; ++t) {
          for (Size i = 0; i < dim; ++i) {
            double exact = 0.5;
            for (Size j = 0; j < keys_count; ++j) {
              exact += static_cast<double>(alone[t * keys_count + j]) *
                       static_cast<double>(keys[j * dim + i]);
            }
            REQUIRE(static_cast<double>(sums[t * stride + i]) == Approx(exact).margin(1e-4));
          }
          for (Size i = dim; i < stride; ++i) REQUIRE(sums[t * stride + i] == 0.5f);
        }
      }
    }
  }
}
