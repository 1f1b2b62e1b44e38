// Kernels of the cpu backend on the shapes of a 0.5B model, one thread, in GB/s of stored weights
// and in GFLOP/s; beside them what the machine can do at most: reading memory, and multiplying in
// registers.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/tensor/blocks.h"
#include "core/tensor/codec.h"
#include "plugins/backends/cpu/avx2.h"
#include "plugins/backends/cpu/kernels.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using namespace apr;
using namespace apr::cpu;

constexpr Size kColumns = 896;
constexpr Size kStreamBytes = Size{256} << 20;  ///< far more than any cache

const KernelTable& table() {
  return table_for(cpu_level());
}

std::vector<std::byte> random_weights(Type type, Size bytes) {
  const Size stride = row_bytes(type, kColumns);
  std::vector<std::byte> out(bytes / stride * stride);
  std::mt19937_64 random(1);
  for (Size i = 0; i + 8 <= out.size(); i += 8) {
    const std::uint64_t word = random() & 0x3f3f3f3f3f3f3f3f;  // no NaN of any width
    std::memcpy(out.data() + i, &word, 8);
  }
  return out;
}

std::vector<float> random_floats(Size n) {
  std::mt19937 random(2);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  return values;
}

void count(benchmark::State& state, double bytes, double flops) {
  using benchmark::Counter;
  state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsIterationInvariantRate);
  state.counters["GFLOP/s"] = Counter(flops * 1e-9, Counter::kIsIterationInvariantRate);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) std::uint64_t sum_words(const std::byte* bytes, Size size) {
  __m256i sums[8] = {};
  for (Size i = 0; i + 256 <= size; i += 256) {
    for (Size k = 0; k < 8; ++k) {
      const auto* at = reinterpret_cast<const __m256i*>(bytes + i + 32 * k);
      sums[k] = _mm256_xor_si256(sums[k], _mm256_loadu_si256(at));
    }
  }
  std::uint64_t words[4];
  for (int k = 1; k < 8; ++k) sums[0] = _mm256_xor_si256(sums[0], sums[k]);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), sums[0]);
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

__attribute__((target("avx2,fma"))) float multiply_in_registers(Size rounds) {
  constexpr int kChains = 12;  // latency times throughput of a fused multiply-add, and some more
  __m256 sums[kChains];
  APR_UNROLL
  for (int k = 0; k < kChains; ++k) sums[k] = _mm256_set1_ps(static_cast<float>(k));
  __m256 a = _mm256_set1_ps(0.999f);
  const __m256 b = _mm256_set1_ps(0.001f);
  for (Size i = 0; i < rounds; ++i) {
    APR_UNROLL
    for (int k = 0; k < kChains; ++k) sums[k] = _mm256_fmadd_ps(sums[k], a, b);
    asm volatile("" : "+x"(a));  // keeps the compiler from summing the series itself
  }
  APR_UNROLL
  for (int k = 1; k < kChains; ++k) sums[0] = _mm256_add_ps(sums[0], sums[k]);
  return _mm256_cvtss_f32(sums[0]);
}

void machine_read(benchmark::State& state) {
  const std::vector<std::byte> bytes(kStreamBytes, std::byte{1});
  for (auto _ : state) benchmark::DoNotOptimize(sum_words(bytes.data(), bytes.size()));
  count(state, static_cast<double>(bytes.size()), 0);
}

void machine_multiply(benchmark::State& state) {
  constexpr Size kRounds = 100000;
  for (auto _ : state) benchmark::DoNotOptimize(multiply_in_registers(kRounds));
  count(state, 0, 2.0 * 8 * 12 * kRounds);
}
#endif

/// One token: every weight row is read once.
void stream(benchmark::State& state, Type type, bool rounded) {
  const auto weights = random_weights(type, kStreamBytes);
  const Size stride = row_bytes(type, kColumns);
  const Size rows = weights.size() / stride;
  const auto x = random_floats(kColumns);
  std::vector<std::int8_t> q(kColumns);
  std::vector<float> d(kColumns / kBlock);
  std::vector<std::int32_t> sums(d.size());
  table().round_row(x.data(), kColumns, q.data(), d.data(), sums.data());
  std::vector<float> y(rows);
  for (auto _ : state) {
    if (rounded) {
      table().weights(type)->dot_rounded(weights.data(), stride, rows,
                                         {q.data(), d.data(), sums.data(), d.size()}, 1, y.data(),
                                         rows);
    } else {
      table().weights(type)->dot(weights.data(), stride, rows, kColumns, x.data(), y.data());
    }
    benchmark::ClobberMemory();
  }
  count(state, static_cast<double>(weights.size()), 2.0 * static_cast<double>(rows * kColumns));
}

