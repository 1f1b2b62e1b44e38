// Characters of UTF-8 text as Python counts them. Bytes that are no UTF-8 count as one character
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace apr::jinja {

struct Character {
  std::uint32_t code = 0;  ///< code point, or the byte's value if not valid
  std::uint8_t size = 1;   ///< bytes
  bool valid = true;
};

/// The character that starts at byte `at` (< text.size()).
Character character_at(std::string_view text, std::size_t at);
std::size_t count_characters(std::string_view text);
/// Byte offset of each character, and text.size() at the end.
std::vector<std::size_t> character_offsets(std::string_view text);
void append_character(std::string& out, std::uint32_t code);

/// What Python's str.isspace() accepts.
bool is_space(std::uint32_t code);
/// Bytes of white space at the beginning and the end.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);
inline std::string_view trimmed(std::string_view text) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  return text;
}

struct LineEnd {
  std::size_t end = 0;   ///< where the line's text ends
  std::size_t next = 0;  ///< where the next line begins; the same at the end of the text
};
/// The end of the line that begins at `from`, at any of the line boundaries of Python's
/// splitlines().
LineEnd line_end(std::string_view text, std::size_t from);

/// Full case mappings of one character; it may become several.
void append_upper(std::string& out, std::uint32_t code);
void append_lower(std::string& out, std::uint32_t code);
void append_title(std::string& out, std::uint32_t code);
/// Characters that have a case: what separates words in title().
bool is_cased(std::uint32_t code);
/// Whether Python's repr() shows the character as it is.
bool is_printable(std::uint32_t code);

/// Position of `needle` at or after `from`, in time linear in both.
std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from = 0);

}  // namespace apr::jinja
