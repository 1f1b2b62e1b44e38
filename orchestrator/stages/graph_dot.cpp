// The graph in the language of Graphviz.
#include <map>
#include <set>
#include <string>

#include "core/base/cat.h"
#include "orchestrator/stages/graph_report.h"

namespace apr {

namespace {

/// Quoted as Graphviz reads it. Names come from files.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// The lines of a node's box, with Graphviz's own sign for a new line between them.
std::string label(const Json& node) {
  std::vector<std::string> lines = {node["name"].as_string(), node["op"].as_string()};
  for (const Json& parameter : node["parameters"].as_array()) {
    std::string shape;
    for (const Json& dim : parameter["shape"].as_array()) {
      shape += cat(shape.empty() ? "" : "×", dim.as_integer());
    }
    const Json& type = parameter["type"];
    lines.push_back(cat(parameter["tensor"].as_string(), " ", shape, " ",
                        type.is_null() ? "missing" : type.as_string()));
  }
  if (node.contains("cache")) lines.push_back(cat("cache ", node["cache"].as_string()));
  std::string text;
  for (const std::string& line : lines) {
    const std::string own = quoted(line);
    text += cat(text.empty() ? "" : "\\n", own.substr(1, own.size() - 2));
  }
  return cat("\"", text, "\"");
}

std::string_view colour(std::string_view op) {
  if (op == "linear" || op == "conv1d") return "#cfe3f7";
  if (op == "attention") return "#f7d9cf";
  if (op.find("norm") != op.npos) return "#e2f0d2";
  if (op == "embedding") return "#eadcf5";
  return "#f2f2f2";
}

}  // namespace

std::string graph_as_dot(const Json& report) {
  std::string out =
      "digraph model {\n"
      "  rankdir=TB;\n"
      "  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=10];\n"
      "  edge [fontname=\"sans-serif\", fontsize=8, color=\"#666666\"];\n";
  std::map<std::string, std::string> maker;  // value -> the node that makes it
  std::map<std::string, std::string> shape;
  for (const Json& input : report["inputs"].as_array()) {
    shape[input["name"].as_string()] =
        cat(input["rows"].as_string(), " × ", input["features"].as_integer());
  }
  const JsonArray& nodes = report["nodes"].as_array();
  std::map<std::string, std::vector<const Json*>> clusters;
  for (const Json& node : nodes) {
    for (const Json& output : node["outputs"].as_array()) {
      maker[output["name"].as_string()] = node["name"].as_string();
      shape[output["name"].as_string()] =
          cat(output["rows"].as_string(), " × ", output["features"].as_integer());
    }
    const std::string& name = node["name"].as_string();
    const std::size_t end = layer_number(name).second;
    clusters[end == std::string::npos ? std::string() : name.substr(0, end)].push_back(&node);
  }
  for (const auto& [layer, members] : clusters) {
    const bool boxed = !layer.empty();
    if (boxed) {
      out += cat("  subgraph ", quoted("cluster_" + layer), " {\n    label=", quoted(layer),
                 "; color=\"#bbbbbb\"; fontname=\"sans-serif\";\n");
    }
    for (const Json* node : members) {
      out +=
          cat(boxed ? "    " : "  ", quoted((*node)["name"].as_string()), " [label=", label(*node),
              ", fillcolor=\"", colour((*node)["op"].as_string()), "\"];\n");
    }
    if (boxed) out += "  }\n";
  }
  std::set<std::string> inputs;
  for (const Json& node : nodes) {
    for (const Json& input : node["inputs"].as_array()) {
      const std::string& value = input.as_string();
      const auto made = maker.find(value);
      const auto known = shape.find(value);
      if (made == maker.end() && known == shape.end()) continue;  // its maker was not chosen
      const std::string from = made == maker.end() ? "input " + value : made->second;
      if (made == maker.end() && inputs.insert(value).second) {
        out += cat("  ", quoted(from), " [label=", quoted(value),
                   ", shape=ellipse, fillcolor=\"#ffffff\"];\n");
      }
      out += cat("  ", quoted(from), " -> ", quoted(node["name"].as_string()),
                 " [label=", quoted(known->second), "];\n");
    }
  }
  return out + "}\n";
}

}  // namespace apr
