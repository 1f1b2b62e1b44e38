#include "core/text/normalizer.h"

#include <algorithm>
#include <utility>

#include "core/text/unicode.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

/// Rebuilds a text character by character: edit(code, bytes, out) appends what a character becomes.
/// What it appends is trusted no more than the character's bytes.
template <typename Edit>
std::string edit_characters(std::string_view text, std::vector<std::uint8_t>* marks,
                            const Edit& edit) {
  std::string out;
  out.reserve(text.size());
  std::vector<std::uint8_t> out_marks;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    edit(character.code, text.substr(i, character.size), out);
    if (marks != nullptr) {
      const auto first = marks->begin() + static_cast<std::ptrdiff_t>(i);
      out_marks.resize(out.size(), *std::min_element(
                                       first, first + static_cast<std::ptrdiff_t>(character.size)));
    }
    i += character.size;
  }
  if (marks != nullptr) *marks = std::move(out_marks);
  return out;
}

bool is_space(char32_t code) {
  return (character_classes(code) & char_class::kSpace) != 0;
}

/// White space becomes a blank; what is not meant to be seen goes.
void clean(char32_t code, std::string_view bytes, std::string& out) {
  if (code == '\t' || code == '\n' || code == '\r') {
    out.push_back(' ');
    return;
  }
  constexpr char32_t kReplacement = 0xFFFD;  // which invalid bytes stand for, too
  if (code == kReplacement || code == kInvalidCharacter) return;
  const Category category = category_of(code);
  if (category == Category::cc || category == Category::cf || category == Category::co) return;
  if (is_space(code)) {
    out.push_back(' ');
  } else {
    out += bytes;
  }
}

/// The blocks of ideographs as BERT lists them: not Hangul, not kana, and not the later extensions.
bool is_ideograph(char32_t code) {
  constexpr char32_t kRanges[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                     {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                     {0x2B820, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [code](const auto& range) { return code >= range[0] && code <= range[1]; });
}

void space_out(char32_t code, std::string_view bytes, std::string& out) {
  if (!is_ideograph(code)) {
    out += bytes;
    return;
  }
  out.push_back(' ');
  out += bytes;
  out.push_back(' ');
}

void lower(char32_t code, std::string_view bytes, std::string& out) {
  if (code == kInvalidCharacter) {
    out += bytes;
  } else {
    append_lower_case(out, code);
  }
}

void without_nonspacing(char32_t code, std::string_view bytes, std::string& out) {
  if (category_of(code) != Category::mn) out += bytes;
}

void without_marks(char32_t code, std::string_view bytes, std::string& out) {
  if ((character_classes(code) & char_class::kMark) == 0) out += bytes;
}

void strip(std::string& text, bool left, bool right, std::vector<std::uint8_t>* marks) {
  std::size_t begin = 0;
  std::size_t end = text.size();
  while (left && begin < end) {
    const Utf8Character character = utf8_at(text, begin);
    if (!is_space(character.code)) break;
    begin += character.size;
  }
  while (right && end > begin) {
    const Utf8Character character = utf8_before(text, end);
    if (!is_space(character.code)) break;
    end -= character.size;
  }
  text = text.substr(begin, end - begin);
  if (marks != nullptr) {
    marks->erase(marks->begin() + static_cast<std::ptrdiff_t>(end), marks->end());
    marks->erase(marks->begin(), marks->begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

std::string bert(const NormalizerStep& step, std::string_view text,
                 std::vector<std::uint8_t>* marks) {
  std::string out(text);
  if (step.clean_text) out = edit_characters(out, marks, clean);
  if (step.space_ideographs) out = edit_characters(out, marks, space_out);
  if (step.strip_accents) {
    out = normalize(out, NormalForm::nfd, marks);
    out = edit_characters(out, marks, without_nonspacing);
  }
  if (step.lowercase) out = edit_characters(out, marks, lower);
  return out;
}

}  // namespace

bool replace_all(std::string& text, std::string_view pattern, std::string_view content,
                 std::vector<std::uint8_t>* marks, std::size_t limit) {
  std::size_t found = text.find(pattern);
  if (found == std::string::npos) return true;
  std::string out;
  std::vector<std::uint8_t> out_marks;
  std::size_t begin = 0;
  const auto copy_marks = [&](std::size_t from, std::size_t to) {
    if (marks == nullptr) return;
    out_marks.insert(out_marks.end(), marks->begin() + static_cast<std::ptrdiff_t>(from),
                     marks->begin() + static_cast<std::ptrdiff_t>(to));
  };
  for (; found != std::string::npos; found = text.find(pattern, begin)) {
    out.append(text, begin, found - begin).append(content);
    copy_marks(begin, found);
    begin = found + pattern.size();
    if (out.size() > limit) return false;
    if (marks != nullptr) {
      const auto first = marks->begin() + static_cast<std::ptrdiff_t>(found);
      const auto last = first + static_cast<std::ptrdiff_t>(pattern.size());
      out_marks.insert(out_marks.end(), content.size(), *std::min_element(first, last));
    }
  }
  out.append(text, begin);
  copy_marks(begin, text.size());
  text = std::move(out);
  if (marks != nullptr) *marks = std::move(out_marks);
  return true;
}

Result<std::string> normalize_text(std::span<const NormalizerStep> steps, std::string_view text,
                                   std::vector<std::uint8_t>* marks) {
  std::string out(text);
  const std::size_t limit = 8 * text.size() + 65536;
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::Kind::form:
        out = normalize(out, step.form, marks);
        break;
      case NormalizerStep::Kind::replace:
        if (!replace_all(out, step.pattern, step.content, marks, limit)) {
          return make_error(ErrorCode::unsupported,
                            "the tokenizer's normalizer makes a text more than eight times longer");
        }
        break;
      case NormalizerStep::Kind::prepend:
        if (out.empty()) break;
        if (marks != nullptr) {
          const std::uint8_t first = marks->front();
          marks->insert(marks->begin(), step.content.size(), first);
        }
        out.insert(0, step.content);
        break;
      case NormalizerStep::Kind::lowercase:
        out = edit_characters(out, marks, lower);
        break;
      case NormalizerStep::Kind::strip_accents:
        out = edit_characters(out, marks, without_marks);
        break;
      case NormalizerStep::Kind::strip:
        strip(out, step.strip_left, step.strip_right, marks);
        break;
      case NormalizerStep::Kind::bert:
        out = bert(step, out, marks);
        break;
    }
  }
  return out;
}

}  // namespace apr
