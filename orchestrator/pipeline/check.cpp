#include "orchestrator/pipeline/check.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "orchestrator/pipeline/expression.h"
#include "orchestrator/pipeline/gate_kinds.h"
#include "orchestrator/pipeline/order.h"

namespace apr::pipeline {
namespace {

using Names = std::vector<std::string>;

const Param* find_by_name(const std::vector<Param>& params, std::string_view name) {
  const auto found = std::find_if(params.begin(), params.end(), [&](const Param& param) {
    return param.name == name ||
           std::find(param.aliases.begin(), param.aliases.end(), name) != param.aliases.end();
  });
  return found == params.end() ? nullptr : &*found;
}

/// Parameters a pipeline may set: outputs are the runner's, some are for the command line only.
Names settable_names(const std::vector<Param>& params) {
  Names names;
  for (const Param& param : params) {
    if (param.role != ParamRole::output && !param.cli_only) names.push_back(param.name);
  }
  return names;
}

Names port_names(const Verb& verb) {
  Names names;
  for (const Param& param : verb.info().params) {
    if (param.role == ParamRole::output) names.push_back(param.name);
  }
  return names;
}

StaticType static_type(ParamType type) {
  switch (type) {
    case ParamType::boolean:
      return StaticType::boolean;
    case ParamType::integer:
    case ParamType::number:
    case ParamType::bytes:
      return StaticType::number;
    case ParamType::text:
    case ParamType::choice:
      return StaticType::text;
    case ParamType::texts:
      return StaticType::any;
  }
  return StaticType::any;
}

/// What a value in the file refers to and, as far as that can be known now, what it is.
struct Sight {
  bool sound = true;  ///< no error was reported
  bool known = true;  ///< `value` is what it will be in the run
  StaticType type = StaticType::any;
  Json value;
};

class Checker {
 public:
  Checker(const Pipeline& pipeline, const ParamValues& params, const VerbTable& verbs,
          Diagnostics& diagnostics)
      : pipeline_(pipeline), params_(params), verbs_(verbs), diagnostics_(diagnostics) {}

  CheckedPipeline run() {
    for (const StageSpec& spec : pipeline_.stages) {
      CheckedStage stage;
      stage.spec = &spec;
      stage.verb = find_verb_of(spec);
      result_.stages.push_back(std::move(stage));
    }
    dependencies_.resize(result_.stages.size());
    ports_.resize(result_.stages.size());
    for (std::size_t i = 0; i < result_.stages.size(); ++i) check_stage(i);
    for (const OutputSpec& output : pipeline_.outputs) check_output(output);
    finish_stages();
    sort();
    warn_about_unused();
    return std::move(result_);
  }

 private:
  Stage* find_verb_of(const StageSpec& spec) {
    if (spec.uses.empty()) return nullptr;
    Verb* verb = verbs_.find(spec.uses);
    if (verb == nullptr) {
      diagnostics_.error(spec.uses_at, cat("there is no stage '", spec.uses, "'"),
                         suggestion(spec.uses, verbs_.stage_names, "stages"));
      return nullptr;
    }
    if (!verb->is_stage()) {
      diagnostics_.error(
          spec.uses_at,
          cat("'", spec.uses, "' is not a stage: it makes no artifact and measures none"),
          suggestion("", verbs_.stage_names, "stages"));
      return nullptr;
    }
    return static_cast<Stage*>(verb);
  }

  std::size_t index_of(const StageSpec* spec) const {
    return static_cast<std::size_t>(spec - pipeline_.stages.data());
  }

  /// Index of the stage a name stands for; reports what is wrong with it.
  std::optional<std::size_t> stage_index(std::string_view name, Position at) {
    const StageSpec* spec = pipeline_.find_stage(name);
    if (spec != nullptr) return index_of(spec);
    diagnostics_.error(at, cat("there is no stage '", name, "'"),
                       suggestion(name, pipeline_.stage_names(), "stages"));
    return std::nullopt;
  }

  /// Where a value stands: which stage it belongs to, and what it may refer to.
  struct Where {
    std::optional<std::size_t> stage;
    bool own_results = false;  ///< gates may refer to their own stage
    bool only_params = false;
  };

