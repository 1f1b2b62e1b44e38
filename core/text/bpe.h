// Byte-pair merging of one run of symbols.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/export.h"
#include "core/runtime/batch.h"
#include "core/text/tokenizer_table.h"

namespace apr {

/// Keeps its working memory between runs. Not safe for use by two threads at once.
class APR_API BpeMerger {
 public:
  /// Replaces neighbours by the result of the lowest-ranked rule that applies (the leftmost among
  /// equals) until none applies. Time n log n.
  void merge(const TokenizerTable& table, std::vector<TokenId>& symbols);

  /// Rule lookups so far: the measure of work.
  std::uint64_t lookups() const { return lookups_; }

 private:
  struct Symbol {
    std::uint32_t id;
    std::uint32_t previous;
    std::uint32_t next;
  };
  struct Candidate {
    std::uint32_t rank;
    std::uint32_t position;  ///< of the left symbol
    std::uint32_t left;
    std::uint32_t right;
    std::uint32_t result;
  };
  void merge_short(const TokenizerTable& table, std::vector<TokenId>& symbols);
  void merge_long(const TokenizerTable& table, std::vector<TokenId>& symbols);
  void consider(const TokenizerTable& table, std::uint32_t position);

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  std::vector<MergeRule> rules_;
  std::uint64_t lookups_ = 0;
};

/// Longest run that merge() takes (memory: about 32 bytes per symbol).
inline constexpr std::size_t kMaxRunSymbols = std::size_t{1} << 28;

}  // namespace apr
