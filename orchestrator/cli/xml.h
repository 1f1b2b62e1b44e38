// Text inside XML.
#pragma once

#include <string>
#include <string_view>

namespace apr {

/// For contents and attributes in double quotes. Characters that XML 1.0 does not allow, even
/// escaped, become U+FFFD.
std::string escape_xml(std::string_view text);

}  // namespace apr
