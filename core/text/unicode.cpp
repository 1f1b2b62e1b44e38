// Normalization forms in linear time (Unicode Standard Annex 15): only the stretches that may
// change are decomposed, ordered and composed; such a stretch begins at the last character that the
// form leaves alone and that never joins its predecessor. Marks are ordered by counting, so that a
// megabyte of combining marks costs no more than other text.
#include "core/text/unicode.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <span>
#include <utility>

#include "core/text/utf8.h"

namespace apr {

namespace {

struct Decomposition {
  char32_t code;
  std::uint16_t offset;
  std::uint8_t size;
};
struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};

/// Every `stride`th character of a range has its lower case `delta` away.
struct CaseRange {
  char32_t first;
  char32_t last;
  std::uint8_t stride;
  std::int32_t delta;
};

#include "unicode_tables.inc"

constexpr char32_t kSyllableBase = 0xAC00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTrailBase = 0x11A7;
constexpr char32_t kLeadCount = 19;
constexpr char32_t kVowelCount = 21;
constexpr char32_t kTrailCount = 28;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTrailCount;

std::uint8_t combining_class(char32_t code) {
  return kCombiningBlocks[kCombiningIndex[code >> 8]][code & 0xFF];
}

const Decomposition* find_in(std::span<const Decomposition> table, char32_t code) {
  const auto found = std::lower_bound(
      table.begin(), table.end(), code,
      [](const Decomposition& entry, char32_t wanted) { return entry.code < wanted; });
  return found == table.end() || found->code != code ? nullptr : &*found;
}

bool is_compatible(NormalForm form) {
  return form == NormalForm::nfkc || form == NormalForm::nfkd;
}
bool is_composed(NormalForm form) {
  return form == NormalForm::nfc || form == NormalForm::nfkc;
}

/// Whether the form may change the character or join it to what stands before it.
bool may_change(char32_t code, NormalForm form) {
  if (code < 0xA0 || code == kInvalidCharacter) return false;
  if (is_compatible(form) && find_in(kCompatible, code) != nullptr) return true;
  if (is_composed(form)) return (character_classes(code) & char_class::kCheck) != 0;
  return combining_class(code) != 0 || code - kSyllableBase < kSyllableCount ||
         find_in(kDecompositions, code) != nullptr;
}

void append_decomposition(std::vector<char32_t>& out, char32_t code, NormalForm form) {
  if (code - kSyllableBase < kSyllableCount) {
    const char32_t index = code - kSyllableBase;
    out.push_back(kLeadBase + index / (kVowelCount * kTrailCount));
    out.push_back(kVowelBase + index / kTrailCount % kVowelCount);
    if (index % kTrailCount != 0) out.push_back(kTrailBase + index % kTrailCount);
    return;
  }
  if (is_compatible(form)) {
    if (const Decomposition* found = find_in(kCompatible, code)) {
      const char32_t* text = kCompatibleText + found->offset;
      out.insert(out.end(), text, text + found->size);
      return;
    }
  }
  const Decomposition* found = find_in(kDecompositions, code);
  if (found == nullptr) {
    out.push_back(code);
    return;
  }
  const char32_t* text = kDecompositionText + found->offset;
  out.insert(out.end(), text, text + found->size);
}

/// 0 if the two do not compose.
char32_t compose(char32_t first, char32_t second) {
  if (first - kLeadBase < kLeadCount && second - kVowelBase < kVowelCount) {
    return kSyllableBase +
           ((first - kLeadBase) * kVowelCount + (second - kVowelBase)) * kTrailCount;
  }
  if (first - kSyllableBase < kSyllableCount && (first - kSyllableBase) % kTrailCount == 0 &&
      second > kTrailBase && second - kTrailBase < kTrailCount) {
    return first + (second - kTrailBase);
  }
  const auto* found =
      std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair{first, second},
                       [](const Composition& entry, const auto& wanted) {
                         return std::pair{entry.first, entry.second} < wanted;
                       });
  if (found == std::end(kCompositions) || found->first != first || found->second != second)
    return 0;
  return found->composed;
}

/// Sorts by combining class and keeps the order of equals: by counting, which is linear.
void order_run(std::span<char32_t> run, std::vector<char32_t>& scratch) {
  if (run.size() < 2) return;
  std::array<std::size_t, 256> place{};
  for (const char32_t code : run) ++place[combining_class(code)];
  std::size_t before = 0;
  for (std::size_t& entry : place) before += std::exchange(entry, before);
  scratch.resize(run.size());
  for (const char32_t code : run) scratch[place[combining_class(code)]++] = code;
  std::copy(scratch.begin(), scratch.end(), run.begin());
}

