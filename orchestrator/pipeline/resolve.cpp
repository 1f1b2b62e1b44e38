#include "orchestrator/pipeline/resolve.h"

#include <algorithm>

#include "core/base/cat.h"
#include "orchestrator/pipeline/checker.h"
#include "orchestrator/pipeline/gate_kinds.h"
#include "orchestrator/pipeline/secrets.h"
#include "orchestrator/pipeline/values.h"

namespace apr::pipeline {
namespace {

Json with_paths(const Param& param, Json value, const std::string& folder) {
  if (param.role != ParamRole::input) return value;
  if (value.is_string()) return resolve_path(value.as_string(), folder);
  if (!value.is_array()) return value;
  Json list = Json::array();
  for (const Json& item : value.as_array()) list.push_back(resolve_path(item.as_string(), folder));
  return list;
}

/// Values that can be known without running anything; an error means they cannot.
Expression::Lookup lookup_before(const Pipeline& pipeline, const ParamValues& params,
                                 const StageSpec& stage) {
  return make_lookup(pipeline, params, stage.matrix,
                     [](std::size_t) -> const StageFacts* { return nullptr; });
}

/// What one stage gives for a reference.
Result<Json> value_of(const StageFacts& stage, const std::string& name,
                      const Reference& reference) {
  if (stage.skipped) return Json();
  if (reference.kind == Reference::Kind::output) {
    std::string path = stage.output(reference.port);
    if (!path.empty()) return Json(std::move(path));
    return make_error(ErrorCode::generic, cat(reference.to_string(), " was not made"));
  }
  const Json* value = find_in_report(stage.report, reference.path);
  if (value != nullptr) return *value;
  std::vector<std::string> keys;
  for (const auto& [key, ignored] : stage.report.as_object()) keys.push_back(key);
  return make_error(ErrorCode::usage,
                    cat("the report of stage '", name, "' has no '", reference.to_string(), "'"),
                    "", suggestion(reference.path.front(), keys, "keys"));
}

}  // namespace

Expression::Lookup make_lookup(const Pipeline& pipeline, const ParamValues& params,
                               const Json& matrix, FactsOf facts) {
  return [&pipeline, &params, &matrix,
          facts = std::move(facts)](const Reference& reference) -> Result<Json> {
    if (reference.kind == Reference::Kind::param) {
      if (params.values.contains(reference.name)) return params.values[reference.name];
      return make_error(ErrorCode::usage, cat("parameter '", reference.name, "' has no value"));
    }
    if (reference.kind == Reference::Kind::matrix) return matrix[reference.name];
    if (reference.kind == Reference::Kind::environment) return params.environment[reference.name];
    if (reference.kind == Reference::Kind::secret) return Json(secret_placeholder(reference.name));
    Problem problem;
    const auto selection = pipeline.select(reference, matrix, problem);
    if (!selection) return make_error(ErrorCode::usage, problem.message, "", problem.hint);
    Json list = Json::array();
    for (const std::size_t index : selection->stages) {
      const StageFacts* stage = facts(index);
      const std::string& name = pipeline.stages[index].name;
      if (stage == nullptr) {
        return make_error(ErrorCode::generic, cat("stage '", name, "' has no results yet"));
      }
      APR_ASSIGN(Json value, value_of(*stage, name, reference));
      if (!selection->list) return value;
      if (!value.is_null()) list.push_back(std::move(value));
    }
    return list;
  };
}

Result<ResolvedStage> resolve_stage(const Pipeline& pipeline, const CheckedStage& stage,
                                    const Expression::Lookup& lookup) {
  ResolvedStage resolved;
  const StageSpec& spec = *stage.spec;
  if (spec.when) {
    APR_ASSIGN(const bool wanted, evaluate_condition(*spec.when, lookup, pipeline.file));
    if (!wanted) {
      resolved.skip = true;
      resolved.reason = "its 'when' is false";
      return resolved;
    }
  }
  const std::vector<Param>& params = stage.verb->info().params;
  for (const Setting& setting : spec.with) {
    const Param* param = find_by_name(params, setting.name);
    if (param == nullptr) {
      return make_error(ErrorCode::usage, cat("no parameter '", setting.name, "'"),
                        place(pipeline.file, setting.at));
    }
    APR_ASSIGN(Json value, evaluate(setting.value, lookup, pipeline.file));
    if (value.is_null()) {
      if (!param->required) continue;
      resolved.skip = true;
      resolved.reason =
          cat("'", setting.name, "' comes from a skipped stage or an unset parameter");
      return resolved;
    }
    auto checked = check_param(*param, value);
    if (!checked) {
      Error error = std::move(checked).error();
      error.context = place(pipeline.file, setting.value.at);
      error.message = cat("'", setting.name, "': ", error.message);
      return error;
    }
    resolved.params.set(param->name, with_paths(*param, *std::move(checked), pipeline.folder));
  }
  const bool has_seed = find_by_name(params, "seed") != nullptr;
  if (pipeline.seed && has_seed && !resolved.params.contains("seed")) {
    resolved.params.set("seed", *pipeline.seed);
  }
  return resolved;
}

Result<Json> resolve_gate(const Pipeline& pipeline, const CheckedStage& stage, const GateSpec& gate,
                          const Expression::Lookup& lookup, const std::string& model) {
  const GateKind* kind = find_gate_kind(gate.kind);
  Json values = Json::object();
  if (kind == nullptr) return make_error(ErrorCode::usage, "unknown gate", gate.kind);
  for (const Setting& setting : gate.settings) {
    const std::string where = place(pipeline.file, setting.value.at);
    APR_ASSIGN(Json value, evaluate(setting.value, lookup, pipeline.file));
    if (value.is_null()) {
      return make_error(ErrorCode::validation,
                        cat("gate ", gate.kind, ": '", setting.name,
                            "' has no value, so the gate cannot be held"),
                        where, "does it refer to a skipped stage? give a fallback with ??");
    }
    const Param* param = kind->find(setting.name);
    const std::string name = param == nullptr ? setting.name : param->name;
    if (param == nullptr || kind->limit(name) != nullptr) {
      values.set(name, std::move(value));
      continue;
    }
    auto checked = check_param(*param, value);
    if (!checked) {
      Error error = std::move(checked).error();
      error.context = where;
      error.message = cat("gate ", gate.kind, ", '", setting.name, "': ", error.message);
      return error;
    }
    values.set(name, with_paths(*param, *std::move(checked), pipeline.folder));
  }
  if (kind->find("model") != nullptr && !values.contains("model")) {
    if (model.empty()) {
      return make_error(
          ErrorCode::usage,
          cat("gate ", gate.kind, " of stage '", stage.spec->name, "' has no model to measure"),
          place(pipeline.file, gate.at));
    }
    values.set("model", model);
  }
  return values;
}

std::vector<ForeignInput> foreign_inputs(const Pipeline& pipeline, const CheckedPipeline& checked,
                                         const ParamValues& params) {
  std::vector<ForeignInput> inputs;
  const auto add = [&](const Param& param, const Setting& setting, const StageSpec& stage) {
    if (param.role != ParamRole::input) return;
    const auto value =
        evaluate(setting.value, lookup_before(pipeline, params, stage), pipeline.file);
    if (!value || value->is_null()) return;
    const Json paths = with_paths(param, *value, pipeline.folder);
    const JsonArray list = paths.is_array() ? paths.as_array() : JsonArray{paths};
    for (const Json& path : list) {
      inputs.push_back({path.as_string(), setting.value.at, stage.name});
    }
  };
  for (const CheckedStage& stage : checked.stages) {
    if (stage.spec->when) {
      // A stage that certainly will not run needs nothing.
      const auto wanted = evaluate_condition(
          *stage.spec->when, lookup_before(pipeline, params, *stage.spec), pipeline.file);
      if (wanted && !*wanted) continue;
    }
    for (const Setting& setting : stage.spec->with) {
      const Param* param = find_by_name(stage.verb->info().params, setting.name);
      if (param != nullptr) add(*param, setting, *stage.spec);
    }
    for (const GateSpec& gate : stage.spec->gates) {
      const GateKind* kind = find_gate_kind(gate.kind);
      if (kind == nullptr) continue;
      for (const Setting& setting : gate.settings) {
        const Param* param = kind->find(setting.name);
        if (param != nullptr) add(*param, setting, *stage.spec);
      }
    }
  }
  return inputs;
}

}  // namespace apr::pipeline
