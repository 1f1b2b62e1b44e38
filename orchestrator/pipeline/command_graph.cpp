// graph: the stages and what flows between them, for other programs to draw.
#include <algorithm>
#include <iostream>

#include "core/base/cat.h"
#include "orchestrator/pipeline/command_tools.h"

namespace apr::pipeline {
namespace {

std::string quoted(std::string_view text, std::string_view quote_mark) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '"') {
      out += quote_mark;
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      out += c;
    }
  }
  return out;
}

std::string gates_of(const StageSpec& stage) {
  std::string text;
  for (const GateSpec& gate : stage.gates) text += cat(text.empty() ? "" : ", ", gate.kind);
  return text;
}

/// Outputs of the pipeline that come from this stage.
std::vector<const OutputSpec*> outputs_of(const Pipeline& pipeline, std::size_t index) {
  std::vector<const OutputSpec*> found;
  for (const OutputSpec& output : pipeline.outputs) {
    Problem problem;
    const auto from = TextTemplate::parse(output.from.text, problem);
    if (!from) continue;
    for (const Reference& reference : from->references()) {
      const auto selection = pipeline.select(reference, {}, problem);
      if (!selection) continue;
      const auto& stages = selection->stages;
      const bool of_stage = output.stage.empty() || output.stage == pipeline.stages[index].name;
      if (of_stage && std::find(stages.begin(), stages.end(), index) != stages.end()) {
        found.push_back(&output);
      }
    }
  }
  return found;
}

void write_dot(const LoadedPipeline& loaded, std::ostream& out) {
  const Pipeline& pipeline = loaded.pipeline;
  out << "digraph \"" << quoted(pipeline.name, "\\\"") << "\" {\n"
      << "  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n";
  for (std::size_t i = 0; i < pipeline.stages.size(); ++i) {
    const StageSpec& stage = pipeline.stages[i];
    const std::string gates = gates_of(stage);
    out << "  s" << i << " [label=\"" << quoted(stage.name, "\\\"") << "\\n"
        << quoted(stage.uses, "\\\"");
    if (!gates.empty()) out << "\\ngates: " << quoted(gates, "\\\"");
    out << "\"];\n";
    for (const std::size_t other : loaded.checked.stages[i].dependencies) {
      out << "  s" << other << " -> s" << i << ";\n";
    }
  }
  for (std::size_t o = 0; o < pipeline.outputs.size(); ++o) {
    out << "  o" << o << " [shape=note, label=\"" << quoted(pipeline.outputs[o].name, "\\\"")
        << "\"];\n";
  }
  for (std::size_t i = 0; i < pipeline.stages.size(); ++i) {
    for (const OutputSpec* output : outputs_of(pipeline, i)) {
      out << "  s" << i << " -> o" << output - pipeline.outputs.data() << " [style=dashed];\n";
    }
  }
  out << "}\n";
}

void write_mermaid(const LoadedPipeline& loaded, std::ostream& out) {
  const Pipeline& pipeline = loaded.pipeline;
  out << "flowchart LR\n";
  for (std::size_t i = 0; i < pipeline.stages.size(); ++i) {
    const StageSpec& stage = pipeline.stages[i];
    const std::string gates = gates_of(stage);
    out << "  s" << i << "[\"" << quoted(stage.name, "#quot;") << "<br/>"
        << quoted(stage.uses, "#quot;");
    if (!gates.empty()) out << "<br/>gates: " << quoted(gates, "#quot;");
    out << "\"]\n";
    for (const std::size_t other : loaded.checked.stages[i].dependencies) {
      out << "  s" << other << " --> s" << i << "\n";
    }
  }
  for (std::size_t i = 0; i < pipeline.stages.size(); ++i) {
    for (const OutputSpec* output : outputs_of(pipeline, i)) {
      out << "  s" << i << " -.-> o" << output - pipeline.outputs.data() << "([\""
          << quoted(output->name, "#quot;") << "\"])\n";
    }
  }
}

Json as_json(const LoadedPipeline& loaded) {
  const Pipeline& pipeline = loaded.pipeline;
  Json stages = Json::array();
  for (std::size_t i = 0; i < pipeline.stages.size(); ++i) {
    const StageSpec& stage = pipeline.stages[i];
    Json json = Json::object({{"name", stage.name}, {"group", stage.group}, {"uses", stage.uses}});
    if (stage.matrix.size() > 0) json.set("matrix", stage.matrix);
    Json after = Json::array();
    for (const std::size_t other : loaded.checked.stages[i].dependencies) {
      after.push_back(pipeline.stages[other].name);
    }
    json.set("after", std::move(after));
    Json gates = Json::array();
    for (const GateSpec& gate : stage.gates) gates.push_back(gate.kind);
    json.set("gates", std::move(gates));
    Json outputs = Json::array();
    for (const OutputSpec* output : outputs_of(pipeline, i)) outputs.push_back(output->name);
    json.set("outputs", std::move(outputs));
    stages.push_back(std::move(json));
  }
  return Json::object({{"pipeline", pipeline.name}, {"stages", std::move(stages)}});
}

}  // namespace

int graph_command(const ParsedCommand& command) {
  int code = 0;
  const auto loaded = load_sound(command, command.params.texts("set"), code);
  if (!loaded) return code;
  const std::string& format = command.params.text("format");
  if (command.global.json || format == "json") {
    std::cout << as_json(*loaded).dump(2) << '\n';
  } else if (format == "dot") {
    write_dot(*loaded, std::cout);
  } else {
    write_mermaid(*loaded, std::cout);
  }
  return 0;
}

}  // namespace apr::pipeline