  bool check_reference(const Reference& reference, Position at, const Where& where) {
    if (reference.kind == Reference::Kind::param) {
      used_params_.insert(reference.name);
      if (pipeline_.find_param(reference.name) != nullptr) return true;
      diagnostics_.error(at, cat("the pipeline has no parameter '", reference.name, "'"),
                         suggestion(reference.name, pipeline_.param_names(), "parameters"));
      return false;
    }
    if (where.only_params) {
      diagnostics_.error(at, "only parameters can be referred to here");
      return false;
    }
    const auto index = stage_index(reference.name, at);
    if (!index) return false;
    const bool own = where.stage == index;
    if (own && !where.own_results) {
      diagnostics_.error(at, cat("stage '", reference.name, "' refers to its own results"));
      return false;
    }
    if (where.stage && !own) dependencies_[*where.stage].insert(*index);
    const Stage* verb = result_.stages[*index].verb;
    if (verb == nullptr) return false;  // reported where it stands
    if (reference.kind == Reference::Kind::report) return true;
    const Names ports = port_names(*verb);
    if (std::find(ports.begin(), ports.end(), reference.port) != ports.end()) {
      ports_[*index].insert(reference.port);
      used_stages_.insert(*index);
      return true;
    }
    diagnostics_.error(at,
                       cat("stage '", reference.name, "' (", verb->info().name, ") has no output '",
                           reference.port, "'"),
                       ports.empty()
                           ? cat("it only reports: stages.", reference.name, ".report.KEY")
                           : suggestion(reference.port, ports, "outputs"));
    return false;
  }

  StaticType type_of(const Reference& reference) const {
    if (reference.kind == Reference::Kind::output) return StaticType::text;
    if (reference.kind == Reference::Kind::report) return StaticType::any;
    const ParamSpec* spec = pipeline_.find_param(reference.name);
    if (spec == nullptr) return StaticType::any;
    const Json& value = params_.values[reference.name];
    if (spec->optional && value.is_null()) return StaticType::null;
    return static_type(spec->param.type);
  }

  /// Looks at one parsed text or condition; `at` maps offsets to places.
  template <typename Parsed>
  Sight look(const Parsed& parsed, const YamlNode& node, std::size_t skipped, const Where& where) {
    Sight sight;
    for (const Reference& reference : parsed.references()) {
      const Position at = position_in(node, reference.offset + skipped);
      if (!check_reference(reference, at, where)) sight.sound = false;
      const bool param = reference.kind == Reference::Kind::param;
      if (!param || !params_.values.contains(reference.name)) sight.known = false;
    }
    if (!sight.sound) return sight;
    std::vector<Problem> problems;
    sight.type =
        parsed.check([&](const Reference& reference) { return type_of(reference); }, problems);
    for (const Problem& problem : problems) {
      diagnostics_.error(position_in(node, problem.offset + skipped), problem.message,
                         problem.hint);
      sight.sound = false;
    }
    if (!sight.sound || !sight.known) return sight;
    auto value = parsed.evaluate(
        [&](const Reference& reference) -> Result<Json> { return params_.values[reference.name]; });
    if (!value) {
      diagnostics_.error(node.at, value.error().message, value.error().hint);
      sight.sound = false;
    } else {
      sight.value = *std::move(value);
    }
    return sight;
  }

  Sight look_at(const YamlNode& node, const Where& where) {
    Sight sight;
    if (node.kind == YamlNode::Kind::list) {
      sight.value = Json::array();
      for (const YamlNode& item : node.items) {
        Sight inner = look_at(item, where);
        sight.sound = sight.sound && inner.sound;
        sight.known = sight.known && inner.known;
        sight.value.push_back(std::move(inner.value));
      }
      return sight;
    }
    if (!node.is_text()) {
      sight.value = node.to_json();
      return sight;
    }
    Problem problem;
    const auto text = TextTemplate::parse(node.text, problem);
    if (!text) {
      diagnostics_.error(position_in(node, problem.offset), problem.message, problem.hint);
      sight.sound = false;
      return sight;
    }
    return look(*text, node, 0, where);
  }

