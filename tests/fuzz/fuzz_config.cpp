// config.json: any bytes are refused, or an architecture makes a graph of them whose sizes can be
// trusted: every parameter has a size, every node refers to what is there.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/plugin/static_plugins.h"

namespace {

using namespace apr;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_graph(const Graph& graph) {
  const ModelFacts& facts = graph.facts();
  require(!facts.architecture.empty() && facts.hidden_size > 0 && facts.num_hidden_layers > 0);
  require(!graph.nodes().empty() && !graph.outputs().empty());
  for (const Parameter& parameter : graph.parameters()) {
    require(!parameter.tensor.empty() && parameter.shape.checked_elements().has_value());
  }
  for (const Node& node : graph.nodes()) {
    for (const ValueId id : node.inputs) require(id < graph.values().size());
    for (const ParameterId id : node.parameters) require(id < graph.parameters().size());
    if (node.cache) require(*node.cache < graph.caches().size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Registry registry = [] {
    Registry made;
    require(register_static_plugins(made).ok());
    return made;
  }();
  const auto config = parse_json({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!config) return 0;
  const auto architecture = registry.architecture_for(*config);
  if (!architecture) {
    require(!architecture.error().message.empty());
    return 0;
  }
  const auto graph = (*architecture)->build(*config, "config.json");
  if (!graph) {
    require(!graph.error().message.empty() && !graph.error().context.empty());
    return 0;
  }
  check_graph(*graph);
  return 0;
}
