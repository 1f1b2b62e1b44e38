// The graph of a run as SVG. Layers by the longest way from a stage that waits for nothing; edges
// that another way implies are left out; an edge over several layers passes through a place of its
// own in each; and a few sweeps put every node near the middle of its neighbours (Sugiyama's method
// in its simplest form).
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/pipeline/html_report.h"

namespace apr::pipeline {
namespace {

constexpr double kWidth = 192;
constexpr double kHeight = 58;
constexpr double kGapX = 18;
constexpr double kGapY = 44;
constexpr double kPassage = 22;  ///< width of an edge's place in a layer it passes
constexpr std::size_t kSweeps = 8;

struct Node {
  int stage = -1;  ///< -1: the passage of an edge
  std::size_t layer = 0;
  double x = 0;  ///< of the middle
  std::vector<std::size_t> up;
  std::vector<std::size_t> down;
  double width() const { return stage < 0 ? kPassage : kWidth; }
};

class Graph {
 public:
  explicit Graph(const JsonArray& stages) : stages_(stages) {
    std::map<std::string, std::size_t> index;
    for (std::size_t i = 0; i < stages.size(); ++i) index[stages[i]["name"].as_string()] = i;
    after_.resize(stages.size());
    for (std::size_t i = 0; i < stages.size(); ++i) {
      for (const Json& name : stages[i]["after"].as_array()) {
        const auto found = index.find(name.as_string());
        if (found != index.end() && found->second != i) after_[i].insert(found->second);
      }
    }
    find_layers();
    leave_out_implied();
    make_nodes();
    arrange();
  }

  /// Drawn no smaller than can be read on a phone, where a wide one is moved by hand.
  std::string svg() const {
    double width = 0;
    for (const Node& node : nodes_) width = std::max(width, node.x + node.width() / 2);
    width += 8;
    const double height = static_cast<double>(layers_.size()) * (kHeight + kGapY) - kGapY + 16;
    std::string out = cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ",
                          fixed(width, 0), " ", fixed(height, 0), "\" width=\"", fixed(width, 0),
                          "\" height=\"", fixed(height, 0), "\" style=\"min-width:",
                          fixed(std::min(width, widest() > 3    ? 760.0
                                                : widest() == 3 ? 440.0
                                                                : 320.0),
                                0),
                          "px\" role=\"img\" aria-label=\"graph of the stages\">");
    for (const Node& node : nodes_) {
      if (node.stage >= 0) out += edges_from(node);
    }
    for (const Node& node : nodes_) {
      if (node.stage >= 0) out += box(node);
    }
    return out + "</svg>";
  }
  std::size_t widest() const {
    std::size_t most = 0;
    for (const auto& layer : layers_) most = std::max(most, layer.size());
    return most;
  }

 private:
  void find_layers() {
    layer_.assign(stages_.size(), 0);
    // As many rounds as the longest way; a record with a cycle (there is none in a run) still ends.
    for (std::size_t round = 0; round < stages_.size(); ++round) {
      bool changed = false;
      for (std::size_t i = 0; i < stages_.size(); ++i) {
        for (const std::size_t other : after_[i]) {
          if (layer_[i] > layer_[other] || layer_[other] + 1 >= stages_.size()) continue;
          layer_[i] = layer_[other] + 1;
          changed = true;
        }
      }
      if (!changed) break;
    }
  }

  bool leads_to(std::size_t from, std::size_t to, std::set<std::size_t>& seen) const {
    for (const std::size_t other : after_[to]) {
      if (layer_[other] >= layer_[to]) continue;
      if (other == from) return true;
      if (seen.insert(other).second && leads_to(from, other, seen)) return true;
    }
    return false;
  }

  void leave_out_implied() {
    shown_.resize(stages_.size());
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      for (const std::size_t one : after_[i]) {
        if (layer_[one] >= layer_[i]) continue;
        const bool implied =
            std::any_of(after_[i].begin(), after_[i].end(), [&](std::size_t other) {
              std::set<std::size_t> seen;
              return other != one && layer_[other] < layer_[i] && leads_to(one, other, seen);
            });
        if (!implied) shown_[i].insert(one);
      }
    }
  }

