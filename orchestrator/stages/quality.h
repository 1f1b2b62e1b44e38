// The quality rubric of `apr validate --quality`: one hundred points, and a reason for each one
// lost.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/package/package.h"
#include "orchestrator/stages/statistics.h"

namespace apr {

struct Deduction {
  int points = 0;
  std::string rule;    ///< "constant-tensor"
  std::string reason;  ///< "model.norm.weight: every element is 1"
};

struct Quality {
  int score = 100;
  std::vector<Deduction> deductions;
};

/// The rules, for --help and the reference.
struct QualityRule {
  const char* name;
  int points;  ///< lost once, however many tensors break the rule
  const char* meaning;
};
std::vector<QualityRule> quality_rules();

/// What the rubric looks at besides the tensors' numbers.
struct QualityFacts {
  bool tokenizer = false;
  bool chat_template = false;
  bool license = false;
  bool lineage = false;
  bool trust_section = false;
  bool is_apr = false;
};

Quality rate(const Package& package, const std::map<std::string, TensorStatistics>& statistics,
             const QualityFacts& facts);

}  // namespace apr
