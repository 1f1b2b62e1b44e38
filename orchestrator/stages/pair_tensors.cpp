#include "orchestrator/stages/pair_tensors.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/runtime/bind.h"

namespace apr {

namespace {

/// The tensor that stands in for a parameter of the graph that has none of its own.
const TensorEntry* stand_in(const std::optional<Graph>& graph, const Package& package,
                            const TensorEntry& other) {
  if (!graph) return nullptr;
  for (const Parameter& parameter : graph->parameters()) {
    if (parameter.tied_to.empty() || !other.name.ends_with(parameter.tensor)) continue;
    return find_tensor(*graph, package, parameter);
  }
  return nullptr;
}

}  // namespace

std::vector<TensorPair> pair_tensors(const std::optional<Graph>& graph, const Package& a,
                                     const Package& b) {
  std::map<std::string, TensorPair> pairs;
  std::set<const TensorEntry*> paired;
  if (graph) {
    for (const Parameter& parameter : graph->parameters()) {
      const TensorEntry* in_a = find_tensor(*graph, a, parameter.tensor);
      const TensorEntry* in_b = find_tensor(*graph, b, parameter.tensor);
      if (in_a == nullptr || in_b == nullptr || paired.contains(in_a)) continue;
      pairs[in_a->name] = {in_a->name, in_a, in_b};
      paired.insert({in_a, in_b});
    }
  }
  for (const TensorEntry& entry : a.tensors()) {
    if (paired.contains(&entry)) continue;
    const TensorEntry* other = b.find(entry.name);
    if (other != nullptr && paired.contains(other)) other = nullptr;
    if (other == nullptr) {
      if (!entry.alias_of.empty()) continue;
      other = stand_in(graph, b, entry);  // its own copy here, tied there
    } else {
      paired.insert(other);
    }
    pairs[entry.name] = {entry.name, &entry, other};
  }
  for (const TensorEntry& entry : b.tensors()) {
    if (paired.contains(&entry) || pairs.contains(entry.name)) continue;
    if (!entry.alias_of.empty()) continue;
    pairs[entry.name] = {entry.name, stand_in(graph, a, entry), &entry};
  }
  std::vector<TensorPair> list;
  for (auto& [name, pair] : pairs) {
    // Two that point at other tensors: those are compared.
    const bool both = pair.a != nullptr && pair.b != nullptr && !pair.a->alias_of.empty() &&
                      !pair.b->alias_of.empty();
    if (!both) list.push_back(std::move(pair));
  }
  return list;
}

}  // namespace apr
