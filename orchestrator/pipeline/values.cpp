#include "orchestrator/pipeline/values.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "core/base/cat.h"
#include "core/platform/file.h"

namespace apr::pipeline {

Position position_in(const YamlNode& node, std::size_t offset) {
  if (node.text_column == 0) return node.at;
  return {node.at.line, node.text_column + static_cast<int>(offset)};
}

Result<Json> evaluate(const YamlNode& node, const Expression::Lookup& lookup,
                      std::string_view file) {
  if (node.kind == YamlNode::Kind::list) {
    Json list = Json::array();
    for (const YamlNode& item : node.items) {
      APR_ASSIGN(Json value, evaluate(item, lookup, file));
      if (value.is_null()) return Json();
      if (!value.is_array()) {
        list.push_back(std::move(value));
        continue;
      }
      for (const Json& inner : value.as_array()) list.push_back(inner);  // of `stages.x[*]`
    }
    return list;
  }
  if (!node.is_text()) return node.to_json();
  Problem problem;
  const auto text = TextTemplate::parse(node.text, problem);
  if (!text) {
    return make_error(ErrorCode::usage, problem.message,
                      place(file, position_in(node, problem.offset)), problem.hint);
  }
  auto value = text->evaluate(lookup);
  if (!value) return std::move(value).error().within(place(file, node.at));
  return value;
}

std::optional<Expression> parse_condition(const YamlNode& node, Problem& problem) {
  if (node.kind == YamlNode::Kind::boolean) return Expression::parse(node.text, problem);
  if (!node.is_text()) {
    problem = {0, cat("'when' must be an expression, not ", node.kind_name()), ""};
    return std::nullopt;
  }
  std::string_view text = node.text;
  std::size_t skipped = 0;
  if (text.starts_with("${") && text.ends_with("}") &&
      text.substr(2).find("${") == std::string_view::npos) {
    text = text.substr(2, text.size() - 3);
    skipped = 2;
  }
  auto expression = Expression::parse(text, problem);
  if (!expression) problem.offset += skipped;
  return expression;
}

Result<bool> evaluate_condition(const YamlNode& node, const Expression::Lookup& lookup,
                                std::string_view file) {
  Problem problem;
  const auto expression = parse_condition(node, problem);
  if (!expression) {
    return make_error(ErrorCode::usage, problem.message,
                      place(file, position_in(node, problem.offset)), problem.hint);
  }
  auto value = expression->evaluate(lookup);
  if (!value) return std::move(value).error().within(place(file, node.at));
  if (!value->is_boolean()) {
    return make_error(ErrorCode::usage, cat("'when' must be true or false, not ", value->dump()),
                      place(file, node.at));
  }
  return value->as_boolean();
}

const Json* find_in_report(const Json& report, const std::vector<std::string>& path) {
  const Json* at = &report;
  for (const std::string& key : path) {
    if (at->is_array()) {
      std::size_t index = 0;
      const auto read = std::from_chars(key.data(), key.data() + key.size(), index);
      if (read.ec != std::errc{} || read.ptr != key.data() + key.size() || index >= at->size()) {
        return nullptr;
      }
      at = &at->as_array()[index];
    } else {
      at = at->find(key);
      if (at == nullptr) return nullptr;
    }
  }
  return at;
}

bool has_scheme(std::string_view path) {
  const std::size_t colon = path.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  return std::all_of(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(colon), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

std::string resolve_path(std::string_view path, std::string_view folder) {
  if (path.empty() || has_scheme(path)) return std::string(path);
  std::filesystem::path resolved(path);
  if (resolved.is_relative()) resolved = std::filesystem::path(folder) / resolved;
  std::string text = resolved.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

Result<std::string> output_place(const Pipeline& pipeline, const OutputSpec& output) {
  Problem problem;
  const auto to = TextTemplate::parse(output.to, problem);
  if (!to) return make_error(ErrorCode::usage, problem.message, "", problem.hint);
  const StageSpec* stage = pipeline.find_stage(output.stage);
  APR_ASSIGN(const Json place, to->evaluate([&](const Reference& reference) -> Result<Json> {
    if (stage == nullptr || reference.kind != Reference::Kind::matrix) {
      return make_error(ErrorCode::usage, "'to' must be a plain path", "",
                        "only ${matrix.AXIS} can stand in it, where 'from' is "
                        "\"${stages.NAME[*].OUTPUT}\"");
    }
    for (const MatrixValue& value : stage->combination) {
      if (value.axis == reference.name) return Json(value.label);
    }
    std::vector<std::string> axes;
    for (const MatrixValue& value : stage->combination) axes.push_back(value.axis);
    return make_error(ErrorCode::usage, cat("the matrix has no axis '", reference.name, "'"), "",
                      suggestion(reference.name, axes, "axes"));
  }));
  return resolve_path(place.as_string(), pipeline.folder);
}

std::string current_folder() {
  std::error_code failed;
  const auto path = std::filesystem::current_path(failed);
  return failed ? "/" : path.string();
}

Result<ParamValues> param_values(const Pipeline& pipeline, const std::vector<std::string>& sets,
                                 std::string_view folder) {
  ParamValues result;
  Json given = Json::object();
  for (const std::string& word : sets) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return make_error(ErrorCode::usage, cat("'", word, "' has no '='"), "--set",
                        "write --set name=value");
    }
    const std::string name = word.substr(0, equals);
    std::string text = word.substr(equals + 1);
    const ParamSpec* spec = pipeline.find_param(name);
    if (spec == nullptr) {
      return make_error(ErrorCode::usage, cat("the pipeline has no parameter '", name, "'"),
                        "--set", suggestion(name, pipeline.param_names(), "parameters"));
    }
    if (given.contains(name)) {
      return make_error(ErrorCode::usage, cat("'", name, "' is set twice"), "--set");
    }
    auto value = parse_param(spec->param, text);
    if (!value) return std::move(value).error().within("--set");
    if (spec->is_path) {
      text = resolve_path(text, folder);
      *value = text;
    }
    given.set(name, *std::move(value));
    result.given.set(name, text);
  }
  for (const Name& name : pipeline.environment) {
    const char* value = std::getenv(name.text.c_str());
    result.environment.set(name.text, value == nullptr ? Json() : Json(value));
  }
  for (const ParamSpec& spec : pipeline.params) {
    const std::string& name = spec.param.name;
    if (const Json* value = given.find(name)) {
      result.values.set(name, *value);
    } else if (!spec.optional) {
      result.missing.push_back(name);
    } else if (spec.is_path && spec.param.fallback.is_string()) {
      result.values.set(name, resolve_path(spec.param.fallback.as_string(), pipeline.folder));
    } else {
      result.values.set(name, spec.param.fallback);
    }
  }
  return result;
}

}  // namespace apr::pipeline
