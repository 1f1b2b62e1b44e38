// The parameter schema of a verb: the one source for command-line options, YAML checking, --help
// and docs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace apr {

enum class ParamType { text, integer, number, boolean, bytes, choice, texts };

/// What a parameter means for a run.
enum class ParamRole {
  plain,   ///< a setting
  input,   ///< path of an artifact that is read; its content is part of a stage's cache key
  output,  ///< path of an artifact that is written; the pipeline chooses it, the user gives it with
           ///< -o
};

struct Param {
  std::string name;  ///< "max-tokens"; `--max-tokens` on the command line, `max-tokens` in YAML
  ParamType type = ParamType::text;
  std::string help;
  ParamRole role = ParamRole::plain;
  bool required = false;
  Json fallback;                     ///< null: none
  std::vector<std::string> choices;  ///< for ParamType::choice
  std::optional<double> minimum;     ///< inclusive
  std::optional<double> maximum;     ///< inclusive
  char letter = 0;                   ///< 'o' for -o
  int position = -1;                 ///< 0, 1, … : may be given without its name, in this order
  std::string value_name;            ///< "FILE" in --help; by type when empty
  bool cli_only = false;             ///< not offered in YAML ("force")
  bool affects_result = true;        ///< false: not part of a stage's cache key ("threads")
  std::vector<std::string> aliases;  ///< further long names
  std::string section;               ///< heading in --help; "Options" when empty
};

/// Checked values by parameter name.
class Values {
 public:
  Values() = default;
  explicit Values(Json object) : object_(std::move(object)) {}
  bool has(std::string_view name) const { return !object_[name].is_null(); }
  const std::string& text(std::string_view name) const { return object_[name].as_string(); }
  std::int64_t integer(std::string_view name) const { return object_[name].as_integer(); }
  double number(std::string_view name) const { return object_[name].as_number(); }
  bool flag(std::string_view name) const { return object_[name].as_boolean(); }
  std::vector<std::string> texts(std::string_view name) const;
  const Json& json() const { return object_; }
  void set(std::string_view name, Json value) { object_.set(name, std::move(value)); }

 private:
  Json object_ = Json::object();
};

/// One textual value (a command-line word) as the parameter's type: "2GiB" for bytes, "true" for
/// boolean.
Result<Json> parse_param(const Param& param, std::string_view text);
/// Checks kind, range and choices of a value from YAML; converts where the schema allows.
Result<Json> check_param(const Param& param, const Json& value);
/// Checks a whole object: unknown names (with a suggestion), missing required ones, defaults filled
/// in.
Result<Values> check_params(const std::vector<Param>& params, const Json& object);

/// The nearest of `candidates` by edit distance, if near enough to be a typing mistake; else "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace apr
