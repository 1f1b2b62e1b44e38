// The family of split patterns. A general regular-expression engine backtracks, and these
// expressions are all of one shape, so each alternative is written out as a scan whose longest
// match needs no backtracking:
//
//   \s+(?!\S)   a run of white space that is followed by something else gives back its last
//   character;
//   \s*[\r\n]+  ends after the last newline of the run of white space;
//   \s++$       takes the run if the text ends with it.
#include "core/text/tokenizer_pattern.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/text/unicode.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

using char_class::kLetter;
using char_class::kNumber;
using char_class::kSpace;

struct Look {
  std::uint8_t classes = 0;
  std::size_t size = 0;  ///< 0 at the end of the text
  bool is_other() const { return size != 0 && (classes & (kLetter | kNumber | kSpace)) == 0; }
  bool has(std::uint8_t wanted) const { return size != 0 && (classes & wanted) != 0; }
};

Look look(std::string_view text, std::size_t position) {
  if (position >= text.size()) return {};
  const Utf8Character character = utf8_at(text, position);
  return {character_classes(character.code), character.size};
}

std::size_t run_end(std::string_view text, std::size_t position, std::uint8_t wanted,
                    std::size_t limit = static_cast<std::size_t>(-1)) {
  for (; limit > 0; --limit) {
    const Look next = look(text, position);
    if (!next.has(wanted)) break;
    position += next.size;
  }
  return position;
}

bool is_newline(char byte) {
  return byte == '\r' || byte == '\n';
}

std::size_t contraction_end(std::string_view text, std::size_t position,
                            SplitPattern::Contractions contractions) {
  if (contractions == SplitPattern::Contractions::none || text[position] != '\'') return position;
  const bool folds = contractions != SplitPattern::Contractions::exact;
  const auto letter = [&](std::size_t at) {
    if (at >= text.size()) return '\0';
    const char byte = text[at];
    return folds && byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : byte;
  };
  const char first = letter(position + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return position + 2;
  const char second = letter(position + 2);
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
      (first == 'l' && second == 'l')) {
    return position + 3;
  }
  const bool unicode = contractions == SplitPattern::Contractions::any_case;
  if (unicode && text.substr(position + 1, 2) == "\u017F") return position + 3;
  return position;
}

// ---- recognizing an expression
// -----------------------------------------------------------------------

/// Removes what makes no difference to these expressions: possessive plus signs (the alternatives
/// never need to backtrack into a run), and raw newlines in place of escapes.
std::string canonical_spelling(std::string_view regex) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\' && i + 1 < regex.size()) {
      out.push_back(c);
      out.push_back(regex[++i]);
      if ((regex[i] == 'p' || regex[i] == 'P') && i + 1 < regex.size() && regex[i + 1] == '{') {
        do {
          out.push_back(regex[++i]);
        } while (regex[i] != '}' && i + 1 < regex.size());
      }
      continue;
    }
    if (c == '\r') {
      out += "\\r";
      continue;
    }
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out.push_back(c);
    const bool quantifier = !in_class && i > 0 && (c == '+' || c == '*' || c == '?' || c == '}');
    const bool group_start = c == '?' && regex[i - (i > 0 ? 1 : 0)] == '(';
    if (quantifier && !group_start && i + 1 < regex.size() && regex[i + 1] == '+') ++i;
  }
  return out;
}

std::vector<std::string_view> alternatives_of(std::string_view regex) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  int depth = 0;
  bool in_class = false;
  for (std::size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      --depth;
    } else if (c == '|' && depth == 0) {
      parts.push_back(regex.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  parts.push_back(regex.substr(begin));
  return parts;
}

struct ContractionSpelling {
  std::string_view text;
  SplitPattern::Contractions kind;
};

constexpr std::array kContractions = {
    ContractionSpelling{"(?i:'s|'t|'re|'ve|'m|'ll|'d)", SplitPattern::Contractions::any_case},
    ContractionSpelling{"'(?i:[sdmt]|ll|ve|re)", SplitPattern::Contractions::any_case},
    ContractionSpelling{"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
                        SplitPattern::Contractions::ascii_case},
    ContractionSpelling{"(?:'s|'t|'re|'ve|'m|'ll|'d)", SplitPattern::Contractions::exact},
    ContractionSpelling{"'(?:[sdmt]|ll|ve|re)", SplitPattern::Contractions::exact},
};

constexpr std::array<std::string_view, 7> kPlainContractions = {"'s", "'t",  "'re", "'ve",
                                                                "'m", "'ll", "'d"};
constexpr std::array<std::string_view, 7> kCaseContractions = {
    "'[sS]", "'[tT]", "'[rR][eE]", "'[vV][eE]", "'[mM]", "'[lL][lL]", "'[dD]"};

/// Reads the alternatives one after the other.
class AlternativeReader {
 public:
  explicit AlternativeReader(std::vector<std::string_view> parts) : parts_(std::move(parts)) {}
  bool take(std::string_view expected) {
    if (next_ >= parts_.size() || parts_[next_] != expected) return false;
    ++next_;
    return true;
  }
  bool take_all(std::span<const std::string_view> expected) {
    if (parts_.size() - next_ < expected.size() ||
        !std::equal(expected.begin(), expected.end(),
                    parts_.begin() + static_cast<std::ptrdiff_t>(next_))) {
      return false;
    }
    next_ += expected.size();
    return true;
  }
  std::string_view peek() const {
    return next_ < parts_.size() ? parts_[next_] : std::string_view();
  }
  void skip() { ++next_; }
  bool at_end() const { return next_ == parts_.size(); }

 private:
  std::vector<std::string_view> parts_;
  std::size_t next_ = 0;
};

SplitPattern::Contractions take_contractions(AlternativeReader& reader) {
  for (const ContractionSpelling& spelling : kContractions) {
    if (reader.take(spelling.text)) return spelling.kind;
  }
  if (reader.take_all(kPlainContractions)) return SplitPattern::Contractions::exact;
  if (reader.take_all(kCaseContractions)) return SplitPattern::Contractions::ascii_case;
  return SplitPattern::Contractions::none;
}

bool take_numbers(AlternativeReader& reader, SplitPattern& pattern) {
  std::string_view part = reader.peek();
  pattern.numbers_after_space = part.starts_with(" ?");
  if (pattern.numbers_after_space) part.remove_prefix(2);
  constexpr std::string_view kDigit = "\\p{N}";
  if (!part.starts_with(kDigit)) return false;
  part.remove_prefix(kDigit.size());
  if (part.empty()) {
    pattern.numbers = 1;
  } else if (part == "+") {
    pattern.numbers = SplitPattern::kAnyCount;
  } else if (part.size() == 5 && part.starts_with("{1,") && part[3] >= '1' && part[3] <= '9' &&
             part[4] == '}') {
    pattern.numbers = static_cast<std::uint8_t>(part[3] - '0');
  } else {
    return false;
  }
  reader.skip();
  return true;
}

}  // namespace

