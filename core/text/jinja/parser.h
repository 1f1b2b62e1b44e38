// Tokens -> tree.
#pragma once

#include <vector>

#include "core/text/jinja/source.h"
#include "core/text/jinja/syntax.h"

namespace apr::jinja {

Result<std::vector<Statement>> parse_template(const Source& source);

}  // namespace apr::jinja
