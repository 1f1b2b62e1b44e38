// Methods of strings, lists, mappings and loops.
#include <algorithm>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {
namespace {

template <bool Front, bool Back>
Result<Value> strip(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"chars"}));
  return trim_text(call, call.self.text(), args[0], Front, Back);
}

template <Case Wanted>
Result<Value> in_case(const Call& call) {
  APR_TRY(bind(call, {}));
  return Value(with_case(call.self.text(), Wanted, call.in.meter()));
}

template <bool Front>
Result<Value> has_affix(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"affix"}, 1));
  const std::vector<Value> one{*args[0]};
  const std::vector<Value>& affixes = args[0]->is_list() ? args[0]->items().values : one;
  const std::string& text = call.self.string();
  for (const Value& affix : affixes) {
    if (!affix.is_string()) {
      return call.fail(cat(call.name, " takes a string, not ", kind_name(affix)));
    }
    if (!call.in.meter().bytes(affix.string().size())) return call.in.limit(call.at);
    if (Front ? text.starts_with(affix.string()) : text.ends_with(affix.string())) {
      return Value(true);
    }
  }
  return Value(false);
}

template <bool Front>
Result<Value> remove_affix(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"affix"}, 1));
  if (!args[0]->is_string()) return call.fail(cat(call.name, " takes a string"));
  const MarkedText& text = call.self.text();
  const std::string& affix = args[0]->string();
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  if (Front && text.text().starts_with(affix)) return Value(text.slice(affix.size(), text.size()));
  if (!Front && text.text().ends_with(affix))
    return Value(text.slice(0, text.size() - affix.size()));
  return call.self;
}

Result<Value> split_at_spaces(const Call& call, std::int64_t left, bool from_right) {
  const MarkedText& text = call.self.text();
  const std::string_view s = text.text();
  std::vector<std::pair<std::size_t, std::size_t>> words;
  for (std::size_t i = leading_space(s); i < s.size(); i += leading_space(s.substr(i))) {
    const std::size_t begin = i;
    while (i < s.size() && leading_space(s.substr(i, character_at(s, i).size)) == 0) {
      i += character_at(s, i).size;
    }
    if (!call.in.meter().step(1 + (i - begin) / 16)) return call.in.limit(call.at);
    words.emplace_back(begin, i);
  }
  const auto most = left < 0 ? words.size() : static_cast<std::size_t>(left) + 1;
  if (words.size() > most) {  // what was not split stays one piece
    if (from_right) {
      const std::size_t joined = words.size() - most;
      words[joined].first = 0;
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(joined));
      words[0].first = 0;
    } else {
      words.resize(most);
      words.back().second = s.size();
    }
  }
  std::vector<Value> pieces;
  for (const auto& [begin, end] : words) pieces.emplace_back(text.slice(begin, end));
  return Value::list(std::move(pieces));
}

