// The kinds of gates: what may be written under `gates:`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "orchestrator/schema/schema.h"

namespace apr::pipeline {

/// A comparison with a number: "<= 0.05". NaN passes none.
struct Limit {
  enum class Op { less, less_equal, greater, greater_equal, equal };
  Op op = Op::less_equal;
  double bound = 0;
  bool holds(double value) const;
  std::string to_string() const;  ///< "<= 0.05"
};

/// "<= 0.05"; a bare number takes `bare` as its comparison.
Result<Limit> parse_limit(const Json& value, Limit::Op bare);

struct GateKind {
  std::string name;
  std::string summary;
  std::vector<Param> params;
  /// Which params are comparisons, with the meaning of a bare number.
  std::vector<std::pair<std::string, Limit::Op>> limits;
  /// Any further key is a path into the stage's report with a comparison.
  bool open = false;
  /// At least one of these must be given.
  std::vector<std::string> one_of;
  /// If the first is given, so must be the second.
  std::vector<std::pair<std::string, std::string>> together;
  /// Verbs it measures with.
  std::vector<std::string> verbs;

  const Param* find(std::string_view name) const;
  const Limit::Op* limit(std::string_view name) const;
  std::vector<std::string> names() const;
};

const std::vector<GateKind>& gate_kinds();
const GateKind* find_gate_kind(std::string_view name);
std::vector<std::string> gate_kind_names();

}  // namespace apr::pipeline
