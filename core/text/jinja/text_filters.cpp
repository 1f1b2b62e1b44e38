// Filters on strings and numbers.
#include <charconv>
#include <cmath>

#include "core/base/cat.h"
#include "core/base/number.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"
#include "core/text/jinja/filters.h"

namespace apr::jinja::filters {
namespace {

MarkedText as_text(const Call& call) {
  return to_text(call.self, call.in.meter());
}

Result<Value> in_case(const Call& call, Case wanted) {
  APR_TRY(bind(call, {}));
  return like(call.self, Value(with_case(as_text(call), wanted, call.in.meter())));
}

std::optional<std::int64_t> to_whole(double number) {
  if (!(std::abs(number) < 9.2e18)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

}  // namespace

Result<Value> trim(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"chars"}));
  APR_ASSIGN(Value text, trim_text(call, as_text(call), args[0], true, true));
  return like(call.self, std::move(text));
}
Result<Value> upper(const Call& call) {
  return in_case(call, Case::upper);
}
Result<Value> lower(const Call& call) {
  return in_case(call, Case::lower);
}
Result<Value> capitalize(const Call& call) {
  return in_case(call, Case::capitalized);
}

/// Words begin after white space, hyphens and opening brackets.
Result<Value> title(const Call& call) {
  APR_TRY(bind(call, {}));
  const MarkedText text = as_text(call);
  const std::string& s = text.text();
  MarkedText out;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= s.size();) {
    const bool end = i == s.size();
    const Character c = end ? Character{} : character_at(s, i);
    const bool breaks =
        !end && ((c.valid && is_space(c.code)) ||
                 (c.code < 0x80 && std::string_view("-({[<").find(static_cast<char>(c.code)) !=
                                       std::string_view::npos));
    if (end || breaks) {
      const std::size_t head = begin < i ? begin + character_at(s, begin).size : i;
      out.append(with_case(text.slice(begin, head), Case::upper, call.in.meter()));
      out.append(with_case(text.slice(head, i), Case::lower, call.in.meter()));
      if (breaks) out.append(text.slice(i, i + c.size));
      begin = i + c.size;
    }
    if (end || call.in.meter().spent()) break;
    i += c.size;
  }
  return Value(std::move(out));
}

Result<Value> replace(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"old", "new", "count"}, 2));
  return replace_text(call, as_text(call), *args[0], *args[1], args[2]);
}

Result<Value> string(const Call& call) {
  APR_TRY(bind(call, {}));
  return like(call.self, Value(as_text(call)));
}

Result<Value> safe(const Call& call) {
  APR_TRY(bind(call, {}));
  return Value::markup(as_text(call));
}

Result<Value> to_int(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"default", "base"}));
  const Value fallback = args[0] != nullptr ? *args[0] : Value(std::int64_t{0});
  if (call.self.is_whole()) return Value(call.self.whole());
  if (call.self.is_float()) {
    const auto whole = to_whole(std::trunc(call.self.number()));
    return whole ? Value(*whole) : fallback;
  }
  if (!call.self.is_string()) return fallback;
  if (!call.in.meter().bytes(call.self.string().size())) return call.in.limit(call.at);
  const int base =
      args[1] != nullptr && args[1]->is_whole() && args[1]->whole() >= 2 && args[1]->whole() <= 36
          ? static_cast<int>(args[1]->whole())
          : 10;
  std::string_view text = trimmed(call.self.string());
  const bool plus = text.starts_with('+');
  if (plus) text.remove_prefix(1);
  const std::string_view prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
  if (!prefix.empty() && text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == prefix[1]) {
    text.remove_prefix(2);
  }
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (!text.empty() && read.ec == std::errc{} && read.ptr == text.data() + text.size() &&
      !(plus && text.starts_with('-'))) {
    return Value(number);
  }
  const auto as_float = to_number(call.self.string());
  const auto whole = as_float ? to_whole(std::trunc(*as_float)) : std::nullopt;
  return whole ? Value(*whole) : fallback;
}

Result<Value> to_float(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"default"}));
  if (call.self.is_number()) return Value(call.self.number());
  if (call.self.is_string()) {
    if (!call.in.meter().bytes(call.self.string().size())) return call.in.limit(call.at);
    if (const auto number = to_number(call.self.string())) return Value(*number);
  }
  return args[0] != nullptr ? *args[0] : Value(0.0);
}

Result<Value> absolute(const Call& call) {
  APR_TRY(bind(call, {}));
  if (call.self.is_float()) return Value(std::abs(call.self.number()));
  if (!call.self.is_whole())
    return call.fail(cat("abs takes a number, not ", kind_name(call.self)));
  if (call.self.whole() == INT64_MIN) return call.fail("the number does not fit 64 bits");
  return Value(call.self.whole() < 0 ? -call.self.whole() : call.self.whole());
}

