// Methods of strings, lists, mappings and loops.
#include <algorithm>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"
#include "core/text/unicode.h"

namespace apr::jinja {
namespace {

template <bool Front, bool Back>
Result<Value> strip(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"chars"}));
  APR_ASSIGN(Value text, trim_text(call, call.self.text(), args[0], Front, Back));
  return like(call.self, std::move(text));
}

template <Case Wanted>
Result<Value> in_case(const Call& call) {
  APR_TRY(bind(call, {}));
  return like(call.self, Value(with_case(call.self.text(), Wanted, call.in.meter())));
}

/// Byte bounds of the characters [start, end) that a search is confined to, as Python counts them.
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool valid = true;  ///< false: start lies behind the end, where not even "" is found
};

Result<Range> searched(const Call& call, const Value* start, const Value* end) {
  const std::string& s = call.self.string();
  if (!call.in.meter().bytes(s.size())) return call.in.limit(call.at);
  Range range{0, s.size()};
  for (const Value* bound : {start, end}) {
    if (bound != nullptr && !bound->is_none() && !bound->is_whole()) {
      return call.fail(cat(call.name, " takes whole numbers as bounds"));
    }
  }
  const bool has_start = start != nullptr && !start->is_none();
  const bool has_end = end != nullptr && !end->is_none();
  if (!has_start && !has_end) return range;
  if (!call.in.meter().step(1 + s.size() / 16)) return call.in.limit(call.at);
  const std::vector<std::size_t> offsets = character_offsets(s);
  const auto count = static_cast<std::int64_t>(offsets.size() - 1);
  const auto clamped = [&](std::int64_t place) {
    if (place < 0) place = place < -count ? 0 : place + count;
    return offsets[static_cast<std::size_t>(std::min(place, count))];
  };
  if (has_start) range.begin = clamped(start->whole());
  if (has_end) range.end = clamped(end->whole());
  range.valid = range.begin <= range.end && (!has_start || start->whole() <= count);
  return range;
}

template <bool Front>
Result<Value> has_affix(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"affix", "start", "end"}, 1));
  const std::vector<Value> one{*args[0]};
  const std::vector<Value>& affixes = args[0]->is_list() ? args[0]->items().values : one;
  APR_ASSIGN(const Range range, searched(call, args[1], args[2]));
  if (!range.valid) return Value(false);
  const std::string_view text =
      std::string_view(call.self.string()).substr(range.begin, range.end - range.begin);
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
    if (!call.in.meter().step(text.size() / 64 * separator.size())) return call.in.limit(call.at);
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
  if (args[0]->is_list()) {
    for (const Value& item : args[0]->items().values) {
      if (!item.is_string()) {
        return call.fail(cat("join takes strings, not ", kind_name(item)),
                         "the filter join makes text of whatever it is given");
      }
    }
  }
  return join_values(call, *args[0], call.self.text(), nullptr);
}

/// find, rfind, index, rindex: the place as a number of characters.
template <bool FromRight, bool MustExist>
Result<Value> find(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sub", "start", "end"}, 1));
  if (!args[0]->is_string()) return call.fail(cat(call.name, " takes a string"));
  APR_ASSIGN(const Range range, searched(call, args[1], args[2]));
  const std::string_view all = call.self.string();
  const std::string& wanted = args[0]->string();
  std::size_t found = std::string_view::npos;
  if (range.valid) {
    const std::string_view part = all.substr(range.begin, range.end - range.begin);
    if (FromRight && !call.in.meter().step(1 + part.size() * wanted.size() / 64)) {
      return call.in.limit(call.at);
    }
    found = FromRight ? part.rfind(wanted) : find_text(part, wanted);
  }
  if (found == std::string_view::npos) {
    if (MustExist) return call.fail(cat(call.name, ": the text does not hold this"));
    return Value(std::int64_t{-1});
  }
  return Value(static_cast<std::int64_t>(count_characters(all.substr(0, range.begin + found))));
}

Result<Value> count_text(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sub", "start", "end"}, 1));
  if (!args[0]->is_string()) return call.fail("count takes a string");
  APR_ASSIGN(const Range range, searched(call, args[1], args[2]));
  if (!range.valid) return Value(std::int64_t{0});
  const std::string_view part =
      std::string_view(call.self.string()).substr(range.begin, range.end - range.begin);
  if (args[0]->string().empty()) {
    return Value(static_cast<std::int64_t>(count_characters(part) + 1));
  }
  std::int64_t count = 0;
  std::size_t at = 0;
  while ((at = find_text(part, args[0]->string(), at)) != std::string_view::npos) {
    ++count;
    at += args[0]->string().size();
  }
  return Value(count);
}

/// The text before a separator, the separator, the text behind it.
template <bool FromRight>
Result<Value> partition(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sep"}, 1));
  if (!args[0]->is_string() || args[0]->string().empty()) {
    return call.fail(cat(call.name, " takes a string that is not empty"));
  }
  const MarkedText& text = call.self.text();
  const std::string& separator = args[0]->string();
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  if (FromRight && !call.in.meter().step(1 + text.size() * separator.size() / 64)) {
    return call.in.limit(call.at);
  }
  const std::size_t found =
      FromRight ? text.text().rfind(separator) : find_text(text.text(), separator);
  const Value nothing{MarkedText()};
  if (found == std::string::npos) {
    return Value::list(FromRight ? std::vector<Value>{nothing, nothing, call.self}
                                 : std::vector<Value>{call.self, nothing, nothing},
                       true);
  }
  return Value::list({Value(text.slice(0, found)), *args[0],
                      Value(text.slice(found + separator.size(), text.size()))},
                     true);
}

