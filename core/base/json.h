// JSON as a value, read under limits. The one module through which JSON enters the program.
//
// Reading never recurses on input, refuses duplicate keys unless asked to let the last one win, and
// stops at the first limit. Objects keep their order, so that what is written is what was meant.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"

namespace apr {

class Json;
using JsonArray = std::vector<Json>;
using JsonMember = std::pair<std::string, Json>;
using JsonObject = std::vector<JsonMember>;  ///< in order of appearance

class APR_API Json {
 public:
  enum class Kind : std::uint8_t { null, boolean, integer, number, string, array, object };

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  /// Becomes a number (double) above INT64_MAX.
  template <std::integral Integer>
    requires(!std::same_as<Integer, bool> && !std::same_as<Integer, char>)
  Json(Integer value) {
    if (std::in_range<std::int64_t>(value)) {
      value_ = static_cast<std::int64_t>(value);
    } else {
      value_ = static_cast<double>(value);
    }
  }
  Json(double value) : value_(value) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(JsonArray value) : value_(std::move(value)) {}
  Json(JsonObject value) : value_(std::move(value)) {}

  static Json array() { return Json(JsonArray{}); }
  static Json object() { return Json(JsonObject{}); }
  static Json object(std::initializer_list<JsonMember> members) {
    return Json(JsonObject(members));
  }

  Kind kind() const;
  std::string_view kind_name() const;  ///< "null", "boolean", "integer", "number", …
  bool is_null() const { return kind() == Kind::null; }
  bool is_boolean() const { return kind() == Kind::boolean; }
  bool is_integer() const { return kind() == Kind::integer; }
  bool is_number() const { return kind() == Kind::number || is_integer(); }
  bool is_string() const { return kind() == Kind::string; }
  bool is_array() const { return kind() == Kind::array; }
  bool is_object() const { return kind() == Kind::object; }

  /// Readers with a fallback: the fallback is returned when the kind does not fit.
  bool as_boolean(bool fallback = false) const;
  std::int64_t as_integer(std::int64_t fallback = 0) const;
  double as_number(double fallback = 0) const;  ///< integers convert
  const std::string& as_string() const;         ///< an empty string for other kinds
  const JsonArray& as_array() const;            ///< an empty array for other kinds
  const JsonObject& as_object() const;          ///< an empty object for other kinds

  /// Member of an object, or nullptr. Works on any kind.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  /// Member of an object, or a shared null.
  const Json& operator[](std::string_view key) const;
  /// Inserts or replaces a member; turns a null into an object first.
  Json& set(std::string_view key, Json value);
  bool erase(std::string_view key);
  /// Appends to an array; turns a null into an array first.
  Json& push_back(Json value);
  std::size_t size() const;  ///< elements of an array or object, else 0

  /// Text form. indent < 0: one line, no spaces. Numbers in their shortest exact form; NaN and
  /// infinities as null; strings as UTF-8 with invalid bytes replaced by U+FFFD.
  std::string dump(int indent = -1) const;

  friend bool operator==(const Json&, const Json&) = default;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, JsonArray, JsonObject>
      value_;
};

struct JsonLimits {
  std::size_t max_bytes = std::size_t{64} << 20;
  std::size_t max_depth = 64;
  std::size_t max_values = 8'000'000;
  bool last_duplicate_wins = false;  ///< false: a duplicate key is an error that names it
};

/// Parses a whole text. Errors carry line and column in the context.
APR_API Result<Json> parse_json(std::string_view text, std::string_view file = "",
                                const JsonLimits& limits = {});

}  // namespace apr
