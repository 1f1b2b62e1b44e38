#include "orchestrator/cli/xml.h"

#include "core/base/cat.h"
#include "core/text/utf8.h"

namespace apr {

std::string escape_xml(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    const std::string_view bytes = text.substr(i, character.size);
    i += character.size;
    const auto code = character.code;
    const bool allowed = code != kInvalidCharacter && code != 0xFFFE && code != 0xFFFF &&
                         (code >= 0x20 || code == '\t' || code == '\n' || code == '\r');
    if (!allowed) {
      out += "\uFFFD";
    } else if (code == '&') {
      out += "&amp;";
    } else if (code == '<') {
      out += "&lt;";
    } else if (code == '>') {
      out += "&gt;";
    } else if (code == '"') {
      out += "&quot;";
    } else if (code < 0x20) {
      out += cat("&#", static_cast<unsigned>(code), ";");
    } else {
      out += bytes;
    }
  }
  return out;
}

}  // namespace apr
