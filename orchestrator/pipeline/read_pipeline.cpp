// From YAML to a Pipeline: the head of the file, parameters and outputs.
#include <array>

#include "orchestrator/pipeline/expression.h"
#include "orchestrator/pipeline/map_reader.h"

namespace apr::pipeline {
namespace {

class Reader {
 public:
  Reader(Pipeline& pipeline, Diagnostics& diagnostics)
      : pipeline_(pipeline), diagnostics_(diagnostics) {}

  void read(const YamlNode& root) {
    MapReader top(root, "the pipeline",
                  {"apiVersion", "kind", "name", "description", "requires", "params", "env",
                   "secrets", "resources", "defaults", "stages", "outputs", "report"},
                  {"policy"}, diagnostics_);
    if (root.kind != YamlNode::Kind::map) return;
    fixed(top, root, "apiVersion", "apr.dev/v1");
    fixed(top, root, "kind", "Pipeline");
    Position name_at = root.at;
    pipeline_.name = top.text("name", true, &name_at);
    if (!pipeline_.name.empty() && !is_identifier(pipeline_.name, true)) {
      diagnostics_.error(name_at, cat("'", pipeline_.name, "' cannot be a pipeline's name"),
                         "use letters, digits, '_' and '-'");
    }
    pipeline_.description = top.text("description", false);
    if (const YamlNode* requirements = top.map("requires")) read_requires(*requirements);
    if (const YamlNode* params = top.map("params")) read_params(*params);
    read_variables(top.member("env"), pipeline_.environment);
    read_variables(top.member("secrets"), pipeline_.secrets);
    if (const YamlMember* resources = top.member("resources")) {
      pipeline_.resources = read_resources(resources->value, "the pipeline", true, diagnostics_);
    }
    if (const YamlNode* defaults = top.map("defaults")) read_defaults(*defaults);
    if (top.member("stages") == nullptr) {
      diagnostics_.error(root.at, "the pipeline lacks 'stages'", "there is nothing to run");
    }
    if (const YamlNode* stages = top.map("stages")) read_stages(*stages, pipeline_, diagnostics_);
    if (const YamlNode* outputs = top.map("outputs")) read_outputs(*outputs);
    if (const YamlNode* report = top.map("report")) read_report(*report, pipeline_, diagnostics_);
  }

 private:
  void fixed(MapReader& top, const YamlNode& root, std::string_view key, std::string_view wanted) {
    Position at = root.at;
    const std::size_t errors = diagnostics_.errors();
    const std::string value = top.text(key, true, &at);
    if (diagnostics_.errors() == errors && value != wanted) {
      diagnostics_.error(at, cat("'", key, "' is '", value, "'"), cat("write ", wanted));
    }
  }

  void read_requires(const YamlNode& node) {
    MapReader reader(node, "requires", {"apr"}, {"plugins"}, diagnostics_);
    Position at = node.at;
    const std::string range = reader.text("apr", false, &at);
    if (range.empty()) return;
    const auto inside = version_in_range(APR_VERSION, range);
    if (!inside) {
      diagnostics_.error(at, cat("'", range, "' is not a range of versions"),
                         "write for example \">=0.1 <1\"");
    } else if (!*inside) {
      diagnostics_.error(at, cat("the pipeline requires apr ", range, ", this is ", APR_VERSION),
                         "use a fitting version of apr, or change the range");
    }
  }

  void read_defaults(const YamlNode& node) {
    MapReader reader(node, "defaults", {"seed", "timeout", "retry", "resources"}, {}, diagnostics_);
    read_conduct(reader, "defaults", pipeline_.defaults, diagnostics_);
    const YamlMember* seed = reader.member("seed");
    if (seed == nullptr) return;
    if (seed->value.kind != YamlNode::Kind::integer) {
      diagnostics_.error(seed->value.at,
                         cat("'seed' must be an integer, not ", seed->value.kind_name()));
      return;
    }
    pipeline_.seed = seed->value.to_json().as_integer();
  }

