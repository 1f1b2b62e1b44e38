// Comparison of a backend with reference traces made by another implementation.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/backends/models.h"

namespace apr::testing {

/// Allowed differences: an intermediate value by `node` · max(1, max|reference|), the others
/// absolutely.
struct GoldenTolerance {
  double node = 1e-4;
  double embed = 1e-5;
  double logits = 2e-4;
  /// Absolute limits, where the trace's README states them; they replace `node`.
  std::optional<double> hidden_states;
  std::optional<double> attention_probabilities;
};

struct GoldenReport {
  std::vector<std::string> problems;  ///< one sentence each; empty = everything agrees
  std::size_t values_compared = 0;    ///< named values, over all prompts
  std::size_t tokens_compared = 0;    ///< greedy tokens
  double worst_node = 0;              ///< largest difference / allowed difference
  double worst_logit = 0;             ///< largest absolute difference
  std::size_t controls_compared = 0;  ///< values of known mistakes, from which the model differs
};

/// Runs every prompt of <folder>/golden/golden.json and compares every value of golden.safetensors,
/// the top-10 ids, and the greedy tokens up to and including the first stop.
GoldenReport check_golden(Backend& backend, Mode mode, const TestModel& model,
                          const std::string& folder, const GoldenTolerance& tolerance = {},
                          std::shared_ptr<Team> team = nullptr);

}  // namespace apr::testing
