// Python's two ways to put values into a text: "%5.1f" % x and "{:>8}".format(x).
//
// Both come down to a Spec: how a value becomes digits or text, and how that is padded. Padding is
// marked as the format's own text is, so that who writes the format answers for its fill.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {
namespace {

constexpr std::size_t kMaxWidth = 10'000;
constexpr std::size_t kMaxPrecision = 100;

struct Spec {
  std::string fill = " ";
  char align = 0;   ///< < > ^ =, or 0 for the kind's own
  char sign = '-';  ///< - + or space
  char grouping = 0;
  char type = 0;
  bool alternate = false;
  bool fill_trusted = true;
  std::size_t width = 0;
  std::optional<std::size_t> precision;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Reads a decimal number at `at`; false beyond `most`.
bool read_size(std::string_view text, std::size_t& at, std::size_t most, std::size_t& number) {
  number = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    number = number * 10 + static_cast<std::size_t>(text[at] - '0');
    if (number > most) return false;
  }
  return true;
}

/// A number's sign and prefix, apart from its digits: zeros go in between.
struct Digits {
  std::string head;
  std::string body;
};

std::string_view sign_text(bool negative, char sign) {
  if (negative) return "-";
  return sign == '+' ? "+" : sign == ' ' ? " " : "";
}

std::string grouped(std::string_view digits, char separator) {
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out.push_back(separator);
    out.push_back(digits[i]);
  }
  return out += digits.substr(whole);
}

Digits whole_digits(std::int64_t value, const Spec& spec) {
  const int base = spec.type == 'x' || spec.type == 'X' ? 16
                   : spec.type == 'o'                   ? 8
                   : spec.type == 'b'                   ? 2
                                                        : 10;
  char text[72];
  const bool negative = value < 0;
  const std::uint64_t magnitude = negative ? std::uint64_t{0} - static_cast<std::uint64_t>(value)
                                           : static_cast<std::uint64_t>(value);
  const auto end = std::to_chars(text, text + sizeof text, magnitude, base).ptr;
  Digits digits{std::string(sign_text(negative, spec.sign)), std::string(text, end)};
  if (spec.alternate && base != 10) {
    digits.head += base == 16 ? (spec.type == 'X' ? "0X" : "0x") : base == 8 ? "0o" : "0b";
  }
  if (spec.type == 'X') {
    for (char& c : digits.body) c = static_cast<char>(c >= 'a' ? c - 'a' + 'A' : c);
  }
  if (spec.grouping != 0) digits.body = grouped(digits.body, spec.grouping);
  return digits;
}

Digits float_digits(double value, const Spec& spec) {
  Digits digits{std::string(sign_text(std::signbit(value), spec.sign)), {}};
  const bool upper = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  const double scaled = std::abs(spec.type == '%' ? value * 100 : value);
  if (!std::isfinite(scaled)) {
    digits.body = std::isnan(scaled) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
    if (std::isnan(scaled)) digits.head = sign_text(false, spec.sign);
    return digits;
  }
  char text[512];
  const int precision = static_cast<int>(spec.precision.value_or(6));
  const char type = static_cast<char>(upper ? spec.type - 'A' + 'a' : spec.type);
  const auto style = type == 'e'   ? std::chars_format::scientific
                     : type == 'g' ? std::chars_format::general
                                   : std::chars_format::fixed;
  const auto end = std::to_chars(text, text + sizeof text, scaled, style, precision).ptr;
  digits.body.assign(text, end);
  if (upper) {
    for (char& c : digits.body) c = static_cast<char>(c == 'e' ? 'E' : c);
  }
  if (spec.grouping != 0) digits.body = grouped(digits.body, spec.grouping);
  if (spec.type == '%') digits.body += '%';
  return digits;
}

void put_padded(TextBuilder& out, std::string_view head, const MarkedText& body, const Spec& spec,
                char align) {
  const std::size_t length = count_characters(head) + count_characters(body.text());
  const std::size_t room = spec.width > length ? spec.width - length : 0;
  if (spec.align != 0) align = spec.align;
  const std::size_t before = align == '<' ? 0 : align == '^' ? room / 2 : room;
  if (align == '=') out.put(head, true);
  for (std::size_t i = 0; i < before; ++i) out.put(spec.fill, spec.fill_trusted);
  if (align != '=') out.put(head, true);
  out.put(body);
  for (std::size_t i = before; i < room; ++i) out.put(spec.fill, spec.fill_trusted);
}