/// Many tokens: a chunk of weight rows against 512 rows of x, as prefill does it.
void many(benchmark::State& state, Type type, bool rounded) {
  constexpr Size kTokens = 512;
  constexpr Size kRows = 64;
  const Size stride = row_bytes(type, kColumns);
  const auto weights = random_weights(type, stride * kRows);
  const auto x = random_floats(kColumns * kTokens);
  std::vector<std::int8_t> q(kColumns * kTokens);
  std::vector<float> d(kColumns / kBlock * kTokens);
  std::vector<std::int32_t> sums(d.size());
  for (Size t = 0; t < kTokens; ++t) {
    table().round_row(x.data() + t * kColumns, kColumns, q.data() + t * kColumns,
                      d.data() + t * kColumns / kBlock, sums.data() + t * kColumns / kBlock);
  }
  std::vector<float> panel(kRows * kColumns);
  std::vector<float> y(kRows * kTokens);
  for (auto _ : state) {
    if (rounded) {
      table().weights(type)->dot_rounded(weights.data(), stride, kRows,
                                         {q.data(), d.data(), sums.data(), kColumns / kBlock},
                                         kTokens, y.data(), kRows);
    } else {
      for (Size r = 0; r < kRows; ++r) {
        table().weights(type)->decode(weights.data() + r * stride, kColumns,
                                      panel.data() + r * kColumns);
      }
      table().dot_panel(panel.data(), kRows, kColumns, x.data(), kColumns, kTokens, y.data(),
                        kRows);
    }
    benchmark::ClobberMemory();
  }
  count(state, static_cast<double>(weights.size()), 2.0 * kRows * kColumns * kTokens);
}

/// Some queries of one head over a context.
void attention(benchmark::State& state, Size queries, Size context) {
  constexpr Size kDim = 64;
  const auto q = random_floats(kDim * queries);
  const auto keys = random_floats(context * kDim);
  std::vector<float> weights(context * queries);
  std::vector<float> out(kDim * queries);
  for (auto _ : state) {
    table().scores(q.data(), kDim, queries, keys.data(), context, kDim, 0.125f, weights.data(),
                   context);
    for (Size t = 0; t < queries; ++t) {
      benchmark::DoNotOptimize(table().exponentials(weights.data() + t * context, context));
    }
    table().weighted_sums(weights.data(), context, queries, keys.data(), context, kDim, out.data(),
                          kDim);
    benchmark::ClobberMemory();
  }
  const auto pairs = static_cast<double>(context * queries);
  count(state, 2.0 * 4 * static_cast<double>(context * kDim), 4.0 * pairs * kDim);
}

void silu(benchmark::State& state) {
  const auto gate = random_floats(4864);
  std::vector<float> out(4864);
  for (auto _ : state) {
    table().silu_mul(gate.data(), gate.data(), gate.size(), out.data());
    benchmark::ClobberMemory();
  }
  count(state, 3.0 * 4 * 4864, 4.0 * 4864);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("level", std::string(name_of(table().level)));
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) {
    benchmark::RegisterBenchmark("machine/read", machine_read);
    benchmark::RegisterBenchmark("machine/multiply", machine_multiply);
  }
#endif
  for (const Type type : {Type::f32, Type::f16, Type::bf16, Type::q8_0, Type::q4_0}) {
    const std::string name(name_of(type));
    benchmark::RegisterBenchmark(("one_token/" + name).c_str(), stream, type, false);
    benchmark::RegisterBenchmark(("512_tokens/" + name).c_str(), many, type, false);
    if (table().weights(type)->dot_rounded == nullptr) continue;
    benchmark::RegisterBenchmark(("one_token/rounded/" + name).c_str(), stream, type, true);
    benchmark::RegisterBenchmark(("512_tokens/rounded/" + name).c_str(), many, type, true);
  }
  benchmark::RegisterBenchmark("attention/1_query_of_512", attention, Size{1}, Size{512});
  benchmark::RegisterBenchmark("attention/12_queries_of_512", attention, Size{12}, Size{512});
  benchmark::RegisterBenchmark("attention/12_queries_of_1500", attention, Size{12}, Size{1500});
  benchmark::RegisterBenchmark("silu_mul/4864", silu);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
