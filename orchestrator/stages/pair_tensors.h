// Which tensor of one model is which of another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/package/package.h"

namespace apr {

struct TensorPair {
  std::string name;  ///< as `a` has it, or `b` where `a` has none
  const TensorEntry* a = nullptr;
  const TensorEntry* b = nullptr;
};

/// By name; with the graph that both describe also over prefixes that checkpoints leave out and
/// old spellings. An entry that only points at another tensor (a tied head) and has no counterpart
/// is left out, and so are two such entries; a copy of the embedding is paired with the embedding
/// where the other model ties its head to it. Sorted by
/// name.
std::vector<TensorPair> pair_tensors(const std::optional<Graph>& graph, const Package& a,
                                     const Package& b);

}  // namespace apr
