// What must hold on every backend, whatever its kernels: each function returns one sentence per
// violation.
#pragma once

#include <string>
#include <vector>

#include "tests/unit/backends/models.h"

namespace apr::testing {

struct PropertyRun {
  Backend& backend;
  Mode mode;
  const TestModel& model;
  std::vector<TokenId> ids;  ///< a text of at least 24 tokens
  std::shared_ptr<Team> team = nullptr;
};

using Violations = std::vector<std::string>;

// Bit for bit in exact and deterministic mode.
Violations causality(const PropertyRun& run);  ///< a later token changes nothing before it
Violations cache_equals_no_cache(
    const PropertyRun& run);                              ///< one step = token by token = in chunks
Violations alone_equals_batched(const PropertyRun& run);  ///< mixed steps of several sequences
Violations threads_change_nothing(const PropertyRun& run);
Violations taps_change_nothing(const PropertyRun& run);
Violations truncation_forgets(const PropertyRun& run);  ///< going back = never having been there
/// Swapping two earlier tokens changes later logits.
Violations position_matters(const PropertyRun& run);
/// Each node's span is reported once, each tapped value with its rows.
Violations sinks_are_complete(const PropertyRun& run);
/// Bad steps are errors and leave the session usable.
Violations bad_steps_are_errors(const PropertyRun& run);

/// All of the above, each sentence with its property's name before it.
Violations all_properties(const PropertyRun& run);

}  // namespace apr::testing