void order_canonically(std::span<char32_t> codes) {
  std::vector<char32_t> scratch;
  for (std::size_t i = 0; i < codes.size();) {
    std::size_t end = i;
    while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
    order_run(codes.subspan(i, end - i), scratch);
    i = end + 1;
  }
}

void compose_in_place(std::vector<char32_t>& codes) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t size = 0;
  std::size_t starter = kNone;
  std::uint8_t last_class = 0;
  for (const char32_t code : codes) {
    const std::uint8_t own_class = combining_class(code);
    if (starter != kNone) {
      const bool blocked = size > starter + 1 && last_class >= own_class;
      if (!blocked) {
        if (const char32_t composed = compose(codes[starter], code); composed != 0) {
          codes[starter] = composed;
          continue;
        }
      }
    }
    if (own_class == 0) starter = size;
    last_class = own_class;
    codes[size++] = code;
  }
  codes.resize(size);
}

}  // namespace

std::uint8_t character_classes(char32_t code) {
  if (code > 0x10FFFF) return 0;
  return kClassBlocks[kClassIndex[code >> 8]][code & 0xFF];
}

std::string_view unicode_version() {
  return kUnicodeVersion;
}

Category category_of(char32_t code) {
  if (code > 0x10FFFF) return Category::cn;
  return static_cast<Category>(kCategoryBlocks[kCategoryIndex[code >> 8]][code & 0xFF]);
}

void append_lower_case(std::string& out, char32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code));
    return;
  }
  constexpr char32_t kDottedCapitalI = 0x130;  // the one character whose lower case is two
  if (code == kDottedCapitalI) {
    out.append("i\u0307");
    return;
  }
  const auto* found =
      std::lower_bound(std::begin(kLowerCase), std::end(kLowerCase), code,
                       [](const CaseRange& range, char32_t wanted) { return range.last < wanted; });
  if (found != std::end(kLowerCase) && found->first <= code &&
      (code - found->first) % found->stride == 0) {
    code = static_cast<char32_t>(static_cast<std::int64_t>(code) + found->delta);
  }
  append_utf8(out, code);
}

std::string normalize(std::string_view text, NormalForm form, std::vector<std::uint8_t>* marks) {
  std::string out;
  std::vector<std::uint8_t> out_marks;
  std::vector<char32_t> codes;
  std::size_t copied = 0;  // text[0, copied) is in out
  const auto copy_to = [&](std::size_t end) {
    out.append(text.substr(copied, end - copied));
    if (marks != nullptr) {
      out_marks.insert(out_marks.end(), marks->begin() + static_cast<std::ptrdiff_t>(copied),
                       marks->begin() + static_cast<std::ptrdiff_t>(end));
    }
    copied = end;
  };

  std::size_t stable = 0;  // start of the last character that nothing before it can change
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    if (!may_change(character.code, form)) {
      stable = character.code == kInvalidCharacter ? i + 1 : i;
      i += character.size;
      continue;
    }
    codes.clear();
    std::size_t end = stable;
    while (end < text.size()) {
      const Utf8Character next = utf8_at(text, end);
      if (next.code == kInvalidCharacter) break;
      if (end > i && !may_change(next.code, form)) break;
      append_decomposition(codes, next.code, form);
      end += next.size;
    }
    order_canonically(codes);
    if (is_composed(form)) compose_in_place(codes);
    copy_to(stable);
    const std::size_t begin = out.size();
    for (const char32_t code : codes) append_utf8(out, code);
    if (marks != nullptr) {
      const auto from = marks->begin() + static_cast<std::ptrdiff_t>(stable);
      const auto to = marks->begin() + static_cast<std::ptrdiff_t>(end);
      if (std::string_view(out).substr(begin) == text.substr(stable, end - stable)) {
        out_marks.insert(out_marks.end(), from, to);
      } else {
        out_marks.insert(out_marks.end(), out.size() - begin, *std::min_element(from, to));
      }
    }
    copied = end;
    stable = end;
    i = end;
  }
  copy_to(text.size());
  if (marks != nullptr) *marks = std::move(out_marks);
  return out;
}

}  // namespace apr
