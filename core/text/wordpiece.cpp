// WordPiece (Schuster, Nakajima 2012) as BERT uses it: a word becomes the longest token that begins
// it, then the longest continuation token that follows, and so on.
//
// Most words are tokens themselves or nearly so, and trying ever shorter pieces in the hash table
// is then the fastest: for each piece at most as many lookups as the longest token has bytes. That
// product is bounded for a short word and for a vocabulary of short tokens. A long word and a
// vocabulary with long tokens, both perhaps made by someone who wishes us ill, would be quadratic.
// For them there is the automaton of Song, Salcianu, Song, Dopson, Zhou, "Fast WordPiece
// Tokenization" (EMNLP 2021), a relative of Aho and Corasick's: a trie of the vocabulary, each node
// with
//
//   pops     the pieces that are certain once a word has led to this node and cannot be followed
//            further along the trie, and
//   failure  the node of what the word's end still spells behind those pieces; none if the word is
//            lost.
//
// A node that is a token pops itself and goes on at the root of continuations. Any other node pops
// what its parent pops, and goes on where the parent's failure leads with the node's byte; if that
// has no such child either, its pops and its failure come next, and so on. Each byte of a word is
// consumed once and each failure emits at least one piece, so that the work is linear in the word.
//
// Two roots: a word's first piece is spelled as it is, a continuation behind the prefix ("##"). The
// prefix can also be a word's own text, so the second root is not a node of the first trie but has
// nodes of its own. Pop lists share their parts: a list is a token or two lists joined, which keeps
// them linear in the vocabulary.
#include "core/text/wordpiece.h"

#include <algorithm>

namespace apr {

namespace {

constexpr std::size_t kShort = 64;  ///< bytes of a word or a token
constexpr std::uint32_t kNone = 0xFFFFFFFF;
constexpr std::uint32_t kToken = 0xFFFFFFFE;
constexpr std::uint32_t kFirstRoot = 0;
constexpr std::uint32_t kNextRoot = 1;

}  // namespace

WordPieceMatcher::WordPieceMatcher(const TokenizerTable& table, std::string_view prefix,
                                   std::size_t longest)
    : table_(table), prefix_(prefix), longest_(longest) {}

bool WordPieceMatcher::match(std::string_view word, std::vector<TokenId>& out) {
  const std::size_t size = out.size();
  const bool is_short = word.size() <= kShort || longest_ <= kShort;
  const bool fits = is_short ? match_short(word, out) : match_long(word, out);
  if (!fits) out.resize(size);
  return fits;
}

std::optional<TokenId> WordPieceMatcher::piece(std::string_view spelling) const {
  const auto id = table_.find(spelling);
  if (!id) return std::nullopt;
  const std::uint8_t flags = table_.flags(*id);
  if ((flags & token_flag::kModel) == 0 || (flags & token_flag::kSpecial) != 0) return std::nullopt;
  return static_cast<TokenId>(*id);
}

bool WordPieceMatcher::match_short(std::string_view word, std::vector<TokenId>& out) {
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t prefix = begin == 0 ? 0 : prefix_.size();
    const std::size_t most = longest_ < prefix ? 0 : longest_ - prefix;
    spelling_.assign(prefix_, 0, prefix).append(word.substr(begin, most));
    std::string_view spelling = spelling_;
    std::optional<TokenId> found;
    for (; spelling.size() > prefix; spelling.remove_suffix(1)) {
      ++steps_;
      found = piece(spelling);
      if (found) break;
    }
    if (!found) return false;
    out.push_back(*found);
    begin += spelling.size() - prefix;
  }
  return true;
}

bool WordPieceMatcher::match_long(std::string_view word, std::vector<TokenId>& out) {
  if (byte_.empty()) build();
  std::uint32_t node = kFirstRoot;
  const auto fail = [&] {
    if (failure_[node] == kNone) return false;
    emit(pops_[node], out);
    node = failure_[node];
    return true;
  };
  for (const char character : word) {
    const auto byte = static_cast<std::uint8_t>(character);
    std::uint32_t next = child(node, byte);
    for (; next == kNone; next = child(node, byte)) {
      if (!fail()) return false;
    }
    node = next;
  }
  while (node != kNextRoot) {
    if (!fail()) return false;
  }
  return true;
}

void WordPieceMatcher::build() {
  build_nodes();
  build_failures();
}

