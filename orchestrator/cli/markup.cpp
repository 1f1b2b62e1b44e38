#include "orchestrator/cli/markup.h"

#include "core/text/utf8.h"

namespace apr {

namespace {

std::string_view entity_of(char32_t code) {
  switch (code) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    case '\t':
      return "&#9;";
    case '\n':
      return "&#10;";
    case '\r':
      return "&#13;";
    default:
      return {};
  }
}

template <typename IsAllowed, typename IsKept>
std::string escaped(std::string_view text, const IsAllowed& allowed, const IsKept& kept) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    const std::string_view bytes = text.substr(i, character.size);
    i += character.size;
    const char32_t code = character.code;
    const std::string_view entity = kept(code) ? std::string_view() : entity_of(code);
    if (code == kInvalidCharacter || !allowed(code)) {
      out += "\uFFFD";
    } else {
      out += entity.empty() ? bytes : entity;
    }
  }
  return out;
}

}  // namespace

std::string escape_xml(std::string_view text) {
  return escaped(
      text,
      [](char32_t code) {
        return code != 0xFFFE && code != 0xFFFF &&
               (code >= 0x20 || code == '\t' || code == '\n' || code == '\r');
      },
      [](char32_t code) { return code == '\''; });
}

std::string escape_html(std::string_view text) {
  return escaped(
      text,
      [](char32_t code) {
        const bool control = (code < 0x20 && code != '\n' && code != '\t') || code == 0x7F ||
                             (code >= 0x80 && code < 0xA0);
        const bool turning =
            (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
        return !control && !turning;
      },
      [](char32_t code) { return code == '\n' || code == '\t'; });
}

}  // namespace apr
