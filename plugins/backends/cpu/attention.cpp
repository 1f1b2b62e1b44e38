// Causal attention over paged keys and values.
//
// A query of one head makes two passes: scores of all visible keys, their exponentials less the
// largest (so that nothing overflows) and the sum of these; then the weighted sum of the values.
// Everything runs in the order of positions, the sum of exponentials by the key's number among the
// visible ones: what a query computes depends neither on the tokens beside it nor on where pages
// end.
//
// A chunk is one head of a few tokens; keys and values of the step are put into the cache before.
#include <algorithm>
#include <cstring>

#include "core/runtime/kv_cache.h"
#include "core/tensor/codec.h"
#include "plugins/backends/cpu/engine.h"

namespace apr::cpu {
namespace {

constexpr Size kTokensPerChunk = 4;

class AttentionKernel final : public NodeKernel {
 public:
  AttentionKernel(Engine& engine, const Node& node)
      : engine_(engine),
        node_(node),
        heads_(static_cast<Size>(node.integer("num_attention_heads"))),
        kv_heads_(static_cast<Size>(node.integer("num_key_value_heads"))),
        dim_(static_cast<Size>(node.integer("head_dim"))),
        window_(static_cast<Size>(node.integer("window"))),
        scale_(static_cast<float>(node.number("scale"))),
        element_(engine.graph.caches()[*node.cache].element),
        memories_(engine.team->threads()),
        pair_offsets_(engine.options.max_tokens) {}