/// A node is a range of the sorted tokens: those that begin with its text. The children of the
/// nodes of one level are the next level, so nodes come out breadth first.
void WordPieceMatcher::build_nodes() {
  std::vector<std::uint32_t> ids;
  for (std::uint32_t id = 0; id < table_.tokens(); ++id) {
    if (piece(table_.token(id)) == static_cast<TokenId>(id)) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end(),
            [this](std::uint32_t a, std::uint32_t b) { return table_.token(a) < table_.token(b); });
  const auto next = std::lower_bound(
      ids.begin(), ids.end(), prefix_,
      [this](std::uint32_t id, std::string_view text) { return table_.token(id) < text; });
  const auto next_end = std::find_if(
      next, ids.end(), [this](std::uint32_t id) { return !table_.token(id).starts_with(prefix_); });
  struct Range {
    std::uint32_t begin;
    std::uint32_t end;
    std::uint32_t depth;  ///< bytes of the spelling that the node's text has
  };
  const auto at = [&](auto place) { return static_cast<std::uint32_t>(place - ids.begin()); };
  std::vector<Range> ranges{{0, at(ids.end()), 0},
                            {at(next), at(next_end), static_cast<std::uint32_t>(prefix_.size())}};
  byte_.assign(2, 0);
  token_.assign(2, kNone);
  for (std::uint32_t node = 0; node < ranges.size(); ++node) {
    first_child_.push_back(static_cast<std::uint32_t>(ranges.size()));
    Range range = ranges[node];
    const auto ends = [&] {
      return range.begin < range.end && table_.token(ids[range.begin]).size() == range.depth;
    };
    for (; ends(); ++range.begin) {
      if (node != kFirstRoot && node != kNextRoot) token_[node] = ids[range.begin];
    }
    while (range.begin < range.end) {
      const char byte = table_.token(ids[range.begin])[range.depth];
      std::uint32_t end = range.begin;
      while (end < range.end && table_.token(ids[end])[range.depth] == byte) ++end;
      ranges.push_back({range.begin, end, range.depth + 1});
      byte_.push_back(static_cast<std::uint8_t>(byte));
      token_.push_back(kNone);
      range.begin = end;
    }
  }
  first_child_.push_back(static_cast<std::uint32_t>(ranges.size()));
}

void WordPieceMatcher::build_failures() {
  failure_.assign(byte_.size(), kNone);
  pops_.assign(byte_.size(), kNone);
  for (std::uint32_t parent = 0; parent < byte_.size(); ++parent) {
    for (std::uint32_t node = first_child_[parent]; node < first_child_[parent + 1]; ++node) {
      link(node, parent);
    }
  }
}

void WordPieceMatcher::link(std::uint32_t node, std::uint32_t parent) {
  if (token_[node] != kNone) {
    pops_[node] = join(token_[node], kToken);
    failure_[node] = kNextRoot;
    return;
  }
  std::uint32_t pops = pops_[parent];
  std::uint32_t from = failure_[parent];
  while (from != kNone) {
    const std::uint32_t next = child(from, byte_[node]);
    if (next != kNone) {
      pops_[node] = pops;
      failure_[node] = next;
      return;
    }
    if (failure_[from] == kNone) return;
    pops = join(pops, pops_[from]);
    from = failure_[from];
  }
}

std::uint32_t WordPieceMatcher::child(std::uint32_t node, std::uint8_t byte) {
  ++steps_;
  const auto begin = byte_.begin() + first_child_[node];
  const auto end = byte_.begin() + first_child_[node + 1];
  const auto found = std::lower_bound(begin, end, byte);
  if (found == end || *found != byte) return kNone;
  return static_cast<std::uint32_t>(found - byte_.begin());
}

std::uint32_t WordPieceMatcher::join(std::uint32_t left, std::uint32_t right) {
  joins_.push_back({left, right});
  return static_cast<std::uint32_t>(joins_.size() - 1);
}

void WordPieceMatcher::emit(std::uint32_t pops, std::vector<TokenId>& out) {
  pending_.assign(1, pops);
  while (!pending_.empty()) {
    const Join entry = joins_[pending_.back()];
    pending_.pop_back();
    if (entry.right == kToken) {
      out.push_back(static_cast<TokenId>(entry.left));
      continue;
    }
    pending_.push_back(entry.right);
    pending_.push_back(entry.left);
  }
}

}  // namespace apr
