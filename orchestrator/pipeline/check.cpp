#include "orchestrator/pipeline/check.h"

#include "orchestrator/pipeline/checker.h"
#include "orchestrator/pipeline/order.h"

namespace apr::pipeline {
namespace {

using Names = std::vector<std::string>;

/// Parameters a pipeline may set: outputs are the runner's, some are for the command line only.
Names settable_names(const std::vector<Param>& params) {
  Names names;
  for (const Param& param : params) {
    if (param.role != ParamRole::output && !param.cli_only) names.push_back(param.name);
  }
  return names;
}

}  // namespace

const Param* find_by_name(const std::vector<Param>& params, std::string_view name) {
  const auto found = std::find_if(params.begin(), params.end(), [&](const Param& param) {
    return param.name == name ||
           std::find(param.aliases.begin(), param.aliases.end(), name) != param.aliases.end();
  });
  return found == params.end() ? nullptr : &*found;
}

std::vector<std::string> port_names(const Verb& verb) {
  std::vector<std::string> names;
  for (const Param& param : verb.info().params) {
    if (param.role == ParamRole::output) names.push_back(param.name);
  }
  return names;
}

CheckedPipeline Checker::run() {
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
  for (const TableSpec& table : pipeline_.report.tables) check_table(table);
  finish_stages();
  sort();
  warn_about_unused();
  return std::move(result_);
}

Stage* Checker::find_verb_of(const StageSpec& spec) {
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

void Checker::check_stage(std::size_t index) {
  const CheckedStage& stage = result_.stages[index];
  const StageSpec& spec = *stage.spec;
  const Where where{.stage = index, .secrets = true};
  check_needs(index);
  if (spec.when) check_when(*spec.when, {.stage = index});
  check_with(stage, where);
  for (const GateSpec& gate : spec.gates) check_gate(stage, gate, index);
}

/// "name", "name[value]": a group as a whole, or one of its stages.
void Checker::check_needs(std::size_t index) {
  const StageSpec& spec = *result_.stages[index].spec;
  for (const Name& need : spec.needs) {
    std::size_t first = 0;
    std::size_t count = 1;
    if (const StageGroup* group = pipeline_.find_group(need.text)) {
      first = group->first;
      count = group->count;
    } else if (const StageSpec* one = pipeline_.find_stage(need.text)) {
      first = pipeline_.index_of(*one);
    } else {
      const std::string base = need.text.substr(0, need.text.find('['));
      const StageGroup* known = base == need.text ? nullptr : pipeline_.find_group(base);
      diagnostics_.error(need.at, cat("there is no stage '", need.text, "'"),
                         known == nullptr
                             ? suggestion(need.text, pipeline_.group_names(), "stages")
                             : cat("there is for example ", pipeline_.stages[known->first].name,
                                   "; ", base, " alone means all of them"));
      continue;
    }
    for (std::size_t other = first; other < first + count; ++other) {
      if (other == index) {
        diagnostics_.error(need.at, cat("stage '", spec.group, "' needs itself"));
      } else {
        dependencies_[index].insert(other);
      }
    }
  }
}

void Checker::check_when(const YamlNode& node, const Where& where) {
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

void Checker::check_with(const CheckedStage& stage, const Where& where) {
  const StageSpec& spec = *stage.spec;
  if (stage.verb == nullptr) {
    for (const Setting& setting : spec.with) look_at(setting.value, where);
    return;
  }
  const std::vector<Param>& params = stage.verb->info().params;
  std::set<std::string> given;
  for (const Setting& setting : spec.with) {
    const Param* param = find_by_name(params, setting.name);
    const bool settable = param != nullptr && param->role != ParamRole::output && !param->cli_only;
    if (!settable) {
      look_at(setting.value, where);
      if (param == nullptr) {
        diagnostics_.error(
            setting.at,
            cat("stage '", spec.group, "': ", spec.uses, " has no parameter '", setting.name, "'"),
            suggestion(setting.name, settable_names(params), "parameters"));
      } else if (param->role == ParamRole::output) {
        diagnostics_.error(setting.at,
                           cat("stage '", spec.group, "': '", setting.name,
                               "' is an output; its place is chosen by the runner"),
                           cat("refer to it as ${stages.", spec.group, ".", param->name,
                               "}, or give it a final place under 'outputs:'"));
      } else {
        diagnostics_.error(
            setting.at,
            cat("stage '", spec.group, "': '", setting.name, "' is for the command line only"),
            "remove it");
      }
      continue;
    }
    if (!given.insert(param->name).second) {
      diagnostics_.error(setting.at,
                         cat("stage '", spec.group, "': '", param->name, "' is given twice"));
    }
    Where inside = where;
    inside.secrets = param->role != ParamRole::input;  // a path is told in errors and records
    check_value(*param, setting.value, inside,
                cat("stage '", spec.group, "': '", setting.name, "'"));
  }
  for (const Param& param : params) {
    if (!param.required || param.role == ParamRole::output || given.contains(param.name)) {
      continue;
    }
    diagnostics_.error(spec.uses_at,
                       cat("stage '", spec.group, "': ", spec.uses, " requires '", param.name, "'"),
                       cat("add it under 'with:'", param.help.empty() ? "" : " (", param.help,
                           param.help.empty() ? "" : ")"));
  }
}

void Checker::finish_stages() {
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

void Checker::sort() {
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

void Checker::warn_about_unused() {
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
  for (const Name& secret : pipeline_.secrets) {
    if (used_secrets_.contains(secret.text)) continue;
    diagnostics_.warning(secret.at, cat("secret '", secret.text, "' is never used"));
  }
}

CheckedPipeline check_pipeline(const Pipeline& pipeline, const ParamValues& params,
                               const VerbTable& verbs, Diagnostics& diagnostics) {
  return Checker(pipeline, params, verbs, diagnostics).run();
}

}  // namespace apr::pipeline
