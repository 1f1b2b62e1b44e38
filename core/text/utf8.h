// UTF-8, one character at a time. Input may be any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/export.h"

namespace apr {

/// Stands for a byte that belongs to no valid character.
inline constexpr char32_t kInvalidCharacter = 0xFFFFFFFF;

struct Utf8Character {
  char32_t code = kInvalidCharacter;
  std::size_t size = 1;  ///< bytes; 1 for an invalid byte
};

/// The character at `position` < text.size(). Overlong forms, surrogates and cut sequences are
/// invalid.
APR_API Utf8Character utf8_at(std::string_view text, std::size_t position);
/// The character that ends at `end` > 0.
APR_API Utf8Character utf8_before(std::string_view text, std::size_t end);
APR_API void append_utf8(std::string& out, char32_t code);
APR_API bool is_valid_utf8(std::string_view text);
/// The text with U+FFFD for every byte that belongs to no character.
APR_API std::string valid_utf8(std::string_view text);
/// Number of bytes at the end of `text` that begin a character but do not complete it (0 to 3).
APR_API std::size_t incomplete_utf8_suffix(std::string_view text);

}  // namespace apr