Result<Value> round(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"precision", "method"}));
  if (!call.self.is_number()) {
    return call.fail(cat("round takes a number, not ", kind_name(call.self)));
  }
  const std::int64_t precision = args[0] != nullptr && args[0]->is_whole() ? args[0]->whole() : 0;
  const std::string_view method =
      args[1] != nullptr && args[1]->is_string() ? args[1]->string() : std::string_view("common");
  if (precision < -300 || precision > 300) return call.fail("round: the precision is out of range");
  const double value = call.self.number();
  if (method == "common") {
    if (call.self.is_whole() && precision >= 0) return Value(call.self.whole());
    if (precision < 0) {
      const double unit = std::pow(10.0, static_cast<double>(-precision));
      return Value(std::nearbyint(value / unit) * unit);
    }
    // Python rounds the exact decimal value of the number, half to even: so does printing it.
    char text[700];
    const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed,
                                   static_cast<int>(precision))
                         .ptr;
    return Value(
        parse_double(std::string_view(text, static_cast<std::size_t>(end - text))).value_or(value));
  }
  if (method != "ceil" && method != "floor") {
    return call.fail(cat("round has no method ", method.substr(0, 20)));
  }
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value * unit;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Result<Value> indent(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"width", "first", "blank"}));
  if (!call.self.is_string()) {
    return call.fail(cat("indent takes a string, not ", kind_name(call.self)));
  }
  MarkedText margin = MarkedText::trusted("    ");
  if (args[0] != nullptr && args[0]->is_string()) {
    margin = args[0]->text();
  } else if (args[0] != nullptr && args[0]->is_whole()) {
    const std::int64_t width = std::max<std::int64_t>(args[0]->whole(), 0);
    if (width > 1000) return call.fail("indent: more than 1000 columns");
    margin = MarkedText::trusted(std::string(static_cast<std::size_t>(width), ' '));
  }
  const bool first = args[1] != nullptr && truthy(*args[1]);
  const bool blank = args[2] != nullptr && truthy(*args[2]);
  const MarkedText& text = call.self.text();
  const std::string& s = text.text();
  TextBuilder out(call.in.meter());
  for (std::size_t begin = 0; !call.in.meter().spent();) {
    const auto [end, next] = line_end(s, begin);
    if (begin == 0 ? first : (blank || end > begin)) out.put(margin);
    out.put_slice(text, begin, end);
    if (next == end) break;
    // As Jinja adds "\n" before it splits, a carriage return at the very end goes with it.
    if (next == s.size() && next == end + 1 && s[end] == '\r') break;
    // Any line end becomes "\n", marked as what it replaces.
    const MarkedText line_break = text.slice(end, end + 1);
    out.put("\n", line_break.spans()[0].trusted);
    begin = next;
  }
  return like(call.self, Value(out.take()));
}

Result<Value> format(const Call& call) {
  if (call.arguments.named.empty()) {
    return format_percent(call.in, as_text(call), Value::list(call.arguments.values, true),
                          call.at);
  }
  if (!call.arguments.values.empty()) {
    return call.fail("format takes values with or without names, not both");
  }
  std::vector<std::pair<Value, Value>> named;
  for (std::size_t i = 0; i < call.arguments.named.size(); ++i) {
    named.emplace_back(call.arguments.name(i), call.arguments.named[i].second);
  }
  return format_percent(call.in, as_text(call), Value::dict(std::move(named)), call.at);
}

Result<Value> tojson(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"indent", "ensure_ascii", "separators", "sort_keys"}));
  std::optional<std::string> margin;
  if (args[0] != nullptr && args[0]->is_whole()) {
    if (args[0]->whole() > 100) return call.fail("tojson: indent beyond 100");
    margin =
        std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, args[0]->whole())), ' ');
  } else if (args[0] != nullptr && args[0]->is_string()) {
    margin = args[0]->string();
  } else if (args[0] != nullptr && !args[0]->is_none()) {
    return call.fail(cat("tojson: indent is ", kind_name(*args[0])));
  }
  std::string between = margin ? "," : ", ";
  std::string after_key = ": ";
  if (args[2] != nullptr && !args[2]->is_none()) {
    if (!args[2]->is_list() || args[2]->items().values.size() != 2 ||
        !args[2]->items().values[0].is_string() || !args[2]->items().values[1].is_string()) {
      return call.fail("tojson: separators takes two strings");
    }
    between = args[2]->items().values[0].string();
    after_key = args[2]->items().values[1].string();
  }
  const bool ascii = args[1] != nullptr && truthy(*args[1]);
  const bool sorted = args[3] != nullptr && truthy(*args[3]);
  return json_text(call, call.self, std::move(margin), between, after_key, sorted, ascii);
}

Result<Value> wordcount(const Call& call) {
  APR_TRY(bind(call, {}));
  const MarkedText text = as_text(call);
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t i = 0; i < text.size();) {
    const Character c = character_at(text.text(), i);
    const bool space = c.valid && is_space(c.code);
    if (!space && !inside) ++words;
    inside = !space;
    i += c.size;
  }
  return Value(words);
}

}  // namespace apr::jinja::filters
