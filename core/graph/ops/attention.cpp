// Attention: scores, softmax and weighted sum of one node, over paged keys and values or over the
// rows of the step itself. Queries of head h use key/value head h / (heads / kv_heads). A causal
// query at position p sees the keys at positions <= p, with a window w the last w of them, itself
// included; a query that is not causal sees all of its sequence.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/graph/ops/families.h"
#include "core/graph/ops/helpers.h"
#include "core/runtime/batch.h"
#include "core/runtime/kv_cache.h"

namespace apr::ops {

namespace {

Result<std::vector<ValueType>> infer_attention(const NodeDraft& draft) {
  for (std::size_t i = 0; i < 3; ++i) APR_TRY(expect_element(draft, i, Element::f32));
  APR_TRY(expect_same_rows(draft, 0, 1));
  APR_TRY(expect_same_rows(draft, 0, 2));
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
    if (draft.inputs[0]->type.rows != Rows::tokens) {
      return misfit(cat(describe_input(draft, 0), " must have one row per token to use a cache"));
    }
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
  return std::vector<ValueType>{q, {Element::f32, Rows::pairs, static_cast<std::uint64_t>(heads)}};
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

  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const auto first = static_cast<std::size_t>(batch.positions[begin]);
    const std::size_t tokens = end - begin;
    const std::size_t context = node.cache ? first + tokens : tokens;
    if (!node.cache && first != 0) {
      return make_error(ErrorCode::inference,
                        "attention without a cache sees whole sequences only, from position 0 on");
    }
    Memory keys(k, begin, dims.head_dim);
    Memory values(v, begin, dims.head_dim);
    if (node.cache) {
      const KvPages pages = call.cache->pages(*node.cache, batch.sequences[begin]);
      const Type element = call.graph->caches()[*node.cache].element;
      keys = Memory(pages, 0, element, dims.head_dim);
      values =
          Memory(pages, size_of(call.cache->page_bytes(*node.cache) / 2), element, dims.head_dim);
      for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t head = 0; head < dims.kv_heads; ++head) {
          keys.store(first + t, head, row_of(k, begin + t) + head * dims.head_dim);
          values.store(first + t, head, row_of(v, begin + t) + head * dims.head_dim);
        }
      }
    }
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::size_t position = context - tokens + t;
      const std::size_t visible_end = dims.causal ? position + 1 : context;
      const std::size_t visible_begin =
          dims.window > 0 && visible_end > dims.window ? visible_end - dims.window : 0;
      for (std::size_t head = 0; head < dims.heads; ++head) {
        const std::size_t offset = head * dims.head_dim;
        attend(dims, row_of(q, begin + t) + offset, head / group, visible_begin, visible_end, keys,
               values, weights, scratch, row_of(out, begin + t) + offset);
        if (probabilities == nullptr) continue;
        float* row = probabilities + (head * tokens + t) * context;
        std::fill(row, row + context, 0.0F);
        for (std::size_t p = visible_begin; p < visible_end; ++p) {
          row[p] = static_cast<float>(weights[p - visible_begin]);
        }
      }
    }
    if (probabilities != nullptr) probabilities += dims.heads * tokens * context;
    begin = end;
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
          "with a cache the step's keys and values are appended to it first",
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
