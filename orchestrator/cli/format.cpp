#include "orchestrator/cli/format.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "core/base/cat.h"

namespace apr {

namespace {

std::string printed(const char* pattern, int digits, double value) {
  std::array<char, 400> buffer{};
  const int size = std::snprintf(buffer.data(), buffer.size(), pattern, digits, value);
  return {buffer.data(), static_cast<std::size_t>(size)};
}

/// Three significant digits and a unit.
std::string scaled(double value, const char* unit) {
  const int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return cat(fixed(value, digits), unit);
}

}  // namespace

std::string with_commas(std::uint64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t i = text.size(); i > 3;) {
    i -= 3;
    text.insert(i, ",");
  }
  return text;
}

std::string human_count(std::uint64_t value) {
  const auto number = static_cast<double>(value);
  if (number < 1e4) return std::to_string(value);
  if (number < 999.5e3) return scaled(number / 1e3, "K");
  if (number < 999.5e6) return scaled(number / 1e6, "M");
  if (number < 999.5e9) return scaled(number / 1e9, "B");
  return scaled(number / 1e12, "T");
}

std::string human_bytes(std::uint64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (number < 1e3) return cat(bytes, " B");
  if (number < 999.5e3) return scaled(number / 1e3, " kB");
  if (number < 999.5e6) return scaled(number / 1e6, " MB");
  if (number < 999.5e9) return scaled(number / 1e9, " GB");
  return scaled(number / 1e12, " TB");
}

std::string fixed(double value, int digits) {
  return printed("%.*f", digits, value);
}
std::string significant(double value, int digits) {
  return printed("%.*g", digits, value);
}

std::string human_seconds(double seconds) {
  if (seconds < 0.9995) return cat(fixed(seconds * 1e3, seconds < 0.01 ? 1 : 0), " ms");
  if (seconds < 99.95) return cat(fixed(seconds, 1), " s");
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  return cat(whole / 60, " min ", whole % 60, " s");
}

std::string plural(std::uint64_t count, const std::string& noun) {
  return cat(with_commas(count), " ", noun, count == 1 ? "" : "s");
}

}  // namespace apr
