// apr graph: what a model computes, as its architecture describes it.
#include <ostream>

#include "core/base/cat.h"
#include "core/runtime/model.h"
#include "orchestrator/stages/graph_report.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::uint64_t kContext = 256;

VerbInfo describe() {
  VerbInfo info;
  info.name = "graph";
  info.summary = "show what a model computes: nodes, shapes, costs";
  info.details =
      "Built from the config and the tensor index alone; no weight is read. As text, equal layers "
      "that follow one another are shown once. FLOPs and bytes moved (weights, inputs, outputs, "
      "cached keys and values, each once) are those of one token that sees --context positions; "
      "of a model that sees whole sequences only, those of such a sequence.\n\n"
      "--format dot is for Graphviz: apr graph m.apr --format dot | dot -Tsvg -o m.svg";
  info.params.push_back(model_param());
  Param format;
  format.name = "format";
  format.type = ParamType::choice;
  format.choices = {"text", "dot", "json"};
  format.fallback = Json("text");
  format.help = "text to read, dot for Graphviz, json for other programs";
  info.params.push_back(std::move(format));
  info.params.push_back(
      text_param("nodes", "PATTERN",
                 "only nodes that match: a shell pattern (*, ?, [...]), or a part of the name"));
  Param context;
  context.name = "context";
  context.type = ParamType::integer;
  context.minimum = 1;
  context.help = "positions that the token sees; by default 256, or all there are if fewer";
  info.params.push_back(std::move(context));
  Param output = text_param("output", "FILE", "write to a file instead");
  output.role = ParamRole::output;
  output.letter = 'o';
  info.params.push_back(std::move(output));
  info.params.push_back(force_param());
  info.examples = {{"apr graph tiny.apr", "all of it"},
                   {"apr graph tiny.apr --nodes 'layer0.*'", "one layer"},
                   {"apr graph tiny.apr --format dot -o tiny.dot", "a drawing for Graphviz"}};
  info.metrics = {"flops", "bytes_moved", "cache_bytes_per_token"};
  return info;
}

Result<std::uint64_t> context_of(const Values& params, const ModelFacts& facts) {
  const std::uint64_t most = facts.max_position_embeddings;
  if (!params.has("context")) return most == 0 ? kContext : std::min<std::uint64_t>(kContext, most);
  const auto wanted = static_cast<std::uint64_t>(params.integer("context"));
  if (most == 0 || wanted <= most) return wanted;
  return make_error(
      ErrorCode::usage,
      cat("--context ", wanted, " is more than the ", most, " positions the model was made for"),
      {}, cat("use at most ", most));
}

std::string rendered(const Json& report, const std::string& format, Style style,
                     std::size_t width) {
  if (format == "dot") return graph_as_dot(report);
  if (format == "json") return report.dump(2) + "\n";
  return graph_as_text(report, style, width);
}

class GraphVerb final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const std::string& format = params.text("format");
    const bool to_file = params.has("output");
    if (context.json && format != "json" && format != "text" && !to_file) {
      return make_error(ErrorCode::usage, cat("--json and --format ", format, " contradict"), {},
                        "leave one of them out, or write the drawing to a file with -o");
    }
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    APR_ASSIGN(const std::uint64_t positions, context_of(params, graph.facts()));
    Json report = Json::object({{"model", params.text("model")}, {"name", model_name(package)}});
    const Json found = graph_as_json(graph, package, positions, params.text("nodes"));
    for (const auto& [key, value] : found.as_object()) report.set(key, value);
    report.set("flops", report["cost"]["flops"]);  // numbers that gates can name
    report.set("bytes_moved", report["cost"]["bytes"]);
    if (report["nodes"].size() == 0) {
      return make_error(ErrorCode::not_found,
                        cat("no node's name matches '", params.text("nodes"), "'"), package.path(),
                        cat("names look like ", some_names(graph)));
    }
    if (to_file) {
      const std::string& path = params.text("output");
      APR_ASSIGN(AtomicFile file, AtomicFile::create(path, params.flag("force")));
      APR_TRY(file.write(rendered(report, format, Style{}, 0)));
      APR_TRY(file.commit());
      report.set("output", path);
    }
    if (!context.json) report.set("format", format);  // for print()
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    if (report.contains("output")) {
      out << style.green("✓") << " " << printable(report["output"].as_string()) << "\n";
      return;
    }
    Json shown = report;
    const std::string format = report["format"].as_string();
    shown.erase("format");
    out << rendered(shown, format, style, is_terminal(1) ? terminal_width(1) : 0);
  }

 private:
  static std::string some_names(const Graph& graph) {
    std::string text;
    const std::size_t shown = std::min<std::size_t>(6, graph.nodes().size());
    for (const Node& node : graph.nodes().first(shown)) {
      text += cat(text.empty() ? "" : ", ", node.name);
    }
    return text;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_graph() {
  return std::make_unique<GraphVerb>();
}

}  // namespace apr
