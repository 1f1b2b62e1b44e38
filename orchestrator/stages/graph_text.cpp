// The graph for reading at a terminal. A model is many equal layers; each run of equal ones is
// shown once, with its numbers.
#include <algorithm>
#include <optional>
#include <vector>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/stages/graph_report.h"

namespace apr {

namespace {

std::uint64_t count_of(const Json& number) {
  return static_cast<std::uint64_t>(number.as_integer());
}

/// "enc.layer3.mlp.up" in parts.
struct LayerName {
  std::string before;  ///< "enc.layer"
  std::uint64_t number = 0;
  std::string after;  ///< ".mlp.up"
};

std::optional<LayerName> split(const std::string& name) {
  const auto [begin, end] = layer_number(name);
  if (begin == std::string::npos || end - begin > 9) return {};
  return LayerName{name.substr(0, begin), std::stoull(name.substr(begin, end - begin)),
                   name.substr(end)};
}

/// Nodes that follow one another and belong to one layer, or to none.
struct Block {
  std::optional<LayerName> layer;
  std::vector<const Json*> nodes;
  std::uint64_t times = 1;  ///< this and so many less one that follow are equal
};

bool same_layer(const std::optional<LayerName>& a, const std::optional<LayerName>& b) {
  if (!a || !b) return !a && !b;
  return a->before == b->before && a->number == b->number;
}

std::string dims_text(const Json& shape) {
  std::string text;
  for (const Json& dim : shape.as_array()) text += cat(text.empty() ? "" : "×", dim.as_integer());
  return text;
}

/// "256×256 bf16, 256 f32"
std::string weights_text(const Json& node) {
  std::string text;
  for (const Json& parameter : node["parameters"].as_array()) {
    text += cat(text.empty() ? "" : ", ", dims_text(parameter["shape"]), " ",
                parameter["type"].is_null() ? "missing" : parameter["type"].as_string());
  }
  return text;
}

/// An input as a node of `layer` sees it: names of its own layer without their beginning.
std::string seen_from(const std::optional<LayerName>& layer, const std::string& input) {
  const auto name = split(input);
  if (!layer || !name || name->before != layer->before) return input;
  if (name->number == layer->number) return name->after.substr(1);
  return name->number + 1 == layer->number ? "(layer before)" : input;
}

std::string inputs_text(const std::optional<LayerName>& layer, const Json& node) {
  std::string text;
  for (const Json& input : node["inputs"].as_array()) {
    text += cat(text.empty() ? "" : ", ", seen_from(layer, input.as_string()));
  }
  return text;
}

/// What must be equal for two layers to be shown as one. Where the first input of a layer comes
/// from is left out: the first layer's differs by nature.
std::string signature(const Block& block) {
  std::string text;
  for (const Json* node : block.nodes) {
    text += cat(split((*node)["name"].as_string())->after, "|", (*node)["op"].as_string(), "|",
                weights_text(*node), "|", (*node)["attributes"].dump(), "|", (*node)["cost"].dump(),
                "|");
    for (const Json& input : (*node)["inputs"].as_array()) {
      const auto name = split(input.as_string());
      const bool own = name && same_layer(name, block.layer);
      text += cat(own ? name->after : "outside", ",");
    }
    text += "\n";
  }
  return text;
}

std::vector<Block> blocks_of(const Json& report) {
  std::vector<Block> all;
  for (const Json& node : report["nodes"].as_array()) {
    const auto layer = split(node["name"].as_string());
    if (all.empty() || !same_layer(all.back().layer, layer)) all.push_back({layer, {}, 1});
    all.back().nodes.push_back(&node);
  }
  std::vector<Block> folded;
  std::string last;
  for (Block& block : all) {
    const std::string own = block.layer ? signature(block) : std::string();
    if (block.layer && !folded.empty() && folded.back().layer) {
      Block& before = folded.back();
      if (before.layer->before == block.layer->before &&
          before.layer->number + before.times == block.layer->number && last == own) {
        // The second layer shows where a layer's input comes from in general.
        if (before.times == 1) before.nodes = std::move(block.nodes);
        ++before.times;
        continue;
      }
    }
    last = own;
    folded.push_back(std::move(block));
  }
  return folded;
}

std::string title_of(const Block& block) {
  const LayerName& layer = *block.layer;
  const std::string scope = layer.before.substr(0, layer.before.size() - 5);  // without "layer"
  const std::string beginning = scope.empty() ? "" : cat(scope.substr(0, scope.size() - 1), ": ");
  if (block.times == 1) return cat(beginning, "layer ", layer.number);
  return cat(beginning, "layers ", layer.number, "-", layer.number + block.times - 1, ", ",
             block.times, " times");
}

std::string flops_text(std::uint64_t flops) {
  return flops == 0 ? "" : human_count(flops);
}

std::string value_text(const Json& value) {
  return cat(value["rows"].as_string(), " × ", count_of(value["features"]));
}

std::string output_text(const Json& node) {
  const JsonArray& outputs = node["outputs"].as_array();
  if (outputs.empty()) return {};
  std::string text = value_text(outputs.front());
  if (node.contains("cache")) text += " (cached)";
  return text;
}

std::string cost_line(const Json& report) {
  const std::uint64_t context = count_of(report["context"]);
  const bool whole = report["whole_sequences"].as_boolean() && !report.contains("frames");
  const std::string what = whole ? cat("A sequence of ", with_commas(context), " tokens")
                                 : cat("One token that sees ", with_commas(context), " positions");
  const Json& cost = report["cost"];
  return cat(what, ": ", human_count(count_of(cost["flops"])), " floating-point operations, ",
             human_bytes(count_of(cost["bytes"])), " moved\n");
}

std::string caches_line(const Json& report) {
  const JsonArray& caches = report["caches"].as_array();
  if (caches.empty()) return "No cache: every step holds whole sequences\n";
  std::uint64_t windows = 0;
  std::uint64_t cross = 0;
  std::uint64_t shortest = 0;
  std::uint64_t longest = 0;
  for (const Json& cache : caches) {
    if (const std::uint64_t window = count_of(cache["window"]); window > 0) {
      shortest = windows == 0 ? window : std::min(shortest, window);
      longest = std::max(longest, window);
      ++windows;
    }
    cross += cache["cross"].as_boolean() ? 1 : 0;
  }
  std::string text = cat("Cache: ", plural(caches.size(), "layer"), ", ",
                         human_bytes(count_of(report["cache_bytes_per_token"])), " per token");
  if (windows > 0) {
    text += cat(", ", windows, " of them keep ", shortest,
                shortest == longest ? std::string() : cat(" to ", longest), " positions");
  }
  if (cross > 0) text += cat(", ", cross, " of them hold an encoder's states");
  return text + "\n";
}

}  // namespace

std::string graph_as_text(const Json& report, Style style, std::size_t width) {
  const JsonArray& nodes = report["nodes"].as_array();
  std::string out = cat(style.bold(printable(report["name"].as_string())), ": ",
                        printable(report["architecture"].as_string()), ", ",
                        plural(count_of(report["total_nodes"]), "node"), ", ",
                        human_count(count_of(report["parameters"])), " parameters\n");
  out += cost_line(report);
  if (report.contains("encoder_cost")) {
    out += cat("The encoder, once per ", with_commas(count_of(report["frames"])),
               " frames: ", human_count(count_of(report["encoder_cost"]["flops"])),
               " floating-point operations, ",
               human_bytes(count_of(report["encoder_cost"]["bytes"])), " moved\n");
  }
  out += caches_line(report) + "\n";

  using Align = Table::Align;
  const bool narrow = width > 0 && width < 120;  // then where values come from is left out
  std::vector<Table::Column> columns = {{"node", Align::left}, {"op", Align::left}};
  if (!narrow) columns.push_back({"from", Align::left});
  for (const char* title : {"gives", "weights"}) columns.push_back({title, Align::left});
  for (const char* title : {"FLOPs", "moved"}) columns.push_back({title, Align::right});
  Table table(columns);
  const auto cut = [&](const std::string& text, std::size_t room) {
    return width == 0 ? text : shortened_inside(text, std::max<std::size_t>(room, 12));
  };
  for (const Block& block : blocks_of(report)) {
    if (block.layer) {
      std::vector<std::string> row(columns.size());
      row.front() = title_of(block);
      table.row(std::move(row));
    }
    for (const Json* node : block.nodes) {
      const std::string& name = (*node)["name"].as_string();
      const auto own = split(name);
      const std::string shown = own ? cat("  ", own->after.substr(1)) : name;
      std::vector<std::string> row = {printable(cut(shown, width / 4)), (*node)["op"].as_string()};
      if (!narrow) row.push_back(printable(cut(inputs_text(own, *node), width / 5)));
      row.push_back(output_text(*node));
      row.push_back(cut(weights_text(*node), width / 5));
      row.push_back(flops_text(count_of((*node)["cost"]["flops"])));
      row.push_back(human_bytes(count_of((*node)["cost"]["bytes"])));
      table.row(std::move(row));
    }
  }
  out += table.to_string(style);
  const std::uint64_t total = count_of(report["total_nodes"]);
  if (nodes.size() < total) {
    out += style.dim(cat(nodes.size(), " of ", plural(total, "node"))) + "\n";
  }
  return out;
}

}  // namespace apr
