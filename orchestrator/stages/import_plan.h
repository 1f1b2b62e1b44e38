// From an opened foreign source to a plan for an `.apr` file, with everything checked that a model
// needs.
#pragma once

#include <memory>
#include <string>

#include "core/graph/graph.h"
#include "core/package/package.h"
#include "core/package/write.h"
#include "orchestrator/stages/inventory.h"
#include "orchestrator/stages/verb.h"

namespace apr {

struct ImportOptions {
  std::string arch = "auto";  ///< or an architecture's id
  std::string name;           ///< empty: from the source's path
  bool allow_no_tokenizer = false;
};

struct ImportPlan {
  PackagePlan plan;
  ModelFacts facts;
  Inventory inventory;
  std::string architecture;
  std::string tokenizer;  ///< its kind; empty if there is none
};

/// Builds the graph, checks every tensor against it, makes the tokenizer's table and the metadata.
/// A tied output head becomes an index entry over the embedding's bytes; buffers without a use are
/// left out.
Result<ImportPlan> plan_import(RunContext& context, std::shared_ptr<const Package> package,
                               const ImportOptions& options);

}  // namespace apr