  void make_nodes() {
    std::size_t depth = 0;
    for (const std::size_t layer : layer_) depth = std::max(depth, layer + 1);
    layers_.resize(depth);
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      layers_[layer_[i]].push_back(nodes_.size());
      Node node;
      node.stage = static_cast<int>(i);
      node.layer = layer_[i];
      nodes_.push_back(std::move(node));
    }
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      for (const std::size_t one : shown_[i]) {
        std::size_t last = one;
        for (std::size_t layer = layer_[one] + 1; layer < layer_[i]; ++layer) {
          const std::size_t passage = nodes_.size();
          Node node;
          node.layer = layer;
          nodes_.push_back(std::move(node));
          layers_[layer].push_back(passage);
          join(last, passage);
          last = passage;
        }
        join(last, i);
      }
    }
  }

  void join(std::size_t upper, std::size_t lower) {
    nodes_[upper].down.push_back(lower);
    nodes_[lower].up.push_back(upper);
  }

  double middle(const std::vector<std::size_t>& of, double otherwise) const {
    if (of.empty()) return otherwise;
    double sum = 0;
    for (const std::size_t node : of) sum += nodes_[node].x;
    return sum / static_cast<double>(of.size());
  }

  void arrange() {
    for (auto& layer : layers_) pack(layer);
    for (std::size_t sweep = 0; sweep < kSweeps; ++sweep) {
      const bool downward = sweep % 2 == 0;
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        auto& layer = layers_[downward ? i : layers_.size() - 1 - i];
        for (const std::size_t node : layer) {
          nodes_[node].x = middle(downward ? nodes_[node].up : nodes_[node].down, nodes_[node].x);
        }
        std::sort(layer.begin(), layer.end(), [&](std::size_t a, std::size_t b) {
          return nodes_[a].x != nodes_[b].x ? nodes_[a].x < nodes_[b].x : a < b;
        });
        spread(layer);
      }
    }
    double left = 1e9;
    for (const Node& node : nodes_) left = std::min(left, node.x - node.width() / 2);
    for (Node& node : nodes_) node.x += 8 - left;
  }

  void pack(std::vector<std::size_t>& layer) {
    double x = 0;
    for (const std::size_t node : layer) {
      nodes_[node].x = x + nodes_[node].width() / 2;
      x += nodes_[node].width() + kGapX;
    }
  }

  /// Keeps the order and what space there must be, moving as little as possible: neighbours that
  /// would overlap form a block around their common middle.
  void spread(std::vector<std::size_t>& layer) {
    struct Block {
      std::vector<std::size_t> nodes;
      double width = 0;
      double wish = 0;  ///< sum of wished left edges
      double left() const { return wish / static_cast<double>(nodes.size()); }
    };
    std::vector<Block> blocks;
    for (const std::size_t node : layer) {
      Block block;
      block.nodes = {node};
      block.width = nodes_[node].width() + kGapX;
      block.wish = nodes_[node].x - nodes_[node].width() / 2;
      blocks.push_back(std::move(block));
      while (blocks.size() > 1) {
        Block& before = blocks[blocks.size() - 2];
        const Block& last = blocks.back();
        if (before.left() + before.width <= last.left()) break;
        before.wish += last.wish - static_cast<double>(last.nodes.size()) * before.width;
        before.width += last.width;
        before.nodes.insert(before.nodes.end(), last.nodes.begin(), last.nodes.end());
        blocks.pop_back();
      }
    }
    for (const Block& block : blocks) {
      double x = block.left();
      for (const std::size_t node : block.nodes) {
        nodes_[node].x = x + nodes_[node].width() / 2;
        x += nodes_[node].width() + kGapX;
      }
    }
  }

  static double top(const Node& node) {
    return 8 + static_cast<double>(node.layer) * (kHeight + kGapY);
  }

  /// One path for each edge, through its passages.
  std::string edges_from(const Node& from) const {
    std::string out;
    for (const std::size_t first : from.down) {
      double y = top(from) + kHeight;
      std::string path = cat("M", fixed(from.x, 1), " ", fixed(y, 1));
      double x = from.x;
      const Node* node = &nodes_[first];
      while (true) {
        const double to = top(*node);
        const double bend = (to - y) / 2;
        path += cat("C", fixed(x, 1), " ", fixed(y + bend, 1), " ", fixed(node->x, 1), " ",
                    fixed(to - bend, 1), " ", fixed(node->x, 1), " ", fixed(to, 1));
        if (node->stage >= 0) break;
        y = to + kHeight;
        x = node->x;
        path += cat("L", fixed(x, 1), " ", fixed(y, 1));
        node = &nodes_[node->down.front()];
      }
      out += cat("<path d=\"", path,
                 "\" fill=\"none\" stroke=\"var(--mute)\" stroke-width=\"1.5\" opacity=\".6\"/>");
    }
    return out;
  }

  static std::string_view colour(const Json& stage) {
    const std::string& state = stage["state"].as_string();
    if (stage["allowed"].as_boolean()) return "warn";
    if (state == "ran") return "good";
    if (state == "cached") return "calm";
    if (state == "failed") return "bad";
    return "mute";
  }

  std::string box(const Node& node) const {
    const Json& stage = stages_[static_cast<std::size_t>(node.stage)];
    const std::string_view tone = colour(stage);
    const double x = node.x - kWidth / 2;
    const double y = top(node);
    std::string second = cat(stage["uses"].as_string(), " · ", stage["state"].as_string());
    if (stage["state"].as_string() == "ran") {
      second += cat(" · ", human_seconds(stage["seconds"].as_number()));
    }
    std::size_t passed = 0;
    const JsonArray& gates = stage["gates"].as_array();
    for (const Json& gate : gates) passed += gate["passed"].as_boolean() ? 1 : 0;
    std::string out = cat(
        "<a href=\"#stage-", node.stage, "\"><g><rect x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1),
        "\" width=\"", fixed(kWidth, 0), "\" height=\"", fixed(kHeight, 0),
        "\" rx=\"10\" fill=\"var(--", tone, "bg)\" stroke=\"var(--", tone,
        ")\" stroke-width=\"1.5\"/><text x=\"", fixed(x + 12, 1), "\" y=\"", fixed(y + 24, 1),
        "\" font-size=\"14\" font-weight=\"600\" fill=\"var(--ink)\">",
        escape_html(shortened_inside(stage["name"].as_string(), gates.empty() ? 20 : 14)),
        "</text><text x=\"", fixed(x + 12, 1), "\" y=\"", fixed(y + 43, 1),
        "\" font-size=\"12\" fill=\"var(--soft)\">", escape_html(shortened(second, 27)), "</text>");
    if (!gates.empty()) {
      const bool all = passed == gates.size();
      out += cat("<text x=\"", fixed(x + kWidth - 10, 1), "\" y=\"", fixed(y + 24, 1),
                 "\" font-size=\"12\" font-weight=\"600\" text-anchor=\"end\" fill=\"var(--",
                 all ? "good" : "bad", ")\">", all ? "✓" : "✗", " ", passed, "/", gates.size(),
                 "</text>");
    }
    out += cat("<title>", escape_html(stage["name"].as_string()), "</title></g></a>");
    return out;
  }

  const JsonArray& stages_;
  std::vector<std::set<std::size_t>> after_;
  std::vector<std::set<std::size_t>> shown_;
  std::vector<std::size_t> layer_;
  std::vector<Node> nodes_;
  std::vector<std::vector<std::size_t>> layers_;
};

/// Beyond this a picture explains nothing.
constexpr std::size_t kMostStages = 300;

}  // namespace

std::string graph_svg(const Json& run) {
  const JsonArray& stages = run["stages"].as_array();
  if (stages.empty() || stages.size() > kMostStages) return {};
  const Graph graph(stages);
  return cat("<div class=\"card scroll graph\">", graph.svg(), "</div>");
}

}  // namespace apr::pipeline