  Status run(const Step& step) noexcept override {
    const Batch& batch = *step.batch;
    const RowsView q = engine_.rows(node_.inputs[0], step);
    const RowsView k = engine_.rows(node_.inputs[1], step);
    const RowsView v = engine_.rows(node_.inputs[2], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    float* const pairs = engine_.wanted_pairs;
    if (pairs != nullptr) place_pairs(batch);
    APR_TRY(make_room(batch, step.cache->options().page_positions));
    const Size value_offset = step.cache->page_bytes(*node_.cache) / 2;

    const Size blocks = (batch.tokens() + kTokensPerChunk - 1) / kTokensPerChunk;
    engine_.team->for_each(static_cast<std::uint32_t>(blocks), [&](std::uint32_t chunk, unsigned) {
      for (Size t = chunk * kTokensPerChunk; t < end_of(chunk, batch); ++t) {
        const KvPages pages = step.cache->pages(*node_.cache, batch.sequences[t]);
        store(pages, 0, static_cast<Size>(batch.positions[t]), k.f32 + t * k.features);
        store(pages, value_offset, static_cast<Size>(batch.positions[t]), v.f32 + t * v.features);
      }
    });
    engine_.team->for_each(static_cast<std::uint32_t>(blocks * heads_), [&](std::uint32_t chunk,
                                                                            unsigned thread) {
      const Size block = chunk / heads_;
      const Size head = chunk % heads_;
      for (Size t = block * kTokensPerChunk; t < end_of(block, batch); ++t) {
        const KvPages pages = step.cache->pages(*node_.cache, batch.sequences[t]);
        const Size feature = head * dim_;
        float* const probabilities = pairs == nullptr ? nullptr : pairs + pair_row(batch, t, head);
        attend(pages, value_offset, static_cast<Size>(batch.positions[t]), head,
               q.f32 + t * q.features + feature, out.f32 + t * out.features + feature,
               probabilities, thread);
      }
    });
    return {};
  }

 private:
  /// What a thread needs: one weight per visible key, and a page of keys or values as floats when
  /// the cache holds halves. Grows with the longest sequence, by doubling.
  struct ThreadMemory {
    Buffer weights;
    Buffer page;
  };

  Size end_of(Size block, const Batch& batch) const {
    return std::min((block + 1) * kTokensPerChunk, batch.tokens());
  }

  Status make_room(const Batch& batch, Size page_positions) {
    Size longest = 0;
    for (const std::int32_t position : batch.positions) {
      longest = std::max(longest, static_cast<Size>(position) + 1);
    }
    for (ThreadMemory& memory : memories_) {
      if (memory.weights.size() < longest * sizeof(float)) {
        const Size bytes = std::max<Size>(longest * 2, 1024) * sizeof(float);
        APR_ASSIGN(memory.weights, Buffer::create(bytes, "attention weights"));
      }
      const Size page_bytes = element_ == Type::f32 ? 0 : page_positions * dim_ * sizeof(float);
      if (memory.page.size() < page_bytes) {
        APR_ASSIGN(memory.page, Buffer::create(page_bytes, "a page of keys"));
      }
    }
    return {};
  }

  /// Probabilities of a sequence's tokens are [heads][tokens][context]; remembers where its table
  /// starts.
  void place_pairs(const Batch& batch) {
    Size offset = 0;
    for (std::size_t begin = 0; begin < batch.tokens();) {
      const std::size_t end = segment_end(batch, begin);
      const Size context = static_cast<Size>(batch.positions[end - 1]) + 1;
      for (std::size_t t = begin; t < end; ++t) pair_offsets_[t] = {offset, begin, end};
      offset += heads_ * (end - begin) * context;
      begin = end;
    }
  }
  Size pair_row(const Batch& batch, Size t, Size head) const {
    const PairPlace& place = pair_offsets_[t];
    const Size context = static_cast<Size>(batch.positions[place.end - 1]) + 1;
    return place.offset + (head * (place.end - place.begin) + (t - place.begin)) * context;
  }

  /// Where a head's vector of a position lies in its page.
  std::byte* slot(const KvPages& pages, Size offset, Size position, Size kv_head) const {
    const Size bytes = element_ == Type::f32 ? 4 : 2;
    return pages.pages[position / pages.page_positions - pages.first_page] + offset +
           (kv_head * pages.page_positions + position % pages.page_positions) * dim_ * bytes;
  }

  void store(const KvPages& pages, Size offset, Size position, const float* row) const {
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

  /// Calls use(first, count, vectors) for the runs of positions [begin, end) that lie in one page
  /// each.
  template <typename Use>
  void for_runs(const KvPages& pages, Size offset, Size kv_head, Size begin, Size end, float* page,
                const Use& use) const {
    while (begin < end) {
      const Size run_end = std::min(end, (begin / pages.page_positions + 1) * pages.page_positions);
      const std::byte* const from = slot(pages, offset, begin, kv_head);
      const float* vectors = reinterpret_cast<const float*>(from);
      if (element_ != Type::f32) {
        engine_.kernels.f16.decode(from, (run_end - begin) * dim_, page);
        vectors = page;
      }
      use(begin, run_end - begin, vectors);
      begin = run_end;
    }
  }

  void attend(const KvPages& pages, Size value_offset, Size position, Size head, const float* query,
              float* out, float* probabilities, unsigned thread) {
    const Size end = position + 1;
    const Size begin = window_ > 0 && end > window_ ? end - window_ : 0;
    const Size kv_head = head / (heads_ / kv_heads_);
    auto* const weights = reinterpret_cast<float*>(memories_[thread].weights.data());
    auto* const page = reinterpret_cast<float*>(memories_[thread].page.data());
    for_runs(pages, 0, kv_head, begin, end, page, [&](Size first, Size count, const float* keys) {
      engine_.kernels.scores(query, keys, count, dim_, scale_, weights + (first - begin));
    });
    const float sum = engine_.kernels.exponentials(weights, end - begin);
    std::fill(out, out + dim_, 0.0f);
    for_runs(pages, value_offset, kv_head, begin, end, page,
             [&](Size first, Size count, const float* values) {
               engine_.kernels.weighted_sum(weights + (first - begin), values, count, dim_, out);
             });
    const float inverse = 1.0f / sum;
    for (Size i = 0; i < dim_; ++i) out[i] *= inverse;
    if (probabilities == nullptr) return;
    for (Size p = begin; p < end; ++p) probabilities[p] = weights[p - begin] * inverse;
  }

  struct PairPlace {
    Size offset = 0;
    Size begin = 0;
    Size end = 0;
  };

  Engine& engine_;
  const Node& node_;
  const Size heads_;
  const Size kv_heads_;
  const Size dim_;
  const Size window_;
  const float scale_;
  const Type element_;
  std::vector<ThreadMemory> memories_;
  std::vector<PairPlace> pair_offsets_;
};

}  // namespace

Result<std::unique_ptr<NodeKernel>> compile_attention(Engine& engine, const Node& node) {
  const bool cached = node.cache && !engine.graph.caches()[*node.cache].cross;
  if (!node.flag("causal") || !cached) return std::unique_ptr<NodeKernel>();
  return std::unique_ptr<NodeKernel>(std::make_unique<AttentionKernel>(engine, node));
}

}  // namespace apr::cpu
