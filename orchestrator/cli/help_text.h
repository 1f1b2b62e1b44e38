// What help pages say about verbs, whatever they are written as.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/stages/verb.h"

namespace apr {

struct ExitCode {
  int code;
  std::string_view meaning;
  std::string_view brief;  ///< the same in two or three words
};
std::span<const ExitCode> exit_codes();

/// Which limits of a value are worth a reader's time.
enum class Limits : unsigned char { all, telling };

/// A parameter's explanation, then what its value may be: "[one of: a, b; default: a]".
std::string help_text(const Param& param, Limits limits);
/// The second part of it alone; "" where there is nothing to say.
std::string constraints(const Param& param, Limits limits);

/// "apr convert MODEL --quantize SCHEME -o FILE [OPTIONS]"
std::string usage_line(std::string_view program, const VerbInfo& verb);

/// Parameters given by place, in order.
std::vector<const Param*> positionals(const VerbInfo& verb);
std::vector<const Param*> pointers(const std::vector<Param>& params);

struct VerbGroup {
  std::string title;
  std::vector<const Verb*> verbs;
};
/// All verbs, as the overview groups them.
std::vector<VerbGroup> grouped_verbs();

}  // namespace apr
