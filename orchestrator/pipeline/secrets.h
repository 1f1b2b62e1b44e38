// Secrets: values from the environment that stages may be given and that are never stored or shown.
//
// In parameters, keys, records and reports a secret is a placeholder with its name. Its value is
// put in only when a stage starts, and taken out again of everything the stage prints, reports and
// says in errors.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "orchestrator/pipeline/pipeline.h"

namespace apr::pipeline {

/// Cannot be written in a pipeline file: it holds a control character.
std::string secret_placeholder(std::string_view name);

class Secrets {
 public:
  Secrets() = default;
  /// Values of the named variables. One that is not set, or too short to be recognised in a text,
  /// is an error with its place in the file.
  static Result<Secrets> read(const Pipeline& pipeline);

  bool empty() const { return values_.empty(); }
  /// Placeholders replaced by values, in every text of `json`.
  Json reveal(const Json& json) const;
  /// Values replaced by "***".
  std::string mask_text(std::string_view text) const;
  Json mask(const Json& json) const;
  Error mask(Error error) const;

 private:
  std::map<std::string, std::string> values_;  ///< by name
};

}  // namespace apr::pipeline
