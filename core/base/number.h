// Text -> floating point, where the standard library has no std::from_chars for it (libc++).
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#if defined(_LIBCPP_VERSION)
#include <cerrno>
#include <cstdlib>
#include <string>
#endif

namespace apr {

/// The double that the whole text denotes, correctly rounded: decimal, "inf" or "nan", perhaps with
/// a minus sign. Nothing for anything else, and for what is out of range.
inline std::optional<double> parse_double(std::string_view text) {
#if defined(_LIBCPP_VERSION)
  // strtod takes more: space, a plus sign and hexadecimals.
  if (text.find_first_not_of("0123456789+-.eEinfatyINFATY") != text.npos) return std::nullopt;
  if (text.empty() || text[0] == '+') return std::nullopt;
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  const double number = std::strtod(terminated.c_str(), &end);
  if (end != terminated.c_str() + terminated.size() || errno == ERANGE) return std::nullopt;
  return number;
#else
  double number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failed != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return number;
#endif
}

}  // namespace apr
