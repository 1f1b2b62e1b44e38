// tojson, as Hugging Face's templates get it: Python's json.dumps.
#include <algorithm>
#include <cmath>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {
namespace {

struct Style {
  std::optional<std::string> indent;
  std::string_view between;
  std::string_view after_key;
  bool sort_keys = false;
  bool ascii = false;
};

class JsonWriter {
 public:
  JsonWriter(Meter& meter, const Style& style) : meter_(meter), style_(style), out_(meter) {}

  /// False for a value that JSON has no form for; `culprit` says which.
  bool write(const Value& value, unsigned level) {
    if (!meter_.step()) return true;
    switch (value.kind()) {
      case Kind::none:
        out_.put("null", true);
        return true;
      case Kind::boolean:
        out_.put(value.boolean() ? "true" : "false", true);
        return true;
      case Kind::integer:
        out_.put(cat(value.whole()), true);
        return true;
      case Kind::number:
        out_.put(number(value.number()), true);
        return true;
      case Kind::string:
        quoted(value.text());
        return true;
      case Kind::list:
        return list(value.items(), level);
      case Kind::dict:
        return dict(value.entries(), level);
      default:
        culprit = kind_name(value);
        return false;
    }
  }

  MarkedText take() { return out_.take(); }
  std::string_view culprit;

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return float_text(value);
  }

  void new_line(unsigned level) {
    if (!style_.indent) return;
    out_.put("\n", false);
    for (unsigned i = 0; i < level; ++i) out_.put(*style_.indent, false);
  }

  bool list(const List& list, unsigned level) {
    out_.put("[", false);
    bool first = true;
    for (const Value& item : list.values) {
      if (meter_.spent()) return true;
      if (!first) out_.put(style_.between, false);
      first = false;
      new_line(level + 1);
      if (!write(item, level + 1)) return false;
    }
    if (!first) new_line(level);
    out_.put("]", false);
    return true;
  }

  bool dict(const Dict& dict, unsigned level) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      // Strings by their bytes, then whatever else is a key, in order of appearance.
      std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        if (a->first.is_string() != b->first.is_string()) return a->first.is_string();
        return a->first.is_string() ? a->first.string() < b->first.string() : a < b;
      });
    }
    out_.put("{", false);
    bool first = true;
    for (const auto* entry : entries) {
      if (meter_.spent()) return true;
      if (!first) out_.put(style_.between, false);
      first = false;
      new_line(level + 1);
      key(entry->first);
      out_.put(style_.after_key, false);
      if (!write(entry->second, level + 1)) return false;
    }
    if (!first) new_line(level);
    out_.put("}", false);
    return true;
  }

  void key(const Value& value) {
    if (value.is_string()) return quoted(value.text());
    out_.put("\"", false);
    write(value, 0);
    out_.put("\"", false);
  }

  void quoted(const MarkedText& text) {
    out_.put("\"", false);
    for (const MarkedText::Span& span : text.spans()) {
      const std::string_view part =
          std::string_view(text.text()).substr(span.begin, span.end - span.begin);
      std::string escaped;
      for (std::size_t i = 0; i < part.size();) {
        const Character c = character_at(part, i);
        escape(escaped, part.substr(i, c.size), c);
        i += c.size;
      }
      out_.put(escaped, span.trusted);
    }
    out_.put("\"", false);
  }

  void escape(std::string& out, std::string_view bytes, const Character& c) const {
    constexpr std::string_view kFrom = "\"\\\n\r\t\b\f";
    constexpr std::string_view kTo = "\"\\nrtbf";
    const std::size_t known =
        c.code < 0x80 ? kFrom.find(static_cast<char>(c.code)) : std::string_view::npos;
    if (known != std::string_view::npos) {
      out += '\\';
      out += kTo[known];
    } else if (c.code < 0x20 || (style_.ascii && c.valid && c.code >= 0x7f)) {
      if (c.code >= 0x10000) {
        const std::uint32_t pair = c.code - 0x10000;
        unit(out, 0xD800 + (pair >> 10));
        unit(out, 0xDC00 + (pair & 0x3FF));
      } else {
        unit(out, c.code);
      }
    } else {
      out += bytes;
    }
  }

  static void unit(std::string& out, std::uint32_t code) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(code >> shift) & 15];
  }

  Meter& meter_;
  const Style& style_;
  TextBuilder out_;
};

}  // namespace

Result<Value> json_text(const Call& call, const Value& value, std::optional<std::string> indent,
                        std::string_view between, std::string_view after_key, bool sort_keys,
                        bool ascii) {
  const Style style{std::move(indent), between, after_key, sort_keys, ascii};
  JsonWriter writer(call.in.meter(), style);
  if (!writer.write(value, 0)) {
    return call.fail(cat("tojson: a value of kind ", writer.culprit, " has no form in JSON"));
  }
  return Value(writer.take());
}

}  // namespace apr::jinja