  /// Names of environment variables: `env` and `secrets`.
  void read_variables(const YamlMember* member, std::vector<Name>& names) {
    if (member == nullptr) return;
    if (member->value.kind != YamlNode::Kind::list) {
      diagnostics_.error(member->value.at,
                         cat("'", member->key, "' must be a list of environment variables, not ",
                             member->value.kind_name()),
                         cat("write for example: ", member->key, ": [HF_HOME]"));
      return;
    }
    for (const YamlNode& item : member->value.items) {
      if (!item.is_text() || !is_identifier(item.text, false)) {
        diagnostics_.error(item.at, cat("'", item.text, "' is not the name of a variable"),
                           "write its name only; its value comes from the environment");
        continue;
      }
      const auto known = [&](const Name& name) { return name.text == item.text; };
      if (std::ranges::any_of(pipeline_.environment, known) ||
          std::ranges::any_of(pipeline_.secrets, known)) {
        diagnostics_.error(item.at, cat("'", item.text, "' is listed twice"));
        continue;
      }
      names.push_back({item.text, item.at});
    }
  }

  void read_params(const YamlNode& node) {
    for (const YamlMember& member : node.members) {
      if (!is_identifier(member.key, true)) {
        diagnostics_.error(member.at, cat("'", member.key, "' cannot be a parameter's name"),
                           "use letters, digits, '_' and '-'");
        continue;
      }
      ParamSpec spec;
      spec.at = member.at;
      spec.param.name = member.key;
      read_param(member.value, spec);
      pipeline_.params.push_back(std::move(spec));
    }
  }

  void read_param(const YamlNode& node, ParamSpec& spec) {
    const std::string what = cat("parameter '", spec.param.name, "'");
    MapReader reader(node, what, {"type", "default", "range", "choices", "help"}, {}, diagnostics_);
    if (node.kind != YamlNode::Kind::map) return;
    static constexpr std::array<std::pair<std::string_view, ParamType>, 7> kTypes{{
        {"string", ParamType::text},
        {"integer", ParamType::integer},
        {"float", ParamType::number},
        {"boolean", ParamType::boolean},
        {"path", ParamType::text},
        {"bytes", ParamType::bytes},
        {"choice", ParamType::choice},
    }};
    Position type_at = node.at;
    spec.type = reader.text("type", true, &type_at);
    const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const auto& entry) { return entry.first == spec.type; });
    if (type == kTypes.end()) {
      if (!spec.type.empty()) {
        Names names;
        for (const auto& entry : kTypes) names.emplace_back(entry.first);
        diagnostics_.error(type_at, cat("unknown type '", spec.type, "' of ", what),
                           suggestion(spec.type, names, "types"));
      }
      return;
    }
    spec.param.type = type->second;
    spec.is_path = spec.type == "path";
    spec.param.help = reader.text("help", false);
    read_choices(reader, what, type_at, spec);
    read_range(reader, what, spec);
    const YamlMember* fallback = reader.member("default");
    if (fallback == nullptr) return;
    spec.optional = true;
    const Json value = fallback->value.to_json();
    if (value.is_null()) return;
    if (value.is_string() && value.as_string().find("${") != std::string::npos) {
      diagnostics_.error(fallback->value.at, cat("the default of ", what, " holds a reference"),
                         "defaults are plain values");
      return;
    }
    auto checked = check_param(spec.param, value);
    if (!checked) {
      diagnostics_.error(fallback->value.at,
                         cat("the default of ", what, ": ", checked.error().message),
                         checked.error().hint);
      return;
    }
    spec.param.fallback = *std::move(checked);
  }

