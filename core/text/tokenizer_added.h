// Finding added tokens in a text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/runtime/batch.h"

namespace apr {

struct AddedToken {
  std::string text;  ///< what to look for: the content, normalized where the token asks for it
  TokenId id = 0;
  std::uint8_t flags = 0;  ///< token_flag
};

/// Which bytes of a text a template wrote: one mark per byte, or one for all.
struct TrustMarks {
  std::span<const std::uint8_t> marks;  ///< empty: `all` counts
  bool all = false;
  bool covers(std::size_t begin, std::size_t end) const;
  TrustMarks part(std::size_t begin, std::size_t end) const;
};

/// A stretch of text, or an added token with the white space that it takes.
struct TextPiece {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::optional<TokenId> token;
};

/// The longest allowed token at the first place where there is one, then on behind it (what Hugging
/// Face calls leftmost-longest). A special token is allowed only where every byte is trusted;
/// elsewhere it does not exist, so that it cannot hide another token either. A place costs at most
/// the length of the longest added token, of which there is a limit.
class AddedTokenFinder {
 public:
  void add(AddedToken token);
  void finish();  ///< after the last add()
  bool empty() const { return tokens_.empty(); }
  bool any_special() const { return any_special_; }

  std::vector<TextPiece> split(std::string_view text, const TrustMarks& trust) const;

 private:
  const AddedToken* longest_at(std::string_view text, std::size_t position,
                               const TrustMarks& trust) const;
  std::vector<AddedToken> tokens_;  ///< sorted by text
  std::array<bool, 256> first_bytes_{};
  bool any_special_ = false;
};

}  // namespace apr