template <bool FromRight>
Result<Value> split(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sep", "maxsplit"}));
  std::int64_t left = -1;
  if (args[1] != nullptr) {
    if (!args[1]->is_whole()) return call.fail("split: maxsplit is no whole number");
    left = std::max<std::int64_t>(-1, args[1]->whole());
  }
  const MarkedText& text = call.self.text();
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  if (args[0] == nullptr || args[0]->is_none()) return split_at_spaces(call, left, FromRight);
  if (!args[0]->is_string() || args[0]->string().empty()) {
    return call.fail("split takes a string that is not empty");
  }
  const std::string& separator = args[0]->string();
  std::vector<std::size_t> places;
  if (FromRight) {
    std::size_t end = text.size();
    while (left != 0 && end >= separator.size()) {
      const std::size_t found = text.text().rfind(separator, end - separator.size());
      if (found == std::string::npos) break;
      if (!call.in.meter().step()) return call.in.limit(call.at);
      places.insert(places.begin(), found);
      end = found;
      --left;
      if (places.size() > 10'000) return call.fail("rsplit: more than 10000 pieces");
    }
  } else {
    std::size_t at = 0;
    while (left != 0) {
      const std::size_t found = find_text(text.text(), separator, at);
      if (found == std::string::npos) break;
      if (!call.in.meter().step()) return call.in.limit(call.at);
      places.push_back(found);
      at = found + separator.size();
      --left;
    }
  }
  std::vector<Value> pieces;
  std::size_t begin = 0;
  for (const std::size_t place : places) {
    pieces.emplace_back(text.slice(begin, place));
    begin = place + separator.size();
  }
  pieces.emplace_back(text.slice(begin, text.size()));
  return Value::list(std::move(pieces));
}

Result<Value> split_lines(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"keepends"}));
  const bool keep = args[0] != nullptr && truthy(*args[0]);
  const MarkedText& text = call.self.text();
  const std::string& s = text.text();
  std::vector<Value> lines;
  for (std::size_t begin = 0; begin < s.size();) {
    const auto [end, next] = line_end(s, begin);
    if (!call.in.meter().bytes(next - begin)) return call.in.limit(call.at);
    lines.emplace_back(text.slice(begin, keep ? next : end));
    begin = next;
  }
  return Value::list(std::move(lines));
}

Result<Value> replace(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"old", "new", "count"}, 2));
  return replace_text(call, call.self.text(), *args[0], *args[1], args[2]);
}

Result<Value> join(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"iterable"}, 1));
  return join_values(call, *args[0], call.self.text(), nullptr);
}

Result<Value> find(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sub"}, 1));
  if (!args[0]->is_string()) return call.fail("find takes a string");
  if (!call.in.meter().bytes(call.self.string().size())) return call.in.limit(call.at);
  const std::size_t found = find_text(call.self.string(), args[0]->string());
  if (found == std::string::npos) return Value(std::int64_t{-1});
  const std::string_view before = std::string_view(call.self.string()).substr(0, found);
  return Value(static_cast<std::int64_t>(count_characters(before)));
}

Result<Value> count_text(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sub"}, 1));
  if (!args[0]->is_string() || args[0]->string().empty()) {
    return call.fail("count takes a string that is not empty");
  }
  if (!call.in.meter().bytes(call.self.string().size())) return call.in.limit(call.at);
  std::int64_t count = 0;
  std::size_t at = 0;
  while ((at = find_text(call.self.string(), args[0]->string(), at)) != std::string::npos) {
    ++count;
    at += args[0]->string().size();
  }
  return Value(count);
}

Result<Value> is_digit(const Call& call) {
  APR_TRY(bind(call, {}));
  const std::string& s = call.self.string();
  return Value(!s.empty() &&
               std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; }));
}

Result<Value> is_space_only(const Call& call) {
  APR_TRY(bind(call, {}));
  const std::string& s = call.self.string();
  return Value(!s.empty() && leading_space(s) == s.size());
}

Result<Value> get(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"key", "default"}, 1));
  if (const Value* found = call.self.entries().find(*args[0])) return *found;
  return args[1] != nullptr ? *args[1] : Value(None{});
}

template <int Part>
Result<Value> parts(const Call& call) {
  APR_TRY(bind(call, {}));
  if (!call.in.meter().step(call.self.entries().size())) return call.in.limit(call.at);
  std::vector<Value> values;
  for (const auto& [key, value] : call.self.entries().entries()) {
    values.push_back(Part == 0 ? key : Part == 1 ? value : Value::list({key, value}, true));
  }
  return Value::list(std::move(values));
}

Result<Value> list_index(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"value"}, 1));
  const auto& values = call.self.items().values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (equal(values[i], *args[0], call.in.meter())) return Value(static_cast<std::int64_t>(i));
    if (call.in.meter().spent()) return call.in.limit(call.at);
  }
  return call.fail("index: the value is not in the list");
}

