// SplitPattern: the regular expressions by which byte-level tokenizers cut text into words, as a
// linear scanner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/export.h"

namespace apr {

/// All patterns of this family are one alternation in one order:
///   contractions | letters | numbers | other characters | white space with newlines | white space
/// and differ in the details below. Every text is covered completely by matches.
struct APR_API SplitPattern {
  enum class Contractions : std::uint8_t {
    none,
    exact,       ///< 's|'t|'re|'ve|'m|'ll|'d
    any_case,    ///< (?i:…), which by Unicode's rules takes U+017F for an s
    ascii_case,  ///< '[sS]|…
  };
  static constexpr std::uint8_t kAnyCount = 255;

  Contractions contractions = Contractions::exact;
  bool letters_after_any = false;     ///< [^\r\n\p{L}\p{N}]?\p{L}+, otherwise " ?\p{L}+"
  bool numbers_after_space = true;    ///< " ?\p{N}…"
  std::uint8_t numbers = kAnyCount;   ///< at most so many digits in one word
  bool other_takes_newlines = false;  ///< " ?[^\s\p{L}\p{N}]+" goes on with [\r\n]*
  bool whole_final_space = false;     ///< \s++$ before the newline rule
  bool newline_rule = false;          ///< \s*[\r\n]+

  static SplitPattern gpt2() { return {}; }
  static SplitPattern qwen2() { return modern(1); }
  static SplitPattern llama3() { return modern(3); }

  /// Nothing if the expression is not one of this family, however spelled.
  static std::optional<SplitPattern> recognize(std::string_view regex);

  /// End of the word that begins at `position` < text.size(). Invalid bytes count as other
  /// characters.
  std::size_t word_end(std::string_view text, std::size_t position) const;

  /// "gpt-2", "qwen2", "llama-3" or "custom".
  std::string_view name() const;

  friend bool operator==(const SplitPattern&, const SplitPattern&) = default;

 private:
  static SplitPattern modern(std::uint8_t digits);
};

}  // namespace apr
