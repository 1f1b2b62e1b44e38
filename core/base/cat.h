// cat("tensor ", name, " has ", n, " bytes"): joins text and numbers into one string.
#pragma once

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

namespace apr {

namespace cat_detail {
inline void append(std::string& out, std::string_view text) {
  out.append(text);
}
inline void append(std::string& out, const char* text) {
  out.append(text);
}
inline void append(std::string& out, char character) {
  out.push_back(character);
}
inline void append(std::string& out, bool value) {
  out.append(value ? "true" : "false");
}
template <typename Number>
  requires((std::integral<Number> || std::floating_point<Number>) && !std::same_as<Number, bool> &&
           !std::same_as<Number, char>)
void append(std::string& out, Number value) {
  char digits[64];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}
}  // namespace cat_detail

/// Numbers print in their shortest exact form.
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (cat_detail::append(out, parts), ...);
  return out;
}

}  // namespace apr
