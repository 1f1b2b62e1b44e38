// In which order things can be done that need each other.
#pragma once

#include <cstddef>
#include <vector>

namespace apr::pipeline {

struct Order {
  std::vector<std::size_t> order;  ///< every item after what it needs; items of a cycle are missing
  std::vector<std::size_t>
      cycle;  ///< one cycle, each item needing the next; empty if there is none
};

/// `needed[i]` are the items that i needs. Among several possible orders, the one nearest to 0, 1,
/// 2, ….
Order order_of(const std::vector<std::vector<std::size_t>>& needed);

}  // namespace apr::pipeline
