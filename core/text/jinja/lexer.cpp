#include "core/text/jinja/lexer.h"

#include <charconv>

#include "core/base/cat.h"
#include "core/base/number.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_name(char c) {
  return is_name_start(c) || is_digit(c);
}
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text()) {}

  Result<std::vector<Token>> run() {
    while (pos_ < text_.size()) {
      const std::size_t begin = next_tag();
      if (begin == std::string_view::npos) {
        put_text(text_.substr(pos_));
        break;
      }
      const char kind = text_[begin + 1];
      std::size_t inside = begin + 2;
      char sign = 0;
      if (inside < text_.size() && (text_[inside] == '-' || text_[inside] == '+')) {
        sign = text_[inside++];
      }
      put_text(stripped(text_.substr(pos_, begin - pos_), sign, kind != '{'));
      pos_ = inside;
      if (kind == '#') {
        APR_TRY(skip_comment(begin));
      } else if (kind == '%' && at_raw()) {
        APR_TRY(read_raw(begin));
      } else {
        APR_TRY(read_tag(begin, kind == '%'));
      }
      line_starting_ = text_[pos_ - 1] == '\n';
    }
    put(TokenKind::end, text_.size());
    return std::move(tokens_);
  }

 private:
  std::size_t next_tag() const {
    std::size_t at = pos_;
    while ((at = text_.find('{', at)) != std::string_view::npos) {
      if (at + 1 >= text_.size()) return std::string_view::npos;
      const char c = text_[at + 1];
      if (c == '{' || c == '%' || c == '#') return at;
      ++at;
    }
    return at;
  }

  /// Text before a tag, less the white space that the tag's sign or lstrip_blocks takes away.
  std::string_view stripped(std::string_view text, char sign, bool strips_line) const {
    if (sign == '-') return text.substr(0, text.size() - trailing_space(text));
    if (sign == '+' || !strips_line) return text;
    const std::size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !line_starting_) return text;
    const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    const std::string_view indent = text.substr(line);
    return leading_space(indent) == indent.size() ? text.substr(0, line) : text;
  }

  void skip_space() { pos_ += leading_space(text_.substr(pos_)); }
  void skip_newline() {
    if (pos_ < text_.size() && text_[pos_] == '\n') ++pos_;
  }
  /// After the end of a block, comment or raw tag.
  void after_end(char sign) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+') {
      skip_newline();
    }
  }

  Token& put(TokenKind kind, std::size_t at, std::string text = {}) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.at = static_cast<Offset>(at);
    token.text = std::move(text);
    return token;
  }
  void put_text(std::string_view text) {
    if (!text.empty()) put(TokenKind::text, pos_, std::string(text));
  }

  Error error(std::size_t at, std::string message, std::string hint = {}) const {
    return source_.error(ErrorCode::format, static_cast<Offset>(at), std::move(message),
                         std::move(hint));
  }

  Status skip_comment(std::size_t begin) {
    const std::size_t end = text_.find("#}", pos_);
    if (end == std::string_view::npos) return error(begin, "the comment {# is never closed");
    const char sign = end > pos_ ? text_[end - 1] : '\0';
    pos_ = end + 2;
    after_end(sign);
    return {};
  }

  /// The tag at pos_ (behind its sign) is "raw".
  bool at_raw() const {
    std::size_t at = pos_ + leading_space(text_.substr(pos_));
    if (text_.substr(at, 3) != "raw") return false;
    at += 3;
    at += leading_space(text_.substr(at));
    return text_.substr(at, 2) == "%}" || text_.substr(at, 3) == "-%}";
  }

  Status read_raw(std::size_t begin) {
    const std::size_t begin_end = text_.find("%}", pos_);
    const bool strip = text_[begin_end - 1] == '-';
    pos_ = begin_end + 2;
    if (strip) skip_space();
    line_starting_ = text_[pos_ - 1] == '\n';
    std::size_t tag = pos_;
    while ((tag = text_.find("{%", tag)) != std::string_view::npos) {
      std::size_t at = tag + 2;
      char sign = 0;
      if (at < text_.size() && (text_[at] == '-' || text_[at] == '+')) sign = text_[at++];
      at += leading_space(text_.substr(at));
      if (text_.substr(at, 6) == "endraw") {
        at += 6;
        at += leading_space(text_.substr(at));
        char end_sign = 0;
        if (at < text_.size() && (text_[at] == '-' || text_[at] == '+')) end_sign = text_[at++];
        if (text_.substr(at, 2) == "%}") {
          put_text(stripped(text_.substr(pos_, tag - pos_), sign, true));
          pos_ = at + 2;
          after_end(end_sign);
          return {};
        }
      }
      tag += 2;
    }
    return error(begin, "{% raw %} is never closed", "add {% endraw %}");
  }

  Status read_tag(std::size_t begin, bool block) {
    put(block ? TokenKind::block_begin : TokenKind::output_begin, begin);
    const std::string_view end = block ? "%}" : "}}";
    std::string open;  // brackets not yet closed
    while (true) {
      skip_space();
      if (pos_ >= text_.size()) {
        return error(begin, cat("the tag ", block ? "{%" : "{{", " is never closed"),
                     cat("close it with ", end));
      }
      if (open.empty()) {
        const char c = text_[pos_];
        const bool has_sign = c == '-' || (block && c == '+');
        if (text_.substr(pos_ + (has_sign ? 1 : 0), 2) == end) {
          put(block ? TokenKind::block_end : TokenKind::output_end, pos_);
          pos_ += has_sign ? 3 : 2;
          if (block) {
            after_end(has_sign ? c : '\0');
          } else if (has_sign) {
            skip_space();
          }
          return {};
        }
      }
      APR_TRY(read_token(open));
    }
  }

  Status read_token(std::string& open) {
    const char c = text_[pos_];
    if (is_name_start(c)) {
      const std::size_t begin = pos_;
      while (pos_ < text_.size() && is_name(text_[pos_])) ++pos_;
      put(TokenKind::name, begin, std::string(text_.substr(begin, pos_ - begin)));
      return {};
    }
    if (is_digit(c)) return read_number();
    if (c == '"' || c == '\'') return read_string(c);
    return read_symbol(open);
  }

  Status read_symbol(std::string& open) {
    for (const std::string_view symbol : {"**", "//", "==", "!=", "<=", ">="}) {
      if (text_.substr(pos_, 2) == symbol) {
        put(TokenKind::symbol, pos_, std::string(symbol));
        pos_ += 2;
        return {};
      }
    }
    const char c = text_[pos_];
    if (std::string_view("+-*/%~<>=.:|,()[]{}").find(c) == std::string_view::npos) {
      const Character character = character_at(text_, pos_);
      return error(pos_, cat("unexpected character '", text_.substr(pos_, character.size),
                             "' inside a tag"));
    }
    if (c == '(' || c == '[' || c == '{') {
      open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) {
        return error(pos_, open.empty() ? cat("'", c, "' closes nothing")
                                        : cat("'", c, "' where '", open.back(), "' is due"));
      }
      open.pop_back();
    }
    put(TokenKind::symbol, pos_, std::string(1, c));
    ++pos_;
    return {};
  }

  Status read_number() {
    const std::size_t begin = pos_;
    const auto digits = [this] {
      std::string found;
      while (pos_ < text_.size() &&
             (is_digit(text_[pos_]) ||
              (text_[pos_] == '_' && pos_ + 1 < text_.size() && is_digit(text_[pos_ + 1])))) {
        if (text_[pos_] != '_') found.push_back(text_[pos_]);
        ++pos_;
      }
      return found;
    };
    if (text_[pos_] == '0' && pos_ + 1 < text_.size()) {
      const char letter = static_cast<char>(text_[pos_ + 1] | 0x20);
      const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      if (base != 0) return read_based(base);
    }
    std::string text = digits();
    const bool after_dot =
        !tokens_.empty() && tokens_.back().kind == TokenKind::symbol && tokens_.back().text == ".";
    bool is_float = false;
    const auto at = [this](std::size_t i) { return i < text_.size() ? text_[i] : '\0'; };
    if (!after_dot && at(pos_) == '.' && is_digit(at(pos_ + 1))) {
      is_float = true;
      ++pos_;
      text += "." + digits();
    }
    const bool signed_exponent = at(pos_ + 1) == '+' || at(pos_ + 1) == '-';
    if (!after_dot && (at(pos_) == 'e' || at(pos_) == 'E') &&
        is_digit(at(pos_ + (signed_exponent ? 2 : 1)))) {
      is_float = true;
      text += 'e';
      if (at(pos_ + 1) == '-') text += '-';
      pos_ += signed_exponent ? 2 : 1;
      text += digits();
    }
    Token& token = put(is_float ? TokenKind::number : TokenKind::integer, begin, text);
    const char* first = text.data();
    const char* last = first + text.size();
    bool fits = false;
    if (is_float) {
      const auto number = parse_double(text);
      fits = number.has_value();
      token.number = number.value_or(0);
    } else {
      const auto read = std::from_chars(first, last, token.integer);
      fits = read.ec == std::errc{} && read.ptr == last;
    }
    if (!fits) return error(begin, cat("the number ", text, " is out of range"));
    return {};
  }

  Status read_based(int base) {
    const std::size_t begin = pos_;
    pos_ += 2;
    std::string digits;
    while (pos_ < text_.size() && (hex_value(text_[pos_]) >= 0 || text_[pos_] == '_')) {
      if (text_[pos_] != '_') digits.push_back(text_[pos_]);
      ++pos_;
    }
    Token& token = put(TokenKind::integer, begin);
    const char* last = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), last, token.integer, base);
    if (digits.empty() || read.ec != std::errc{} || read.ptr != last) {
      return error(begin, cat("bad number ", text_.substr(begin, pos_ - begin)));
    }
    return {};
  }

  Status read_string(char quote) {
    const std::size_t begin = pos_++;
    std::string value;
    while (true) {
      const std::size_t run = pos_;
      while (pos_ < text_.size() && text_[pos_] != quote && text_[pos_] != '\\') ++pos_;
      value.append(text_.substr(run, pos_ - run));
      if (pos_ >= text_.size()) return error(begin, "the string is never closed");
      if (text_[pos_] == quote) {
        ++pos_;
        put(TokenKind::string, begin, std::move(value));
        return {};
      }
      APR_TRY(read_escape(value));
    }
  }

  /// Python's escapes: unknown ones keep their backslash.
  Status read_escape(std::string& out) {
    const std::size_t begin = pos_++;
    if (pos_ >= text_.size()) return error(begin, "the string is never closed");
    const char c = text_[pos_++];
    constexpr std::string_view kNames = "ntrabfv\\'\"";
    constexpr std::string_view kValues = "\n\t\r\a\b\f\v\\'\"";
    if (const auto i = kNames.find(c); i != std::string_view::npos) {
      out.push_back(kValues[i]);
      return {};
    }
    if (c == '\n') return {};
    if (c >= '0' && c <= '7') {
      std::uint32_t code = static_cast<std::uint32_t>(c - '0');
      for (int n = 1; n < 3 && pos_ < text_.size() && text_[pos_] >= '0' && text_[pos_] <= '7';
           ++n) {
        code = code * 8 + static_cast<std::uint32_t>(text_[pos_++] - '0');
      }
      append_character(out, code);
      return {};
    }
    const std::size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (width == 0) {
      out.push_back('\\');
      out.push_back(c);
      return {};
    }
    std::uint64_t code = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const int digit = pos_ < text_.size() ? hex_value(text_[pos_]) : -1;
      if (digit < 0) return error(begin, cat("the escape \\", c, " needs ", width, " hex digits"));
      code = code * 16 + static_cast<std::uint64_t>(digit);
      ++pos_;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return error(begin, "the escape is no Unicode character");
    }
    append_character(out, static_cast<std::uint32_t>(code));
    return {};
  }

  const Source& source_;
  std::string_view text_;
  std::size_t pos_ = 0;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(const Source& source) {
  return Lexer(source).run();
}

}  // namespace apr::jinja
