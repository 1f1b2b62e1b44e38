// Progress on a terminal: one line on standard error, redrawn in place and gone when the work is
// done.
#pragma once

#include <cstdint>
#include <memory>

#include "orchestrator/stages/verb.h"

namespace apr {

/// A bar if standard error is a terminal and `quiet` is not set; otherwise nothing is ever shown.
std::unique_ptr<Progress> make_progress(bool quiet);

}  // namespace apr
