// Finds stop strings in text that comes piece by piece.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace apr {

/// Never gives out a byte that may still turn out to belong to a stop string.
class APR_API StopScanner {
 public:
  /// Stop strings must not be empty.
  explicit StopScanner(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// The text that is certain after this piece; nothing more once a stop string was found.
  std::string push(std::string_view text);
  /// The stop string began right after what push() has given out so far.
  bool found() const { return found_; }
  /// What was held back, at the end of the text.
  std::string finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace apr
