// Opening whatever the user named: an `.apr` file, or any source an importer recognizes.
#pragma once

#include <string>
#include <vector>

#include "core/package/package.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// Opens `path` as a package: `.apr` files by their magic, everything else through the importer
/// that recognizes it. Remote addresses and pickle files are refused with what to do instead.
Result<Package> open_any(RunContext& context, const std::string& path);

/// True for a regular file that begins like an `.apr` file of any version.
bool looks_like_apr(const std::string& path);

/// The architecture plugin's graph for a package is core's graph_of(); this adds which parameters
/// have no tensor, which tensors have no use, and which have the wrong shape.
struct Inventory {
  struct Mismatch {
    std::string tensor;
    Shape found;
    Shape wanted;  ///< as stored, before the graph's transforms
  };
  std::vector<std::string> missing;
  std::vector<std::string> strangers;
  std::vector<Mismatch> wrong_shapes;
  std::size_t wanted = 0;
  bool complete() const { return missing.empty() && strangers.empty() && wrong_shapes.empty(); }
};
Inventory take_inventory(const Graph& graph, const Architecture& architecture,
                         const Package& package);

/// Stops long work after Ctrl-C.
inline Status check_interrupted() {
  if (g_interrupted.load(std::memory_order_relaxed)) {
    return make_error(ErrorCode::interrupted, "stopped by the user");
  }
  return {};
}

/// Forwards an importer's or exporter's progress to the bar, and Ctrl-C to the plugin.
ProgressFunction forward_progress(RunContext& context);

}  // namespace apr
