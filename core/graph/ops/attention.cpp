// Attention: scores, softmax and weighted sum of one node. Queries of head h use key/value head
// h / (heads / kv_heads). Queries are tokens or states; keys and values are
//
//   without a cache      the rows of the step that belong to the same sequence
//   with a cache         the tokens the sequence held, then those of the step
//   with a cross cache   the states of the sequence: the step's if it encodes its frames, else
//   those
//                        that an earlier step left there
//
// A causal query at position p sees the keys at positions <= p, with a window w the last w of them,
// itself included; a query that is not causal sees all.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"
#include "core/runtime/batch.h"
#include "core/runtime/kv_cache.h"

namespace apr::ops {

namespace {

/// What the node's probabilities are counted by, which says what queries and keys are.
Result<Rows> infer_pairs(const NodeDraft& draft) {
  const Rows queries = draft.inputs[0]->type.rows;
  if (draft.cache != nullptr && queries != Rows::tokens) {
    return misfit(cat(describe_input(draft, 0), " must have one row per token to use a cache"));
  }
  APR_TRY(expect_same_rows(draft, 1, 2));
  if (draft.cache != nullptr && draft.cache->cross) {
    if (draft.inputs[1]->type.rows != Rows::states) {
      return misfit(cat(describe_input(draft, 1), " must have one row per state to go into cache ",
                        draft.cache->name));
    }
    if (draft.node->flag("causal")) return misfit("attention to states cannot be causal");
    return Rows::cross_pairs;
  }
  APR_TRY(expect_same_rows(draft, 0, 1));
  if (queries == Rows::tokens) return Rows::pairs;
  if (queries != Rows::states) {
    return misfit(cat(describe_input(draft, 0), " must have one row per token or state"));
  }
  if (draft.node->flag("causal")) return misfit("attention among states cannot be causal");
  return Rows::state_pairs;
}

Result<std::vector<ValueType>> infer_attention(const NodeDraft& draft) {
  for (std::size_t i = 0; i < 3; ++i) APR_TRY(expect_element(draft, i, Element::f32));
  APR_ASSIGN(const Rows pairs, infer_pairs(draft));
  APR_TRY(expect_count(draft, "num_attention_heads", kMaxCount));
  APR_TRY(expect_count(draft, "num_key_value_heads", kMaxCount));
  APR_TRY(expect_count(draft, "head_dim", kMaxCount));
  const std::int64_t heads = draft.node->integer("num_attention_heads");
  const std::int64_t kv_heads = draft.node->integer("num_key_value_heads");
  const std::int64_t head_dim = draft.node->integer("head_dim");
  if (heads % kv_heads != 0) {
    return misfit(
        cat("num_attention_heads ", heads, " is not a multiple of num_key_value_heads ", kv_heads));
  }
  const auto q_features = static_cast<std::uint64_t>(heads * head_dim);
  const auto kv_features = static_cast<std::uint64_t>(kv_heads * head_dim);
  APR_TRY(expect_features(draft, 0, q_features, "num_attention_heads * head_dim"));
  APR_TRY(expect_features(draft, 1, kv_features, "num_key_value_heads * head_dim"));
  APR_TRY(expect_features(draft, 2, kv_features, "num_key_value_heads * head_dim"));
  const std::int64_t window = draft.node->integer("window");
  if (window < 0 || window > std::numeric_limits<std::int32_t>::max()) {
    return misfit(cat("attribute window is ", window));
  }
  const double scale = draft.node->number("scale");
  if (!std::isfinite(scale) || scale <= 0) return misfit(cat("attribute scale is ", scale));
  if (window > 0 && !draft.node->flag("causal")) {
    return misfit("a window needs causal attention");
  }
  if (draft.cache != nullptr) {
    if (draft.cache->num_key_value_heads != kv_heads || draft.cache->head_dim != head_dim) {
      return misfit(cat("cache ", draft.cache->name, " holds ", draft.cache->num_key_value_heads,
                        " heads of ", draft.cache->head_dim, " features, the node has ", kv_heads,
                        " of ", head_dim));
    }
    if (draft.cache->window != 0 && (window == 0 || draft.cache->window < window)) {
      return misfit(cat("cache ", draft.cache->name, " keeps ", draft.cache->window,
                        " positions, the node looks at ", window == 0 ? "all" : cat(window)));
    }
  }
  const ValueType& q = draft.inputs[0]->type;
  return std::vector<ValueType>{q, {Element::f32, pairs, static_cast<std::uint64_t>(heads)}};
}

/// Keys or values of one sequence: position and key/value head -> head_dim floats.
class Memory {
 public:
  /// Rows of the step; position p of the sequence is row `first_row` + p.
  Memory(const RowsView& rows, std::size_t first_row, std::size_t head_dim)
      : rows_(&rows), first_row_(first_row), head_dim_(head_dim) {}
  /// Pages; `offset` is where keys or values start in a page.
  Memory(const KvPages& pages, std::size_t offset, Type element, std::size_t head_dim)
      : pages_(pages), offset_(offset), head_dim_(head_dim), element_(element) {}

