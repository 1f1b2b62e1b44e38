#include "core/runtime/stop_scanner.h"

#include <algorithm>
#include <utility>

namespace apr {

std::string StopScanner::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    found_ = true;
    held_.resize(first);
    return std::exchange(held_, {});
  }
  // The longest end of the text that begins a stop string waits for what comes next.
  std::size_t wait = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t size = std::min(stop.size() - 1, held_.size()); size > wait; --size) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, size))) wait = size;
    }
  }
  std::string certain = held_.substr(0, held_.size() - wait);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopScanner::finish() {
  return found_ ? std::string() : std::exchange(held_, {});
}

}  // namespace apr
