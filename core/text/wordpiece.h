// WordPiece: a word as the longest pieces of a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/runtime/batch.h"
#include "core/text/tokenizer_table.h"

namespace apr {

/// Most text that a WordPiece vocabulary may have, so that its index has a limit.
inline constexpr std::size_t kMaxPieceText = std::size_t{8} << 20;

/// Borrows the table. Keeps its working memory between words. Not safe for use by two threads at
/// once.
class APR_API WordPieceMatcher {
 public:
  /// `prefix` stands before every piece but a word's first; no token has more than `longest` bytes.
  WordPieceMatcher(const TokenizerTable& table, std::string_view prefix, std::size_t longest);

  /// Appends the ids of the longest piece that begins the word, of the longest that goes on behind
  /// it, and so on to the end. False, and nothing appended, where no piece fits. Special tokens are
  /// no pieces. Time linear in the word (and, once, in the vocabulary).
  bool match(std::string_view word, std::vector<TokenId>& out);

  /// Table lookups and steps of the automaton so far: the measure of work.
  std::uint64_t steps() const { return steps_; }

 private:
  struct Join {
    std::uint32_t left;   ///< a pop list, or a token
    std::uint32_t right;  ///< a pop list, or kToken
  };
  bool match_short(std::string_view word, std::vector<TokenId>& out);
  bool match_long(std::string_view word, std::vector<TokenId>& out);
  std::optional<TokenId> piece(std::string_view spelling) const;
  void build();
  void build_nodes();
  void build_failures();
  void link(std::uint32_t node, std::uint32_t parent);
  std::uint32_t child(std::uint32_t node, std::uint8_t byte);
  std::uint32_t join(std::uint32_t left, std::uint32_t right);
  void emit(std::uint32_t pops, std::vector<TokenId>& out);

  const TokenizerTable& table_;
  std::string_view prefix_;
  std::size_t longest_;
  std::string spelling_;
  std::uint64_t steps_ = 0;

  // The automaton. Nodes are numbered breadth first; the children of node n are
  // first_child_[n] … first_child_[n + 1] - 1, in the order of their bytes.
  std::vector<std::uint8_t> byte_;
  std::vector<std::uint32_t> first_child_;
  std::vector<std::uint32_t> token_;
  std::vector<std::uint32_t> failure_;
  std::vector<std::uint32_t> pops_;
  std::vector<Join> joins_;
  std::vector<std::uint32_t> pending_;
};

}  // namespace apr
