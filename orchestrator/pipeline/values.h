// Values in a pipeline file: texts with references in them become values, and paths become
// absolute.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/pipeline/expression.h"
#include "orchestrator/pipeline/pipeline.h"

namespace apr::pipeline {

/// The place of an offset into a node's text.
Position position_in(const YamlNode& node, std::size_t offset);

/// The value of a node with every `${…}` put in. Null if a referenced value is null. Errors carry
/// the place.
Result<Json> evaluate(const YamlNode& node, const Expression::Lookup& lookup,
                      std::string_view file);

/// `when:` is an expression, or a text that is one `${expression}`, or true or false.
std::optional<Expression> parse_condition(const YamlNode& node, Problem& problem);
Result<bool> evaluate_condition(const YamlNode& node, const Expression::Lookup& lookup,
                                std::string_view file);

/// A member of a report: keys of objects, indexes of lists. nullptr if it is not there.
const Json* find_in_report(const Json& report, const std::vector<std::string>& path);

/// Where an output goes: absolute, `${matrix.AXIS}` replaced by the label of its stage.
Result<std::string> output_place(const Pipeline& pipeline, const OutputSpec& output);

/// True for "hf://model" and the like.
bool has_scheme(std::string_view path);
/// `path` as it stands in the file, made absolute; what has a scheme stays as it is.
std::string resolve_path(std::string_view path, std::string_view folder);
/// The current folder of the process.
std::string current_folder();

/// `--set name=value` words as an object of checked values by parameter; defaults filled in. A
/// parameter without a value is left out. Paths given here are relative to `folder`, defaults to
/// the pipeline file.
struct ParamValues {
  Json values = Json::object();  ///< checked, paths absolute
  Json given = Json::object();  ///< what was set, as text, paths absolute: enough to repeat the run
  Json environment = Json::object();  ///< what `env` allows: texts, null where unset
  std::vector<std::string> missing;   ///< parameters that have neither default nor value
};
Result<ParamValues> param_values(const Pipeline& pipeline, const std::vector<std::string>& sets,
                                 std::string_view folder);

}  // namespace apr::pipeline
