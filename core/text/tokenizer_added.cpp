#include "core/text/tokenizer_added.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/text/tokenizer_table.h"
#include "core/text/unicode.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

bool is_word_at(std::string_view text, std::size_t position) {
  return (character_classes(utf8_at(text, position).code) & char_class::kWord) != 0;
}

bool is_word_before(std::string_view text, std::size_t end) {
  return (character_classes(utf8_before(text, end).code) & char_class::kWord) != 0;
}

bool is_space(char32_t code) {
  return (character_classes(code) & char_class::kSpace) != 0;
}

}  // namespace

bool TrustMarks::covers(std::size_t begin, std::size_t end) const {
  if (marks.empty()) return all;
  const auto part_of = marks.subspan(begin, end - begin);
  return std::find(part_of.begin(), part_of.end(), 0) == part_of.end();
}

TrustMarks TrustMarks::part(std::size_t begin, std::size_t end) const {
  if (marks.empty()) return *this;
  return {marks.subspan(begin, end - begin), all};
}

void AddedTokenFinder::add(AddedToken token) {
  if (token.text.empty()) return;
  first_bytes_[static_cast<std::uint8_t>(token.text[0])] = true;
  any_special_ = any_special_ || (token.flags & token_flag::kSpecial) != 0;
  tokens_.push_back(std::move(token));
}

void AddedTokenFinder::finish() {
  std::sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return std::tie(a.text, a.id) < std::tie(b.text, b.id);
  });
}

const AddedToken* AddedTokenFinder::longest_at(std::string_view text, std::size_t position,
                                               const TrustMarks& trust) const {
  // [low, high): the tokens that begin with the `depth` bytes read so far. The shortest of them is
  // the first, so a token that ends here is `low`.
  auto low = tokens_.begin();
  auto high = tokens_.end();
  const AddedToken* best = nullptr;
  for (std::size_t depth = 0; position + depth < text.size(); ++depth) {
    const auto byte = static_cast<std::uint8_t>(text[position + depth]);
    const auto at_depth = [depth](const AddedToken& token) {
      return static_cast<std::uint8_t>(token.text[depth]);
    };
    while (low != high && low->text.size() == depth) ++low;
    low = std::lower_bound(low, high, byte, [&](const AddedToken& token, std::uint8_t wanted) {
      return at_depth(token) < wanted;
    });
    high = std::upper_bound(low, high, byte, [&](std::uint8_t wanted, const AddedToken& token) {
      return wanted < at_depth(token);
    });
    if (low == high) break;
    if (low->text.size() != depth + 1) continue;
    const bool is_special = (low->flags & token_flag::kSpecial) != 0;
    if (!is_special || trust.covers(position, position + depth + 1)) best = &*low;
  }
  return best;
}

std::vector<TextPiece> AddedTokenFinder::split(std::string_view text,
                                               const TrustMarks& trust) const {
  std::vector<TextPiece> pieces;
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (!first_bytes_[static_cast<std::uint8_t>(text[i])]) {
      ++i;
      continue;
    }
    const AddedToken* token = longest_at(text, i, trust);
    if (token == nullptr) {
      ++i;
      continue;
    }
    std::size_t begin = i;
    std::size_t end = i + token->text.size();
    i = end;
    if ((token->flags & token_flag::kSingleWord) != 0 &&
        ((begin > 0 && is_word_before(text, begin)) ||
         (end < text.size() && is_word_at(text, end)))) {
      continue;
    }
    if ((token->flags & token_flag::kLeftStrip) != 0) {
      while (begin > done) {
        const Utf8Character character = utf8_before(text.substr(done), begin - done);
        if (!is_space(character.code)) break;
        begin -= character.size;
      }
    }
    if ((token->flags & token_flag::kRightStrip) != 0) {
      while (end < text.size()) {
        const Utf8Character character = utf8_at(text, end);
        if (!is_space(character.code)) break;
        end += character.size;
      }
      i = end;
    }
    if (begin > done) pieces.push_back({done, begin, std::nullopt});
    pieces.push_back({begin, end, token->id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({done, text.size(), std::nullopt});
  return pieces;
}

}  // namespace apr
