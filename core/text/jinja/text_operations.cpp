// What filters and methods do to strings, mark by mark.
#include <algorithm>
#include <charconv>

#include "core/base/cat.h"
#include "core/base/number.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {

Result<Value> trim_text(const Call& call, const MarkedText& text, const Value* characters,
                        bool front, bool back) {
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  const std::string& s = text.text();
  std::size_t begin = 0;
  std::size_t end = s.size();
  if (characters == nullptr || characters->is_none()) {
    if (front) begin = leading_space(s);
    if (back) end = s.size() - trailing_space(std::string_view(s).substr(begin));
    return Value(text.slice(begin, end));
  }
  if (!characters->is_string()) {
    return call.fail(cat(call.name, " takes a string of characters, not ", kind_name(*characters)));
  }
  const std::string_view set = characters->string();
  const auto in_set = [&](std::string_view character) {
    for (std::size_t i = 0; i < set.size();) {
      const std::size_t size = character_at(set, i).size;
      if (set.substr(i, size) == character) return true;
      i += size;
    }
    return false;
  };
  const std::string_view all = s;
  const std::vector<std::size_t> offsets = character_offsets(s);
  std::size_t first = 0;
  std::size_t last = offsets.size() - 1;
  const auto character = [&](std::size_t i) {
    return all.substr(offsets[i], offsets[i + 1] - offsets[i]);
  };
  const std::uint64_t cost = 1 + set.size() / 16;
  while (front && first < last && call.in.meter().step(cost) && in_set(character(first))) ++first;
  while (back && first < last && call.in.meter().step(cost) && in_set(character(last - 1))) --last;
  return Value(text.slice(offsets[first], offsets[last]));
}

MarkedText html_escaped(const MarkedText& text, Meter& meter) {
  TextBuilder out(meter);
  for (const MarkedText::Span& span : text.spans()) {
    std::string piece;
    const std::string_view part =
        std::string_view(text.text()).substr(span.begin, span.end - span.begin);
    if (!meter.bytes(part.size())) break;
    for (const char c : part) {
      switch (c) {
        case '&':
          piece += "&amp;";
          break;
        case '<':
          piece += "&lt;";
          break;
        case '>':
          piece += "&gt;";
          break;
        case '\'':
          piece += "&#39;";
          break;
        case '"':
          piece += "&#34;";
          break;
        default:
          piece += c;
      }
    }
    out.put(piece, span.trusted);
  }
  return out.take();
}

Result<Value> replace_text(const Call& call, const MarkedText& text, const Value& from,
                           const Value& to, const Value* count) {
  if (!from.is_string() || !to.is_string()) {
    return call.fail(
        cat("replace takes two strings, not ", kind_name(from), " and ", kind_name(to)));
  }
  if (count != nullptr && !count->is_none() && !count->is_whole()) {
    return call.fail(cat("replace takes a number of times, not ", kind_name(*count)));
  }
  std::int64_t left = count == nullptr || count->is_none() ? -1 : count->whole();
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  const std::string& s = text.text();
  const std::string& old = from.string();
  TextBuilder out(call.in.meter());
  std::size_t done = 0;
  if (old.empty()) {  // Python: before every character, and at the end
    while (left != 0) {
      out.put(to.text());
      if (left > 0) --left;
      if (done >= s.size() || call.in.meter().spent()) break;
      const std::size_t size = character_at(s, done).size;
      out.put_slice(text, done, done + size);
      done += size;
    }
  } else {
    while (left != 0 && !call.in.meter().spent()) {
      const std::size_t found = find_text(s, old, done);
      if (found == std::string::npos) break;
      out.put_slice(text, done, found);
      out.put(to.text());
      done = found + old.size();
      if (left > 0) --left;
    }
  }
  out.put_slice(text, done, s.size());
  return Value(out.take());
}

Result<Value> join_values(const Call& call, const Value& items, const MarkedText& separator,
                          const Value* attribute) {
  APR_ASSIGN(const Value list, call.in.to_list(items, call.at));
  TextBuilder out(call.in.meter());
  bool first = true;
  for (const Value& item : list.items().values) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    if (!first) out.put(separator);
    first = false;
    if (attribute != nullptr && !attribute->is_none()) {
      APR_ASSIGN(const Value member, call.in.path(item, *attribute, call.at));
      out.put(to_text(member, call.in.meter()));
    } else if (item.is_string()) {
      out.put(item.text());
    } else {
      out.put(to_text(item, call.in.meter()));
    }
  }
  return Value(out.take());
}

Result<Value> padded_text(const Call& call, const MarkedText& text, std::int64_t width,
                          const MarkedText& fill, char align) {
  if (!call.in.meter().bytes(text.size())) return call.in.limit(call.at);
  const auto length = static_cast<std::int64_t>(count_characters(text.text()));
  const std::int64_t room = width > length ? width - length : 0;
  // Python's center() puts the odd one to the left only if the width is odd, too.
  const std::int64_t before = align == '<'   ? 0
                              : align == '>' ? room
                                             : room / 2 + (room & width & 1);
  TextBuilder out(call.in.meter());
  for (std::int64_t i = 0; i < room && !call.in.meter().spent(); ++i) {
    if (i == before) out.put(text);
    out.put(fill);
  }
  if (before == room) out.put(text);
  return Value(out.take());
}

std::optional<double> to_number(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  return parse_double(text);
}

std::string fixed_text(double value, int precision) {
  char text[512];
  const auto end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, precision).ptr;
  return std::string(text, end);
}

MarkedText with_case(const MarkedText& text, Case wanted, Meter& meter) {
  MarkedText out;
  if (!meter.bytes(text.size()) || !meter.step(text.size() / 64)) return out;
  bool inside_word = false;
  bool first = true;
  for (const MarkedText::Span& span : text.spans()) {
    const std::string_view part =
        std::string_view(text.text()).substr(span.begin, span.end - span.begin);
    std::string mapped;
    for (std::size_t i = 0; i < part.size();) {
      const Character c = character_at(part, i);
      if (!c.valid) {
        mapped += part[i];
        inside_word = false;
      } else {
        switch (wanted) {
          case Case::upper:
            append_upper(mapped, c.code);
            break;
          case Case::lower:
            append_lower(mapped, c.code);
            break;
          case Case::title:
            inside_word ? append_lower(mapped, c.code) : append_title(mapped, c.code);
            break;
          case Case::capitalized:
            first ? append_title(mapped, c.code) : append_lower(mapped, c.code);
            break;
        }
        inside_word = is_cased(c.code);
      }
      first = false;
      i += c.size;
    }
    out.append(mapped, span.trusted);
  }
  return out;
}

}  // namespace apr::jinja
