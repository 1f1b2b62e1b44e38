#include "core/text/utf8.h"

namespace apr {

namespace {

struct Lead {
  std::size_t size;  ///< bytes of the character; 0: not a lead byte
  char32_t bits;     ///< payload of the lead byte
  std::uint8_t low;  ///< allowed range of the second byte
  std::uint8_t high;
};

// Unicode 15, table 3-7: well-formed byte sequences.
Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {1, byte, 0, 0};
  if (byte < 0xC2) return {0, 0, 0, 0};
  if (byte < 0xE0) return {2, byte & 0x1Fu, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0xD, 0x80, 0x9F};
  if (byte < 0xF0) return {3, byte & 0xFu, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0, 0x90, 0xBF};
  if (byte < 0xF4) return {4, byte & 7u, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 4, 0x80, 0x8F};
  return {0, 0, 0, 0};
}

std::uint8_t byte_at(std::string_view text, std::size_t position) {
  return static_cast<std::uint8_t>(text[position]);
}

}  // namespace

Utf8Character utf8_at(std::string_view text, std::size_t position) {
  const Lead lead = lead_of(byte_at(text, position));
  if (lead.size == 1) return {lead.bits, 1};
  if (lead.size == 0 || lead.size > text.size() - position) return {};
  const std::uint8_t second = byte_at(text, position + 1);
  if (second < lead.low || second > lead.high) return {};
  char32_t code = (lead.bits << 6) | (second & 0x3Fu);
  for (std::size_t i = 2; i < lead.size; ++i) {
    const std::uint8_t byte = byte_at(text, position + i);
    if ((byte & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte & 0x3Fu);
  }
  return {code, lead.size};
}

Utf8Character utf8_before(std::string_view text, std::size_t end) {
  for (std::size_t size = 1; size <= 4 && size <= end; ++size) {
    if ((byte_at(text, end - size) & 0xC0) == 0x80) continue;
    const Utf8Character character = utf8_at(text.substr(0, end), end - size);
    if (character.size == size) return character;
    break;
  }
  return {};
}

void append_utf8(std::string& out, char32_t code) {
  const auto push = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | (code >> 6));
    push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | (code >> 12));
    push(0x80 | ((code >> 6) & 0x3F));
    push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | (code >> 18));
    push(0x80 | ((code >> 12) & 0x3F));
    push(0x80 | ((code >> 6) & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    if (character.code == kInvalidCharacter) return false;
    i += character.size;
  }
  return true;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    if (character.code == kInvalidCharacter) {
      append_utf8(out, 0xFFFD);
    } else {
      out.append(text.substr(i, character.size));
    }
    i += character.size;
  }
  return out;
}

std::size_t incomplete_utf8_suffix(std::string_view text) {
  for (std::size_t size = 1; size <= 3 && size <= text.size(); ++size) {
    const std::size_t start = text.size() - size;
    const std::uint8_t first = byte_at(text, start);
    if ((first & 0xC0) == 0x80) continue;
    const Lead lead = lead_of(first);
    if (lead.size <= size) return 0;
    if (size >= 2) {
      const std::uint8_t second = byte_at(text, start + 1);
      if (second < lead.low || second > lead.high) return 0;
    }
    return size;
  }
  return 0;
}

}  // namespace apr
