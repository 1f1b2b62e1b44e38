// From a graph's parameters to a package's tensors: shared by all backends.
#pragma once

#include <memory>
#include <vector>

#include "core/graph/graph.h"
#include "core/package/package.h"

namespace apr {

/// A tensor by the name the graph has for it, with or without Graph::base_prefix(), in a new or an
/// old spelling; nullptr: there is none.
APR_API const TensorEntry* find_tensor(const Graph& graph, const Package& package,
                                       std::string_view name);
/// The tensor of a parameter: its own, or the one it is tied to.
APR_API const TensorEntry* find_tensor(const Graph& graph, const Package& package,
                                       const Parameter& parameter);

/// Views by ParameterId, after transforms. Slices and ties are views of the package's own bytes; a
/// transpose makes a copy, which `owned` keeps: one per tensor, whatever is sliced from it; block
/// types, whose blocks cannot be turned, become float32, exactly.
struct BoundParameters {
  std::vector<TensorView> views;
  std::vector<std::shared_ptr<const Tensor>> owned;
};

/// Errors name the missing tensor, or the tensor with its shape and the shape the graph wants.
APR_API Result<BoundParameters> bind_parameters(const Graph& graph, const Package& package);

}  // namespace apr