SplitPattern SplitPattern::modern(std::uint8_t digits) {
  SplitPattern pattern;
  pattern.contractions = Contractions::any_case;
  pattern.letters_after_any = true;
  pattern.numbers_after_space = false;
  pattern.numbers = digits;
  pattern.other_takes_newlines = true;
  pattern.newline_rule = true;
  return pattern;
}

std::optional<SplitPattern> SplitPattern::recognize(std::string_view regex) {
  if (regex.size() > 4096) return std::nullopt;
  const std::string canonical = canonical_spelling(regex);
  AlternativeReader reader(alternatives_of(canonical));
  SplitPattern pattern;
  pattern.contractions = take_contractions(reader);
  if (reader.take("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+")) {
    pattern.letters_after_any = true;
  } else if (!reader.take(" ?\\p{L}+")) {
    return std::nullopt;
  }
  if (!take_numbers(reader, pattern)) return std::nullopt;
  if (reader.take(" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*")) {
    pattern.other_takes_newlines = true;
  } else if (!reader.take(" ?[^\\s\\p{L}\\p{N}]+")) {
    return std::nullopt;
  }
  pattern.whole_final_space = reader.take("\\s+$");
  pattern.newline_rule = reader.take("\\s*[\\r\\n]+") || reader.take("\\s*[\\r\\n]");
  if (!reader.take("\\s+(?!\\S)")) return std::nullopt;
  if (!reader.take("\\s+") && !reader.take("\\s")) return std::nullopt;
  if (!reader.at_end()) return std::nullopt;
  // Without the newline rule a run at the end of the text is one word either way.
  if (!pattern.newline_rule) pattern.whole_final_space = false;
  return pattern;
}

std::string_view SplitPattern::name() const {
  if (*this == gpt2()) return "gpt-2";
  if (*this == qwen2()) return "qwen2";
  if (*this == llama3()) return "llama-3";
  return "custom";
}

std::size_t SplitPattern::word_end(std::string_view text, std::size_t position) const {
  const std::size_t contraction = contraction_end(text, position, contractions);
  if (contraction != position) return contraction;

  const Look first = look(text, position);
  if (first.has(kLetter)) return run_end(text, position, kLetter);
  const std::size_t after = position + first.size;
  const Look second = look(text, after);
  const bool is_blank = text[position] == ' ';
  if (second.has(kLetter)) {
    const bool may_lead =
        letters_after_any ? !is_newline(text[position]) && !first.has(kNumber) : is_blank;
    if (may_lead) return run_end(text, after, kLetter);
  }

  const std::size_t count = numbers == kAnyCount ? static_cast<std::size_t>(-1) : numbers;
  if (first.has(kNumber)) return run_end(text, position, kNumber, count);
  if (numbers_after_space && is_blank && second.has(kNumber)) {
    return run_end(text, after, kNumber, count);
  }

  if (first.is_other() || (is_blank && second.is_other())) {
    std::size_t end = after;
    for (Look next = look(text, end); next.is_other(); next = look(text, end)) end += next.size;
    if (other_takes_newlines) {
      while (end < text.size() && is_newline(text[end])) ++end;
    }
    return end;
  }

  const std::size_t space_end = run_end(text, position, kSpace);
  if (whole_final_space && space_end == text.size()) return space_end;
  if (newline_rule) {
    for (std::size_t end = space_end; end > position; --end) {
      if (is_newline(text[end - 1])) return end;
    }
  }
  if (space_end == text.size()) return space_end;
  const std::size_t last = space_end - utf8_before(text, space_end).size;
  return last > position ? last : space_end;
}

}  // namespace apr
