// What a graph wants against what a package has.
#pragma once

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/package/package.h"
#include "core/plugin/interfaces.h"

namespace apr {

struct Inventory {
  struct Mismatch {
    std::string tensor;
    Shape found;  ///< after the graph's transforms
    Shape wanted;
  };
  struct Tie {
    std::string tensor;  ///< not in the package
    std::string source;  ///< the tensor that stands in for it
  };
  std::size_t wanted = 0;            ///< different tensors the graph names
  std::vector<std::string> missing;  ///< sorted, as are the others
  std::vector<Mismatch> wrong_shapes;
  std::vector<std::string> integers;   ///< "name is i32": weights are floats or blocks of them
  std::vector<std::string> strangers;  ///< neither used nor known to be harmless
  std::vector<std::string> ignorable;  ///< not used, and known to be harmless
  std::vector<Tie> ties;
  bool complete() const {
    return missing.empty() && wrong_shapes.empty() && integers.empty() && strangers.empty();
  }
};

Inventory take_inventory(const Graph& graph, const Architecture& architecture,
                         const Package& package);

/// The first problem as an error (ErrorCode::validation), with how many more there are.
Status check_inventory(const Inventory& inventory, const Package& package);

/// "a, b, c and 12 more"
std::string some_of(const std::vector<std::string>& names, std::size_t limit = 4);

}  // namespace apr