  void load(std::size_t position, std::size_t head, std::span<float> out) const {
    if (rows_ != nullptr) {
      const float* from = row_of(*rows_, first_row_ + position) + head * head_dim_;
      std::copy(from, from + head_dim_, out.begin());
      return;
    }
    const std::byte* from = at(position, head);
    if (element_ == Type::f32) {
      std::memcpy(out.data(), from, head_dim_ * sizeof(float));
      return;
    }
    for (std::size_t i = 0; i < head_dim_; ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, from + 2 * i, sizeof bits);
      out[i] = f16_to_f32(bits);
    }
  }
  void store(std::size_t position, std::size_t head, const float* values) const {
    std::byte* to = at(position, head);
    if (element_ == Type::f32) {
      std::memcpy(to, values, head_dim_ * sizeof(float));
      return;
    }
    for (std::size_t i = 0; i < head_dim_; ++i) {
      const std::uint16_t bits = f32_to_f16(values[i]);
      std::memcpy(to + 2 * i, &bits, sizeof bits);
    }
  }

 private:
  std::byte* at(std::size_t position, std::size_t head) const {
    const std::size_t page = position / pages_.page_positions - pages_.first_page;
    const std::size_t slot = position % pages_.page_positions;
    const std::size_t element_bytes = element_ == Type::f32 ? 4 : 2;
    return pages_.pages[page] + offset_ +
           (head * pages_.page_positions + slot) * head_dim_ * element_bytes;
  }
  const RowsView* rows_ = nullptr;
  std::size_t first_row_ = 0;
  KvPages pages_;
  std::size_t offset_ = 0;
  std::size_t head_dim_ = 0;
  Type element_ = Type::f32;
};

struct Dims {
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t head_dim;
  std::size_t window;
  double scale;
  bool causal;
};

/// One query of one head over positions [begin, end): probabilities into `weights`, the sum into
/// `out`.
void attend(const Dims& dims, const float* query, std::size_t kv_head, std::size_t begin,
            std::size_t end, const Memory& keys, const Memory& values, std::vector<double>& weights,
            std::vector<float>& scratch, float* out) {
  weights.assign(end - begin, 0);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t p = begin; p < end; ++p) {
    keys.load(p, kv_head, scratch);
    double dot = 0;
    for (std::size_t i = 0; i < dims.head_dim; ++i) {
      dot += static_cast<double>(query[i]) * static_cast<double>(scratch[i]);
    }
    weights[p - begin] = dot * dims.scale;
    largest = std::max(largest, weights[p - begin]);
  }
  double total = 0;
  for (double& weight : weights) {
    weight = std::exp(weight - largest);
    total += weight;
  }
  for (double& weight : weights) weight /= total;
  std::vector<double> sums(dims.head_dim, 0);
  for (std::size_t p = begin; p < end; ++p) {
    values.load(p, kv_head, scratch);
    for (std::size_t i = 0; i < dims.head_dim; ++i) {
      sums[i] += weights[p - begin] * static_cast<double>(scratch[i]);
    }
  }
  for (std::size_t i = 0; i < dims.head_dim; ++i) out[i] = static_cast<float>(sums[i]);
}

/// Keys and values of a sequence in the node's cache.
std::pair<Memory, Memory> cached(const KernelCall& call, SequenceId sequence, const Dims& dims) {
  const CacheId cache = *call.node->cache;
  const KvPages pages = call.cache->pages(cache, sequence);
  const Type element = call.graph->caches()[cache].element;
  const std::size_t half = size_of(call.cache->page_bytes(cache) / 2);
  return {Memory(pages, 0, element, dims.head_dim), Memory(pages, half, element, dims.head_dim)};
}

/// The step's states become what the cache holds of their sequences.
void keep_states(const KernelCall& call, const Dims& dims) {
  for (const RowSegment& segment :
       segments_of(*call.graph, *call.batch, *call.cache, Rows::state_pairs)) {
    const auto [keys, values] = cached(call, segment.sequence, dims);
    for (std::size_t state = 0; state < segment.rows; ++state) {
      for (std::size_t head = 0; head < dims.kv_heads; ++head) {
        const std::size_t offset = head * dims.head_dim;
        keys.store(state, head, row_of(call.inputs[1], segment.begin + state) + offset);
        values.store(state, head, row_of(call.inputs[2], segment.begin + state) + offset);
      }
    }
  }
}