/// The first `count` characters.
MarkedText cut(const MarkedText& text, std::size_t count) {
  std::size_t end = 0;
  for (; end < text.size() && count > 0; --count) end += character_at(text.text(), end).size;
  return text.slice(0, end);
}

bool is_one_of(char type, std::string_view types) {
  return type != 0 && types.find(type) != std::string_view::npos;
}

Error bad_type(Interpreter& in, const Spec& spec, const Value& value, Offset at) {
  return in.fail(at, cat("the format ", std::string_view(&spec.type, 1),
                         " does not take a value of ", "kind ", kind_name(value)));
}

Status put_character(Interpreter& in, TextBuilder& out, const Value& value, const Spec& spec,
                     char align, Offset at) {
  if (value.is_string() && count_characters(value.string()) == 1) {
    put_padded(out, {}, value.text(), spec, align);
    return {};
  }
  const std::int64_t code = value.is_whole() ? value.whole() : -1;
  if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    return in.fail(at, "the format c takes one character or its number");
  }
  std::string bytes;
  append_character(bytes, static_cast<std::uint32_t>(code));
  // Whoever can say a number can write any character with it, so it is nobody's word.
  put_padded(out, {}, MarkedText::untrusted(bytes), spec, align);
  return {};
}

// "…" % values ------------------------------------------------------------------------------------

class Percent {
 public:
  Percent(Interpreter& in, const MarkedText& format, const Value& values, Offset at)
      : in_(in), format_(format), s_(format.text()), values_(values), at_(at), out_(in.meter()) {}

  Result<Value> run() {
    std::size_t done = 0;
    for (std::size_t i = s_.find('%'); i != std::string_view::npos; i = s_.find('%', done)) {
      out_.put_slice(format_, done, i);
      done = i + 1;
      if (done < s_.size() && s_[done] == '%') {
        out_.put_slice(format_, done, done + 1);
        ++done;
        continue;
      }
      APR_TRY(place(i, done));
      if (in_.meter().spent()) return in_.limit(at_);
    }
    out_.put_slice(format_, done, s_.size());
    const bool tuple = values_.is_list() && values_.items().tuple;
    if (!named_ && !values_.is_dict() && next_ < (tuple ? values_.items().values.size() : 1)) {
      return in_.fail(at_, "the format has fewer places than values");
    }
    return Value(out_.take());
  }

 private:
  Error unsupported(std::size_t begin) const {
    return in_.fail(at_, cat("the format ", s_.substr(begin, 8), " is not supported"),
                    "%s %r %d %i %u %x %X %o %c %e %f %g and %% are, with flags, width and "
                    "precision");
  }

  /// Reads what stands behind the % at `begin` and writes its value.
  Status place(std::size_t begin, std::size_t& done) {
    std::optional<std::string_view> name;
    if (done < s_.size() && s_[done] == '(') {
      const std::size_t end = s_.find(')', done);
      if (end == std::string_view::npos) return unsupported(begin);
      name = s_.substr(done + 1, end - done - 1);
      done = end + 1;
    }
    Spec spec;
    spec.fill_trusted = format_.slice(begin, begin + 1).spans()[0].trusted;
    bool left = false;
    bool zeros = false;
    for (; done < s_.size() && is_one_of(s_[done], "-+ 0#"); ++done) {
      if (s_[done] == '-') left = true;
      if (s_[done] == '0') zeros = true;
      if (s_[done] == '#') spec.alternate = true;
      if (s_[done] == '+' || (s_[done] == ' ' && spec.sign != '+')) spec.sign = s_[done];
    }
    if (!read_size(s_, done, kMaxWidth, spec.width)) return unsupported(begin);
    if (done < s_.size() && s_[done] == '.') {
      std::size_t precision = 0;
      if (!read_size(s_, ++done, kMaxPrecision, precision)) return unsupported(begin);
      spec.precision = precision;
    }
    spec.type = done < s_.size() ? s_[done++] : '\0';
    if (!is_one_of(spec.type, "sradiuxXocfFeEgG") || spec.type == 'a') return unsupported(begin);
    APR_ASSIGN(const Value value, value_of(name));
    return put(spec, left, zeros, value);
  }

