#include "orchestrator/stages/graph_report.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <variant>
#include <vector>

#include "core/base/cat.h"
#include "core/graph/op.h"
#include "core/runtime/bind.h"

namespace apr {

namespace {

Json dims_of(const Shape& shape) {
  Json dims = Json::array();
  for (const std::uint64_t dim : shape.dims()) dims.push_back(dim);
  return dims;
}

Json attribute_as_json(const AttributeValue& value) {
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) {
    Json list = Json::array();
    for (const double number : *numbers) list.push_back(number);
    return list;
  }
  if (const auto* text = std::get_if<std::string>(&value)) return Json(*text);
  if (const auto* flag = std::get_if<bool>(&value)) return Json(*flag);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return Json(*integer);
  return Json(std::get<double>(value));
}

std::string transform_text(const Transform& transform) {
  if (transform.kind == Transform::Kind::transpose) return "transpose";
  return cat("rows ", transform.begin, " to ", transform.end);
}

/// The part of the stored bytes that a parameter stands for, as a view: enough to count them.
TensorView share_of(const Parameter& parameter, const TensorEntry& entry) {
  TensorView view = entry.view;
  const std::uint64_t stored = entry.view.shape.elements();
  const std::uint64_t wanted = parameter.shape.elements();
  if (stored > wanted && wanted > 0) {
    const double share = static_cast<double>(wanted) / static_cast<double>(stored);
    view.data = view.data.first(
        static_cast<std::size_t>(static_cast<double>(view.data.size()) * share + 0.5));
  }
  view.shape = parameter.shape;
  return view;
}

class Reporter {
 public:
  Reporter(const Graph& graph, const Package& package, std::uint64_t context)
      : graph_(graph),
        package_(package),
        counts_(counts_of(graph, context)),
        bound_(bind(graph, package)) {}

  Json run(const std::string& pattern) {
    Json nodes = Json::array();
    for (const Node& node : graph_.nodes()) {
      const Cost cost = cost_of_node(node);
      add_total(node, cost);
      if (!matches_name(node.name, pattern)) continue;
      nodes.push_back(node_as_json(node, cost));
    }
    Json report = Json::object({{"architecture", graph_.facts().architecture},
                                {"layers", graph_.facts().num_hidden_layers},
                                {"parameters", package_.parameter_count()},
                                {"whole_sequences", graph_.sees_whole_sequences()}});
    report.set("total_nodes", std::uint64_t{graph_.nodes().size()});
    report.set("inputs", values_as_json(graph_.inputs()));
    report.set("outputs", values_as_json(graph_.outputs()));
    report.set("caches", caches_as_json());
    report.set("cache_bytes_per_token", cache_bytes_);
    report.set("cost", cost_as_json(step_));
    if (graph_.facts().max_frames > 0) {
      report.set("frames", graph_.facts().max_frames);
      report.set("encoder_cost", cost_as_json(encoder_));
    }
    report.set("nodes", std::move(nodes));
    return report;
  }

 private:
  static RowCounts counts_of(const Graph& graph, std::uint64_t context) {
    RowCounts counts;
    const bool whole = graph.sees_whole_sequences() && graph.facts().max_frames == 0;
    counts.tokens = whole ? context : 1;
    counts.logit_rows = counts.tokens;
    counts.context = context;
    counts.sequences = 1;
    counts.pairs = counts.tokens * context;
    counts.frames = graph.facts().max_frames;
    counts.states = graph.facts().states_of(counts.frames);
    counts.state_pairs = counts.states * counts.states;
    counts.cross_pairs = counts.tokens * counts.states;
    return counts;
  }

  Cost cost_of_node(const Node& node) const {
    return cost_of(draft_of(graph_, node, bound_), graph_, counts_);
  }

  /// Views by ParameterId; of float32 where a tensor is missing.
  static std::vector<TensorView> bind(const Graph& graph, const Package& package) {
    std::vector<TensorView> bound;
    for (const Parameter& parameter : graph.parameters()) {
      const TensorEntry* entry = find_tensor(graph, package, parameter);
      bound.push_back(entry == nullptr ? TensorView{Type::f32, parameter.shape, {}, kRowsLayout}
                                       : share_of(parameter, *entry));
    }
    return bound;
  }

  /// Frames and states are read once per audio, everything else once per step.
  void add_total(const Node& node, const Cost& cost) {
    const Rows rows =
        node.outputs.empty() ? Rows::tokens : graph_.value(node.outputs.front()).type.rows;
    Cost& total = rows == Rows::frames || rows == Rows::states ? encoder_ : step_;
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }

  static Json cost_as_json(const Cost& cost) {
    return Json::object({{"flops", static_cast<std::uint64_t>(cost.flops)},
                         {"bytes", static_cast<std::uint64_t>(cost.bytes)}});
  }

  Json value_as_json(ValueId id) const {
    const Value& value = graph_.value(id);
    return Json::object({{"name", value.name},
                         {"rows", name_of(value.type.rows)},
                         {"features", value.type.features},
                         {"element", value.type.element == Element::f32 ? "f32" : "i32"}});
  }

  Json values_as_json(std::span<const ValueId> ids) const {
    Json list = Json::array();
    for (const ValueId id : ids) list.push_back(value_as_json(id));
    return list;
  }

  Json parameter_as_json(const Parameter& parameter) const {
    Json json = Json::object({{"tensor", parameter.tensor}, {"shape", dims_of(parameter.shape)}});
    const TensorEntry* entry = find_tensor(graph_, package_, parameter);
    json.set("type", entry == nullptr ? Json() : Json(name_of(entry->view.type)));
    if (entry != nullptr) {
      json.set("bytes", std::uint64_t{share_of(parameter, *entry).data.size()});
      if (entry->name != parameter.tensor) json.set("stored_as", entry->name);
      if (!entry->alias_of.empty()) json.set("stored_as", entry->alias_of);
    }
    if (!parameter.transforms.empty()) {
      Json list = Json::array();
      for (const Transform& step : parameter.transforms) list.push_back(transform_text(step));
      json.set("transforms", std::move(list));
    }
    return json;
  }

  Json node_as_json(const Node& node, const Cost& cost) const {
    Json json = Json::object({{"name", node.name}, {"op", node.op->name}});
    Json inputs = Json::array();
    for (const ValueId id : node.inputs) inputs.push_back(graph_.value(id).name);
    json.set("inputs", std::move(inputs));
    json.set("outputs", values_as_json(node.outputs));
    Json parameters = Json::array();
    for (const ParameterId id : node.parameters) {
      parameters.push_back(parameter_as_json(graph_.parameter(id)));
    }
    json.set("parameters", std::move(parameters));
    Json attributes = Json::object();
    for (const Attribute& attribute : node.attributes) {
      attributes.set(attribute.name, attribute_as_json(attribute.value));
    }
    json.set("attributes", std::move(attributes));
    if (node.cache) json.set("cache", graph_.caches()[*node.cache].name);
    json.set("cost", cost_as_json(cost));
    return json;
  }

  Json caches_as_json() {
    Json list = Json::array();
    for (const CacheDecl& cache : graph_.caches()) {
      const std::uint64_t bytes = std::uint64_t{2} * cache.num_key_value_heads * cache.head_dim *
                                  (cache.element == Type::f16 ? 2 : 4);
      if (!cache.cross) cache_bytes_ += bytes;
      list.push_back(Json::object({{"name", cache.name},
                                   {"num_key_value_heads", cache.num_key_value_heads},
                                   {"head_dim", cache.head_dim},
                                   {"window", cache.window},
                                   {"cross", cache.cross},
                                   {"element", name_of(cache.element)},
                                   {"bytes_per_position", bytes}}));
    }
    return list;
  }

  const Graph& graph_;
  const Package& package_;
  RowCounts counts_;
  std::vector<TensorView> bound_;
  Cost step_;
  Cost encoder_;
  std::uint64_t cache_bytes_ = 0;
};

}  // namespace

bool matches_name(const std::string& name, const std::string& pattern) {
  if (pattern.find_first_of("*?[") == std::string::npos) {
    return name.find(pattern) != std::string::npos;
  }
  return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

std::pair<std::size_t, std::size_t> layer_number(std::string_view name) {
  constexpr std::string_view kWord = "layer";
  std::size_t at = 0;
  while ((at = name.find(kWord, at)) != std::string_view::npos) {
    const std::size_t begin = at + kWord.size();
    const std::size_t end = std::min(name.find_first_not_of("0123456789", begin), name.size());
    const bool starts_a_part = at == 0 || name[at - 1] == '.';
    if (starts_a_part && end > begin && end < name.size() && name[end] == '.') return {begin, end};
    at = begin;
  }
  return {std::string_view::npos, std::string_view::npos};
}

Json graph_as_json(const Graph& graph, const Package& package, std::uint64_t context,
                   const std::string& pattern) {
  Json report = Reporter(graph, package, context).run(pattern);
  report.set("context", context);
  return report;
}

}  // namespace apr