Result<Value> list_count(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"value"}, 1));
  std::int64_t count = 0;
  for (const Value& value : call.self.items().values) {
    if (equal(value, *args[0], call.in.meter())) ++count;
    if (call.in.meter().spent()) return call.in.limit(call.at);
  }
  return Value(count);
}

Result<Value> cycle(const Call& call) {
  const auto& values = call.arguments.values;
  if (values.empty()) return call.fail("loop.cycle needs values");
  return values[call.self.loop().index % values.size()];
}

/// str.format with {}, {0} and {name}, without conversions.
Result<Value> format(const Call& call) {
  const MarkedText& text = call.self.text();
  const std::string& s = text.text();
  TextBuilder out(call.in.meter());
  std::size_t next = 0;
  std::size_t done = 0;
  for (std::size_t i = s.find_first_of("{}"); i != std::string::npos;
       i = s.find_first_of("{}", done)) {
    out.put_slice(text, done, i);
    if (i + 1 < s.size() && s[i + 1] == s[i]) {
      out.put_slice(text, i, i + 1);
      done = i + 2;
      continue;
    }
    const std::size_t end = s[i] == '{' ? s.find('}', i) : std::string::npos;
    if (end == std::string::npos) return call.fail("format: a brace stands alone");
    const std::string_view field = std::string_view(s).substr(i + 1, end - i - 1);
    const Value* value = nullptr;
    if (field.empty()) {
      if (next < call.arguments.values.size()) value = &call.arguments.values[next++];
    } else if (field.size() == 1 && field[0] >= '0' && field[0] <= '9') {
      const auto index = static_cast<std::size_t>(field[0] - '0');
      if (index < call.arguments.values.size()) value = &call.arguments.values[index];
    } else {
      for (const auto& [name, given] : call.arguments.named) {
        if (name == field) value = &given;
      }
    }
    if (value == nullptr) {
      return call.fail(cat("format: nothing for {", field.substr(0, 40), "}"));
    }
    out.put(to_text(*value, call.in.meter()));
    done = end + 1;
  }
  out.put_slice(text, done, s.size());
  return Value(out.take());
}

constexpr BuiltinRow kStringMethods[] = {
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", split_lines},
    {"startswith", has_affix<true>},
    {"endswith", has_affix<false>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"upper", in_case<Case::upper>},
    {"lower", in_case<Case::lower>},
    {"title", in_case<Case::title>},
    {"capitalize", in_case<Case::capitalized>},
    {"replace", replace},
    {"join", join},
    {"find", find},
    {"count", count_text},
    {"format", format},
    {"isdigit", is_digit},
    {"isspace", is_space_only},
};
constexpr BuiltinRow kDictMethods[] = {
    {"get", get}, {"keys", parts<0>}, {"values", parts<1>}, {"items", parts<2>}};
constexpr BuiltinRow kListMethods[] = {{"index", list_index}, {"count", list_count}};
constexpr BuiltinRow kLoopMethods[] = {{"cycle", cycle}};

constexpr std::string_view kChangesList[] = {"append", "extend", "insert", "pop",
                                             "remove", "clear",  "sort",   "reverse"};
constexpr std::string_view kChangesDict[] = {"update", "setdefault", "pop", "popitem", "clear"};

}  // namespace

Builtin find_method(const Value& self, std::string_view name) {
  std::span<const BuiltinRow> rows;
  if (self.is_string()) rows = kStringMethods;
  if (self.is_dict()) rows = kDictMethods;
  if (self.is_list()) rows = kListMethods;
  if (self.kind() == Kind::loop) rows = kLoopMethods;
  for (const BuiltinRow& row : rows) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

bool is_changing_method(const Value& self, std::string_view name) {
  std::span<const std::string_view> names;
  if (self.is_list() && !self.items().tuple) names = kChangesList;
  if (self.is_dict()) names = kChangesDict;
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace apr::jinja
