// Python's str() and repr() of values.
#include <array>
#include <charconv>
#include <cmath>

#include "core/base/cat.h"
#include "core/text/jinja/characters.h"
#include "core/text/jinja/function.h"
#include "core/text/jinja/value.h"

namespace apr::jinja {
namespace {

class Writer {
 public:
  explicit Writer(Meter& meter) : meter_(meter) {}

  void put(std::string_view text, bool trusted) {
    if (meter_.bytes(out_.size() + text.size() > meter_.max_text() ? meter_.max_text() + 1
                                                                   : text.size())) {
      out_.append(text, trusted);
    }
  }

  void scalar(const Value& value) {
    switch (value.kind()) {
      case Kind::undefined:
        return;
      case Kind::none:
        return put("None", true);
      case Kind::boolean:
        return put(value.boolean() ? "True" : "False", true);
      case Kind::integer:
        return put(cat(value.whole()), true);
      case Kind::number:
        return put(float_text(value.number()), true);
      case Kind::name_space:
        return put("<Namespace>", true);
      case Kind::function:
        return put(cat("<function ", value.function().name, ">"), false);
      case Kind::loop:
        return put("<LoopContext>", true);
      default:
        return;
    }
  }

  void repr(const Value& value) {
    if (meter_.spent()) return;
    switch (value.kind()) {
      case Kind::undefined:
        return put("Undefined", true);
      case Kind::string:
        return quoted(value.text());
      case Kind::list: {
        const List& list = value.items();
        put(list.tuple ? "(" : "[", false);
        bool first = true;
        for (const Value& item : list.values) {
          if (meter_.spent()) return;
          if (!first) put(", ", false);
          first = false;
          repr(item);
        }
        if (list.tuple && list.values.size() == 1) put(",", false);
        return put(list.tuple ? ")" : "]", false);
      }
      case Kind::dict: {
        put("{", false);
        bool first = true;
        for (const auto& [key, member] : value.entries().entries()) {
          if (meter_.spent()) return;
          if (!first) put(", ", false);
          first = false;
          repr(key);
          put(": ", false);
          repr(member);
        }
        return put("}", false);
      }
      default:
        return scalar(value);
    }
  }

  MarkedText take() { return std::move(out_); }

 private:
  void quoted(const MarkedText& text) {
    const std::string& s = text.text();
    const bool double_quotes =
        s.find('\'') != std::string::npos && s.find('"') == std::string::npos;
    const std::string_view quote = double_quotes ? "\"" : "'";
    put(quote, false);
    for (const MarkedText::Span& span : text.spans()) {
      std::string piece;
      const std::string_view part = std::string_view(s).substr(span.begin, span.end - span.begin);
      for (std::size_t i = 0; i < part.size();) {
        const Character c = character_at(part, i);
        escape(piece, part.substr(i, c.size), c, quote[0]);
        i += c.size;
      }
      put(piece, span.trusted);
    }
    put(quote, false);
  }

  static void escape(std::string& out, std::string_view bytes, const Character& c, char quote) {
    constexpr std::string_view kHex = "0123456789abcdef";
    if (c.code == '\n') {
      out += "\\n";
    } else if (c.code == '\r') {
      out += "\\r";
    } else if (c.code == '\t') {
      out += "\\t";
    } else if (c.code == '\\' || c.code == static_cast<unsigned char>(quote)) {
      out += '\\';
      out += bytes;
    } else if (!c.valid || is_printable(c.code)) {
      out += bytes;
    } else {
      const int digits = c.code < 0x100 ? 2 : c.code < 0x10000 ? 4 : 8;
      out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
      for (int d = digits - 1; d >= 0; --d) out += kHex[(c.code >> (4 * d)) & 15];
    }
  }

  Meter& meter_;
  MarkedText out_;
};

}  // namespace

MarkedText to_text(const Value& value, Meter& meter) {
  if (value.is_string()) return value.text();
  Writer writer(meter);
  if (value.is_list() || value.is_dict()) {
    writer.repr(value);
  } else {
    writer.scalar(value);
  }
  return writer.take();
}

MarkedText to_repr(const Value& value, Meter& meter) {
  Writer writer(meter);
  writer.repr(value);
  return writer.take();
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t e = text.find('e');
  int exponent = 0;
  const std::size_t sign = text[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(text.data() + sign, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  std::string digits;
  std::string out;
  for (const char c : text.substr(0, e)) {
    if (c == '-') {
      out = "-";
    } else if (c != '.') {
      digits.push_back(c);
    }
  }
  if (exponent < 0) {
    out += "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    return out;
  }
  const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() < whole) digits.resize(whole, '0');
  out += digits.substr(0, whole) + ".";
  out += digits.size() > whole ? digits.substr(whole) : "0";
  return out;
}

}  // namespace apr::jinja
