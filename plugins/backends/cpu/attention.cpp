// Attention of tokens and states, over the rows of the step or over paged keys and values.
//
// A query of one head makes two passes: scores of all visible keys, their exponentials less the
// largest (so that nothing overflows) and the sum of these; then the weighted sum of the values.
// Everything runs in the order of positions, the sum of exponentials by the key's number among the
// visible ones: what a query computes depends neither on the queries beside it nor on where pages
// end.
//
// A chunk is one head of a block of queries of one sequence. The block passes over the keys
// together, so that a key is read once for all of them. Before that keys and values are put where
// those of a head lie one after the other: into the cache, or without a cache into memory that the
// nodes share.
#include <algorithm>
#include <cstring>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/runtime/kv_cache.h"
#include "core/tensor/codec.h"
#include "plugins/backends/cpu/engine.h"

namespace apr::cpu {
namespace {

/// Queries of a block, by how many keys they see at most: their weights shall stay in the L2 cache.
constexpr Size kQueries = 12;
constexpr Size kQueriesOfLong = 4;
constexpr Size kLong = 8192;

constexpr Size kRowsPerChunk = 8;  ///< of keys and values that are put in their place

class AttentionKernel final : public NodeKernel {
 public:
  AttentionKernel(Engine& engine, const Node& node)
      : engine_(engine),
        node_(node),
        pairs_(engine.graph.value(node.outputs.back()).type.rows),
        cached_(node.cache.has_value()),
        causal_(node.flag("causal")),
        heads_(static_cast<Size>(node.integer("num_attention_heads"))),
        kv_heads_(static_cast<Size>(node.integer("num_key_value_heads"))),
        dim_(static_cast<Size>(node.integer("head_dim"))),
        window_(static_cast<Size>(node.integer("window"))),
        scale_(static_cast<float>(node.number("scale"))),
        element_(cached_ ? engine.graph.caches()[*node.cache].element : Type::f32),
        memories_(engine.team->threads()) {}

  Status prepare() {
    if (cached_) return {};
    const RowCounts most = largest_step(engine_.graph, engine_.options);
    const auto bytes = checked_mul(most.of(engine_.graph.value(node_.inputs[1]).type.rows),
                                   2 * kv_heads_ * dim_ * sizeof(float));
    if (!bytes) return make_error(ErrorCode::load, "keys and values would not fit any memory");
    engine_.need_shared(*bytes);
    return {};
  }

  Status run(const Step& step) noexcept override {
    const auto segments = engine_.segments(pairs_, step);
    APR_TRY(lay_out(segments));
    const Size page_positions = cached_ ? step.cache->options().page_positions : 0;
    APR_TRY(make_room(segments, page_positions));
    if (!cached_) {
      gather(step);
    } else if (pairs_ == Rows::cross_pairs) {
      store(step, engine_.segments(Rows::state_pairs, step));
    } else {
      store(step, segments);
    }
    const Size blocks = blocks_.size();
    engine_.team->for_each(static_cast<std::uint32_t>(blocks * heads_),
                           [&](std::uint32_t chunk, unsigned thread) {
                             attend(step, blocks_[chunk % blocks], chunk / blocks, thread);
                           });
    return {};
  }

 private:
  /// What a thread needs: one weight per query of a block and visible key, and a page of keys or
  /// values as floats when the cache holds halves. Grows with the longest sequence, by doubling.
  struct ThreadMemory {
    Buffer weights;
    Buffer page;
  };

  /// Queries that pass over the keys of their sequence together.
  struct Block {
    RowSegment segment;
    Size first = 0;  ///< of the segment's queries
    Size count = 0;
    Size pairs = 0;  ///< where the probabilities of the segment start
  };

  /// Where the keys and values of one head are.
  struct Places {
    const float* keys = nullptr;  ///< without a cache: of position 0
    const float* values = nullptr;
    KvPages pages;
    Size value_offset = 0;
    Size kv_head = 0;
    float* page = nullptr;  ///< memory for one decoded page
  };

  static Size queries_together(const RowSegment& segment) {
    return segment.keys > kLong ? kQueriesOfLong : kQueries;
  }

  Status lay_out(std::span<const RowSegment> segments) {
    blocks_.clear();
    Size pairs = 0;
    for (const RowSegment& segment : segments) {
      if (!cached_ && segment.first_position != 0) {
        return make_error(ErrorCode::inference,
                          "attention without a cache sees whole sequences only, from position 0 "
                          "on");
      }
      for (Size first = 0; first < segment.rows; first += queries_together(segment)) {
        const Size count = std::min(queries_together(segment), segment.rows - first);
        blocks_.push_back({segment, first, count, pairs});
      }
      pairs += heads_ * segment.rows * segment.keys;
    }
    return {};
  }

