#include <cmath>
#include <utility>

#include "core/base/cat.h"
#include "core/graph/blocks.h"

namespace apr {

namespace {

/// A value as an error message shows it: short.
std::string shown(const Json& value) {
  std::string text = value.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

const Json& ConfigReader::raw(std::string_view field) const {
  const Json* value = &config_;
  for (;;) {
    const std::size_t dot = field.find('.');
    value = &(*value)[field.substr(0, dot)];
    if (dot == std::string_view::npos) return *value;
    field.remove_prefix(dot + 1);
  }
}

void ConfigReader::reject(std::string_view field, std::string problem, std::string hint,
                          ErrorCode code) {
  if (error_) return;
  error_ = make_error(code, cat("field ", field, ": ", problem), file_, std::move(hint));
}

void ConfigReader::malformed(std::string_view field, std::string_view wanted) {
  const Json& value = raw(field);
  reject(field, value.is_null() ? std::string("is missing") : cat(shown(value), " is not ", wanted),
         {}, ErrorCode::format);
}

Status ConfigReader::status() const {
  if (error_) return *error_;
  return {};
}

std::uint32_t ConfigReader::count(std::string_view field, std::uint32_t limit) {
  if (error_) return 1;
  const Json& value = raw(field);
  const std::int64_t number = value.as_integer(0);
  if (!value.is_integer() || number < 1 || number > std::int64_t{limit}) {
    malformed(field, cat("a whole number from 1 to ", limit));
    return 1;
  }
  return static_cast<std::uint32_t>(number);
}

std::uint32_t ConfigReader::count_or(std::string_view field, std::uint32_t fallback,
                                     std::uint32_t limit) {
  return has(field) ? count(field, limit) : fallback;
}

double ConfigReader::number(std::string_view field) {
  if (error_) return 1;
  const Json& value = raw(field);
  const double number = value.as_number(0);
  if (!value.is_number() || !std::isfinite(number)) {
    malformed(field, "a number");
    return 1;
  }
  return number;
}

double ConfigReader::number_or(std::string_view field, double fallback) {
  return has(field) ? number(field) : fallback;
}

bool ConfigReader::flag_or(std::string_view field, bool fallback) {
  if (error_ || !has(field)) return fallback;
  if (!raw(field).is_boolean()) malformed(field, "true or false");
  return raw(field).as_boolean(fallback);
}

std::string ConfigReader::text_or(std::string_view field, std::string_view fallback) {
  if (error_ || !has(field)) return std::string(fallback);
  if (!raw(field).is_string()) malformed(field, "a string");
  return raw(field).as_string();
}

bool config_names(const Json& config, std::string_view model_type,
                  std::string_view architecture_class) {
  const Json& type = config["model_type"];
  if (type.is_string()) return type.as_string() == model_type;
  const JsonArray& classes = config["architectures"].as_array();
  return !classes.empty() && classes.front().as_string() == architecture_class;
}

}  // namespace apr
