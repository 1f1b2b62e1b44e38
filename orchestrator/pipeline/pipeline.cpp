#include "orchestrator/pipeline/pipeline.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "orchestrator/pipeline/expression.h"

namespace apr::pipeline {
namespace {

using Names = std::vector<std::string>;

bool is_identifier(std::string_view word, bool dashes) {
  if (word.empty() || word.size() > 64) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (!letter(word[0]) && word[0] != '_') return false;
  return std::all_of(word.begin(), word.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '_' || (dashes && c == '-');
  });
}

/// Reads one map: says which keys there are, refuses the others, hands out values of the right
/// kind.
class MapReader {
 public:
  MapReader(const YamlNode& node, std::string_view what, Names known, Names later,
            Diagnostics& diagnostics)
      : node_(node), what_(what), diagnostics_(diagnostics) {
    if (node.kind != YamlNode::Kind::map) {
      diagnostics.error(node.at, cat(what, " must be a map, not ", node.kind_name()),
                        cat("known keys: ", join_names(known)));
      return;
    }
    for (const YamlMember& member : node.members) {
      if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
      if (std::find(later.begin(), later.end(), member.key) != later.end()) {
        diagnostics.error(member.at, cat("'", member.key, "' of ", what, " is not supported yet"),
                          "remove it");
        continue;
      }
      diagnostics.error(member.at, cat("unknown key '", member.key, "' in ", what),
                        suggestion(member.key, known, "keys"));
    }
  }

  const YamlMember* member(std::string_view key) const { return node_.find(key); }

  std::string text(std::string_view key, bool required, Position* at = nullptr) {
    const YamlMember* found = member(key);
    if (found == nullptr) {
      if (required && node_.kind == YamlNode::Kind::map) {
        diagnostics_.error(node_.at, cat(what_, " lacks '", key, "'"), "");
      }
      return {};
    }
    if (at != nullptr) *at = found->value.at;
    if (!found->value.is_text()) {
      diagnostics_.error(
          found->value.at,
          cat("'", key, "' of ", what_, " must be a text, not ", found->value.kind_name()),
          found->value.is_scalar() ? "quote it" : "");
      return {};
    }
    return found->value.text;
  }

  const YamlNode* map(std::string_view key) {
    const YamlMember* found = member(key);
    if (found == nullptr) return nullptr;
    if (found->value.kind == YamlNode::Kind::map) return &found->value;
    diagnostics_.error(found->value.at, cat("'", key, "' of ", what_, " must be a map, not ",
                                            found->value.kind_name()));
    return nullptr;
  }

 private:
  const YamlNode& node_;
  std::string what_;
  Diagnostics& diagnostics_;
};

void read_settings(const YamlNode& map, std::vector<Setting>& settings) {
  for (const YamlMember& member : map.members) {
    settings.push_back({member.key, member.at, member.value});
  }
}

class Reader {
 public:
  Reader(Pipeline& pipeline, Diagnostics& diagnostics)
      : pipeline_(pipeline), diagnostics_(diagnostics) {}

