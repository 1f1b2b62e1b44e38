// Lint's inner parts; check.h is the door.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "orchestrator/pipeline/check.h"
#include "orchestrator/pipeline/expression.h"
#include "orchestrator/pipeline/gate_kinds.h"

namespace apr::pipeline {

/// What a value in the file refers to and, as far as that can be known now, what it is.
struct Sight {
  bool sound = true;  ///< no error was reported
  bool known = true;  ///< `value` is what it will be in the run
  StaticType type = StaticType::any;
  Json value;
};

class Checker {
 public:
  Checker(const Pipeline& pipeline, const ParamValues& params, const VerbTable& verbs,
          Diagnostics& diagnostics)
      : pipeline_(pipeline), params_(params), verbs_(verbs), diagnostics_(diagnostics) {}

  CheckedPipeline run();

 private:
  /// Where a value stands: which stage it belongs to, and what it may refer to.
  struct Where {
    std::optional<std::size_t> stage = {};
    bool own_results = false;  ///< gates may refer to their own stage
    bool only_params = false;
    bool secrets = false;            ///< only parameters of stages may hold secrets
    const StageSpec* row = nullptr;  ///< of a table: gives the values of the matrix
  };

  // References and values.
  const Json& matrix_at(const Where& where) const;
  bool check_reference(const Reference& reference, Position at, const Where& where);
  bool check_variable(const Reference& reference, Position at, const Where& where);
  bool check_stage_reference(const Reference& reference, Position at, const Where& where);
  StaticType type_of(const Reference& reference, const Where& where) const;
  bool value_is_known(const Reference& reference) const;
  Result<Json> known_value(const Reference& reference, const Where& where) const;
  template <typename Parsed>
  Sight look(const Parsed& parsed, const YamlNode& node, std::size_t skipped, const Where& where);
  Sight look_at(const YamlNode& node, const Where& where);
  void check_value(const Param& param, const YamlNode& node, const Where& where,
                   const std::string& what);

  // Stages.
  Stage* find_verb_of(const StageSpec& spec);
  void check_stage(std::size_t index);
  void check_needs(std::size_t index);
  void check_when(const YamlNode& node, const Where& where);
  void check_with(const CheckedStage& stage, const Where& where);
  void finish_stages();
  void sort();
  void warn_about_unused();

  // Gates, outputs, tables.
  void check_gate(const CheckedStage& stage, const GateSpec& gate, std::size_t index);
  void check_gate_is_whole(const CheckedStage& stage, const GateSpec& gate, const GateKind& kind,
                           const std::set<std::string>& given, const std::string& what);
  void check_output(const OutputSpec& output);
  void check_output_place(const OutputSpec& output);
  void check_table(const TableSpec& table);
  static Where row_at(const StageSpec& stage);

  const Pipeline& pipeline_;
  const ParamValues& params_;
  const VerbTable& verbs_;
  Diagnostics& diagnostics_;
  CheckedPipeline result_;
  std::vector<std::set<std::size_t>> dependencies_;
  std::vector<std::set<std::string>> ports_;
  std::set<std::size_t> used_stages_;
  std::set<std::string> used_params_;
  std::set<std::string> used_secrets_;
};

/// By name or alias; nullptr if there is none.
const Param* find_by_name(const std::vector<Param>& params, std::string_view name);
std::vector<std::string> port_names(const Verb& verb);

}  // namespace apr::pipeline
