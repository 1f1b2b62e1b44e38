#include "plugins/backends/cpu/engine.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/graph/rope.h"
#include "core/tensor/blocks.h"
#include "core/tensor/codec.h"

namespace apr::cpu {

Engine::Engine(const Graph& graph_in, const KernelTable& kernels_in, CompileOptions options_in)
    : graph(graph_in),
      kernels(kernels_in),
      options(std::move(options_in)),
      team(options.team != nullptr ? options.team : std::make_shared<Team>(1)) {}

RowsView Engine::rows(ValueId id, const Step& step) const {
  const ValueType& type = graph.value(id).type;
  RowsView view;
  view.rows = step.counts.of(type.rows);
  view.features = type.features;
  if (plan_.offsets[id] == MemoryPlan::kUnplanned) return view;
  std::byte* const start = memory_.data() + plan_.offsets[id];
  if (type.element == Element::f32) {
    view.f32 = reinterpret_cast<float*>(start);
  } else {
    view.i32 = reinterpret_cast<std::int32_t*>(start);
  }
  return view;
}

Result<const float*> Engine::floats(ParameterId id) {
  const TensorView& view = parameters.views[id];
  auto values = std::make_unique<std::vector<float>>(view.shape.elements());
  APR_TRY(decode(view, 0, *values));
  floats_.push_back(std::move(values));
  return static_cast<const float*>(floats_.back()->data());
}

void Engine::need_scratch(std::uint64_t bytes) {
  scratch_bytes_ = std::max(scratch_bytes_, bytes);
}

void Engine::need_shared(std::uint64_t bytes) {
  shared_bytes_ = std::max(shared_bytes_, bytes);
}

std::span<const RowSegment> Engine::segments(Rows pairs, const Step& step) {
  Segments& segments = segments_[pairs == Rows::pairs ? 0 : pairs == Rows::state_pairs ? 1 : 2];
  if (!segments.ready) {
    segments_of(graph, *step.batch, *step.cache, pairs, segments.rows);
    segments.ready = true;
  }
  return segments.rows;
}

void Engine::need_rounded(std::uint64_t features) {
  rounded_blocks_ = std::max(rounded_blocks_, (features + kBlock - 1) / kBlock);
}

RoundedRows Engine::rounded(ValueId id, const RowsView& x) {
  const Size blocks = (x.features + kBlock - 1) / kBlock;
  auto* const q = reinterpret_cast<std::int8_t*>(rounded_q_.data());
  auto* const d = reinterpret_cast<float*>(rounded_d_.data());
  auto* const sums = reinterpret_cast<std::int32_t*>(rounded_sums_.data());
  if (!rounded_ready_ || rounded_value_ != id) {
    const RoundRow round_row = kernels.round_row;
    constexpr std::uint32_t kRowsPerChunk = 4;
    const auto chunks = static_cast<std::uint32_t>((x.rows + kRowsPerChunk - 1) / kRowsPerChunk);
    team->for_each(chunks, [&](std::uint32_t chunk, unsigned) {
      const Size begin = Size{chunk} * kRowsPerChunk;
      for (Size row = begin; row < std::min<Size>(begin + kRowsPerChunk, x.rows); ++row) {
        round_row(x.f32 + row * x.features, x.features, q + row * blocks * kBlock, d + row * blocks,
                  sums + row * blocks);
      }
    });
    rounded_value_ = id;
    rounded_ready_ = true;
  }
  return {q, d, sums, blocks};
}

std::size_t Engine::need_turns(std::span<const double> inverse_frequencies, double attention_factor,
                               ValueId positions) {
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    if (std::ranges::equal(turns_[i].inverse_frequencies, inverse_frequencies) &&
        turns_[i].attention_factor == attention_factor && turns_[i].positions == positions) {
      return i;
    }
  }
  RopeTurns added;
  added.inverse_frequencies.assign(inverse_frequencies.begin(), inverse_frequencies.end());
  added.attention_factor = attention_factor;
  added.positions = positions;
  turns_.push_back(std::move(added));
  return turns_.size() - 1;
}

const RopeTurns& Engine::turns(std::size_t index, const Step& step) {
  RopeTurns& turns = turns_[index];
  if (turns.ready) return turns;
  const RowsView positions = rows(turns.positions, step);
  const std::size_t pairs = turns.inverse_frequencies.size();
  auto* const cosines = reinterpret_cast<float*>(turns.cosines.data());
  auto* const sines = reinterpret_cast<float*>(turns.sines.data());
  team->for_each(static_cast<std::uint32_t>(positions.rows), [&](std::uint32_t row, unsigned) {
    rope_turns(positions.i32[row], turns.inverse_frequencies, turns.attention_factor,
               {cosines + row * pairs, pairs}, {sines + row * pairs, pairs});
  });
  turns.ready = true;
  return turns;
}

Status Engine::allocate() {
  const RowCounts most = largest_step(graph, options);
  const RowLimits limits{most.tokens, most.logit_rows, most.frames, most.states};
  APR_ASSIGN(plan_, plan_memory(graph, limits, {}));
  APR_ASSIGN(memory_, Buffer::create(plan_.bytes, "activations"));
  for (unsigned thread = 0; thread < team->threads(); ++thread) {
    APR_ASSIGN(Buffer scratch, Buffer::create(scratch_bytes_, "scratch memory of a thread"));
    scratch_.push_back(std::move(scratch));
  }
  APR_ASSIGN(shared_, Buffer::create(shared_bytes_, "gathered rows"));
  // Every kind of row may be multiplied; the other kinds are never more than tokens.
  const std::uint64_t rows_at_most = std::max({most.tokens, most.frames, most.states});
  const auto blocks = checked_mul(rows_at_most, rounded_blocks_);
  if (!blocks || *blocks > (std::uint64_t{1} << 56)) {
    return make_error(ErrorCode::load, "rounded activations would not fit any memory");
  }
  APR_ASSIGN(rounded_q_, Buffer::create(*blocks * kBlock, "rounded activations"));
  APR_ASSIGN(rounded_d_, Buffer::create(*blocks * sizeof(float), "rounded activations"));
  APR_ASSIGN(rounded_sums_, Buffer::create(*blocks * sizeof(std::int32_t), "rounded activations"));
  for (RopeTurns& turns : turns_) {
    const std::uint64_t bytes =
        std::uint64_t{options.max_tokens} * turns.inverse_frequencies.size() * 4;
    APR_ASSIGN(turns.cosines, Buffer::create(bytes, "rope angles"));
    APR_ASSIGN(turns.sines, Buffer::create(bytes, "rope angles"));
  }
  return {};
}

void Engine::begin_step() {
  rounded_ready_ = false;
  for (Segments& segments : segments_) segments.ready = false;
  for (RopeTurns& turns : turns_) turns.ready = false;
}

}  // namespace apr::cpu