  /// Checks a value against the parameter it is given for.
  void check_value(const Param& param, const YamlNode& node, const Where& where,
                   const std::string& what) {
    const Sight sight = look_at(node, where);
    if (!sight.sound) return;
    if (sight.known) {
      if (sight.value.is_null()) {
        if (param.required && node.kind == YamlNode::Kind::null) {
          diagnostics_.error(node.at, cat(what, " must not be empty"));
        }
        return;
      }
      if (const auto checked = check_param(param, sight.value); !checked) {
        diagnostics_.error(node.at, cat(what, ": ", checked.error().message), checked.error().hint);
      }
      return;
    }
    const StaticType wanted = static_type(param.type);
    const bool text_for_bytes = param.type == ParamType::bytes && sight.type == StaticType::text;
    if (sight.type != StaticType::any && sight.type != StaticType::null &&
        wanted != StaticType::any && sight.type != wanted && !text_for_bytes) {
      diagnostics_.error(
          node.at, cat(what, " must be a ", name_of(wanted), ", not a ", name_of(sight.type)));
    }
  }

  void check_stage(std::size_t index) {
    const CheckedStage& stage = result_.stages[index];
    const StageSpec& spec = *stage.spec;
    const Where where{.stage = index};
    for (const Name& need : spec.needs) {
      const auto other = stage_index(need.text, need.at);
      if (!other) continue;
      if (*other == index) {
        diagnostics_.error(need.at, cat("stage '", spec.name, "' needs itself"));
      } else {
        dependencies_[index].insert(*other);
      }
    }
    if (spec.when) check_when(*spec.when, where);
    check_with(stage, where);
    for (const GateSpec& gate : spec.gates) check_gate(stage, gate, index);
  }

  void check_when(const YamlNode& node, const Where& where) {
    Problem problem;
    const auto expression = parse_condition(node, problem);
    if (!expression) {
      diagnostics_.error(position_in(node, problem.offset), problem.message, problem.hint);
      return;
    }
    const std::size_t skipped = node.text.starts_with("${") ? 2 : 0;
    const Sight sight = look(*expression, node, skipped, where);
    if (sight.sound && sight.type != StaticType::any && sight.type != StaticType::boolean) {
      diagnostics_.error(node.at, cat("'when' must be true or false, not a ", name_of(sight.type)));
    }
  }

  void check_with(const CheckedStage& stage, const Where& where) {
    const StageSpec& spec = *stage.spec;
    if (stage.verb == nullptr) {
      for (const Setting& setting : spec.with) look_at(setting.value, where);
      return;
    }
    const std::vector<Param>& params = stage.verb->info().params;
    std::set<std::string> given;
    for (const Setting& setting : spec.with) {
      const Param* param = find_by_name(params, setting.name);
      const bool settable =
          param != nullptr && param->role != ParamRole::output && !param->cli_only;
      if (!settable) {
        look_at(setting.value, where);
        if (param == nullptr) {
          diagnostics_.error(
              setting.at,
              cat("stage '", spec.name, "': ", spec.uses, " has no parameter '", setting.name, "'"),
              suggestion(setting.name, settable_names(params), "parameters"));
        } else if (param->role == ParamRole::output) {
          diagnostics_.error(setting.at,
                             cat("stage '", spec.name, "': '", setting.name,
                                 "' is an output; its place is chosen by the runner"),
                             cat("refer to it as ${stages.", spec.name, ".", param->name,
                                 "}, or give it a final place under 'outputs:'"));
        } else {
          diagnostics_.error(
              setting.at,
              cat("stage '", spec.name, "': '", setting.name, "' is for the command line only"),
              "remove it");
        }
        continue;
      }
      if (!given.insert(param->name).second) {
        diagnostics_.error(setting.at,
                           cat("stage '", spec.name, "': '", param->name, "' is given twice"));
      }
      check_value(*param, setting.value, where,
                  cat("stage '", spec.name, "': '", setting.name, "'"));
    }
    for (const Param& param : params) {
      if (!param.required || param.role == ParamRole::output || given.contains(param.name)) {
        continue;
      }
      diagnostics_.error(
          spec.uses_at, cat("stage '", spec.name, "': ", spec.uses, " requires '", param.name, "'"),
          cat("add it under 'with:'", param.help.empty() ? "" : " (", param.help,
              param.help.empty() ? "" : ")"));
    }
  }

