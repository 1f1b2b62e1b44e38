#include "orchestrator/pipeline/order.h"

#include <algorithm>

namespace apr::pipeline {

Order order_of(const std::vector<std::vector<std::size_t>>& needed) {
  Order result;
  std::vector<bool> done(needed.size(), false);
  bool progress = true;
  while (progress) {
    progress = false;
    for (std::size_t i = 0; i < needed.size(); ++i) {
      const bool ready = std::all_of(needed[i].begin(), needed[i].end(),
                                     [&](std::size_t other) { return done[other]; });
      if (done[i] || !ready) continue;
      done[i] = true;
      result.order.push_back(i);
      progress = true;
    }
  }
  const auto stuck = std::find(done.begin(), done.end(), false);
  if (stuck == done.end()) return result;

  // Every item that is left needs one that is left: walking on must meet itself.
  std::vector<std::size_t>& walk = result.cycle;
  auto at = static_cast<std::size_t>(stuck - done.begin());
  while (std::find(walk.begin(), walk.end(), at) == walk.end()) {
    walk.push_back(at);
    at = *std::find_if(needed[at].begin(), needed[at].end(),
                       [&](std::size_t other) { return !done[other]; });
  }
  walk.erase(walk.begin(), std::find(walk.begin(), walk.end(), at));
  std::rotate(walk.begin(), std::min_element(walk.begin(), walk.end()), walk.end());
  return result;
}

}  // namespace apr::pipeline