  void read_choices(MapReader& reader, const std::string& what, Position type_at, ParamSpec& spec) {
    const YamlMember* choices = reader.member("choices");
    const bool wanted = spec.param.type == ParamType::choice;
    if (choices == nullptr) {
      if (wanted) diagnostics_.error(type_at, cat(what, " of type choice lacks 'choices'"));
      return;
    }
    if (!wanted) {
      diagnostics_.error(choices->at, cat("'choices' of ", what, " of type ", spec.type),
                         "only type choice has choices");
      return;
    }
    if (choices->value.kind != YamlNode::Kind::list || choices->value.items.empty()) {
      diagnostics_.error(choices->value.at, cat("'choices' of ", what, " must be a list of texts"));
      return;
    }
    for (const YamlNode& item : choices->value.items) {
      if (!item.is_text()) {
        diagnostics_.error(item.at,
                           cat("a choice of ", what, " must be a text, not ", item.kind_name()),
                           item.is_scalar() ? "quote it" : "");
      } else {
        spec.param.choices.push_back(item.text);
      }
    }
  }

  void read_range(MapReader& reader, const std::string& what, ParamSpec& spec) {
    const YamlMember* range = reader.member("range");
    if (range == nullptr) return;
    const bool numeric = spec.type == "integer" || spec.type == "float";
    if (!numeric) {
      diagnostics_.error(range->at, cat("'range' of ", what, " of type ", spec.type),
                         "only integer and float have a range");
      return;
    }
    const std::vector<YamlNode>& items = range->value.items;
    const auto bound = [](const YamlNode& node) {
      return node.kind == YamlNode::Kind::integer || node.kind == YamlNode::Kind::number ||
             node.kind == YamlNode::Kind::null;
    };
    if (range->value.kind != YamlNode::Kind::list || items.size() != 2 || !bound(items[0]) ||
        !bound(items[1])) {
      diagnostics_.error(range->value.at, cat("'range' of ", what, " must be [minimum, maximum]"),
                         "null leaves a side open");
      return;
    }
    if (items[0].kind != YamlNode::Kind::null) spec.param.minimum = items[0].to_json().as_number();
    if (items[1].kind != YamlNode::Kind::null) spec.param.maximum = items[1].to_json().as_number();
    if (spec.param.minimum && spec.param.maximum && *spec.param.minimum > *spec.param.maximum) {
      diagnostics_.error(range->value.at, cat("'range' of ", what, " is empty"), "");
    }
  }

  void read_outputs(const YamlNode& node) {
    for (const YamlMember& member : node.members) {
      const std::string what = cat("output '", member.key, "'");
      MapReader reader(member.value, what, {"from", "to"}, {}, diagnostics_);
      if (member.value.kind != YamlNode::Kind::map) continue;
      OutputSpec output;
      output.name = member.key;
      output.at = member.at;
      output.to_at = member.value.at;
      reader.text("from", true);
      if (const YamlMember* from = reader.member("from")) output.from = from->value;
      output.to = reader.text("to", true, &output.to_at);
      add_output(std::move(output));
    }
  }

  /// `from: ${stages.x[*].output}` with `${matrix.AXIS}` in `to` is one output per combination.
  void add_output(OutputSpec output) {
    Problem problem;
    const auto from =
        output.from.is_text() ? TextTemplate::parse(output.from.text, problem) : std::nullopt;
    const auto references = from ? from->references() : std::vector<Reference>{};
    const bool wide = references.size() == 1 && from->is_single() && references[0].of_stage();
    const auto chosen = wide ? pipeline_.select(references[0], {}, problem) : std::nullopt;
    if (!chosen || !chosen->list) {
      pipeline_.outputs.push_back(std::move(output));
      return;
    }
    for (const std::size_t index : chosen->stages) {
      OutputSpec one = output;
      one.stage = pipeline_.stages[index].name;
      one.name += one.stage.substr(pipeline_.stages[index].group.size());
      pipeline_.outputs.push_back(std::move(one));
    }
  }

  Pipeline& pipeline_;
  Diagnostics& diagnostics_;
};

}  // namespace

Pipeline read_pipeline(const YamlNode& root, std::string_view file, std::string_view folder,
                       Diagnostics& diagnostics) {
  Pipeline pipeline;
  pipeline.file = file;
  pipeline.folder = folder;
  Reader(pipeline, diagnostics).read(root);
  return pipeline;
}

}  // namespace apr::pipeline
