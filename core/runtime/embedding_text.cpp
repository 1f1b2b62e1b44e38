#include "core/runtime/embedding_text.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "core/text/unicode.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

constexpr Tokenizer::EncodeOptions kWhole{.add_special = true, .parse_special = false};
constexpr Tokenizer::EncodeOptions kBody{.add_special = false, .parse_special = false};

/// White space as Python's str.strip() has it.
bool is_space(char32_t code) {
  return (character_classes(code) & char_class::kSpace) != 0 || (code >= 0x1C && code <= 0x1F);
}

std::string_view stripped(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character first = utf8_at(text, 0);
    if (!is_space(first.code)) break;
    text.remove_prefix(first.size);
  }
  while (!text.empty()) {
    const Utf8Character last = utf8_before(text, text.size());
    if (!is_space(last.code)) break;
    text.remove_suffix(last.size);
  }
  return text;
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    if (character.code == kInvalidCharacter) {
      out += text[i];
    } else {
      append_lower_case(out, character.code);
    }
    i += character.size;
  }
  return out;
}

/// How many tokens of each of two texts stay if `room` do: rule longest_first of Hugging Face's
/// tokenizers.
std::pair<std::size_t, std::size_t> shares(std::size_t first, std::size_t second,
                                           std::size_t room) {
  if (first + second <= room) return {first, second};
  std::size_t shorter = std::min(first, second);
  std::size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  return first > second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

using Ids = std::vector<TokenId>;

/// Takes the tokens out of `body`, which stands at `begin`, that are more than `kept`.
void drop(Encoding& encoding, std::size_t begin, std::size_t body, std::size_t kept, bool left) {
  const auto from = static_cast<std::ptrdiff_t>(left ? begin : begin + kept);
  const auto count = static_cast<std::ptrdiff_t>(body - kept);
  encoding.ids.erase(encoding.ids.begin() + from, encoding.ids.begin() + from + count);
  encoding.types.erase(encoding.types.begin() + from, encoding.types.begin() + from + count);
}

}  // namespace

Result<EmbeddingTextEncoder> EmbeddingTextEncoder::create(const Tokenizer& tokenizer,
                                                          const EmbeddingRecipe& recipe,
                                                          std::uint32_t max_tokens,
                                                          std::string prompt) {
  EmbeddingTextEncoder encoder(tokenizer, recipe);
  encoder.max_tokens_ = max_tokens;
  encoder.prompt_ = std::move(prompt);
  const std::string text = encoder.prepared({});
  APR_ASSIGN(const Ids whole, tokenizer.encode(text, kWhole));
  if (whole.size() >= max_tokens) {
    return make_error(
        ErrorCode::usage,
        cat(encoder.prompt_.empty() ? "special tokens" : "the prompt and special tokens", " take ",
            whole.size(), " tokens, which leaves no room for a text in the ", max_tokens,
            " that a text may have"));
  }
  if (recipe.pool_prompt || encoder.prompt_.empty()) return encoder;
  APR_ASSIGN(const Ids body, tokenizer.encode(text, kBody));
  const auto at = std::search(whole.begin(), whole.end(), body.begin(), body.end());
  encoder.unpooled_ =
      static_cast<std::uint32_t>(static_cast<std::size_t>(at - whole.begin()) + body.size());
  return encoder;
}

std::string EmbeddingTextEncoder::prepared(std::string_view text) const {
  std::string prompted = cat(prompt_, text);
  if (recipe_->strip) prompted = std::string(stripped(prompted));
  return recipe_->lower_case ? lower_case(prompted) : prompted;
}

Status EmbeddingTextEncoder::cut(Encoding& encoding, std::string_view first,
                                 std::optional<std::string_view> second) const {
  const Ids& ids = encoding.ids;
  APR_ASSIGN(const Ids a, tokenizer_->encode(first, kBody));
  Ids b;
  if (second) {
    APR_ASSIGN(b, tokenizer_->encode(*second, kBody));
  }
  // Special tokens occur in no text, so that the first place where a text fits is its own.
  const auto a_at = std::search(ids.begin(), ids.end(), a.begin(), a.end());
  const auto b_at = std::find_end(ids.begin(), ids.end(), b.begin(), b.end());
  const std::size_t special = ids.size() - std::min(ids.size(), a.size() + b.size());
  const auto a_begin = static_cast<std::size_t>(a_at - ids.begin());
  const auto b_begin = static_cast<std::size_t>(b_at - ids.begin());
  if ((a_at == ids.end() && !a.empty()) || (b_at == ids.end() && !b.empty()) ||
      (!b.empty() && a_begin + a.size() > b_begin)) {
    return make_error(ErrorCode::inference,
                      "the tokenizer joins its texts in a way that cannot be cut", {},
                      "give shorter texts");
  }
  if (special >= max_tokens_) {
    return make_error(ErrorCode::inference, cat("special tokens take ", special, " of the ",
                                                max_tokens_, " tokens that a pair may have"));
  }
  const auto [keep_a, keep_b] = shares(a.size(), b.size(), max_tokens_ - special);
  if (!b.empty()) drop(encoding, b_begin, b.size(), keep_b, recipe_->truncate_left);
  drop(encoding, a_begin, a.size(), keep_a, recipe_->truncate_left);
  return {};
}

Result<EmbeddingText> EmbeddingTextEncoder::encode(std::string_view first,
                                                   std::optional<std::string_view> second) const {
  const std::string one = prepared(first);
  std::optional<std::string> two;
  if (second) {
    two = recipe_->strip ? std::string(stripped(*second)) : std::string(*second);
    if (recipe_->lower_case) two = lower_case(*two);
  }
  APR_ASSIGN(Encoding encoding, tokenizer_->encode_pair(one, two, kWhole));
  const std::size_t whole = encoding.ids.size();
  if (whole > max_tokens_) APR_TRY(cut(encoding, one, two));
  EmbeddingText text;
  text.left_out = whole - encoding.ids.size();
  text.tokens = {std::move(encoding.ids), std::move(encoding.types), unpooled_};
  return text;
}

}  // namespace apr