  Status make_room(std::span<const RowSegment> segments, Size page_positions) {
    Size most = 0;
    for (const RowSegment& segment : segments) {
      most = std::max(most, std::min(segment.rows, queries_together(segment)) * segment.keys);
    }
    for (ThreadMemory& memory : memories_) {
      if (memory.weights.size() < most * sizeof(float)) {
        const Size bytes = std::max<Size>(most * 2, 1024) * sizeof(float);
        APR_ASSIGN(memory.weights, Buffer::create(bytes, "attention weights"));
      }
      const Size page_bytes = element_ == Type::f32 ? 0 : page_positions * dim_ * sizeof(float);
      if (memory.page.size() < page_bytes) {
        APR_ASSIGN(memory.page, Buffer::create(page_bytes, "a page of keys"));
      }
    }
    return {};
  }

  /// Calls work(row) for every row of keys.
  template <typename Work>
  void for_rows(Size rows, const Work& work) {
    const auto chunks = static_cast<std::uint32_t>((rows + kRowsPerChunk - 1) / kRowsPerChunk);
    engine_.team->for_each(chunks, [&](std::uint32_t chunk, unsigned) {
      const Size begin = Size{chunk} * kRowsPerChunk;
      for (Size row = begin; row < std::min(begin + kRowsPerChunk, rows); ++row) work(row);
    });
  }

  /// Rows of the step to [keys, values][kv_heads][rows][dim].
  void gather(const Step& step) {
    const RowsView k = engine_.rows(node_.inputs[1], step);
    const RowsView v = engine_.rows(node_.inputs[2], step);
    float* const to = engine_.shared();
    for_rows(k.rows, [&](Size row) {
      for (Size head = 0; head < kv_heads_; ++head) {
        const Size from = row * k.features + head * dim_;
        std::memcpy(to + (head * k.rows + row) * dim_, k.f32 + from, dim_ * sizeof(float));
        std::memcpy(to + ((kv_heads_ + head) * k.rows + row) * dim_, v.f32 + from,
                    dim_ * sizeof(float));
      }
    });
  }

  /// Rows of the step to the pages of their sequences.
  void store(const Step& step, std::span<const RowSegment> segments) {
    const RowsView k = engine_.rows(node_.inputs[1], step);
    const RowsView v = engine_.rows(node_.inputs[2], step);
    const Size value_offset = step.cache->page_bytes(*node_.cache) / 2;
    for (const RowSegment& segment : segments) {
      const KvPages pages = step.cache->pages(*node_.cache, segment.sequence);
      for_rows(segment.rows, [&](Size i) {
        const Size row = segment.begin + i;
        store_row(pages, 0, segment.first_position + i, k.f32 + row * k.features);
        store_row(pages, value_offset, segment.first_position + i, v.f32 + row * v.features);
      });
    }
  }

  void store_row(const KvPages& pages, Size offset, Size position, const float* row) const {
    for (Size head = 0; head < kv_heads_; ++head, row += dim_) {
      std::byte* const to = slot(pages, offset, position, head);
      if (element_ == Type::f32) {
        std::memcpy(to, row, dim_ * sizeof(float));
        continue;
      }
      for (Size i = 0; i < dim_; ++i) {
        const std::uint16_t bits = f32_to_f16(row[i]);
        std::memcpy(to + 2 * i, &bits, sizeof bits);
      }
    }
  }

  /// Where a head's vector of a position lies in its page.
  std::byte* slot(const KvPages& pages, Size offset, Size position, Size kv_head) const {
    const Size bytes = element_ == Type::f32 ? 4 : 2;
    return pages.pages[position / pages.page_positions - pages.first_page] + offset +
           (kv_head * pages.page_positions + position % pages.page_positions) * dim_ * bytes;
  }

  Places places(const Step& step, const RowSegment& segment, Size kv_head, unsigned thread) const {
    Places places;
    places.kv_head = kv_head;
    if (cached_) {
      places.pages = step.cache->pages(*node_.cache, segment.sequence);
      places.value_offset = step.cache->page_bytes(*node_.cache) / 2;
      places.page = reinterpret_cast<float*>(memories_[thread].page.data());
      return places;
    }
    const Size rows = step.counts.of(engine_.graph.value(node_.inputs[1]).type.rows);
    places.keys = engine_.shared() + (kv_head * rows + segment.begin) * dim_;
    places.values = engine_.shared() + ((kv_heads_ + kv_head) * rows + segment.begin) * dim_;
    return places;
  }