  Result<Value> value_of(std::optional<std::string_view> name) {
    if (name) {
      named_ = true;
      if (!values_.is_dict()) return in_.fail(at_, "%(name) needs a mapping");
      if (const Value* found = values_.entries().find(*name)) return *found;
      return in_.fail(at_, cat("there is no value for %(", name->substr(0, 40), ")"));
    }
    const bool tuple = values_.is_list() && values_.items().tuple;
    if (next_ >= (tuple ? values_.items().values.size() : 1)) {
      return in_.fail(at_, "the format has more places than values");
    }
    return tuple ? values_.items().values[next_++] : (++next_, values_);
  }

  Status put(Spec spec, bool left, bool zeros, const Value& value) {
    if (left) spec.align = '<';
    if (spec.type == 's' || spec.type == 'r') {
      MarkedText text =
          spec.type == 'r' ? to_repr(value, in_.meter()) : to_text(value, in_.meter());
      if (spec.precision) text = cut(text, *spec.precision);
      put_padded(out_, {}, text, spec, '>');
      return {};
    }
    if (spec.type == 'c') return put_character(in_, out_, value, spec, '>', at_);
    const bool is_float = is_one_of(spec.type, "fFeEgG");
    if (!value.is_number() || (value.is_float() && is_one_of(spec.type, "xXo"))) {
      return in_.fail(
          at_, cat("%", std::string_view(&spec.type, 1), " takes a ",
                   is_one_of(spec.type, "xXo") ? "whole " : "", "number, not ", kind_name(value)));
    }
    if (zeros && !left) {
      spec.fill = "0";
      spec.align = '=';
    }
    Digits digits;
    if (is_float) {
      if (spec.alternate) return in_.fail(at_, "the flag # goes with %x, %X and %o");
      digits = float_digits(value.number(), spec);
      if (!std::isfinite(value.number()) && spec.align == '=') spec.fill = "0";
    } else {
      const double truncated = std::trunc(value.number());
      if (value.is_float() && !(std::abs(truncated) < 9.2e18)) {
        return in_.fail(at_, "the number does not fit 64 bits");
      }
      digits = whole_digits(value.is_float() ? static_cast<std::int64_t>(truncated) : value.whole(),
                            spec);
      const std::size_t wanted = spec.precision.value_or(0);
      if (digits.body.size() < wanted) digits.body.insert(0, wanted - digits.body.size(), '0');
    }
    put_padded(out_, digits.head, MarkedText::trusted(digits.body), spec, '>');
    return {};
  }

  Interpreter& in_;
  const MarkedText& format_;
  std::string_view s_;
  const Value& values_;
  Offset at_;
  TextBuilder out_;
  std::size_t next_ = 0;
  bool named_ = false;
};

// str.format --------------------------------------------------------------------------------------

/// [[fill]align][sign][#][0][width][grouping][.precision][type]
std::optional<Spec> read_spec(std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const std::size_t first = text.empty() ? 0 : character_at(text, 0).size;
  const auto is_align = [&](std::size_t i) {
    return i < text.size() && is_one_of(text[i], "<>^=");
  };
  if (first > 0 && is_align(first)) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (is_align(0)) {
    spec.align = text[at++];
  }
  const auto is = [&](std::string_view set) {
    return at < text.size() && is_one_of(text[at], set);
  };
  if (is("+- ")) spec.sign = text[at++];
  if (is("#")) {
    spec.alternate = true;
    ++at;
  }
  if (is("0") && spec.align == 0) {
    spec.fill = "0";
    spec.align = '0';  // '=' for numbers, nothing but the fill for texts
  }
  if (!read_size(text, at, kMaxWidth, spec.width)) return std::nullopt;
  if (is(",_")) spec.grouping = text[at++];
  if (is(".")) {
    std::size_t precision = 0;
    const std::size_t digits = ++at;
    if (!read_size(text, at, kMaxPrecision, precision) || at == digits) return std::nullopt;
    spec.precision = precision;
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size() || (spec.type != 0 && !is_one_of(spec.type, "sdbcoxXneEfFgG%"))) {
    return std::nullopt;
  }
  return spec;
}

