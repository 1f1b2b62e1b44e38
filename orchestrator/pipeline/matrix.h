// `matrix:`: one stage, run for every combination of some values.
//
//   matrix:
//     scheme: [q8_0, q4_0]
//     window: [64, 128]
//     exclude: [{scheme: q4_0, window: 64}]
//     include:
//       - {scheme: f16, window: 64}        # a combination more
//       - {scheme: q4_0, limit: 1.01}      # matrix.limit, where the scheme is q4_0
//
// Combinations come in the order of the file, the last axis changing fastest; included ones follow.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/pipeline/pipeline.h"

namespace apr::pipeline {

struct Combination {
  std::vector<MatrixValue> values;  ///< one for each axis
  Json extras = Json::object();
};

struct Matrix {
  std::vector<std::string> axes;
  std::vector<std::string> extras;
  std::vector<Combination> combinations;
};

/// Reports what is wrong; then there are no combinations.
Matrix read_matrix(const YamlNode& node, const std::string& what, Diagnostics& diagnostics);

/// "shrink[q4_0,64]".
std::string name_of_combination(const std::string& group, const Combination& combination);

}  // namespace apr::pipeline
