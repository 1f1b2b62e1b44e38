// Byte-pair encoding (Sennrich, Haddow, Birch 2016) of one run. Training numbered the merges in the
// order in which it found them; encoding replays them: of all adjacent pairs that have a rule, the
// one with the lowest number goes first, the leftmost among equals.
//
// Words of ordinary text are short, and a scan over at most kShortRun remembered rules is then the
// fastest. A run can also be a whole book (SentencePiece-style models have no word boundaries) or a
// megabyte of one letter, where scanning would be quadratic. Long runs are a linked list of symbols
// and a heap of candidates. A merge touches only the pairs with its two neighbours, so each of at
// most n - 1 merges pushes at most two candidates; a candidate whose symbols have changed since is
// recognised when it is popped, and dropped. Both ways pick the same pair at every step.
#include "core/text/bpe.h"

#include <algorithm>
#include <cstddef>

namespace apr {

namespace {

constexpr std::size_t kShortRun = 48;
constexpr std::uint32_t kNone = 0xFFFFFFFF;

}  // namespace

void BpeMerger::merge(const TokenizerTable& table, std::vector<TokenId>& symbols) {
  if (symbols.size() < 2 || table.merges() == 0) return;
  if (symbols.size() <= kShortRun) {
    merge_short(table, symbols);
  } else {
    merge_long(table, symbols);
  }
}

void BpeMerger::merge_short(const TokenizerTable& table, std::vector<TokenId>& symbols) {
  const auto rule_at = [&](std::size_t i) {
    ++lookups_;
    const auto rule = table.merge(static_cast<std::uint32_t>(symbols[i]),
                                  static_cast<std::uint32_t>(symbols[i + 1]));
    return rule ? *rule : MergeRule{0, 0, kNone, 0};
  };
  rules_.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) rules_.push_back(rule_at(i));
  while (!rules_.empty()) {
    const auto best =
        std::min_element(rules_.begin(), rules_.end(),
                         [](const MergeRule& a, const MergeRule& b) { return a.rank < b.rank; });
    if (best->rank == kNone) break;
    const auto at = best - rules_.begin();
    symbols[static_cast<std::size_t>(at)] = static_cast<TokenId>(best->result);
    symbols.erase(symbols.begin() + at + 1);
    rules_.erase(best);
    const auto i = static_cast<std::size_t>(at);
    if (i > 0) rules_[i - 1] = rule_at(i - 1);
    if (i < rules_.size()) rules_[i] = rule_at(i);
  }
}

void BpeMerger::consider(const TokenizerTable& table, std::uint32_t position) {
  const std::uint32_t next = symbols_[position].next;
  if (next == kNone) return;
  ++lookups_;
  const auto rule = table.merge(symbols_[position].id, symbols_[next].id);
  if (!rule) return;
  heap_.push_back({rule->rank, position, rule->left, rule->right, rule->result});
}

void BpeMerger::merge_long(const TokenizerTable& table, std::vector<TokenId>& symbols) {
  const auto count = static_cast<std::uint32_t>(symbols.size());
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  symbols_.clear();
  heap_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols_.push_back({static_cast<std::uint32_t>(symbols[i]), i == 0 ? kNone : i - 1,
                        i + 1 == count ? kNone : i + 1});
  }
  for (std::uint32_t i = 0; i < count; ++i) consider(table, i);
  std::make_heap(heap_.begin(), heap_.end(), later);
  const auto push = [&](std::uint32_t position) {
    const std::size_t before = heap_.size();
    consider(table, position);
    if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end(), later);
  };

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Candidate best = heap_.back();
    heap_.pop_back();
    Symbol& left = symbols_[best.position];
    if (left.id != best.left || left.next == kNone) continue;
    Symbol& right = symbols_[left.next];
    if (right.id != best.right) continue;
    left.id = best.result;
    right.id = kNone;  // no candidate that names it is valid any more
    left.next = right.next;
    if (left.next != kNone) symbols_[left.next].previous = best.position;
    push(best.position);
    if (left.previous != kNone) push(left.previous);
  }

  symbols.clear();
  for (std::uint32_t i = 0; i != kNone; i = symbols_[i].next) {
    symbols.push_back(static_cast<TokenId>(symbols_[i].id));
  }
}

}  // namespace apr