  void read(const YamlNode& root) {
    MapReader top(root, "the pipeline",
                  {"apiVersion", "kind", "name", "description", "requires", "params", "defaults",
                   "stages", "outputs"},
                  {"policy", "report", "resources", "secrets", "env"}, diagnostics_);
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
    if (const YamlNode* defaults = top.map("defaults")) read_defaults(*defaults);
    if (top.member("stages") == nullptr) {
      diagnostics_.error(root.at, "the pipeline lacks 'stages'", "there is nothing to run");
    }
    if (const YamlNode* stages = top.map("stages")) read_stages(*stages);
    if (const YamlNode* outputs = top.map("outputs")) read_outputs(*outputs);
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
    MapReader reader(node, "defaults", {"seed"}, {"timeout", "retry", "resources"}, diagnostics_);
    const YamlMember* seed = reader.member("seed");
    if (seed == nullptr) return;
    if (seed->value.kind != YamlNode::Kind::integer) {
      diagnostics_.error(seed->value.at,
                         cat("'seed' must be an integer, not ", seed->value.kind_name()));
      return;
    }
    pipeline_.seed = seed->value.to_json().as_integer();
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

  void read_stages(const YamlNode& node) {
    if (node.members.empty()) {
      diagnostics_.error(node.at, "'stages' is empty", "there is nothing to run");
    }
    for (const YamlMember& member : node.members) {
      if (!is_identifier(member.key, true)) {
        diagnostics_.error(member.at, cat("'", member.key, "' cannot be a stage's name"),
                           "use letters, digits, '_' and '-'");
        continue;
      }
      StageSpec stage;
      stage.name = member.key;
      stage.at = member.at;
      read_stage(member.value, stage);
      pipeline_.stages.push_back(std::move(stage));
    }
  }

  void read_stage(const YamlNode& node, StageSpec& stage) {
    const std::string what = cat("stage '", stage.name, "'");
    MapReader reader(node, what, {"uses", "with", "needs", "when", "gates", "description"},
                     {"matrix", "retry", "timeout", "resources", "allow_failure", "env", "outputs"},
                     diagnostics_);
    if (node.kind != YamlNode::Kind::map) return;
    stage.description = reader.text("description", false);
    stage.uses_at = node.at;
    stage.uses = reader.text("uses", true, &stage.uses_at);
    if (const std::size_t at = stage.uses.find('@'); at != std::string::npos) {
      if (stage.uses.substr(at) != "@1") {
        diagnostics_.error(
            stage.uses_at, cat("'", stage.uses, "': there is only version 1 of every stage"),
            cat("write ", stage.uses.substr(0, at), " or ", stage.uses.substr(0, at), "@1"));
      }
      stage.uses.resize(at);
    }
    if (const YamlNode* with = reader.map("with")) read_settings(*with, stage.with);
    if (const YamlMember* when = reader.member("when")) stage.when = when->value;
    if (const YamlMember* needs = reader.member("needs")) read_needs(needs->value, what, stage);
    if (const YamlMember* gates = reader.member("gates")) read_gates(gates->value, what, stage);
  }

  void read_needs(const YamlNode& node, const std::string& what, StageSpec& stage) {
    const auto add = [&](const YamlNode& item) {
      if (item.is_text()) {
        stage.needs.push_back({item.text, item.at});
      } else {
        diagnostics_.error(
            item.at, cat("'needs' of ", what, " must name stages, not hold ", item.kind_name()));
      }
    };
    if (node.kind == YamlNode::Kind::list) {
      for (const YamlNode& item : node.items) add(item);
    } else {
      add(node);
    }
  }

  /// Either a map {kind: settings} or a list of such maps.
  void read_gates(const YamlNode& node, const std::string& what, StageSpec& stage) {
    if (node.kind == YamlNode::Kind::list) {
      for (const YamlNode& item : node.items) {
        if (item.kind == YamlNode::Kind::map) {
          read_gate_map(item, what, stage);
        } else {
          diagnostics_.error(item.at,
                             cat("a gate of ", what, " must be a map, not ", item.kind_name()),
                             "write for example: - size: {max: 4MiB}");
        }
      }
    } else if (node.kind == YamlNode::Kind::map) {
      read_gate_map(node, what, stage);
    } else {
      diagnostics_.error(
          node.at, cat("'gates' of ", what, " must be a map or a list, not ", node.kind_name()),
          "write for example: gates: {size: {max: 4MiB}}");
    }
  }

  void read_gate_map(const YamlNode& node, const std::string& what, StageSpec& stage) {
    for (const YamlMember& member : node.members) {
      GateSpec gate;
      gate.kind = member.key;
      gate.at = member.at;
      if (member.value.kind != YamlNode::Kind::map) {
        diagnostics_.error(member.value.at, cat("gate '", member.key, "' of ", what,
                                                " must be a map, not ", member.value.kind_name()));
        continue;
      }
      read_settings(member.value, gate.settings);
      stage.gates.push_back(std::move(gate));
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
      pipeline_.outputs.push_back(std::move(output));
    }
  }

  Pipeline& pipeline_;
  Diagnostics& diagnostics_;
};

std::optional<std::array<int, 3>> parse_version(std::string_view text) {
  std::array<int, 3> version{};
  for (std::size_t part = 0; part < 3; ++part) {
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, version[part]);
    if (read.ec != std::errc{} || version[part] < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
    if (text.empty()) return version;
    if (text[0] != '.' || part == 2) return std::nullopt;
    text.remove_prefix(1);
  }
  return std::nullopt;
}

}  // namespace

std::optional<bool> version_in_range(std::string_view version, std::string_view range) {
  const auto own = parse_version(version);
  if (!own) return std::nullopt;
  bool inside = true;
  bool any = false;
  while (true) {
    const std::size_t begin = range.find_first_not_of(" ,");
    if (begin == std::string_view::npos) break;
    range.remove_prefix(begin);
    std::string_view term = range.substr(0, range.find_first_of(" ,"));
    range.remove_prefix(term.size());
    std::string_view sign = "=";
    for (const std::string_view candidate : {">=", "<=", "==", ">", "<", "="}) {
      if (term.starts_with(candidate)) {
        sign = candidate;
        term.remove_prefix(candidate.size());
        break;
      }
    }
    const auto bound = parse_version(term);
    if (!bound) return std::nullopt;
    any = true;
    if (sign == ">=") inside = inside && *own >= *bound;
    if (sign == "<=") inside = inside && *own <= *bound;
    if (sign == ">") inside = inside && *own > *bound;
    if (sign == "<") inside = inside && *own < *bound;
    if (sign == "=" || sign == "==") inside = inside && *own == *bound;
  }
  if (!any) return std::nullopt;
  return inside;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates,
                       std::string_view what) {
  if (const std::string near = nearest_name(word, candidates); !near.empty()) {
    return cat("did you mean '", near, "'?");
  }
  if (candidates.empty()) return cat("there are no ", what);
  return cat("known ", what, ": ", join_names(candidates));
}

const StageSpec* Pipeline::find_stage(std::string_view stage) const {
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [&](const StageSpec& spec) { return spec.name == stage; });
  return found == stages.end() ? nullptr : &*found;
}

const ParamSpec* Pipeline::find_param(std::string_view param) const {
  const auto found = std::find_if(params.begin(), params.end(),
                                  [&](const ParamSpec& spec) { return spec.param.name == param; });
  return found == params.end() ? nullptr : &*found;
}

std::vector<std::string> Pipeline::stage_names() const {
  std::vector<std::string> names;
  for (const StageSpec& stage : stages) names.push_back(stage.name);
  return names;
}

std::vector<std::string> Pipeline::param_names() const {
  std::vector<std::string> names;
  for (const ParamSpec& param : params) names.push_back(param.param.name);
  return names;
}

Pipeline read_pipeline(const YamlNode& root, std::string_view file, std::string_view folder,
                       Diagnostics& diagnostics) {
  Pipeline pipeline;
  pipeline.file = file;
  pipeline.folder = folder;
  Reader(pipeline, diagnostics).read(root);
  return pipeline;
}

}  // namespace apr::pipeline
