// From a graph's parameters to a package's tensors: shared by all backends.
#pragma once

#include <memory>
#include <vector>

#include "core/graph/graph.h"
#include "core/package/package.h"

namespace apr {

/// Views by ParameterId, after transforms. Slices and ties are views of the package's own bytes; a
/// transpose makes a copy, which `owned` keeps.
struct BoundParameters {
  std::vector<TensorView> views;
  std::vector<std::shared_ptr<const Tensor>> owned;
};

/// Errors name the missing tensor, or the tensor with its shape and the shape the graph wants.
APR_API Result<BoundParameters> bind_parameters(const Graph& graph, const Package& package);

}  // namespace apr
