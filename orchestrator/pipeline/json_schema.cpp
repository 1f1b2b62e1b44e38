#include "orchestrator/pipeline/json_schema.h"

#include "core/base/cat.h"
#include "orchestrator/pipeline/gate_kinds.h"

namespace apr::pipeline {
namespace {

constexpr std::string_view kDuration = "^[0-9]*[1-9][0-9]*(ms|s|m|h)$";

Json text(std::string_view help = {}) {
  Json json = Json::object({{"type", "string"}});
  if (!help.empty()) json.set("description", help);
  return json;
}

Json with_help(Json json, std::string_view help) {
  json.set("description", help);
  return json;
}

Json list_of(const std::vector<std::string>& words) {
  Json list = Json::array();
  for (const std::string& word : words) list.push_back(word);
  return list;
}

Json one_of_words(const std::vector<std::string>& words) {
  return Json::object({{"enum", list_of(words)}});
}

/// An object of these members and no others.
Json closed(Json properties, const std::vector<std::string>& required = {}) {
  Json json = Json::object({{"type", "object"}, {"additionalProperties", false}});
  json.set("properties", std::move(properties));
  if (!required.empty()) json.set("required", list_of(required));
  return json;
}

Json open_map(Json of) {
  Json json = Json::object({{"type", "object"}});
  json.set("additionalProperties", std::move(of));
  return json;
}

Json pattern(std::string_view expression) {
  return Json::object({{"type", "string"}, {"pattern", expression}});
}

/// A map whose keys are names of our own.
Json named_map(Json of) {
  Json json = open_map(std::move(of));
  json.set("propertyNames", pattern("^[A-Za-z_][A-Za-z0-9_-]*$"));
  return json;
}

Json list(Json of) {
  Json json = Json::object({{"type", "array"}});
  json.set("items", std::move(of));
  return json;
}

Json any_of(JsonArray choices) {
  return Json::object({{"anyOf", Json(std::move(choices))}});
}

/// A text with a reference in it may stand for any value.
Json reference() {
  return pattern("\\$\\{");
}

Json value_schema(const Param& param) {
  Json plain = Json::object();
  switch (param.type) {
    case ParamType::boolean:
      plain.set("type", "boolean");
      break;
    case ParamType::integer:
      plain.set("type", "integer");
      break;
    case ParamType::number:
      plain.set("type", "number");
      break;
    case ParamType::bytes:
      plain.set("type", Json(JsonArray{"integer", "string"}));
      break;
    case ParamType::choice:
      plain.set("enum", list_of(param.choices));
      break;
    case ParamType::texts:
      plain = list(text());
      break;
    case ParamType::text:
      plain.set("type", "string");
      break;
  }
  const bool number = param.type == ParamType::integer || param.type == ParamType::number;
  if (number && param.minimum) plain.set("minimum", *param.minimum);
  if (number && param.maximum) plain.set("maximum", *param.maximum);
  JsonArray choices{std::move(plain), reference()};
  if (!param.required) choices.push_back(Json::object({{"type", "null"}}));
  Json json = any_of(std::move(choices));
  if (!param.help.empty()) json.set("description", param.help);
  if (!param.fallback.is_null()) json.set("default", param.fallback);
  return json;
}

void add_names(Json& properties, const Param& param, const Json& schema) {
  properties.set(param.name, schema);
  for (const std::string& alias : param.aliases) properties.set(alias, schema);
}

/// `with` of one verb.
Json with_schema(const Verb& verb) {
  Json properties = Json::object();
  std::vector<std::string> required;
  for (const Param& param : verb.info().params) {
    if (param.role == ParamRole::output || param.cli_only) continue;
    add_names(properties, param, value_schema(param));
    if (param.required && param.aliases.empty()) required.push_back(param.name);
  }
  return closed(std::move(properties), required);
}

Json gate_schema() {
  Json properties = Json::object();
  for (const GateKind& kind : gate_kinds()) {
    Json settings = Json::object();
    std::vector<std::string> required;
    for (const Param& param : kind.params) {
      Json schema = value_schema(param);
      if (kind.limit(param.name) != nullptr) {
        schema = Json::object({{"type", Json(JsonArray{"string", "number"})}});
        schema.set("description", param.help);
      }
      add_names(settings, param, schema);
      if (param.required && param.aliases.empty()) required.push_back(param.name);
    }
    Json gate = closed(std::move(settings), required);
    if (kind.open) {
      gate.set("additionalProperties", Json::object({{"type", "string"}}));
      gate.set("minProperties", 1);
    }
    JsonArray limits;  // a gate without one could never fail
    for (const std::string& name : kind.one_of) {
      limits.push_back(Json::object({{"required", Json(JsonArray{name})}}));
    }
    if (!limits.empty()) gate.set("anyOf", Json(std::move(limits)));
    gate.set("description", kind.summary);
    properties.set(kind.name, std::move(gate));
  }
  return closed(std::move(properties));
}

Json conduct(bool whole) {
  Json resources = Json::object();
  const Json size = any_of(
      {Json::object({{"type", "integer"}, {"minimum", 1}}), pattern("^[0-9.]+ ?([KMGT]i?)?B?$")});
  resources.set("memory", size);
  if (whole) resources.set("disk", size);
  resources.set("threads", Json::object({{"type", "integer"}, {"minimum", 1}, {"maximum", 4096}}));
  return closed(std::move(resources));
}

Json retry_schema() {
  Json properties = Json::object();
  properties.set("count", Json::object({{"type", "integer"}, {"minimum", 1}, {"maximum", 10}}));
  properties.set("delay", pattern("^[0-9]+(ms|s|m|h)$"));
  const Json cause = one_of_words(retry_causes());
  properties.set("after", any_of({cause, list(cause)}));
  return with_help(any_of({Json::object({{"type", "integer"}, {"minimum", 0}, {"maximum", 10}}),
                           closed(std::move(properties), {"count"})}),
                   "try again after failures that may pass by themselves");
}

Json matrix_schema() {
  const Json plain = Json::object({{"type", Json(JsonArray{"string", "number", "boolean"})}});
  Json values = list(plain);
  values.set("minItems", 1);
  Json json = open_map(std::move(values));
  json.set("minProperties", 1);
  json.set("properties",
           Json::object({{"include", list(open_map(plain))}, {"exclude", list(open_map(plain))}}));
  return with_help(std::move(json), "one stage for each combination of these values");
}

Json stage_schema(const VerbTable& verbs) {
  std::vector<std::string> names;
  JsonArray rules;
  for (const std::string& name : verbs.stage_names) {
    const Verb* verb = verbs.find(name);
    if (verb == nullptr) continue;
    names.push_back(name);
    names.push_back(name + "@1");
    Json rule = Json::object();
    rule.set("if", Json::object({{"properties",
                                  Json::object({{"uses", one_of_words({name, name + "@1"})}})}}));
    Json then = Json::object();
    Json with = with_schema(*verb);
    if (with.contains("required")) then.set("required", Json(JsonArray{"with"}));
    then.set("properties", Json::object({{"with", std::move(with)}}));
    rule.set("then", std::move(then));
    rules.push_back(std::move(rule));
  }
  Json properties = Json::object();
  properties.set("description", text());
  properties.set("uses", with_help(one_of_words(names), "a verb of apr"));
  properties.set("with", with_help(Json::object({{"type", "object"}}), "the verb's parameters"));
  properties.set("needs", with_help(any_of({text(), list(text())}), "stages to wait for"));
  properties.set("when", with_help(Json::object({{"type", Json(JsonArray{"string", "boolean"})}}),
                                   "run only if this is true"));
  properties.set("matrix", matrix_schema());
  const Json gates = gate_schema();
  properties.set("gates", with_help(any_of({gates, list(gates)}), "what must hold"));
  properties.set("retry", retry_schema());
  properties.set("timeout", pattern(kDuration));
  properties.set("allow_failure", Json::object({{"type", "boolean"}}));
  properties.set("resources", conduct(false));
  Json stage = closed(std::move(properties), {"uses"});
  stage.set("allOf", Json(std::move(rules)));
  return stage;
}

Json param_schema() {
  Json properties = Json::object();
  properties.set(
      "type", one_of_words({"string", "integer", "float", "boolean", "path", "bytes", "choice"}));
  properties.set("default", Json::object());
  properties.set("range", list(Json::object({{"type", Json(JsonArray{"number", "null"})}})));
  properties.set("choices", list(text()));
  properties.set("help", text());
  return closed(std::move(properties), {"type"});
}

Json report_schema() {
  Json column = Json::object();
  column.set("title", text());
  column.set("value", Json::object());
  column.set("unit", one_of_words({"bytes", "seconds", "percent"}));
  Json table = Json::object();
  table.set("title", text());
  table.set("rows", text("the stage whose combinations are the rows"));
  table.set("columns", list(closed(std::move(column), {"title", "value"})));
  table.set("chart", closed(Json::object({{"x", text()}, {"y", text()}}), {"x", "y"}));
  Json properties = Json::object();
  properties.set("html", text());
  properties.set("junit", text());
  properties.set("tables", list(closed(std::move(table), {"title", "rows", "columns"})));
  return closed(std::move(properties));
}

}  // namespace

Json pipeline_schema(const VerbTable& verbs) {
  Json properties = Json::object();
  properties.set("apiVersion", Json::object({{"const", "apr.dev/v1"}}));
  properties.set("kind", Json::object({{"const", "Pipeline"}}));
  properties.set("name", pattern("^[A-Za-z_][A-Za-z0-9_-]*$"));
  properties.set("description", text());
  properties.set("requires", closed(Json::object({{"apr", text("for example \">=0.1 <1\"")}})));
  properties.set("params", named_map(param_schema()));
  properties.set("env", with_help(list(pattern("^[A-Za-z_][A-Za-z0-9_]*$")),
                                  "environment variables that stages may see"));
  properties.set("secrets", with_help(list(pattern("^[A-Za-z_][A-Za-z0-9_]*$")),
                                      "environment variables that are never stored or shown"));
  properties.set("resources", with_help(conduct(true), "what a run may take"));
  Json defaults = Json::object();
  defaults.set("seed", Json::object({{"type", "integer"}}));
  defaults.set("timeout", pattern(kDuration));
  defaults.set("retry", retry_schema());
  defaults.set("resources", conduct(false));
  properties.set("defaults", closed(std::move(defaults)));
  Json stages = named_map(stage_schema(verbs));
  stages.set("minProperties", 1);
  properties.set("stages", std::move(stages));
  Json output = Json::object();
  output.set("from", pattern("^\\$\\{.*\\}$"));
  output.set("to", text("a path, relative to this file"));
  properties.set("outputs", named_map(closed(std::move(output), {"from", "to"})));
  properties.set("report", report_schema());
  Json schema = Json::object();
  schema.set("$schema", "http://json-schema.org/draft-07/schema#");
  schema.set("title", "apr pipeline");
  const Json body = closed(std::move(properties), {"apiVersion", "kind", "name", "stages"});
  for (const auto& [key, value] : body.as_object()) schema.set(key, value);
  return schema;
}

}  // namespace apr::pipeline