  void check_gate(const CheckedStage& stage, const GateSpec& gate, std::size_t index) {
    const std::string what = cat("stage '", stage.spec->name, "', gate ", gate.kind);
    const Where where{.stage = index, .own_results = true};
    const GateKind* kind = find_gate_kind(gate.kind);
    if (kind == nullptr) {
      diagnostics_.error(gate.at, cat("there is no gate '", gate.kind, "'"),
                         suggestion(gate.kind, gate_kind_names(), "gates"));
      for (const Setting& setting : gate.settings) look_at(setting.value, where);
      return;
    }
    for (const std::string& verb : kind->verbs) {
      if (const Verb* found = verbs_.find(verb); found == nullptr || !found->is_stage()) {
        diagnostics_.error(gate.at, cat(what, " needs the stage '", verb, "', which is missing"));
      }
    }
    std::set<std::string> given;
    for (const Setting& setting : gate.settings) {
      const Param* param = kind->find(setting.name);
      if (param == nullptr && !kind->open) {
        diagnostics_.error(setting.at, cat(what, " has no setting '", setting.name, "'"),
                           suggestion(setting.name, kind->names(), "settings"));
        look_at(setting.value, where);
        continue;
      }
      const std::string name = param == nullptr ? setting.name : param->name;
      if (!given.insert(name).second) {
        diagnostics_.error(setting.at, cat(what, ": '", name, "' is given twice"));
      }
      const std::string whose = cat(what, ": '", setting.name, "'");
      const Limit::Op* limit = kind->limit(name);
      if (limit == nullptr && param != nullptr) {
        check_value(*param, setting.value, where, whose);
        continue;
      }
      const Sight sight = look_at(setting.value, where);
      if (!sight.sound || !sight.known) continue;
      const auto parsed =
          parse_limit(sight.value, limit == nullptr ? Limit::Op::less_equal : *limit);
      if (!parsed) {
        diagnostics_.error(setting.value.at, cat(whose, ": ", parsed.error().message),
                           parsed.error().hint);
      } else if (limit == nullptr && !sight.value.is_string()) {
        diagnostics_.error(
            setting.value.at, cat(whose, ": a bare number says no direction"),
            cat("write \"<= ", sight.value.dump(), "\" or \">= ", sight.value.dump(), "\""));
      }
    }
    check_gate_is_whole(stage, gate, *kind, given, what);
  }

  void check_gate_is_whole(const CheckedStage& stage, const GateSpec& gate, const GateKind& kind,
                           const std::set<std::string>& given, const std::string& what) {
    for (const Param& param : kind.params) {
      if (param.required && !given.contains(param.name)) {
        diagnostics_.error(gate.at, cat(what, " lacks '", param.name, "'"), param.help);
      }
    }
    const bool limited = std::any_of(kind.one_of.begin(), kind.one_of.end(),
                                     [&](const auto& name) { return given.contains(name); });
    if (!kind.one_of.empty() && !limited) {
      diagnostics_.error(gate.at, cat(what, " has no limit, so it could never fail"),
                         cat("give one of: ", join_names(kind.one_of)));
    }
    if (kind.open && given.empty()) {
      diagnostics_.error(gate.at, cat(what, " has no limit, so it could never fail"),
                         "write for example {perplexity: \"<= 2.4\"}");
    }
    for (const auto& [first, second] : kind.together) {
      if (given.contains(first) && !given.contains(second)) {
        diagnostics_.error(gate.at, cat(what, ": '", first, "' needs '", second, "'"));
      }
    }
    if (kind.find("model") != nullptr && !given.contains("model") && stage.verb != nullptr &&
        main_port(*stage.verb).empty()) {
      diagnostics_.error(gate.at, cat(what, ": ", stage.spec->uses, " makes no output to measure"),
                         "name one: model: \"${stages.NAME.output}\"");
    } else if (kind.find("model") != nullptr && !given.contains("model") && stage.verb != nullptr) {
      ports_[index_of(stage.spec)].insert(main_port(*stage.verb));
      used_stages_.insert(index_of(stage.spec));
    }
  }

