// Filters that cut, fill and spell.
#include <algorithm>
#include <cmath>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"
#include "core/text/jinja/filters.h"

namespace apr::jinja::filters {
namespace {

/// A whole-number argument between two bounds, or its fallback.
Result<std::int64_t> whole_argument(const Call& call, const Value* value, std::string_view name,
                                    std::int64_t fallback, std::int64_t least, std::int64_t most) {
  if (value == nullptr || value->is_none()) return fallback;
  if (!value->is_whole() || value->whole() < least || value->whole() > most) {
    return call.fail(cat(call.name, ": ", name, " is a whole number from ", least, " to ", most));
  }
  return value->whole();
}

constexpr std::int64_t kMost = 1'000'000;

MarkedText as_text(const Call& call) {
  return to_text(call.self, call.in.meter());
}

/// Every character of a text through `spell`, which appends what it becomes.
template <typename Spell>
Result<Value> respelled(const Call& call, const MarkedText& text, Spell spell) {
  TextBuilder out(call.in.meter());
  for (const MarkedText::Span& span : text.spans()) {
    std::string piece;
    const std::string_view part =
        std::string_view(text.text()).substr(span.begin, span.end - span.begin);
    if (!call.in.meter().bytes(part.size())) return call.in.limit(call.at);
    for (const char c : part) spell(piece, c);
    out.put(piece, span.trusted);
  }
  return Value(out.take());
}

void append_percent(std::string& out, char c, bool keep_slash) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '_' || c == '.' || c == '-' || c == '~' || (keep_slash && c == '/');
  if (plain) {
    out += c;
    return;
  }
  const auto byte = static_cast<unsigned char>(c);
  out += {'%', kHex[byte >> 4], kHex[byte & 15]};
}

/// One part of a query: spaces become +, slashes are not kept.
Result<MarkedText> query_part(const Call& call, const Value& value) {
  APR_ASSIGN(const Value part,
             respelled(call, to_text(value, call.in.meter()), [](std::string& out, char c) {
               c == ' ' ? out += '+' : (append_percent(out, c, false), out);
             }));
  return part.text();
}

}  // namespace

Result<Value> batch(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"linecount", "fill_with"}, 1));
  APR_ASSIGN(const std::int64_t size, whole_argument(call, args[0], "linecount", 1, 1, kMost));
  APR_ASSIGN(const Value source, call.in.to_list(call.self, call.at));
  const std::vector<Value>& items = source.items().values;
  std::vector<Value> rows;
  for (std::size_t begin = 0; begin < items.size(); begin += static_cast<std::size_t>(size)) {
    const std::size_t end = std::min(items.size(), begin + static_cast<std::size_t>(size));
    std::vector<Value> row(items.begin() + static_cast<std::ptrdiff_t>(begin),
                           items.begin() + static_cast<std::ptrdiff_t>(end));
    if (args[1] != nullptr && !args[1]->is_none()) {
      if (!call.in.meter().step(static_cast<std::uint64_t>(size))) return call.in.limit(call.at);
      row.resize(static_cast<std::size_t>(size), *args[1]);
    }
    if (!call.in.meter().step(row.size())) return call.in.limit(call.at);
    rows.push_back(Value::list(std::move(row)));
  }
  return Value::lazy_list(std::move(rows));
}

Result<Value> slice(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"slices", "fill_with"}, 1));
  APR_ASSIGN(const std::int64_t slices, whole_argument(call, args[0], "slices", 1, 1, kMost));
  APR_ASSIGN(const Value source, call.in.to_list(call.self, call.at));
  const std::vector<Value>& items = source.items().values;
  const auto count = static_cast<std::size_t>(slices);
  if (!call.in.meter().step(count + items.size())) return call.in.limit(call.at);
  const std::size_t each = items.size() / count;
  const std::size_t longer = items.size() % count;
  std::vector<Value> columns;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t end = begin + each + (i < longer ? 1 : 0);
    std::vector<Value> column(items.begin() + static_cast<std::ptrdiff_t>(begin),
                              items.begin() + static_cast<std::ptrdiff_t>(end));
    if (args[1] != nullptr && !args[1]->is_none() && i >= longer) column.push_back(*args[1]);
    columns.push_back(Value::list(std::move(column)));
    begin = end;
  }
  return Value::lazy_list(std::move(columns));
}

Result<Value> center(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"width"}));
  APR_ASSIGN(const std::int64_t width, whole_argument(call, args[0], "width", 80, -kMost, kMost));
  return padded_text(call, as_text(call), width, MarkedText::trusted(" "), '^');
}

