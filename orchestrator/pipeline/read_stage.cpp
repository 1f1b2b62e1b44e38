// From YAML to stages.
#include <utility>

#include "orchestrator/pipeline/map_reader.h"
#include "orchestrator/pipeline/matrix.h"

namespace apr::pipeline {
namespace {

void read_settings(const YamlNode& map, std::vector<Setting>& settings) {
  for (const YamlMember& member : map.members) {
    settings.push_back({member.key, member.at, member.value});
  }
}

std::size_t values_in(const YamlNode& node) {
  std::size_t count = 1;
  for (const YamlNode& item : node.items) count += values_in(item);
  for (const YamlMember& member : node.members) count += values_in(member.value);
  return count;
}

class StageReader {
 public:
  StageReader(Pipeline& pipeline, Diagnostics& diagnostics)
      : pipeline_(pipeline), diagnostics_(diagnostics) {}

  void read_all(const YamlNode& node) {
    if (node.members.empty()) {
      diagnostics_.error(node.at, "'stages' is empty", "there is nothing to run");
    }
    for (const YamlMember& member : node.members) {
      if (!is_identifier(member.key, true)) {
        diagnostics_.error(member.at, cat("'", member.key, "' cannot be a stage's name"),
                           "use letters, digits, '_' and '-'");
        continue;
      }
      StageSpec stage = pipeline_.defaults;
      stage.name = member.key;
      stage.group = member.key;
      stage.at = member.at;
      read_one(member.value, stage);
    }
  }

 private:
  void read_one(const YamlNode& node, StageSpec& stage) {
    const std::string what = cat("stage '", stage.name, "'");
    MapReader reader(node, what,
                     {"uses", "with", "needs", "when", "matrix", "gates", "retry", "timeout",
                      "allow_failure", "resources", "description"},
                     {"env", "outputs"}, diagnostics_);
    if (node.kind != YamlNode::Kind::map) {
      add_group(stage, {});
      return;
    }
    stage.description = reader.text("description", false);
    stage.uses_at = node.at;
    stage.uses = reader.text("uses", true, &stage.uses_at);
    if (const std::size_t at = stage.uses.find('@'); at != std::string::npos) {
      if (stage.uses.substr(at) != "@1") {
        diagnostics_.error(
            stage.uses_at, cat("'", stage.uses, "': there is only version 1 of every stage"),
            cat("write ", stage.uses.substr(0, at), " or ", stage.uses.substr(0, at), "@1"));
      }
      stage.uses.resize(at);
    }
    if (const YamlNode* with = reader.map("with")) read_settings(*with, stage.with);
    if (const YamlMember* when = reader.member("when")) stage.when = when->value;
    if (const YamlMember* needs = reader.member("needs")) read_needs(needs->value, what, stage);
    if (const YamlMember* gates = reader.member("gates")) read_gates(gates->value, what, stage);
    read_conduct(reader, what, stage, diagnostics_);
    if (const YamlMember* failure = reader.member("allow_failure")) {
      if (failure->value.kind == YamlNode::Kind::boolean) {
        stage.allow_failure = failure->value.to_json().as_boolean();
      } else {
        diagnostics_.error(failure->value.at,
                           cat("'allow_failure' of ", what, " must be true or false, not ",
                               failure->value.kind_name()));
      }
    }
    const YamlMember* matrix = reader.member("matrix");
    if (matrix == nullptr) {
      add_group(stage, {});
    } else {
      const Matrix read = read_matrix(matrix->value, what, diagnostics_);
      add_group(stage, fits(read, node, stage.at) ? read : Matrix());
      pipeline_.groups.back().broken = pipeline_.groups.back().axes.empty();
    }
  }

  /// Every combination is checked value by value: a small file must not become endless work.
  bool fits(const Matrix& matrix, const YamlNode& node, Position at) {
    const std::size_t count = matrix.combinations.size();
    values_ += count * values_in(node);
    const bool stages = pipeline_.stages.size() + count > kMaxStages;
    if (!stages && values_ <= kMaxValues) return true;
    if (!std::exchange(too_many_, true)) {
      diagnostics_.error(at,
                         stages ? cat("more than ", kMaxStages, " stages")
                                : cat("stages with more than ", kMaxValues, " values in all"),
                         "make the matrices smaller");
    }
    return false;
  }

  /// Adds the stage, or one for each combination. A matrix that is wrong counts as none.
  void add_group(const StageSpec& stage, const Matrix& matrix) {
    StageGroup group;
    group.name = stage.group;
    group.at = stage.at;
    group.axes = matrix.axes;
    group.extras = matrix.extras;
    group.first = pipeline_.stages.size();
    if (matrix.combinations.empty()) pipeline_.stages.push_back(stage);
    for (const Combination& combination : matrix.combinations) {
      StageSpec one = stage;
      one.combination = combination.values;
      one.name = name_of_combination(stage.group, combination);
      for (const MatrixValue& value : combination.values) one.matrix.set(value.axis, value.value);
      for (const auto& [key, value] : combination.extras.as_object()) one.matrix.set(key, value);
      pipeline_.stages.push_back(std::move(one));
    }
    group.count = pipeline_.stages.size() - group.first;
    pipeline_.groups.push_back(std::move(group));
  }

  void read_needs(const YamlNode& node, const std::string& what, StageSpec& stage) {
    const auto add = [&](const YamlNode& item) {
      if (item.is_text()) {
        stage.needs.push_back({item.text, item.at});
      } else {
        diagnostics_.error(
            item.at, cat("'needs' of ", what, " must name stages, not hold ", item.kind_name()));
      }
    };
    if (node.kind == YamlNode::Kind::list) {
      for (const YamlNode& item : node.items) add(item);
    } else {
      add(node);
    }
  }

  /// Either a map {kind: settings} or a list of such maps.
  void read_gates(const YamlNode& node, const std::string& what, StageSpec& stage) {
    if (node.kind == YamlNode::Kind::list) {
      for (const YamlNode& item : node.items) {
        if (item.kind == YamlNode::Kind::map) {
          read_gate_map(item, what, stage);
        } else {
          diagnostics_.error(item.at,
                             cat("a gate of ", what, " must be a map, not ", item.kind_name()),
                             "write for example: - size: {max: 4MiB}");
        }
      }
    } else if (node.kind == YamlNode::Kind::map) {
      read_gate_map(node, what, stage);
    } else {
      diagnostics_.error(
          node.at, cat("'gates' of ", what, " must be a map or a list, not ", node.kind_name()),
          "write for example: gates: {size: {max: 4MiB}}");
    }
  }

  void read_gate_map(const YamlNode& node, const std::string& what, StageSpec& stage) {
    for (const YamlMember& member : node.members) {
      GateSpec gate;
      gate.kind = member.key;
      gate.at = member.at;
      if (member.value.kind != YamlNode::Kind::map) {
        diagnostics_.error(member.value.at, cat("gate '", member.key, "' of ", what,
                                                " must be a map, not ", member.value.kind_name()));
        continue;
      }
      read_settings(member.value, gate.settings);
      stage.gates.push_back(std::move(gate));
    }
  }

  static constexpr std::size_t kMaxStages = 2000;
  static constexpr std::size_t kMaxValues = 100'000;
  Pipeline& pipeline_;
  Diagnostics& diagnostics_;
  std::size_t values_ = 0;
  bool too_many_ = false;
};

}  // namespace

void read_stages(const YamlNode& node, Pipeline& pipeline, Diagnostics& diagnostics) {
  StageReader(pipeline, diagnostics).read_all(node);
}

}  // namespace apr::pipeline
