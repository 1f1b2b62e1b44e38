// What a pipeline file says, as read: names, settings and where each stands. Nothing is looked up
// here; check.h finds out whether it makes sense.
#pragma once

#include <cstdint>
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

/// `retry:`: how often more, how long to wait before, and after which failures.
struct RetrySpec {
  unsigned count = 0;
  std::uint64_t delay_ms = 0;
  std::vector<std::string> on;  ///< names of retry_causes()
};
/// "timeout", "io", "network", …: what may be tried again.
const std::vector<std::string>& retry_causes();

/// `resources:` of a stage: what it takes; of the pipeline: what the run may take.
struct ResourceSpec {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::uint64_t> disk_bytes;
  std::optional<unsigned> threads;
};

/// One value of one axis of a matrix.
struct MatrixValue {
  std::string axis;
  std::string label;  ///< as in the stage's name: the value, or "#2" if it does not fit there
  Json value;
};

/// A stage as it runs: one for each combination of a matrix.
struct StageSpec {
  std::string name;                      ///< "shrink", "shrink[q4_0]"
  std::string group;                     ///< the name in the file: "shrink"
  std::vector<MatrixValue> combination;  ///< empty without a matrix
  Json matrix = Json::object();          ///< values by axis, and what `include` adds
  Position at;
  std::string description;
  std::string uses;  ///< verb name, without "@1"
  Position uses_at;
  std::vector<Setting> with;
  std::vector<Name> needs;
  std::optional<YamlNode> when;
  std::vector<GateSpec> gates;
  RetrySpec retry;
  std::optional<std::uint64_t> timeout_ms;
  bool allow_failure = false;
  ResourceSpec resources;
};

/// What stands under `stages:`: one stage, or one for each combination.
struct StageGroup {
  std::string name;
  Position at;
  std::vector<std::string> axes;
  std::vector<std::string> extras;  ///< further names of `matrix.…`, from `include`
  std::size_t first = 0;            ///< index of its first stage
  std::size_t count = 1;
  bool broken = false;  ///< its matrix is wrong, and has been reported
};

/// A result the pipeline is run for, put at a place of its own.
struct OutputSpec {
  std::string name;
  Position at;
  YamlNode from;
  std::string to;  ///< relative to the pipeline file
  Position to_at;
  std::string stage;  ///< of a matrix: the stage it comes from; else empty
};

/// `report.tables`: figures of stages side by side, a row for each combination of a matrix.
struct TableColumn {
  std::string title;
  Position at;
  YamlNode value;
  std::string unit;  ///< "", "bytes", "seconds", "percent"
};
struct TableSpec {
  std::string title;
  Position at;
  std::string rows;  ///< the stage whose combinations are the rows
  Position rows_at;
  std::vector<TableColumn> columns;
  std::string chart_x;  ///< titles of columns; empty: no chart
  std::string chart_y;
  Position chart_at;
};
struct ReportSpec {
  std::string html;  ///< relative to the pipeline file; empty: only in the state folder
  std::string junit;
  std::vector<TableSpec> tables;
};

struct Reference;
struct Problem;

struct Pipeline {
  std::string file;    ///< as the user named it, for messages
  std::string folder;  ///< absolute; paths in the file are relative to it
  std::string name;
  std::string description;
  std::vector<ParamSpec> params;
  std::optional<std::int64_t> seed;  ///< defaults.seed
  StageSpec defaults;                ///< retry, timeout and resources of `defaults`
  std::vector<StageSpec> stages;     ///< matrices expanded
  std::vector<StageGroup> groups;    ///< as in the file
  std::vector<OutputSpec> outputs;
  ReportSpec report;
  ResourceSpec resources;         ///< of the whole run
  std::vector<Name> environment;  ///< variables that stages may see
  std::vector<Name> secrets;      ///< variables whose values are never stored or shown

  const StageSpec* find_stage(std::string_view stage) const;
  const StageGroup* find_group(std::string_view group) const;
  std::size_t index_of(const StageSpec& stage) const {
    return static_cast<std::size_t>(&stage - stages.data());
  }
  /// The stages a reference means. `matrix` are the values where it stands. Empty if it means none;
  /// `problem` says why.
  struct Selection {
    std::vector<std::size_t> stages;
    bool list = false;  ///< written with `*`: the value is a list
  };
  std::optional<Selection> select(const Reference& reference, const Json& matrix,
                                  Problem& problem) const;
  std::vector<std::string> group_names() const;
  const ParamSpec* find_param(std::string_view param) const;
  std::vector<std::string> param_names() const;
};

/// Reads the whole file, reporting everything wrong at once. YAML that cannot be read at all is one
/// error.
Pipeline read_pipeline(const YamlNode& root, std::string_view file, std::string_view folder,
                       Diagnostics& diagnostics);

/// "500ms", "90s", "5m", "2h" as milliseconds.
std::optional<std::uint64_t> parse_duration(std::string_view text);

/// Whether `version` ("0.1.0") is within `range` (">=0.1 <1"). Empty if the range cannot be read.
std::optional<bool> version_in_range(std::string_view version, std::string_view range);

/// "; did you mean 'x'?"-style hint: the nearest candidate, or the list of all.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates,
                       std::string_view what);

}  // namespace apr::pipeline
