// Prints the Unicode tables of core/text/unicode.cpp from utf8proc's data. Runs on the building
// machine, so that the library itself depends on nothing and every target has the same tables.
// (Named .cc because it is a program of its own, not part of the library's sources.)
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr std::int32_t kCodeEnd = 0x110000;

[[noreturn]] void fail(const char* what, std::int32_t code) {
  std::fprintf(stderr, "unicode tables: %s at U+%04X\n", what, static_cast<unsigned>(code));
  std::exit(1);
}

bool is_surrogate(std::int32_t code) {
  return code >= 0xD800 && code < 0xE000;
}
bool is_syllable(std::int32_t code) {
  return code >= 0xAC00 && code < 0xAC00 + 11172;
}

std::vector<std::int32_t> decompose(std::int32_t code, int options = UTF8PROC_DECOMPOSE) {
  std::int32_t buffer[32];
  int boundary = 0;
  const auto size =
      utf8proc_decompose_char(code, buffer, 32, static_cast<utf8proc_option_t>(options), &boundary);
  if (size < 1 || size > 32) fail("no decomposition", code);
  return {buffer, buffer + size};
}

std::vector<std::int32_t> nfc(std::vector<std::int32_t> codes) {
  std::vector<std::int32_t> all;
  for (const auto code : codes) {
    const auto part = decompose(code);
    all.insert(all.end(), part.begin(), part.end());
  }
  const auto size =
      utf8proc_normalize_utf32(all.data(), static_cast<utf8proc_ssize_t>(all.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  if (size < 1) fail("no composition", codes.front());
  all.resize(static_cast<std::size_t>(size));
  return all;
}

/// Property White_Space (PropList.txt); the list has not changed since Unicode 6.3.
bool is_space(std::int32_t code) {
  return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

/// Letters among the symbols: Other_Alphabetic outside the marks (PropList.txt).
bool is_symbol_letter(std::int32_t code) {
  return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
         (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
}

std::uint8_t classes_of(std::int32_t code) {
  std::uint8_t classes = 0;
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      classes = 1 | 16;
      break;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      classes = 2 | 16;
      break;
    case UTF8PROC_CATEGORY_NO:
      classes = 2;
      break;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      classes = 8 | 16;
      break;
    case UTF8PROC_CATEGORY_PC:
      classes = 16;
      break;
    default:
      break;
  }
  if (code == 0x200C || code == 0x200D || is_symbol_letter(code)) classes |= 16;
  if (is_space(code)) classes |= 4;
  return classes;
}

void print_two_stage(const char* index_name, const char* blocks_name,
                     const std::vector<std::uint8_t>& values) {
  std::map<std::vector<std::uint8_t>, std::size_t> numbers;
  std::vector<std::vector<std::uint8_t>> blocks;
  std::vector<std::size_t> index;
  for (std::size_t begin = 0; begin < values.size(); begin += 256) {
    const std::vector<std::uint8_t> block(
        values.begin() + static_cast<std::ptrdiff_t>(begin),
        values.begin() + static_cast<std::ptrdiff_t>(begin + 256));
    const auto [place, is_new] = numbers.try_emplace(block, blocks.size());
    if (is_new) blocks.push_back(block);
    index.push_back(place->second);
  }
  std::printf("constexpr std::uint16_t %s[] = {", index_name);
  for (const auto number : index) std::printf("%zu,", number);
  std::printf("};\nconstexpr std::uint8_t %s[][256] = {\n", blocks_name);
  for (const auto& block : blocks) {
    std::printf("{");
    for (const auto value : block) std::printf("%u,", value);
    std::printf("},\n");
  }
  std::printf("};\n");
}

/// The order of Category in unicode.h.
std::uint8_t category_of(std::int32_t code) {
  static constexpr utf8proc_category_t kOrder[] = {
      UTF8PROC_CATEGORY_CN, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LT,
      UTF8PROC_CATEGORY_LM, UTF8PROC_CATEGORY_LO, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_MC,
      UTF8PROC_CATEGORY_ME, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NL, UTF8PROC_CATEGORY_NO,
      UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PD, UTF8PROC_CATEGORY_PS, UTF8PROC_CATEGORY_PE,
      UTF8PROC_CATEGORY_PI, UTF8PROC_CATEGORY_PF, UTF8PROC_CATEGORY_PO, UTF8PROC_CATEGORY_SM,
      UTF8PROC_CATEGORY_SC, UTF8PROC_CATEGORY_SK, UTF8PROC_CATEGORY_SO, UTF8PROC_CATEGORY_ZS,
      UTF8PROC_CATEGORY_ZL, UTF8PROC_CATEGORY_ZP, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CF,
      UTF8PROC_CATEGORY_CS, UTF8PROC_CATEGORY_CO};
  const auto* found = std::find(std::begin(kOrder), std::end(kOrder), utf8proc_category(code));
  if (found == std::end(kOrder)) fail("unknown category", code);
  return static_cast<std::uint8_t>(found - std::begin(kOrder));
}

using Decompositions = std::map<std::int32_t, std::vector<std::int32_t>>;

void print_decompositions(const char* name, const char* text_name, const Decompositions& entries) {
  std::string text;
  std::size_t offset = 0;
  std::printf("constexpr Decomposition %s[] = {\n", name);
  for (const auto& [code, parts] : entries) {
    std::printf("{0x%X,%zu,%zu},\n", static_cast<unsigned>(code), offset, parts.size());
    offset += parts.size();
    for (const auto part : parts) text += std::to_string(part) + ",";
  }
  if (offset > 0xFFFF) fail("too many decompositions", 0);
  std::printf("};\nconstexpr char32_t %s[] = {%s};\n", text_name, text.c_str());
}

/// Runs of characters at one distance whose lower case lies equally far away.
void print_lower_case() {
  std::vector<std::pair<std::int32_t, std::int32_t>> pairs;
  for (std::int32_t code = 0; code < kCodeEnd; ++code) {
    if (is_surrogate(code)) continue;
    const std::int32_t lower = utf8proc_tolower(code);
    if (lower != code) pairs.emplace_back(code, lower - code);
  }
  std::printf("constexpr CaseRange kLowerCase[] = {\n");
  for (std::size_t i = 0; i < pairs.size();) {
    std::size_t end = i + 1;
    const auto stride = end < pairs.size() ? pairs[end].first - pairs[i].first : 1;
    if (stride <= 2) {
      while (end < pairs.size() && pairs[end].second == pairs[i].second &&
             pairs[end].first - pairs[end - 1].first == stride) {
        ++end;
      }
    }
    std::printf("{0x%X,0x%X,%d,%d},\n", static_cast<unsigned>(pairs[i].first),
                static_cast<unsigned>(pairs[end - 1].first), end - i > 1 ? stride : 1,
                pairs[i].second);
    i = end;
  }
  std::printf("};\n");
}

}  // namespace

int main() {
  std::vector<std::uint8_t> classes(kCodeEnd), combining(kCodeEnd), categories(kCodeEnd);
  Decompositions compatible;  // where NFKD differs from NFD
  Decompositions decompositions;
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> compositions;
  std::set<std::int32_t> second;  // characters that may join what stands before them
  std::set<std::int32_t> changed;
  for (std::int32_t code = 0; code < kCodeEnd; ++code) {
    categories[static_cast<std::size_t>(code)] = category_of(code);
    if (is_surrogate(code)) continue;
    classes[static_cast<std::size_t>(code)] = classes_of(code);
    combining[static_cast<std::size_t>(code)] =
        static_cast<std::uint8_t>(utf8proc_get_property(code)->combining_class);
    if (is_syllable(code)) continue;  // done by arithmetic
    const auto parts = decompose(code);
    if (auto loose = decompose(code, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT); loose != parts) {
      compatible[code] = std::move(loose);
    }
    const auto composed = nfc({code});
    const bool keeps = composed.size() == 1 && composed[0] == code;
    if (!keeps) changed.insert(code);
    if (parts.size() == 1 && parts[0] == code) continue;
    decompositions[code] = parts;
    if (!keeps) continue;
    // A primary composite: its last part joins the composition of the others.
    const auto first = nfc({parts.begin(), parts.end() - 1});
    if (first.size() != 1) fail("composite without a single first part", code);
    if (nfc({first[0], parts.back()}) != std::vector<std::int32_t>{code})
      fail("odd composite", code);
    compositions[{first[0], parts.back()}] = code;
    second.insert(parts.back());
  }
  for (std::int32_t code = 0x1161; code < 0x1176; ++code) second.insert(code);
  for (std::int32_t code = 0x11A8; code < 0x11C3; ++code) second.insert(code);
  for (std::int32_t code = 0; code < kCodeEnd; ++code) {
    const auto i = static_cast<std::size_t>(code);
    if (combining[i] != 0 || second.count(code) != 0 || changed.count(code) != 0) classes[i] |= 32;
  }

  std::printf("// Generated from utf8proc %s. Do not edit.\n", utf8proc_version());
  std::printf("constexpr std::string_view kUnicodeVersion = \"%s\";\n", utf8proc_unicode_version());
  print_two_stage("kClassIndex", "kClassBlocks", classes);
  print_two_stage("kCombiningIndex", "kCombiningBlocks", combining);
  print_two_stage("kCategoryIndex", "kCategoryBlocks", categories);
  print_decompositions("kDecompositions", "kDecompositionText", decompositions);
  print_decompositions("kCompatible", "kCompatibleText", compatible);
  print_lower_case();
  std::printf("constexpr Composition kCompositions[] = {\n");
  for (const auto& [pair, code] : compositions) {
    std::printf("{0x%X,0x%X,0x%X},\n", static_cast<unsigned>(pair.first),
                static_cast<unsigned>(pair.second), static_cast<unsigned>(code));
  }
  std::printf("};\n");
  return 0;
}
