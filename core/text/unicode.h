// Character classes, normalization forms and lower case, from tables generated when the project is
// built.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace apr {

/// Bits of character_classes().
namespace char_class {
inline constexpr std::uint8_t kLetter = 1;  ///< general category L
inline constexpr std::uint8_t kNumber = 2;  ///< general category N
inline constexpr std::uint8_t kSpace = 4;   ///< property White_Space
inline constexpr std::uint8_t kMark = 8;    ///< general category M
inline constexpr std::uint8_t kWord = 16;   ///< UTS 18's \w
inline constexpr std::uint8_t kCheck =
    32;  ///< NFC may change it or join it to what stands before it
}  // namespace char_class

/// 0 for anything that is not a code point.
APR_API std::uint8_t character_classes(char32_t code);

/// General categories, in Unicode's own order. Characters without one are `cn`.
enum class Category : std::uint8_t {
  cn,
  lu,
  ll,
  lt,
  lm,
  lo,
  mn,
  mc,
  me,
  nd,
  nl,
  no,
  pc,
  pd,
  ps,
  pe,
  pi,
  pf,
  po,
  sm,
  sc,
  sk,
  so,
  zs,
  zl,
  zp,
  cc,
  cf,
  cs,
  co,
};
APR_API Category category_of(char32_t code);
inline bool is_punctuation(Category category) {
  return category >= Category::pc && category <= Category::po;
}

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// A Unicode normalization form. Invalid bytes are kept as they are. If `marks` is given it holds
/// one entry per byte and follows the text: bytes of a sequence that changed get the smallest mark
/// of that sequence.
APR_API std::string normalize(std::string_view text, NormalForm form,
                              std::vector<std::uint8_t>* marks = nullptr);

/// The full lower case of one character, whatever stands around it (a final sigma is like any
/// other).
APR_API void append_lower_case(std::string& out, char32_t code);

inline std::string nfc(std::string_view text, std::vector<std::uint8_t>* marks = nullptr) {
  return normalize(text, NormalForm::nfc, marks);
}

/// "14.0.0": the version the tables were made from.
APR_API std::string_view unicode_version();

}  // namespace apr