Result<Value> truncate(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"length", "killwords", "end", "leeway"}));
  APR_ASSIGN(const std::int64_t length, whole_argument(call, args[0], "length", 255, 0, kMost));
  APR_ASSIGN(const std::int64_t leeway, whole_argument(call, args[3], "leeway", 5, 0, kMost));
  const MarkedText end =
      args[2] != nullptr ? to_text(*args[2], call.in.meter()) : MarkedText::trusted("...");
  const MarkedText text = as_text(call);
  if (!call.in.meter().step(1 + text.size() / 16)) return call.in.limit(call.at);
  const std::vector<std::size_t> offsets = character_offsets(text.text());
  const std::size_t mark = count_characters(end.text());
  if (static_cast<std::size_t>(length) < mark) {
    return call.fail(cat("truncate: the length is less than the ", mark, " characters of end"));
  }
  if (offsets.size() - 1 <= static_cast<std::size_t>(length + leeway)) return Value(text);
  std::size_t kept = offsets[static_cast<std::size_t>(length) - mark];
  const bool kill_words = args[1] != nullptr && truthy(*args[1]);
  if (!kill_words && kept > 0) {
    const std::size_t space = text.text().rfind(' ', kept - 1);
    if (space != std::string::npos) kept = space;
  }
  TextBuilder out(call.in.meter());
  out.put_slice(text, 0, kept);
  out.put(end);
  return Value(out.take());
}

Result<Value> escape(const Call& call) {
  APR_TRY(bind(call, {}));
  if (call.self.is_markup() && call.name != "forceescape") return call.self;
  return Value::markup(html_escaped(as_text(call), call.in.meter()));
}

Result<Value> urlencode(const Call& call) {
  APR_TRY(bind(call, {}));
  if (!call.self.is_dict() && !call.self.is_list()) {
    return respelled(call, as_text(call),
                     [](std::string& out, char c) { append_percent(out, c, true); });
  }
  std::vector<Value> pairs;
  if (call.self.is_dict()) {
    for (const auto& [key, value] : call.self.entries().entries()) {
      if (!call.in.meter().step()) return call.in.limit(call.at);
      pairs.push_back(Value::list({key, value}, true));
    }
  } else {
    pairs = call.self.items().values;
  }
  TextBuilder out(call.in.meter());
  bool first = true;
  for (const Value& pair : pairs) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    if (!pair.is_list() || pair.items().values.size() != 2) {
      return call.fail("urlencode takes a text, a mapping or pairs");
    }
    if (!first) out.put("&", true);
    first = false;
    APR_ASSIGN(const MarkedText key, query_part(call, pair.items().values[0]));
    APR_ASSIGN(const MarkedText value, query_part(call, pair.items().values[1]));
    out.put(key);
    out.put("=", true);
    out.put(value);
  }
  return Value(out.take());
}

Result<Value> filesizeformat(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"binary"}));
  const bool binary = args[0] != nullptr && truthy(*args[0]);
  double bytes = 0;
  if (call.self.is_number()) {
    bytes = call.self.number();
  } else {
    const auto number = call.self.is_string() ? to_number(call.self.string()) : std::nullopt;
    if (!number) return call.fail(cat("filesizeformat takes a number, not ", kind_name(call.self)));
    bytes = *number;
  }
  constexpr std::string_view kLetters = "kMGTPEZY";
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::trusted("1 Byte");
  if (!(bytes >= base)) {
    if (!(std::abs(bytes) < 9.2e18)) return call.fail("filesizeformat: the number is out of range");
    return Value::trusted(cat(static_cast<std::int64_t>(bytes), " Bytes"));
  }
  double unit = base;
  for (std::size_t i = 0;; ++i) {
    if (bytes < unit * base || i + 1 == kLetters.size()) {
      const char letter = binary && i == 0 ? 'K' : kLetters[i];
      return Value::trusted(
          cat(fixed_text(bytes / unit, 1), " ", std::string_view(&letter, 1), binary ? "iB" : "B"));
    }
    unit *= base;
  }
}

/// Not in Jinja2: templates that get tool calls' arguments as JSON text read them with it.
Result<Value> from_json_text(const Call& call) {
  APR_TRY(bind(call, {}));
  if (!call.self.is_string()) {
    return call.fail(cat("from_json takes a text, not ", kind_name(call.self)));
  }
  const std::string& text = call.self.string();
  if (!call.in.meter().bytes(text.size()) || !call.in.meter().step(text.size() / 8)) {
    return call.in.limit(call.at);
  }
  JsonLimits limits;
  limits.max_depth = kMaxValueDepth - 10;
  limits.last_duplicate_wins = true;
  const auto json = parse_json(text, "", limits);
  if (!json) return call.fail(cat("from_json: ", json.error().message));
  auto value = from_json(*json);
  if (!value) return call.fail("from_json: nested too deeply");
  return *std::move(value);
}

}  // namespace apr::jinja::filters