Status reference_attention(const KernelCall& call) {
  const Batch& batch = *call.batch;
  const Node& node = *call.node;
  const RowsView& q = call.inputs[0];
  const RowsView& k = call.inputs[1];
  const RowsView& v = call.inputs[2];
  const RowsView& out = call.outputs[0];
  const Dims dims{size_of(node.integer("num_attention_heads")),
                  size_of(node.integer("num_key_value_heads")),
                  size_of(node.integer("head_dim")),
                  size_of(node.integer("window")),
                  node.number("scale"),
                  node.flag("causal")};
  const std::size_t group = dims.heads / dims.kv_heads;
  float* probabilities = call.outputs.size() > 1 ? call.outputs[1].f32 : nullptr;
  std::vector<double> weights;
  std::vector<float> scratch(dims.head_dim);

  const bool cross = node.cache && call.graph->caches()[*node.cache].cross;
  if (cross) keep_states(call, dims);
  const Rows pairs = call.graph->value(node.outputs.back()).type.rows;
  for (const RowSegment& segment : segments_of(*call.graph, batch, *call.cache, pairs)) {
    const std::size_t begin = size_of(segment.begin);
    const std::size_t rows = size_of(segment.rows);
    const std::size_t context = size_of(segment.keys);
    if (!node.cache && segment.first_position != 0) {
      return make_error(ErrorCode::inference,
                        "attention without a cache sees whole sequences only, from position 0 on");
    }
    Memory keys(k, begin, dims.head_dim);
    Memory values(v, begin, dims.head_dim);
    if (node.cache) {
      std::tie(keys, values) = cached(call, segment.sequence, dims);
      for (std::size_t t = 0; t < rows && !cross; ++t) {
        for (std::size_t head = 0; head < dims.kv_heads; ++head) {
          const std::size_t position = size_of(segment.first_position) + t;
          keys.store(position, head, row_of(k, begin + t) + head * dims.head_dim);
          values.store(position, head, row_of(v, begin + t) + head * dims.head_dim);
        }
      }
    }
    for (std::size_t t = 0; t < rows; ++t) {
      const std::size_t position = size_of(segment.first_position) + t;
      const std::size_t visible_end = dims.causal ? position + 1 : context;
      const std::size_t visible_begin =
          dims.window > 0 && visible_end > dims.window ? visible_end - dims.window : 0;
      for (std::size_t head = 0; head < dims.heads; ++head) {
        const std::size_t offset = head * dims.head_dim;
        attend(dims, row_of(q, begin + t) + offset, head / group, visible_begin, visible_end, keys,
               values, weights, scratch, row_of(out, begin + t) + offset);
        if (probabilities == nullptr) continue;
        float* row = probabilities + (head * rows + t) * context;
        std::fill(row, row + context, 0.0F);
        for (std::size_t p = visible_begin; p < visible_end; ++p) {
          row[p] = static_cast<float>(weights[p - visible_begin]);
        }
      }
    }
    if (probabilities != nullptr) probabilities += dims.heads * rows * context;
  }
  return {};
}

Cost cost_attention(const NodeDraft& draft, double rows, double context) {
  const auto q_features = static_cast<double>(draft.inputs[0]->type.features);
  const auto kv_features = static_cast<double>(draft.inputs[1]->type.features);
  const auto window = static_cast<double>(draft.node->integer("window"));
  const double seen = window > 0 ? std::min(window, context) : context;
  const double element = draft.cache != nullptr && draft.cache->element == Type::f16 ? 2 : 4;
  return {rows * seen * q_features * 4,
          rows * row_bytes_moved(draft, q_features) + seen * 2 * kv_features * element};
}

}  // namespace

std::vector<OpRow> attention_ops() {
  return {{
      .name = "attention",
      .summary =
          "probs = softmax(scale * q . k) over the visible positions; out = sum of probs * v; "
          "with a cache the step's keys and values are put into it first",
      .inputs = {"q", "k", "v"},
      .parameters = {},
      .attributes = {{"num_attention_heads", std::int64_t{0}, true},
                     {"num_key_value_heads", std::int64_t{0}, true},
                     {"head_dim", std::int64_t{0}, true},
                     {"scale", 0.0, true},
                     {"causal", true},
                     {"window", std::int64_t{0}}},
      .outputs = {"out", "probs"},
      .uses_cache = true,
      .infer = infer_attention,
      .reference = reference_attention,
      .cost = cost_attention,
  }};
}

}  // namespace apr::ops