  void check_output(const OutputSpec& output) {
    const std::string what = cat("output '", output.name, "'");
    if (output.to.empty()) return;  // reported by the reader
    Problem problem;
    const auto to = TextTemplate::parse(output.to, problem);
    if (to && !to->is_literal()) {
      diagnostics_.error(output.to_at, cat(what, ": 'to' must be a plain path"));
    } else if (!to) {
      diagnostics_.error(output.to_at, problem.message, problem.hint);
    }
    for (const OutputSpec& other : pipeline_.outputs) {
      if (&other == &output) break;
      if (resolve_path(other.to, pipeline_.folder) == resolve_path(output.to, pipeline_.folder)) {
        diagnostics_.error(output.to_at,
                           cat(what, " and output '", other.name, "' go to the same place"));
      }
    }
    if (!output.from.is_text()) return;
    const auto from = TextTemplate::parse(output.from.text, problem);
    if (!from) {
      diagnostics_.error(position_in(output.from, problem.offset), problem.message, problem.hint);
      return;
    }
    const auto references = from->references();
    const bool outputs_only = std::all_of(
        references.begin(), references.end(),
        [](const Reference& reference) { return reference.kind == Reference::Kind::output; });
    if (!from->is_single() || references.empty() || !outputs_only) {
      diagnostics_.error(output.from.at, cat(what, ": 'from' must be a stage's output"),
                         "write for example \"${stages.shrink.output}\"");
      return;
    }
    look(*from, output.from, 0, {});
  }

  void finish_stages() {
    for (std::size_t i = 0; i < result_.stages.size(); ++i) {
      CheckedStage& stage = result_.stages[i];
      stage.dependencies.assign(dependencies_[i].begin(), dependencies_[i].end());
      if (stage.verb == nullptr) continue;
      for (const Param& param : stage.verb->info().params) {
        const bool wanted = param.required || ports_[i].contains(param.name);
        if (param.role == ParamRole::output && wanted) stage.ports.push_back(param.name);
      }
    }
  }

  void sort() {
    const std::vector<std::vector<std::size_t>> needed = [&] {
      std::vector<std::vector<std::size_t>> lists;
      for (const CheckedStage& stage : result_.stages) lists.push_back(stage.dependencies);
      return lists;
    }();
    Order order = order_of(needed);
    result_.order = std::move(order.order);
    if (order.cycle.empty()) return;
    std::string names;
    for (const std::size_t i : order.cycle) names += cat(result_.stages[i].spec->name, " -> ");
    const StageSpec& first = *result_.stages[order.cycle.front()].spec;
    diagnostics_.error(first.at, cat("stages wait for each other: ", names, first.name),
                       "each arrow means 'needs'; remove one of these references");
  }

  void warn_about_unused() {
    for (const ParamSpec& param : pipeline_.params) {
      if (!used_params_.contains(param.param.name)) {
        diagnostics_.warning(param.at, cat("parameter '", param.param.name, "' is never used"));
      }
    }
    for (std::size_t i = 0; i < result_.stages.size(); ++i) {
      const CheckedStage& stage = result_.stages[i];
      if (stage.verb == nullptr || main_port(*stage.verb).empty() || used_stages_.contains(i)) {
        continue;
      }
      diagnostics_.warning(stage.spec->at,
                           cat("nothing uses what stage '", stage.spec->name, "' makes"),
                           "refer to it, or give it a place under 'outputs:'");
    }
  }

  const Pipeline& pipeline_;
  const ParamValues& params_;
  const VerbTable& verbs_;
  Diagnostics& diagnostics_;
  CheckedPipeline result_;
  std::vector<std::set<std::size_t>> dependencies_;
  std::vector<std::set<std::string>> ports_;
  std::set<std::size_t> used_stages_;
  std::set<std::string> used_params_;
};

}  // namespace

CheckedPipeline check_pipeline(const Pipeline& pipeline, const ParamValues& params,
                               const VerbTable& verbs, Diagnostics& diagnostics) {
  return Checker(pipeline, params, verbs, diagnostics).run();
}

}  // namespace apr::pipeline
