#include "core/graph/rope.h"

#include <cmath>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"

namespace apr {

void rope_turns(std::int32_t position, std::span<const double> inverse_frequencies,
                double attention_factor, std::span<float> cosines, std::span<float> sines) {
  for (std::size_t i = 0; i < inverse_frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * static_cast<float>(inverse_frequencies[i]);
    cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * attention_factor);
    sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)) * attention_factor);
  }
}

}  // namespace apr

namespace apr::ops {

namespace {

constexpr std::int64_t kMaxHeadDim = 1 << 16;

Result<std::vector<ValueType>> infer_rope(const NodeDraft& draft) {
  APR_TRY(expect_element(draft, 0, Element::f32));
  APR_TRY(expect_element(draft, 1, Element::i32));
  APR_TRY(expect_features(draft, 1, 1, "the op"));
  APR_TRY(expect_same_rows(draft, 0, 1));
  APR_TRY(expect_count(draft, "head_dim", kMaxHeadDim));
  const std::int64_t head_dim = draft.node->integer("head_dim");
  APR_TRY(expect_count(draft, "rotary_dim", head_dim));
  const std::int64_t rotary_dim = draft.node->integer("rotary_dim");
  if (rotary_dim % 2 != 0) {
    return misfit(cat("attribute rotary_dim is ", rotary_dim, ", which is not even"));
  }
  const auto frequencies = draft.node->numbers("inverse_frequencies");
  if (frequencies.size() != static_cast<std::size_t>(rotary_dim) / 2) {
    return misfit(cat("attribute inverse_frequencies has ", frequencies.size(),
                      " numbers, and rotary_dim ", rotary_dim, " needs ", rotary_dim / 2));
  }
  for (const double frequency : frequencies) {
    if (!std::isfinite(frequency)) return misfit("attribute inverse_frequencies is not finite");
  }
  const ValueType& x = draft.inputs[0]->type;
  if (x.features % static_cast<std::uint64_t>(head_dim) != 0) {
    return misfit(
        cat(describe_input(draft, 0), " is not made of heads of ", head_dim, " features"));
  }
  return std::vector<ValueType>{x};
}

Status reference_rope(const KernelCall& call) {
  const RowsView& x = call.inputs[0];
  const RowsView& positions = call.inputs[1];
  const RowsView& out = call.outputs[0];
  const auto head_dim = size_of(call.node->integer("head_dim"));
  const auto pairs = size_of(call.node->integer("rotary_dim")) / 2;
  const bool interleaved = call.node->flag("interleaved");
  const auto frequencies = call.node->numbers("inverse_frequencies");
  const double factor = call.node->number("attention_factor");
  std::vector<float> cosines(frequencies.size());
  std::vector<float> sines(frequencies.size());
  for (std::size_t row = 0; row < x.rows; ++row) {
    rope_turns(positions.i32[row], frequencies, factor, cosines, sines);
    for (std::size_t head = 0; head < x.features; head += head_dim) {
      const float* in = row_of(x, row) + head;
      float* turned = row_of(out, row) + head;
      for (std::size_t i = 0; i < pairs; ++i) {
        const std::size_t first = interleaved ? 2 * i : i;
        const std::size_t second = interleaved ? 2 * i + 1 : i + pairs;
        turned[first] = in[first] * cosines[i] - in[second] * sines[i];
        turned[second] = in[second] * cosines[i] + in[first] * sines[i];
      }
      for (std::size_t i = 2 * pairs; i < head_dim; ++i) turned[i] = in[i];
    }
  }
  return {};
}

Cost cost_rope(const NodeDraft& draft, double rows, double) {
  const auto features = static_cast<double>(draft.inputs[0]->type.features);
  return {rows * 3 * features, rows * row_bytes_moved(draft, features)};
}

}  // namespace

std::vector<OpRow> rope_ops() {
  return {{
      .name = "rope",
      .summary =
          "each pair (a, b) of each head turns by position * inverse_frequencies[i]: "
          "(a cos - b sin, b cos + a sin); pairs are (i, i + rotary_dim/2), or (2i, 2i+1) when "
          "interleaved",
      .inputs = {"x", "positions"},
      .parameters = {},
      .attributes = {{"head_dim", std::int64_t{0}, true},
                     {"rotary_dim", std::int64_t{0}, true},
                     {"interleaved", false},
                     {"inverse_frequencies", std::vector<double>{}, true},
                     {"attention_factor", 1.0}},
      .outputs = {"out"},
      .infer = infer_rope,
      .reference = reference_rope,
      .cost = cost_rope,
  }};
}

}  // namespace apr::ops
