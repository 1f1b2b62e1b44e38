#include "core/graph/builder.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"

namespace apr {

namespace {

constexpr std::size_t kMaxNodes = std::size_t{1} << 20;

std::string_view type_name(const AttributeValue& value) {
  constexpr std::string_view names[] = {"integer", "number", "flag", "text", "list of numbers"};
  return names[value.index()];
}

}  // namespace

GraphBuilder::Scope GraphBuilder::scope(std::string_view prefix) {
  const std::size_t size = prefix_.size();
  prefix_ += prefix;
  return {*this, size};
}

void GraphBuilder::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void GraphBuilder::fail_node(const Node& node, std::string message, std::string hint) {
  fail(make_error(ErrorCode::load, std::move(message),
                  cat("node ", node.name, " (", node.op == nullptr ? "?" : node.op->name, ")"),
                  std::move(hint)));
}

std::optional<ValueId> GraphBuilder::new_value(std::string name, ValueType type,
                                               std::optional<NodeId> producer) {
  const auto id = static_cast<ValueId>(graph_.values_.size());
  if (!values_by_name_.emplace(name, id).second) {
    fail(make_error(ErrorCode::load, cat("two values have the name ", name)));
    return std::nullopt;
  }
  graph_.values_.push_back({std::move(name), type, producer});
  return id;
}

ValueId GraphBuilder::token_ids() {
  return input("token_ids", {Element::i32, Rows::tokens, 1});
}

ValueId GraphBuilder::positions() {
  return input("positions", {Element::i32, Rows::tokens, 1});
}

ValueId GraphBuilder::state_positions() {
  return input("state_positions", {Element::i32, Rows::states, 1});
}

ValueId GraphBuilder::input(std::string_view name, ValueType type) {
  if (error_) return 0;
  if (const auto found = values_by_name_.find(name); found != values_by_name_.end()) {
    const Value& value = graph_.values_[found->second];
    if (!value.producer && value.type == type) return found->second;
    fail(make_error(ErrorCode::load, cat("two values have the name ", name)));
    return 0;
  }
  const auto id = new_value(std::string(name), type, std::nullopt);
  if (!id) return 0;
  graph_.inputs_.push_back(*id);
  return *id;
}

ParameterId GraphBuilder::parameter(std::string_view tensor, Shape shape, std::string_view tied_to,
                                    std::vector<Transform> transforms) {
  if (error_) return 0;
  auto& known = parameters_by_tensor_[std::string(tensor)];
  for (const ParameterId id : known) {
    const Parameter& parameter = graph_.parameters_[id];
    if (parameter.transforms != transforms) continue;
    if (parameter.shape == shape && parameter.tied_to == tied_to) return id;
    fail(make_error(ErrorCode::load,
                    cat("the tensor is used with shape ", parameter.shape.to_string(),
                        " and with shape ", shape.to_string()),
                    cat("tensor ", tensor)));
    return 0;
  }
  const auto id = static_cast<ParameterId>(graph_.parameters_.size());
  graph_.parameters_.push_back(
      {std::string(tensor), shape, std::string(tied_to), std::move(transforms)});
  known.push_back(id);
  return id;
}

CacheId GraphBuilder::cache(CacheDecl decl) {
  if (error_) return 0;
  if (decl.element != Type::f32 && decl.element != Type::f16) {
    fail(make_error(
        ErrorCode::unsupported,
        cat("cache ", decl.name, " cannot hold elements of type ", name_of(decl.element)), {},
        "f32 and f16 can be held"));
    return 0;
  }
  graph_.caches_.push_back(std::move(decl));
  return static_cast<CacheId>(graph_.caches_.size() - 1);
}

bool GraphBuilder::complete_attributes(Node& node, std::vector<Attribute> given) {
  for (const Attribute& attribute : given) {
    const auto& specs = node.op->attributes;
    const auto spec = std::find_if(specs.begin(), specs.end(), [&](const AttributeSpec& candidate) {
      return candidate.name == attribute.name;
    });
    if (spec == specs.end()) {
      fail_node(node, cat("the op has no attribute ", attribute.name));
      return false;
    }
    if (spec->fallback.index() != attribute.value.index()) {
      fail_node(node, cat("attribute ", attribute.name, " is a ", type_name(attribute.value),
                          ", the op wants a ", type_name(spec->fallback)));
      return false;
    }
  }
  for (const AttributeSpec& spec : node.op->attributes) {
    const auto found = std::find_if(given.begin(), given.end(), [&](const Attribute& attribute) {
      return attribute.name == spec.name;
    });
    if (found == given.end() && spec.required) {
      fail_node(node, cat("attribute ", spec.name, " is missing"));
      return false;
    }
    node.attributes.push_back(
        {std::string(spec.name), found == given.end() ? spec.fallback : std::move(found->value)});
  }
  return true;
}

bool GraphBuilder::check_references(const Node& node) {
  const OpRow& op = *node.op;
  if (node.inputs.size() != op.inputs.size()) {
    fail_node(node,
              cat("the node has ", node.inputs.size(), " inputs, the op takes ", op.inputs.size()));
    return false;
  }
  const auto required = static_cast<std::size_t>(
      std::count_if(op.parameters.begin(), op.parameters.end(),
                    [](const ParameterSpec& spec) { return !spec.optional; }));
  if (node.parameters.size() < required || node.parameters.size() > op.parameters.size()) {
    fail_node(
        node,
        cat("the node has ", node.parameters.size(), " parameters, the op takes ", required,
            required == op.parameters.size() ? std::string() : cat(" to ", op.parameters.size())));
    return false;
  }
  const bool inputs_exist = std::all_of(node.inputs.begin(), node.inputs.end(),
                                        [&](ValueId id) { return id < graph_.values_.size(); });
  const bool parameters_exist =
      std::all_of(node.parameters.begin(), node.parameters.end(),
                  [&](ParameterId id) { return id < graph_.parameters_.size(); });
  if (!inputs_exist || !parameters_exist) {
    fail_node(node, "an input or parameter is not of this graph");
    return false;
  }
  if (node.cache && (!op.uses_cache || *node.cache >= graph_.caches_.size())) {
    fail_node(node, op.uses_cache ? "the cache is not of this graph" : "the op uses no cache");
    return false;
  }
  return true;
}

std::vector<ValueId> GraphBuilder::node(std::string_view op, std::string_view name,
                                        std::vector<ValueId> inputs,
                                        std::vector<ParameterId> parameters,
                                        std::vector<Attribute> attributes,
                                        std::optional<CacheId> cache) {
  const OpRow* row = find_op(op);
  const std::vector<ValueId> nothing(row == nullptr ? 1 : row->outputs.size(), 0);
  if (error_) return nothing;

  Node node;
  node.op = row;
  node.name = full_name(name);
  node.inputs = std::move(inputs);
  node.parameters = std::move(parameters);
  node.cache = cache;
  if (row == nullptr) {
    fail(make_error(ErrorCode::unsupported, cat("there is no op named ", op),
                    cat("node ", node.name)));
    return nothing;
  }
  if (graph_.nodes_.size() >= kMaxNodes) {
    fail_node(node, cat("the graph has more than ", kMaxNodes, " nodes"));
    return nothing;
  }
  if (!complete_attributes(node, std::move(attributes)) || !check_references(node)) return nothing;

  auto types = row->infer(draft_of(graph_, node));
  if (!types) {
    fail(std::move(types).error().within(cat("node ", node.name, " (", row->name, ")")));
    return nothing;
  }
  const auto node_id = static_cast<NodeId>(graph_.nodes_.size());
  for (std::size_t i = 0; i < types->size(); ++i) {
    std::string value_name = i == 0 ? node.name : cat(node.name, "_", row->outputs[i]);
    const auto id = new_value(std::move(value_name), (*types)[i], node_id);
    if (!id) return nothing;
    node.outputs.push_back(*id);
  }
  if (row->uses_cache && !node.cache && types->front().rows == Rows::tokens) {
    graph_.sees_whole_sequences_ = true;
  }
  auto outputs = node.outputs;
  graph_.nodes_.push_back(std::move(node));
  return outputs;
}

ValueId GraphBuilder::embedding(std::string_view name, ValueId ids, ParameterId table) {
  return node("embedding", name, {ids}, {table}).front();
}

ValueId GraphBuilder::rms_norm(std::string_view name, ValueId x, ParameterId weight,
                               double epsilon) {
  return node("rms_norm", name, {x}, {weight}, {{"epsilon", epsilon}}).front();
}

ValueId GraphBuilder::layer_norm(std::string_view name, ValueId x, ParameterId weight,
                                 std::optional<ParameterId> bias, double epsilon) {
  std::vector<ParameterId> parameters{weight};
  if (bias) parameters.push_back(*bias);
  return node("layer_norm", name, {x}, std::move(parameters), {{"epsilon", epsilon}}).front();
}

ValueId GraphBuilder::linear(std::string_view name, ValueId x, ParameterId weight,
                             std::optional<ParameterId> bias) {
  std::vector<ParameterId> parameters{weight};
  if (bias) parameters.push_back(*bias);
  return node("linear", name, {x}, std::move(parameters)).front();
}

ValueId GraphBuilder::rope(std::string_view name, ValueId x, ValueId positions,
                           const RopeSpec& spec) {
  return node("rope", name, {x, positions}, {},
              {{"head_dim", std::int64_t{spec.head_dim}},
               {"rotary_dim", std::int64_t{spec.rotary_dim}},
               {"interleaved", spec.interleaved},
               {"inverse_frequencies", spec.inverse_frequencies},
               {"attention_factor", spec.attention_factor}})
      .front();
}

ValueId GraphBuilder::attention(std::string_view name, ValueId q, ValueId k, ValueId v,
                                const AttentionSpec& spec, std::optional<CacheId> cache) {
  return node("attention", name, {q, k, v}, {},
              {{"num_attention_heads", std::int64_t{spec.num_attention_heads}},
               {"num_key_value_heads", std::int64_t{spec.num_key_value_heads}},
               {"head_dim", std::int64_t{spec.head_dim}},
               {"scale", spec.scale},
               {"causal", spec.causal},
               {"window", std::int64_t{spec.window}}},
              cache)
      .front();
}

ValueId GraphBuilder::silu_mul(std::string_view name, ValueId gate, ValueId up) {
  return node("silu_mul", name, {gate, up}, {}).front();
}

ValueId GraphBuilder::gelu(std::string_view name, ValueId x, bool tanh_form) {
  return node("gelu", name, {x}, {}, {{"approximation", std::string(tanh_form ? "tanh" : "none")}})
      .front();
}

ValueId GraphBuilder::tanh(std::string_view name, ValueId x) {
  return node("tanh", name, {x}, {}).front();
}

ValueId GraphBuilder::add(std::string_view name, ValueId a, ValueId b) {
  return node("add", name, {a, b}, {}).front();
}

ValueId GraphBuilder::select_logit_rows(std::string_view name, ValueId x) {
  return node("select_logit_rows", name, {x}, {}).front();
}

ValueId GraphBuilder::conv1d(std::string_view name, ValueId x, ParameterId weight,
                             std::optional<ParameterId> bias, std::uint32_t stride) {
  std::vector<ParameterId> parameters{weight};
  if (bias) parameters.push_back(*bias);
  const std::uint32_t frames_per_state = graph_.facts_.frames_per_state;
  if (!error_ && stride != 1 && stride != frames_per_state) {
    fail(make_error(ErrorCode::load, cat("stride ", stride, " is neither 1 nor the ",
                                         frames_per_state, " frames that make a state")));
  }
  return node("conv1d", name, {x}, std::move(parameters), {{"stride", std::int64_t{stride}}})
      .front();
}

ValueId GraphBuilder::first_of_sequence(std::string_view name, ValueId x) {
  return node("first_of_sequence", name, {x}, {}).front();
}

void GraphBuilder::output(ValueId value, std::string_view name) {
  if (error_) return;
  if (value >= graph_.values_.size()) {
    fail(make_error(ErrorCode::load, "an output is not of this graph"));
    return;
  }
  graph_.outputs_.push_back(value);
  if (!name.empty()) graph_.output_names_.emplace_back(name, value);
}

Result<Graph> GraphBuilder::build() && {
  if (error_) return *std::move(error_);
  if (graph_.outputs_.empty()) return make_error(ErrorCode::load, "the graph has no output");
  return std::move(graph_);
}

}  // namespace apr
