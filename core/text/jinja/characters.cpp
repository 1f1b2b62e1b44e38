#include "core/text/jinja/characters.h"

#include <string.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "core/text/jinja/case_table.h"
#include "core/text/utf8.h"

namespace apr::jinja {
namespace {

template <typename Row>
const Row* row_of(std::span<const Row> rows, std::uint32_t code) {
  const auto next = std::upper_bound(rows.begin(), rows.end(), code,
                                     [](std::uint32_t c, const Row& row) { return c < row.first; });
  if (next == rows.begin()) return nullptr;
  const Row& row = *std::prev(next);
  return code <= row.last ? &row : nullptr;
}

void append_mapped(std::string& out, std::uint32_t code, std::span<const CaseRange> rows,
                   std::span<const CaseSpecial> specials) {
  const auto special =
      std::lower_bound(specials.begin(), specials.end(), code,
                       [](const CaseSpecial& row, std::uint32_t c) { return row.code < c; });
  if (special != specials.end() && special->code == code) {
    out.append(special->text);
    return;
  }
  // Ranges of stride 2 may enclose others: look at the two rows that can hold the code.
  const auto next =
      std::upper_bound(rows.begin(), rows.end(), code,
                       [](std::uint32_t c, const CaseRange& row) { return c < row.first; });
  for (auto row = next; row != rows.begin() && next - row < 3;) {
    --row;
    if (code <= row->last && (code - row->first) % row->stride == 0) {
      append_character(out,
                       static_cast<std::uint32_t>(static_cast<std::int64_t>(code) + row->delta));
      return;
    }
  }
  append_character(out, code);
}

}  // namespace

Character character_at(std::string_view text, std::size_t at) {
  const Utf8Character c = utf8_at(text, at);
  if (c.code == kInvalidCharacter) return {static_cast<std::uint8_t>(text[at]), 1, false};
  return {c.code, static_cast<std::uint8_t>(c.size), true};
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); i += character_at(text, i).size) ++count;
  return count;
}

std::vector<std::size_t> character_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (std::size_t i = 0; i < text.size(); i += character_at(text, i).size) offsets.push_back(i);
  offsets.push_back(text.size());
  return offsets;
}

void append_character(std::string& out, std::uint32_t code) {
  append_utf8(out, code);
}

bool is_space(std::uint32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

std::size_t leading_space(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const Character c = character_at(text, i);
    if (!c.valid || !is_space(c.code)) break;
    i += c.size;
  }
  return i;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const Utf8Character c = utf8_before(text, end);
    if (c.code == kInvalidCharacter || !is_space(c.code)) break;
    end -= c.size;
  }
  return text.size() - end;
}

LineEnd line_end(std::string_view text, std::size_t from) {
  for (std::size_t i = from; i < text.size();) {
    const Character c = character_at(text, i);
    const bool breaks = (c.code >= 0x0A && c.code <= 0x0D) || (c.code >= 0x1C && c.code <= 0x1E) ||
                        c.code == 0x85 || c.code == 0x2028 || c.code == 0x2029;
    if (c.valid && breaks) {
      const bool pair = c.code == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
      return {i, i + c.size + (pair ? 1 : 0)};
    }
    i += c.size;
  }
  return {text.size(), text.size()};
}

void append_upper(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code >= 'a' && code <= 'z' ? code - 32 : code));
    return;
  }
  append_mapped(out, code, kUpper, kUpperSpecial);
}

void append_lower(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code));
    return;
  }
  append_mapped(out, code, kLower, kLowerSpecial);
}

void append_title(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    append_upper(out, code);
    return;
  }
  append_mapped(out, code, kTitle, kTitleSpecial);
}

bool is_cased(std::uint32_t code) {
  if (code < 0x80) return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
  return row_of<CodeRange>(kCased, code) != nullptr;
}

bool is_printable(std::uint32_t code) {
  if (code < 0x80) return code >= 0x20 && code < 0x7F;
  return row_of<CodeRange>(kNotPrintable, code) == nullptr;
}

std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  // memmem, not string_view::find: a long needle in a long text must not cost their product.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace apr::jinja
