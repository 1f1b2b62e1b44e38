// Boost's engine, because it gives up on expressions that backtrack without end, needs no stack for
// long texts, and knows `(?i)` and looking around; std::regex does none of it.
#include "orchestrator/playbook/pattern.h"

#include <boost/regex.hpp>
#include <stdexcept>

namespace apr::playbook {
namespace {

boost::regex compiled(const std::string& pattern) {
  return boost::regex(pattern, boost::regex::perl | boost::regex::no_mod_s);
}

}  // namespace

std::string pattern_mistake(const std::string& pattern) {
  try {
    static_cast<void>(compiled(pattern));
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

Result<bool> pattern_found(const std::string& pattern, const std::string& text) {
  try {
    return boost::regex_search(text, compiled(pattern));
  } catch (const std::exception&) {
    return make_error(ErrorCode::validation, "this would take too long on this output", pattern,
                      "write it so that there are fewer ways to match");
  }
}

}  // namespace apr::playbook
