// Strangers' texts inside XML and HTML, in contents and in attributes with double quotes.
#pragma once

#include <string>
#include <string_view>

namespace apr {

/// Characters that XML 1.0 does not allow, even escaped, become U+FFFD.
std::string escape_xml(std::string_view text);
/// So do control characters here, and marks that turn the direction of text: they could make a name
/// read as another.
std::string escape_html(std::string_view text);

}  // namespace apr