Status put_formatted(const Call& call, TextBuilder& out, const Value& value, Spec spec) {
  if (value.is_string()) {
    const bool strange = spec.sign != '-' || spec.alternate || spec.grouping != 0 ||
                         spec.align == '=' || (spec.type != 0 && spec.type != 's');
    if (strange) return bad_type(call.in, spec, value, call.at);
    if (spec.align == '0') spec.align = 0;
    put_padded(out, {}, spec.precision ? cut(value.text(), *spec.precision) : value.text(), spec,
               '<');
    return {};
  }
  if (!value.is_number() || spec.type == 's') return bad_type(call.in, spec, value, call.at);
  if (spec.align == '0') {
    if (spec.grouping != 0) return call.fail("format: zeros and grouping do not go together here");
    spec.align = '=';
  }
  if (spec.type == 'n') spec.type = value.is_float() ? 'g' : 'd';
  Digits digits;
  if (is_one_of(spec.type, "eEfFgG%")) {
    if (spec.alternate) return bad_type(call.in, spec, value, call.at);
    digits = float_digits(value.number(), spec);
  } else if (value.is_float()) {
    if (spec.type != 0 || spec.precision || spec.alternate) {
      return bad_type(call.in, spec, value, call.at);
    }
    const std::string text = float_text(std::abs(value.number()));
    digits.head = sign_text(std::signbit(value.number()), spec.sign);
    digits.body = spec.grouping != 0 ? grouped(text, spec.grouping) : text;
  } else {
    if (spec.precision) return call.fail("format: a whole number has no precision");
    if (spec.type == 'c') return put_character(call.in, out, value, spec, '<', call.at);
    digits = whole_digits(value.whole(), spec);
  }
  put_padded(out, digits.head, MarkedText::trusted(digits.body), spec, '>');
  return {};
}

}  // namespace

Result<Value> format_percent(Interpreter& in, const MarkedText& format, const Value& values,
                             Offset at) {
  return Percent(in, format, values, at).run();
}

Result<Value> format_braces(const Call& call) {
  const MarkedText& text = call.self.text();
  const std::string_view s = text.text();
  TextBuilder out(call.in.meter());
  std::size_t next = 0;
  std::size_t done = 0;
  for (std::size_t i = s.find_first_of("{}"); i != std::string_view::npos;
       i = s.find_first_of("{}", done)) {
    if (call.in.meter().spent()) return call.in.limit(call.at);
    out.put_slice(text, done, i);
    if (i + 1 < s.size() && s[i + 1] == s[i]) {
      out.put_slice(text, i, i + 1);
      done = i + 2;
      continue;
    }
    const std::size_t end = s[i] == '{' ? s.find('}', i) : std::string_view::npos;
    if (end == std::string_view::npos) return call.fail("format: a brace stands alone");
    const std::string_view inside = s.substr(i + 1, end - i - 1);
    done = end + 1;
    const std::size_t colon = inside.find(':');
    std::string_view field = inside.substr(0, colon);
    const std::string_view rest = colon == inside.npos ? "" : inside.substr(colon + 1);
    const std::size_t mark = field.find('!');
    const std::string_view conversion = mark == field.npos ? "" : field.substr(mark + 1);
    field = field.substr(0, mark);

    const Value* value = nullptr;
    std::size_t index = 0;
    std::size_t digits = 0;
    if (field.empty()) {
      index = next++;
    } else if (!read_size(field, digits, 10'000, index) || digits != field.size()) {
      index = call.arguments.values.size();
      for (const auto& [name, given] : call.arguments.named) {
        if (name == field) value = &given;
      }
    }
    if (value == nullptr && index < call.arguments.values.size()) {
      value = &call.arguments.values[index];
    }
    if (value == nullptr) {
      return call.fail(cat("format: nothing for {", field.substr(0, 40), "}"));
    }
    Value converted = *value;
    if (conversion == "r") {
      converted = Value(to_repr(*value, call.in.meter()));
    } else if (conversion == "s") {
      converted = Value(to_text(*value, call.in.meter()));
    } else if (mark != field.npos && mark < inside.size() && inside[mark] == '!') {
      return call.fail(cat("format: no conversion is called !", conversion.substr(0, 8)));
    }
    if (rest.empty()) {
      out.put(to_text(converted, call.in.meter()));
      continue;
    }
    auto spec = read_spec(rest);
    if (!spec) return call.fail(cat("format: {:", rest.substr(0, 20), "} is not supported"));
    spec->fill_trusted = text.slice(i, i + 1).spans()[0].trusted;
    APR_TRY(put_formatted(call, out, converted, *spec));
  }
  out.put_slice(text, done, s.size());
  return Value(out.take());
}

}  // namespace apr::jinja
