// Lint of gates, outputs and tables.
#include "orchestrator/pipeline/checker.h"

namespace apr::pipeline {

void Checker::check_gate(const CheckedStage& stage, const GateSpec& gate, std::size_t index) {
  const std::string what = cat("stage '", stage.spec->group, "', gate ", gate.kind);
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
    const auto parsed = parse_limit(sight.value, limit == nullptr ? Limit::Op::less_equal : *limit);
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

void Checker::check_gate_is_whole(const CheckedStage& stage, const GateSpec& gate,
                                  const GateKind& kind, const std::set<std::string>& given,
                                  const std::string& what) {
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
    ports_[pipeline_.index_of(*stage.spec)].insert(main_port(*stage.verb));
    used_stages_.insert(pipeline_.index_of(*stage.spec));
  }
}

void Checker::check_output(const OutputSpec& output) {
  const std::string what = cat("output '", output.name, "'");
  if (output.to.empty()) return;  // reported by the reader
  check_output_place(output);
  if (!output.from.is_text()) return;
  Problem problem;
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
  const Sight sight = look(*from, output.from, 0, {});
  if (sight.sound && sight.type == StaticType::list && output.stage.empty()) {
    diagnostics_.error(output.from.at, cat(what, ": 'from' is a list"),
                       "write \"${stages.NAME[*].OUTPUT}\" alone, and ${matrix.AXIS} in 'to'");
  }
}

void Checker::check_output_place(const OutputSpec& output) {
  const std::string what = cat("output '", output.name, "'");
  const auto place = output_place(pipeline_, output);
  if (!place) {
    diagnostics_.error(output.to_at, cat(what, ": ", place.error().message), place.error().hint);
    return;
  }
  for (const OutputSpec& other : pipeline_.outputs) {
    if (&other == &output) break;
    const auto there = output_place(pipeline_, other);
    if (!there) continue;
    if (*there == *place) {
      diagnostics_.error(
          output.to_at, cat(what, " and output '", other.name, "' go to the same place"),
          output.stage.empty() ? "" : "write ${matrix.AXIS} in 'to' for every axis of the matrix");
    } else if (place->starts_with(*there + "/") || there->starts_with(*place + "/")) {
      diagnostics_.error(output.to_at,
                         cat(what, " and output '", other.name, "' lie inside one another"),
                         "give each a place of its own");
    }
  }
}

Checker::Where Checker::row_at(const StageSpec& stage) {
  Where where;
  where.row = &stage;
  return where;
}

void Checker::check_table(const TableSpec& table) {
  if (table.rows.empty()) return;  // reported by the reader
  const StageGroup* group = pipeline_.find_group(table.rows);
  if (group == nullptr) {
    diagnostics_.error(table.rows_at, cat("there is no stage '", table.rows, "'"),
                       suggestion(table.rows, pipeline_.group_names(), "stages"));
    return;
  }
  if (group->axes.empty()) {
    diagnostics_.error(table.rows_at, cat("stage '", table.rows, "' has no matrix"),
                       "the rows of a table are the combinations of a matrix");
    return;
  }
  for (std::size_t i = group->first; i < group->first + group->count; ++i) {
    for (const TableColumn& column : table.columns) {
      const Sight sight = look_at(column.value, row_at(pipeline_.stages[i]));
      if (sight.sound && sight.type == StaticType::list) {
        diagnostics_.error(column.value.at, cat("column '", column.title, "' is a list"),
                           cat("write for example ${stages.", table.rows, "[matrix.",
                               group->axes.front(), "].report.KEY}"));
      }
    }
  }
}

}  // namespace apr::pipeline