template <char Align>
Result<Value> justify(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"width", "fillchar"}, 1));
  if (!args[0]->is_whole()) return call.fail(cat(call.name, " takes a whole number"));
  MarkedText fill = MarkedText::trusted(" ");
  if (args[1] != nullptr) {
    if (!args[1]->is_string() || count_characters(args[1]->string()) != 1) {
      return call.fail(cat(call.name, " fills with one character"));
    }
    fill = args[1]->text();
  }
  return padded_text(call, call.self.text(), args[0]->whole(), fill, Align);
}

Result<Value> zfill(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"width"}, 1));
  if (!args[0]->is_whole()) return call.fail("zfill takes a whole number");
  const MarkedText& text = call.self.text();
  const std::size_t sign = text.text().starts_with('+') || text.text().starts_with('-') ? 1 : 0;
  std::int64_t width = 0;
  if (__builtin_sub_overflow(args[0]->whole(), static_cast<std::int64_t>(sign), &width)) width = 0;
  APR_ASSIGN(const Value digits, padded_text(call, text.slice(sign, text.size()), width,
                                             MarkedText::trusted("0"), '>'));
  TextBuilder out(call.in.meter());
  out.put_slice(text, 0, sign);
  out.put(digits.text());
  return Value(out.take());
}

Result<Value> expandtabs(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"tabsize"}));
  if (args[0] != nullptr && !args[0]->is_whole()) return call.fail("expandtabs takes a number");
  const std::int64_t size = args[0] == nullptr ? 8 : args[0]->whole();
  if (size > 1000) return call.fail("expandtabs: more than 1000 columns");
  const MarkedText& text = call.self.text();
  const std::string& s = text.text();
  TextBuilder out(call.in.meter());
  std::int64_t column = 0;
  for (std::size_t i = 0; i < s.size() && !call.in.meter().spent();) {
    const std::size_t step = character_at(s, i).size;
    if (s[i] == '\t') {
      const bool trusted = text.slice(i, i + 1).spans()[0].trusted;
      const std::int64_t room = size > 0 ? size - column % size : 0;
      out.put(std::string(static_cast<std::size_t>(room), ' '), trusted);
      column += room;
    } else {
      out.put_slice(text, i, i + step);
      column = s[i] == '\n' || s[i] == '\r' ? 0 : column + 1;
    }
    i += step;
  }
  return Value(out.take());
}

template <Case Wanted>
Result<Value> asks_case(const Call& call) {
  APR_TRY(bind(call, {}));
  const MarkedText& text = call.self.text();
  const Case other = Wanted == Case::upper ? Case::lower : Case::upper;
  return Value(with_case(text, Wanted, call.in.meter()).text() == text.text() &&
               with_case(text, other, call.in.meter()).text() != text.text());
}

/// isalpha, isalnum and isdecimal: of which categories every character is.
template <bool Letters, bool Numbers, bool Digits>
Result<Value> asks_kind(const Call& call) {
  APR_TRY(bind(call, {}));
  const std::string& s = call.self.string();
  if (!call.in.meter().bytes(s.size())) return call.in.limit(call.at);
  for (std::size_t i = 0; i < s.size();) {
    const Character c = character_at(s, i);
    const Category category = c.valid ? category_of(c.code) : Category::cn;
    const bool letter = category >= Category::lu && category <= Category::lo;
    const bool number = category >= Category::nd && category <= Category::no;
    if (!(Letters && letter) && !(Numbers && number) && !(Digits && category == Category::nd)) {
      return Value(false);
    }
    i += c.size;
  }
  return Value(!s.empty());
}

Result<Value> is_ascii(const Call& call) {
  APR_TRY(bind(call, {}));
  const std::string& s = call.self.string();
  if (!call.in.meter().bytes(s.size())) return call.in.limit(call.at);
  return Value(
      std::all_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
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

Result<Value> copy(const Call& call) {
  APR_TRY(bind(call, {}));
  return call.self;
}

Result<Value> cycle(const Call& call) {
  const auto& values = call.arguments.values;
  if (values.empty()) return call.fail("loop.cycle needs values");
  return values[call.self.loop().index % values.size()];
}

Result<Value> changed(const Call& call) {
  if (!call.arguments.named.empty()) return call.fail("loop.changed takes no named arguments");
  return Value(call.in.changed(call.self.loop(), Value::list(call.arguments.values, true)));
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
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"center", justify<'^'>},
    {"ljust", justify<'<'>},
    {"rjust", justify<'>'>},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
    {"isupper", asks_case<Case::upper>},
    {"islower", asks_case<Case::lower>},
    {"isalpha", asks_kind<true, false, false>},
    {"isalnum", asks_kind<true, true, false>},
    {"isascii", is_ascii},
    {"count", count_text},
    {"format", format_braces},
    {"isdigit", asks_kind<false, false, true>},
    {"isdecimal", asks_kind<false, false, true>},
    {"isspace", is_space_only},
};
constexpr BuiltinRow kDictMethods[] = {
    {"get", get}, {"keys", parts<0>}, {"values", parts<1>}, {"items", parts<2>}, {"copy", copy}};
constexpr BuiltinRow kListMethods[] = {
    {"index", list_index}, {"count", list_count}, {"copy", copy}};
constexpr BuiltinRow kLoopMethods[] = {{"cycle", cycle}, {"changed", changed}};

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
