#include "core/base/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/base/cat.h"
#include "core/base/utf8_sequence.h"

namespace apr {

namespace {

template <typename T>
const T& shared_empty() {
  static const T empty{};
  return empty;
}

void write_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out.push_back('"');
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    if (length > 1) {
      out.append(text.substr(0, length));
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(text[0]);
    } else if (c >= 0x20) {
      out.push_back(text[0]);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\b') {
      out += "\\b";
    } else if (c == '\f') {
      out += "\\f";
    } else {
      out += "\\u00";
      out.push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    }
    text.remove_prefix(length);
  }
  out.push_back('"');
}

void write_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits;
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos)
    out += ".0";  // stays a number when read again
}

void new_line(std::string& out, int indent, int depth) {
  if (indent < 0) return;
  out.push_back('\n');
  out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

// Recursion is as deep as the value, and parse_json() limits how deep values get.
void write(std::string& out, const Json& json, int indent, int depth) {
  switch (json.kind()) {
    case Json::Kind::null:
      out += "null";
      return;
    case Json::Kind::boolean:
      out += json.as_boolean() ? "true" : "false";
      return;
    case Json::Kind::integer:
      out += cat(json.as_integer());
      return;
    case Json::Kind::number:
      return write_number(out, json.as_number());
    case Json::Kind::string:
      return write_string(out, json.as_string());
    case Json::Kind::array: {
      out.push_back('[');
      const JsonArray& elements = json.as_array();
      for (std::size_t i = 0; i < elements.size(); ++i) {
        if (i > 0) out.push_back(',');
        new_line(out, indent, depth + 1);
        write(out, elements[i], indent, depth + 1);
      }
      if (!elements.empty()) new_line(out, indent, depth);
      out.push_back(']');
      return;
    }
    case Json::Kind::object: {
      out.push_back('{');
      const JsonObject& members = json.as_object();
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (i > 0) out.push_back(',');
        new_line(out, indent, depth + 1);
        write_string(out, members[i].first);
        out += indent < 0 ? ":" : ": ";
        write(out, members[i].second, indent, depth + 1);
      }
      if (!members.empty()) new_line(out, indent, depth);
      out.push_back('}');
      return;
    }
  }
}

}  // namespace

Json::Kind Json::kind() const {
  return static_cast<Kind>(value_.index());
}

std::string_view Json::kind_name() const {
  constexpr std::array<std::string_view, 7> kNames = {"null",   "boolean", "integer", "number",
                                                      "string", "array",   "object"};
  return kNames[value_.index() < kNames.size() ? value_.index() : 0];
}

bool Json::as_boolean(bool fallback) const {
  const auto* value = std::get_if<bool>(&value_);
  return value != nullptr ? *value : fallback;
}

std::int64_t Json::as_integer(std::int64_t fallback) const {
  const auto* value = std::get_if<std::int64_t>(&value_);
  return value != nullptr ? *value : fallback;
}

double Json::as_number(double fallback) const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  return fallback;
}

const std::string& Json::as_string() const {
  const auto* value = std::get_if<std::string>(&value_);
  return value != nullptr ? *value : shared_empty<std::string>();
}

const JsonArray& Json::as_array() const {
  const auto* value = std::get_if<JsonArray>(&value_);
  return value != nullptr ? *value : shared_empty<JsonArray>();
}

const JsonObject& Json::as_object() const {
  const auto* value = std::get_if<JsonObject>(&value_);
  return value != nullptr ? *value : shared_empty<JsonObject>();
}

const Json* Json::find(std::string_view key) const {
  for (const JsonMember& member : as_object()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Json* Json::find(std::string_view key) {
  return const_cast<Json*>(static_cast<const Json*>(this)->find(key));
}

const Json& Json::operator[](std::string_view key) const {
  const Json* found = find(key);
  return found != nullptr ? *found : shared_empty<Json>();
}

Json& Json::set(std::string_view key, Json value) {
  if (Json* found = find(key)) {
    *found = std::move(value);
    return *found;
  }
  if (!is_object()) value_ = JsonObject{};
  auto& members = *std::get_if<JsonObject>(&value_);
  return members.emplace_back(std::string(key), std::move(value)).second;
}

bool Json::erase(std::string_view key) {
  auto* members = std::get_if<JsonObject>(&value_);
  if (members == nullptr) return false;
  return std::erase_if(*members, [&](const JsonMember& member) { return member.first == key; }) > 0;
}

Json& Json::push_back(Json value) {
  if (!is_array()) value_ = JsonArray{};
  return std::get_if<JsonArray>(&value_)->emplace_back(std::move(value));
}

std::size_t Json::size() const {
  return is_array() ? as_array().size() : as_object().size();
}

std::string Json::dump(int indent) const {
  std::string out;
  write(out, *this, indent, 0);
  return out;
}

}  // namespace apr
