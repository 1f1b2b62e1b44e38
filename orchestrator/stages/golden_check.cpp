#include "orchestrator/stages/golden_check.h"

#include <algorithm>
#include <iterator>

#include "core/base/cat.h"
#include "core/runtime/bind.h"

namespace apr {

namespace {

/// For weights of at least so many bits per element. Measured on the two trained models, and about
/// doubled; see docs/golden-traces.md.
struct TypeLimit {
  double bits;
  double relative_rms;
  std::size_t top_overlap;
};
constexpr TypeLimit kTypeLimits[] = {{8.0, 0.03, 9}, {6.0, 0.1, 8}, {5.0, 0.25, 7}, {0.0, 0.4, 6}};
constexpr TypeLimit kHalfLimit = {16.0, 0.002, 9};
constexpr TypeLimit kBrainLimit = {16.0, 0.015, 9};

TypeLimit limit_for(Type weights) {
  if (weights == Type::f16) return kHalfLimit;
  if (weights == Type::bf16) return kBrainLimit;
  const double bits = bits_per_element(weights);
  return *std::find_if(std::begin(kTypeLimits), std::end(kTypeLimits),
                       [bits](const TypeLimit& limit) { return bits >= limit.bits; });
}

Json ids_json(const std::vector<TokenId>& ids) {
  Json list = Json::array();
  for (const TokenId id : ids) list.push_back(std::int64_t{id});
  return list;
}

}  // namespace

GoldenTolerance tolerance_for(Type weights, bool type_aware) {
  GoldenTolerance tolerance;
  if (weights == Type::f32 || (!traits(weights).quantized && !type_aware)) return tolerance;
  const TypeLimit limit = limit_for(weights);
  tolerance.type_aware = true;
  tolerance.relative_rms = limit.relative_rms;
  tolerance.top_overlap = limit.top_overlap;
  return tolerance;
}

Type coarsest_weight_type(const Model& model) {
  Type coarsest = Type::f32;
  for (const Parameter& parameter : model.graph().parameters()) {
    const TensorEntry* entry = find_tensor(model.graph(), model.package(), parameter);
    if (entry == nullptr) continue;
    const Type type = entry->view.type;
    if (bits_per_element(type) < bits_per_element(coarsest)) coarsest = type;
  }
  return coarsest;
}

bool PromptCheck::passed() const {
  const auto passed = [](const NodeCheck& node) { return node.passed; };
  const bool nodes_passed = std::all_of(nodes.begin(), nodes.end(), passed) &&
                            std::all_of(controls.begin(), controls.end(), passed);
  return ids.value_or(true) && nodes_passed && top_passed && greedy_passed.value_or(true);
}

Json to_json(const PromptCheck& check) {
  Json json = Json::object({{"prompt", check.prompt}, {"passed", check.passed()}});
  if (!check.is_audio) {
    Json ids = Json::object({{"checked", check.ids.has_value()}});
    if (check.ids) ids.set("passed", *check.ids);
    if (!check.ids_problem.empty()) ids.set("problem", check.ids_problem);
    json.set("tokenizer", std::move(ids));
  }
  Json nodes = Json::array();
  for (const NodeCheck& node : check.nodes) nodes.push_back(to_json(node));
  json.set("nodes", std::move(nodes));
  if (!check.controls.empty()) {
    Json controls = Json::array();
    for (const NodeCheck& control : check.controls) controls.push_back(to_json(control));
    json.set("controls", std::move(controls));
  }
  if (!check.top_reference.empty()) {
    json.set("top", Json::object({{"passed", check.top_passed},
                                  {"reference", ids_json(check.top_reference)},
                                  {"found", ids_json(check.top_found)},
                                  {"common", std::uint64_t{check.top_common}}}));
  }
  if (check.greedy_compared > 0) {
    Json greedy = Json::object({{"compared", std::uint64_t{check.greedy_compared}},
                                {"equal", std::uint64_t{check.greedy_equal}}});
    if (check.greedy_passed) greedy.set("passed", *check.greedy_passed);
    json.set("greedy", std::move(greedy));
  }
  return json;
}

}  // namespace apr
