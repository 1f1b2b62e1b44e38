// Gates: measurements with limits that an artifact must hold before anyone may use it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"

namespace apr::pipeline {

struct GateOutcome {
  std::string kind;
  bool passed = false;
  std::string message;             ///< one line with the figures and the limit
  Json evidence = Json::object();  ///< what was measured
};

/// What a gate may ask for. Measurements are cached like stages.
struct GateTools {
  struct Measurement {
    Json report;
    int exit_code = 0;  ///< 5: the verb's own checks failed
  };
  std::function<Result<Measurement>(const std::string& verb, const Json& params)> measure;
  std::function<Result<std::uint64_t>(const std::string& path)> size;
  const Json* report = nullptr;  ///< of the gate's own stage
};

/// `values` are the gate's settings, resolved and checked. An error means it could not be measured,
/// which is as bad as not holding.
Result<GateOutcome> evaluate_gate(std::string_view kind, const Json& values,
                                  const GateTools& tools);

Json to_json(const GateOutcome& outcome);

}  // namespace apr::pipeline
