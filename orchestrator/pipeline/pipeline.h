// What a pipeline file says, as read: names, settings and where each stands. Nothing is looked up
// here; check.h finds out whether it makes sense.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/pipeline/diagnostic.h"
#include "orchestrator/pipeline/yaml.h"
#include "orchestrator/schema/schema.h"

namespace apr::pipeline {

struct Name {
  std::string text;
  Position at;
};

/// `key: value` of a `with:` or a gate; the value may hold references.
struct Setting {
  std::string name;
  Position at;
  YamlNode value;
};

struct ParamSpec {
  Param param;            ///< name, type, default, range, choices, help
  bool is_path = false;   ///< relative to the pipeline file
  bool optional = false;  ///< has a default (which may be null)
  Position at;
  std::string type;  ///< as written: "string", "path", …
};

struct GateSpec {
  std::string kind;
  Position at;
  std::vector<Setting> settings;
};

struct StageSpec {
  std::string name;
  Position at;
  std::string description;
  std::string uses;  ///< verb name, without "@1"
  Position uses_at;
  std::vector<Setting> with;
  std::vector<Name> needs;
  std::optional<YamlNode> when;
  std::vector<GateSpec> gates;
};

/// A result the pipeline is run for, put at a place of its own.
struct OutputSpec {
  std::string name;
  Position at;
  YamlNode from;
  std::string to;  ///< relative to the pipeline file
  Position to_at;
};

struct Pipeline {
  std::string file;    ///< as the user named it, for messages
  std::string folder;  ///< absolute; paths in the file are relative to it
  std::string name;
  std::string description;
  std::vector<ParamSpec> params;
  std::optional<std::int64_t> seed;  ///< defaults.seed
  std::vector<StageSpec> stages;
  std::vector<OutputSpec> outputs;

  const StageSpec* find_stage(std::string_view stage) const;
  const ParamSpec* find_param(std::string_view param) const;
  std::vector<std::string> stage_names() const;
  std::vector<std::string> param_names() const;
};

/// Reads the whole file, reporting everything wrong at once. YAML that cannot be read at all is one
/// error.
Pipeline read_pipeline(const YamlNode& root, std::string_view file, std::string_view folder,
                       Diagnostics& diagnostics);

/// Whether `version` ("0.1.0") is within `range` (">=0.1 <1"). Empty if the range cannot be read.
std::optional<bool> version_in_range(std::string_view version, std::string_view range);

/// "; did you mean 'x'?"-style hint: the nearest candidate, or the list of all.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates,
                       std::string_view what);

}  // namespace apr::pipeline
