// q4_0 with searched scales.
//
// Q4_0 stores 32 numbers as d * (q - 8) with q in 0..15 and one f16 scale d. The usual encoder
// takes d = (value of largest magnitude) / -8, which represents that one value exactly and lets the
// other 31 live with it. Here each block tries a ladder of scales around the usual one, refits each
// in closed form (for fixed q the best d is sum(w x q') / sum(w q' q') with q' = q - 8) and keeps
// the pair of least weighted squared error. The weight is x * x: an error in a large value costs
// more, since plain squared error clips the few large values to please the many small ones, and
// models mind that. What is stored is plain Q4_0: any reader decodes it.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/base/cat.h"
#include "core/plugin/plugin.h"
#include "core/tensor/codec.h"

namespace {

using namespace apr;

constexpr std::size_t kBlock = 32;
constexpr std::size_t kBlockBytes = 18;
constexpr Quantizer::Scheme kSchemes[] = {
    {"q4_0_searched", "q4_0 with the scale of least weighted error", Type::q4_0}};

using Block = std::span<const float, kBlock>;

struct Candidate {
  std::uint16_t scale = 0;  ///< f16 bits
  std::array<std::uint8_t, kBlock> q{};
  double error = 0;
};

Candidate quantize_with(Block x, float scale) {
  Candidate candidate;
  candidate.scale = f32_to_f16(scale);
  const float d = f16_to_f32(candidate.scale);
  for (std::size_t i = 0; i < kBlock; ++i) {
    const float steps = d == 0.0f ? 0.0f : x[i] / d;
    candidate.q[i] = static_cast<std::uint8_t>(std::clamp(std::lround(steps) + 8L, 0L, 15L));
    const double value = x[i];
    const double off = value - double{d} * (candidate.q[i] - 8);
    candidate.error += value * value * off * off;
  }
  return candidate;
}

float best_scale(Block x, const Candidate& candidate) {
  double product = 0;
  double square = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const double q = candidate.q[i] - 8;
    const double value = x[i];
    product += value * value * value * q;
    square += value * value * q * q;
  }
  return square == 0 ? 0.0f : static_cast<float>(product / square);
}

Candidate search(Block x) {
  const float extreme = *std::max_element(
      x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  Candidate best = quantize_with(x, extreme / -8.0f);
  for (int step = -12; step <= 6; ++step) {
    const float start = extreme / (-8.0f) * (1.0f + 0.025f * static_cast<float>(step));
    const Candidate tried = quantize_with(x, start);
    const Candidate refitted = quantize_with(x, best_scale(x, tried));
    if (tried.error < best.error) best = tried;
    if (refitted.error < best.error) best = refitted;
  }
  return best;
}

void store(const Candidate& candidate, std::byte* out) {
  std::memcpy(out, &candidate.scale, sizeof candidate.scale);
  for (std::size_t i = 0; i < kBlock / 2; ++i) {
    out[2 + i] = static_cast<std::byte>(candidate.q[i] | (candidate.q[i + kBlock / 2] << 4));
  }
}

class Searched final : public Quantizer {
 public:
  std::string_view id() const noexcept override { return "searched"; }
  std::string_view summary() const noexcept override { return "block types with searched scales"; }
  std::span<const Scheme> schemes() const noexcept override { return kSchemes; }

  Type target_type(std::string_view, std::string_view tensor_name, Type type,
                   const Shape& shape) const noexcept override {
    const bool norm = tensor_name.find("norm") != tensor_name.npos;
    const bool fits = shape.rank() == 2 && shape.columns() % kBlock == 0;
    return fits && !norm && shape.elements() >= 1024 ? Type::q4_0 : type;
  }

  Status quantize_rows(std::string_view, Type type, std::uint64_t columns,
                       std::span<const float> values,
                       std::span<std::byte> out) const noexcept override {
    if (type != Type::q4_0) return encode_plain(type, values, out);
    if (columns == 0 || columns % kBlock != 0 || values.size() % columns != 0 ||
        out.size() != values.size() / kBlock * kBlockBytes) {
      return make_error(ErrorCode::generic,
                        cat("rows of ", columns, " elements are not whole blocks"));
    }
    for (std::size_t i = 0; i < values.size(); i += kBlock) {
      const Block block = values.subspan(i).first<kBlock>();
      for (const float value : block) {
        if (!(std::fabs(value) < 500000.0f)) {  // NaN too
          return make_error(ErrorCode::validation, cat("the value ", value, " does not fit q4_0"));
        }
      }
      store(search(block), out.data() + i / kBlock * kBlockBytes);
    }
    return {};
  }
};

constexpr Provision kProvides[] = {
    {"quantizer", "searched", "block types with searched scales"},
    {"scheme", "q4_0_searched", "q4_0 with the scale of least weighted error"},
};

Status add(Registry& registry) noexcept {
  return registry.add(std::make_unique<Searched>());
}

}  // namespace

APR_PLUGIN(searched, "1.0.0", "Apache-2.0", "Q4_0 with searched scales.", kProvides, add)
