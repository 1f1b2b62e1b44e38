// Values that can be called: macros, methods and the global functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/text/jinja/value.h"

namespace apr::jinja {

struct Statement;

struct Function {
  enum class Kind : std::uint8_t { global, method, macro, joiner, cycler_next, cycler_reset };
  Kind kind = Kind::global;
  std::string name;
  Value self;                        ///< method: whose; joiner, cycler: a namespace, their state
  const Statement* macro = nullptr;  ///< lives as long as the template
  /// macro: local variables that were visible where it was defined
  std::vector<std::pair<std::string, Value>> captured;
  unsigned depth = 1;
};

}  // namespace apr::jinja
