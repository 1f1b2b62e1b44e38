// A model's compute graph as a report, and the report as text and as a drawing for Graphviz.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/json.h"
#include "core/graph/graph.h"
#include "core/package/package.h"
#include "orchestrator/cli/terminal.h"

namespace apr {

/// Nodes with their values, parameters (with the types they are stored in), caches and costs.
/// Costs are those of one token that sees `context` positions, itself included; of a model that
/// sees whole sequences, those of a sequence of `context` tokens. An encoder of frames counts as
/// many as the model was made for. `pattern` chooses nodes: a shell pattern or a part of the name.
Json graph_as_json(const Graph& graph, const Package& package, std::uint64_t context,
                   const std::string& pattern);

/// Equal layers that follow one another are shown once. width 0: nothing is shortened.
std::string graph_as_text(const Json& report, Style style, std::size_t width);
/// In the language of Graphviz, a cluster per layer.
std::string graph_as_dot(const Json& report);

/// True if `name` matches: a shell pattern (*, ?, [...]), or a part of the name; "" matches all.
bool matches_name(const std::string& name, const std::string& pattern);

/// "layer3." in "enc.layer3.mlp.up": where the number is, as (begin, end), or (npos, npos).
std::pair<std::size_t, std::size_t> layer_number(std::string_view name);

}  // namespace apr
