// Regular expressions of playbooks: Perl's syntax, `^` and `$` at every line, `.` within a line.
#pragma once

#include <string>

#include "core/base/result.h"

namespace apr::playbook {

/// What is wrong with the expression; empty: nothing.
std::string pattern_mistake(const std::string& pattern);

/// Whether it is found. An expression that would take forever on this text is an error.
Result<bool> pattern_found(const std::string& pattern, const std::string& text);

}  // namespace apr::playbook
