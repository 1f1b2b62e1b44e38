// The filters, tests, methods and global functions of the language, by name.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/jinja/interpreter.h"

namespace apr::jinja {

struct Call {
  Interpreter& in;
  std::string_view name;
  const Value& self;  ///< what the filter, test or method applies to
  const Arguments& arguments;
  Offset at;

  Error fail(std::string message, std::string hint = {}) const {
    return in.fail(at, std::move(message), std::move(hint));
  }
};

using Builtin = Result<Value> (*)(const Call&);
struct BuiltinRow {
  std::string_view name;
  Builtin function;
};

/// nullptr if there is none of this name.
Builtin find_filter(std::string_view name);
Builtin find_test(std::string_view name);
const std::vector<std::string>& filter_names();
const std::vector<std::string>& test_names();
Builtin find_global(std::string_view name);
/// A method of the value's kind.
Builtin find_method(const Value& self, std::string_view name);
/// Methods that Python has but that would change the value.
bool is_changing_method(const Value& self, std::string_view name);

/// Values of the parameters `names`, null where not given; refuses strangers and missing ones.
Result<std::vector<const Value*>> bind(const Call& call, std::span<const std::string_view> names,
                                       std::size_t required);
inline Result<std::vector<const Value*>> bind(const Call& call,
                                              std::initializer_list<std::string_view> names,
                                              std::size_t required = 0) {
  return bind(call, std::span<const std::string_view>(names.begin(), names.size()), required);
}

// Shared by filters and methods.
Result<Value> trim_text(const Call& call, const MarkedText& text, const Value* characters,
                        bool front, bool back);
Result<Value> replace_text(const Call& call, const MarkedText& text, const Value& from,
                           const Value& to, const Value* count);
Result<Value> join_values(const Call& call, const Value& items, const MarkedText& separator,
                          const Value* attribute);
enum class Case : std::uint8_t { upper, lower, title, capitalized };
/// `align`: < > ^, as str.ljust(), rjust() and center() do it.
Result<Value> padded_text(const Call& call, const MarkedText& text, std::int64_t width,
                          const MarkedText& fill, char align);
/// A float as Python reads it, with white space around it.
std::optional<double> to_number(std::string_view text);
std::string fixed_text(double value, int precision);
/// With the characters that mean something in HTML spelled out.
MarkedText html_escaped(const MarkedText& text, Meter& meter);
/// `text`, as HTML if the value it was made of is.
inline Value like(const Value& source, Value text) {
  return source.is_markup() && text.is_string() ? Value::markup(text.text()) : text;
}
MarkedText with_case(const MarkedText& text, Case wanted, Meter& meter);
/// Python's format % values; `values` is a tuple, a mapping for %(name)s, or one value.
Result<Value> format_percent(Interpreter& in, const MarkedText& format, const Value& values,
                             Offset at);
/// Python's str.format().
Result<Value> format_braces(const Call& call);
Result<Value> json_text(const Call& call, const Value& value, std::optional<std::string> indent,
                        std::string_view between, std::string_view after_key, bool sort_keys,
                        bool ascii);

/// a op b.
Result<Value> arithmetic(Interpreter& in, Operator op, const Expr& left, const Value& a,
                         const Expr& right, const Value& b, Offset at);
Result<bool> compare_values(Interpreter& in, Operator op, const Value& a, const Value& b,
                            Offset at);
Result<bool> contains(Interpreter& in, const Value& container, const Value& item, Offset at);
Result<Value> slice_value(Interpreter& in, const Value& object, const Value& begin,
                          const Value& end, const Value& step, Offset at);

}  // namespace apr::jinja