  /// Calls use(first, count, vectors) for the runs of positions [begin, end) that lie one after the
  /// other.
  template <typename Use>
  void for_runs(const Places& places, bool values, Size begin, Size end, const Use& use) const {
    if (!cached_) {
      use(begin, end - begin, (values ? places.values : places.keys) + begin * dim_);
      return;
    }
    const Size positions = places.pages.page_positions;
    while (begin < end) {
      const Size run_end = std::min(end, (begin / positions + 1) * positions);
      const std::byte* const from =
          slot(places.pages, values ? places.value_offset : 0, begin, places.kv_head);
      const float* vectors = reinterpret_cast<const float*>(from);
      if (element_ != Type::f32) {
        engine_.kernels.f16.decode(from, (run_end - begin) * dim_, places.page);
        vectors = places.page;
      }
      use(begin, run_end - begin, vectors);
      begin = run_end;
    }
  }

  Size visible_end(const Block& block, Size t) const {
    return causal_ ? block.segment.first_position + block.first + t + 1 : block.segment.keys;
  }
  Size visible_begin(const Block& block, Size t) const {
    const Size end = visible_end(block, t);
    return window_ > 0 && end > window_ ? end - window_ : 0;
  }

  void attend(const Step& step, const Block& block, Size head, unsigned thread) const {
    const RowsView q = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    const Places keys = places(step, block.segment, head / (heads_ / kv_heads_), thread);
    const Size first_row = block.segment.begin + block.first;
    const float* const queries = q.f32 + first_row * q.features + head * dim_;
    float* const sums = out.f32 + first_row * out.features + head * dim_;
    auto* const weights = reinterpret_cast<float*>(memories_[thread].weights.data());
    const Size low = visible_begin(block, 0);
    const Size high = visible_end(block, block.count - 1);
    const Size stride = high - low;  // of weights, from query to query

    for_runs(keys, false, low, high, [&](Size first, Size count, const float* vectors) {
      engine_.kernels.scores(queries, q.features, block.count, vectors, count, dim_, scale_,
                             weights + (first - low), stride);
    });
    float inverses[kQueries];
    for (Size t = 0; t < block.count; ++t) {
      const Size begin = visible_begin(block, t);
      float* const row = weights + t * stride + (begin - low);
      inverses[t] = 1.0f / engine_.kernels.exponentials(row, visible_end(block, t) - begin);
      std::fill_n(sums + t * out.features, dim_, 0.0f);
    }
    for_runs(keys, true, low, high, [&](Size first, Size count, const float* vectors) {
      add_values(block, first, first + count, vectors, weights + (first - low), stride, sums,
                 out.features);
    });
    for (Size t = 0; t < block.count; ++t) {
      float* const sum = sums + t * out.features;
      for (Size i = 0; i < dim_; ++i) sum[i] *= inverses[t];
    }
    if (engine_.wanted_pairs == nullptr) return;
    for (Size t = 0; t < block.count; ++t) {
      float* const row = engine_.wanted_pairs + block.pairs +
                         (head * block.segment.rows + block.first + t) * block.segment.keys;
      std::fill_n(row, block.segment.keys, 0.0f);
      for (Size p = visible_begin(block, t); p < visible_end(block, t); ++p) {
        row[p] = weights[t * stride + (p - low)] * inverses[t];
      }
    }
  }

  /// Adds the values of positions [begin, end), each query what it sees of them: those that all see
  /// together, the others one by one. `weights` are those of `begin`.
  void add_values(const Block& block, Size begin, Size end, const float* values,
                  const float* weights, Size stride, float* sums, Size sum_stride) const {
    const auto add = [&](Size t, Size queries, Size from, Size to) {
      if (from >= to) return;
      engine_.kernels.weighted_sums(weights + t * stride + (from - begin), stride, queries,
                                    values + (from - begin) * dim_, to - from, dim_,
                                    sums + t * sum_stride, sum_stride);
    };
    const Size last = block.count - 1;
    const Size all_begin = std::clamp(visible_begin(block, last), begin, end);
    const Size all_end = std::clamp(visible_end(block, 0), all_begin, end);
    for (Size t = 0; t < last; ++t) {
      add(t, 1, std::max(begin, visible_begin(block, t)),
          std::min(all_begin, visible_end(block, t)));
    }
    add(0, block.count, all_begin, all_end);
    for (Size t = 0; t < block.count; ++t) {
      add(t, 1, std::max(all_end, visible_begin(block, t)), std::min(end, visible_end(block, t)));
    }
  }

  Engine& engine_;
  const Node& node_;
  const Rows pairs_;
  const bool cached_;
  const bool causal_;
  const Size heads_;
  const Size kv_heads_;
  const Size dim_;
  const Size window_;
  const float scale_;
  const Type element_;
  std::vector<ThreadMemory> memories_;
  std::vector<Block> blocks_;
};

}  // namespace

Result<std::unique_ptr<NodeKernel>> compile_attention(Engine& engine, const Node& node) {
  auto kernel = std::make_unique<AttentionKernel>(engine, node);
  APR_TRY(kernel->prepare());
  return std::unique_ptr<NodeKernel>(std::move(kernel));
}

}  // namespace apr::cpu
