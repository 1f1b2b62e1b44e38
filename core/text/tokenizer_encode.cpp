// Text -> ids, in Hugging Face's order: added tokens are cut out of the text, what is left is
// normalized, cut into words and merged. Trust restricts only which added tokens exist where; text
// between them is one run, whoever wrote which part of it.
#include <utility>

#include "core/base/cat.h"
#include "core/text/bpe.h"
#include "core/text/normalizer.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_state.h"
#include "core/text/unicode.h"
#include "core/text/utf8.h"
#include "core/text/wordpiece.h"

namespace apr {

/// One call of encode(): the tokenizer's tables and the memory that its steps share.
class TokenizerEncoder {
 public:
  struct Text {
    std::string_view text;
    TrustMarks trust;
  };
  TokenizerEncoder(const Tokenizer& tokenizer, std::vector<TokenId>& out);
  /// The tokenizer's template for one text or two, filled; `types` may be null.
  Status fill(const Text& first, const Text* second, bool add_special,
              std::vector<std::int32_t>* types);

 private:
  Status encode(std::string_view text, const TrustMarks& trust);
  Status encode_run(std::string_view text, const TrustMarks& trust, bool is_first);
  Status pre_tokenize(std::size_t step, std::string_view text, bool is_first);
  Status cut_delimiter(std::size_t step, std::string_view text, bool is_first);
  Status cut_digits(std::size_t step, std::string_view text, bool is_first);
  /// What a character is to a step that looks at one at a time.
  enum class Sort : std::uint8_t { dropped, run, other_run, alone };
  template <typename SortOf>
  Status cut_characters(std::size_t step, std::string_view text, bool is_first,
                        const SortOf& sort_of);
  Status cut_punctuation(std::size_t step, std::string_view text, bool is_first);
  Status encode_word(std::string_view word);
  Status encode_pieces(std::string_view word);
  Status push_bytes(std::string_view word);
  Status push_characters(std::string_view word);
  Status push_unknown(std::string_view character);
  std::optional<TokenId> model_token(std::string_view spelling) const;

  const Tokenizer::State& state_;
  std::vector<TokenId>& out_;
  BpeMerger merger_;
  std::optional<WordPieceMatcher> matcher_;
  std::vector<TokenId> symbols_;
  std::string spelling_;
};

namespace {

bool is_space(char32_t code) {
  return (character_classes(code) & char_class::kSpace) != 0;
}

/// Punctuation as BERT has it: with all of ASCII's signs, also those that are symbols.
bool is_mark(char32_t code) {
  if (code < 0x80) {
    return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
           (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
  }
  return is_punctuation(category_of(code));
}

}  // namespace

TokenizerEncoder::TokenizerEncoder(const Tokenizer& tokenizer, std::vector<TokenId>& out)
    : state_(*tokenizer.state_), out_(out) {
  if (state_.settings.word_piece) {
    matcher_.emplace(state_.table, state_.settings.subword_prefix, state_.longest_piece);
  }
}

Status TokenizerEncoder::fill(const Text& first, const Text* second, bool add_special,
                              std::vector<std::int32_t>* types) {
  const Template& pieces = second == nullptr ? state_.settings.single : state_.settings.pair;
  for (const TemplatePiece& piece : pieces) {
    switch (piece.kind) {
      case TemplatePiece::Kind::token:
        if (add_special) out_.push_back(piece.id);
        break;
      case TemplatePiece::Kind::first:
        APR_TRY(encode(first.text, first.trust));
        break;
      case TemplatePiece::Kind::second:
        if (second != nullptr) APR_TRY(encode(second->text, second->trust));
        break;
    }
    if (types != nullptr) types->resize(out_.size(), piece.type);
  }
  return {};
}

Status TokenizerEncoder::encode(std::string_view text, const TrustMarks& trust) {
  for (const TextPiece& piece : state_.raw_tokens.split(text, trust)) {
    if (piece.token) {
      out_.push_back(*piece.token);
      continue;
    }
    APR_TRY(encode_run(text.substr(piece.begin, piece.end - piece.begin),
                       trust.part(piece.begin, piece.end), piece.begin == 0));
  }
  return {};
}

Status TokenizerEncoder::encode_run(std::string_view text, const TrustMarks& trust, bool is_first) {
  std::vector<std::uint8_t> marks;
  const bool needs_marks = !trust.marks.empty() && state_.normalized_tokens.any_special();
  if (needs_marks) marks.assign(trust.marks.begin(), trust.marks.end());
  APR_ASSIGN(const std::string normalized,
             normalize_text(state_.settings.normalizer, text, needs_marks ? &marks : nullptr));
  if (state_.normalized_tokens.empty()) return pre_tokenize(0, normalized, is_first);
  const TrustMarks normalized_trust{marks, trust.all};
  for (const TextPiece& piece : state_.normalized_tokens.split(normalized, normalized_trust)) {
    if (piece.token) {
      out_.push_back(*piece.token);
      continue;
    }
    const std::string_view part =
        std::string_view(normalized).substr(piece.begin, piece.end - piece.begin);
    APR_TRY(pre_tokenize(0, part, is_first && piece.begin == 0));
  }
  return {};
}

Status TokenizerEncoder::pre_tokenize(std::size_t index, std::string_view text, bool is_first) {
  if (text.empty()) return {};
  if (index == state_.settings.pre_tokenizer.size()) return encode_word(text);
  const PreTokenizerStep& step = state_.settings.pre_tokenizer[index];
  const auto cut_pattern = [&](std::string_view whole) -> Status {
    for (std::size_t begin = 0; begin < whole.size();) {
      const std::size_t end = step.pattern.word_end(whole, begin);
      APR_TRY(pre_tokenize(index + 1, whole.substr(begin, end - begin), is_first && begin == 0));
      begin = end;
    }
    return {};
  };
  switch (step.kind) {
    case PreTokenizerStep::Kind::pattern:
      return cut_pattern(text);
    case PreTokenizerStep::Kind::delimiter:
      return cut_delimiter(index, text, is_first);
    case PreTokenizerStep::Kind::digits:
      return cut_digits(index, text, is_first);
    case PreTokenizerStep::Kind::metaspace: {
      std::string replaced(text);
      replace_all(replaced, " ", step.text);
      const bool wanted = step.prefix == PreTokenizerStep::Prefix::always ||
                          (step.prefix == PreTokenizerStep::Prefix::first && is_first);
      if (wanted && !replaced.starts_with(step.text)) replaced.insert(0, step.text);
      return step.cuts ? cut_delimiter(index, replaced, is_first)
                       : pre_tokenize(index + 1, replaced, is_first);
    }
    case PreTokenizerStep::Kind::byte_level: {
      if (step.prefix == PreTokenizerStep::Prefix::always && !text.starts_with(' ')) {
        const std::string prefixed = cat(" ", text);
        return step.cuts ? cut_pattern(prefixed) : pre_tokenize(index + 1, prefixed, is_first);
      }
      return step.cuts ? cut_pattern(text) : pre_tokenize(index + 1, text, is_first);
    }
    case PreTokenizerStep::Kind::white_space:
      return cut_characters(index, text, is_first, [](char32_t code) {
        return is_space(code) ? Sort::dropped : Sort::run;
      });
    case PreTokenizerStep::Kind::word_runs:
      return cut_characters(index, text, is_first, [](char32_t code) {
        const std::uint8_t classes = character_classes(code);
        if ((classes & char_class::kWord) != 0) return Sort::run;
        return (classes & char_class::kSpace) != 0 ? Sort::dropped : Sort::other_run;
      });
    case PreTokenizerStep::Kind::bert:
      return cut_characters(index, text, is_first, [](char32_t code) {
        if (is_space(code)) return Sort::dropped;
        return is_mark(code) ? Sort::alone : Sort::run;
      });
    case PreTokenizerStep::Kind::punctuation:
      return cut_punctuation(index, text, is_first);
  }
  return {};
}

/// Cuts between characters of different sorts, and around those that stand alone.
template <typename SortOf>
Status TokenizerEncoder::cut_characters(std::size_t index, std::string_view text, bool is_first,
                                        const SortOf& sort_of) {
  std::size_t begin = 0;
  Sort run = Sort::dropped;
  const auto finish = [&](std::size_t end) -> Status {
    const std::size_t from = std::exchange(begin, end);
    if (run == Sort::dropped) return {};
    return pre_tokenize(index + 1, text.substr(from, end - from), is_first && from == 0);
  };
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    const Sort sort = sort_of(character.code);
    if (sort != run || sort == Sort::alone) {
      APR_TRY(finish(i));
      run = sort;
    }
    i += character.size;
  }
  return finish(text.size());
}

Status TokenizerEncoder::cut_punctuation(std::size_t index, std::string_view text, bool is_first) {
  const PreTokenizerStep::Join join_kind = state_.settings.pre_tokenizer[index].join;
  std::size_t begin = 0;
  const auto word = [&](std::size_t end) -> Status {
    const std::size_t from = std::exchange(begin, end);
    return pre_tokenize(index + 1, text.substr(from, end - from), is_first && from == 0);
  };
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    const std::size_t after = i + character.size;
    if (is_mark(character.code)) {
      if (join_kind != PreTokenizerStep::Join::with_previous) APR_TRY(word(i));
      if (join_kind == PreTokenizerStep::Join::removed) begin = after;
      if (join_kind != PreTokenizerStep::Join::with_next) APR_TRY(word(after));
    }
    i = after;
  }
  return word(text.size());
}

Status TokenizerEncoder::cut_delimiter(std::size_t index, std::string_view text, bool is_first) {
  const PreTokenizerStep& step = state_.settings.pre_tokenizer[index];
  std::size_t begin = 0;  // of the word that is being read
  const auto word = [&](std::size_t end) -> Status {
    const std::size_t from = std::exchange(begin, end);
    return pre_tokenize(index + 1, text.substr(from, end - from), is_first && from == 0);
  };
  for (std::size_t found = text.find(step.text); found != std::string_view::npos;
       found = text.find(step.text, found + step.text.size())) {
    const std::size_t after = found + step.text.size();
    switch (step.join) {
      case PreTokenizerStep::Join::isolated:
        APR_TRY(word(found));
        APR_TRY(word(after));
        break;
      case PreTokenizerStep::Join::removed:
        APR_TRY(word(found));
        begin = after;
        break;
      case PreTokenizerStep::Join::with_previous:
        APR_TRY(word(after));
        break;
      case PreTokenizerStep::Join::with_next:
        APR_TRY(word(found));
        break;
    }
  }
  return word(text.size());
}

Status TokenizerEncoder::cut_digits(std::size_t index, std::string_view text, bool is_first) {
  const bool individual = state_.settings.pre_tokenizer[index].individual;
  bool was_number = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character character = utf8_at(text, i);
    const bool is_number = (character_classes(character.code) & char_class::kNumber) != 0;
    if (i > begin && (is_number != was_number || (is_number && individual))) {
      APR_TRY(pre_tokenize(index + 1, text.substr(begin, i - begin), is_first && begin == 0));
      begin = i;
    }
    was_number = is_number;
    i += character.size;
  }
  return pre_tokenize(index + 1, text.substr(begin), is_first && begin == 0);
}

std::optional<TokenId> TokenizerEncoder::model_token(std::string_view spelling) const {
  const auto id = state_.table.find(spelling);
  if (!id || (state_.table.flags(*id) & token_flag::kModel) == 0) return std::nullopt;
  return static_cast<TokenId>(*id);
}

Status TokenizerEncoder::encode_word(std::string_view word) {
  if (word.size() > kMaxRunSymbols) {
    return make_error(ErrorCode::unsupported,
                      cat("a run of ", word.size(), " bytes without a word boundary is too long"));
  }
  if (matcher_) return encode_pieces(word);
  const bool byte_level = state_.settings.byte_level();
  if (state_.settings.ignore_merges && word.size() <= kMaxTokenBytes) {
    std::string_view spelling = word;
    if (byte_level) {
      spelling_.clear();
      for (const char byte : word) append_byte_spelling(spelling_, static_cast<std::uint8_t>(byte));
      spelling = spelling_;
    }
    if (const auto id = model_token(spelling)) {
      out_.push_back(*id);
      return {};
    }
  }
  symbols_.clear();
  APR_TRY(byte_level ? push_bytes(word) : push_characters(word));
  merger_.merge(state_.table, symbols_);
  out_.insert(out_.end(), symbols_.begin(), symbols_.end());
  return {};
}

Status TokenizerEncoder::encode_pieces(std::string_view word) {
  std::uint64_t characters = 0;
  for (std::size_t i = 0; i < word.size(); i += utf8_at(word, i).size) ++characters;
  const bool fits = characters <= state_.settings.max_word_characters;
  if (!fits || !matcher_->match(word, out_)) out_.push_back(*state_.settings.unknown);
  return {};
}

Status TokenizerEncoder::push_bytes(std::string_view word) {
  for (std::size_t i = 0; i < word.size(); ++i) {
    const TokenId id = state_.byte_ids[static_cast<std::uint8_t>(word[i])];
    if (id >= 0) {
      symbols_.push_back(id);
    } else {
      APR_TRY(push_unknown(word.substr(i, 1)));
    }
  }
  return {};
}

Status TokenizerEncoder::push_characters(std::string_view word) {
  for (std::size_t i = 0; i < word.size();) {
    const std::string_view character = word.substr(i, utf8_at(word, i).size);
    i += character.size();
    if (const auto id = model_token(character)) {
      symbols_.push_back(*id);
      continue;
    }
    bool falls_back = state_.settings.byte_fallback;
    for (const char byte : character) {
      falls_back = falls_back && state_.byte_ids[static_cast<std::uint8_t>(byte)] >= 0;
    }
    if (!falls_back) {
      APR_TRY(push_unknown(character));
      continue;
    }
    for (const char byte : character) {
      symbols_.push_back(state_.byte_ids[static_cast<std::uint8_t>(byte)]);
    }
  }
  return {};
}

Status TokenizerEncoder::push_unknown(std::string_view character) {
  const auto& unknown = state_.settings.unknown;
  if (!unknown) {
    std::string bytes;
    for (const char byte : character) {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      const auto value = static_cast<std::uint8_t>(byte);
      bytes += cat(bytes.empty() ? "" : " ", kDigits[value >> 4], kDigits[value & 15]);
    }
    return make_error(ErrorCode::inference, cat("the vocabulary has no token for the bytes ", bytes,
                                                " and no unknown token"));
  }
  const bool joins =
      state_.settings.fuse_unknown && !symbols_.empty() && symbols_.back() == *unknown;
  if (!joins) symbols_.push_back(*unknown);
  return {};
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  std::vector<TokenId> ids;
  TokenizerEncoder encoder(*this, ids);
  APR_TRY(encoder.fill({text, {{}, options.parse_special}}, nullptr, options.add_special, nullptr));
  return ids;
}

Result<Encoding> Tokenizer::encode_pair(std::string_view first,
                                        std::optional<std::string_view> second,
                                        const EncodeOptions& options) const {
  Encoding encoding;
  TokenizerEncoder encoder(*this, encoding.ids);
  const TrustMarks trust{{}, options.parse_special};
  const TokenizerEncoder::Text second_text{second.value_or(std::string_view()), trust};
  APR_TRY(encoder.fill({first, trust}, second ? &second_text : nullptr, options.add_special,
                       &encoding.types));
  return encoding;
}

Result<std::vector<TokenId>> Tokenizer::encode(const MarkedText& text, bool add_special) const {
  std::vector<TokenId> ids;
  TokenizerEncoder encoder(*this, ids);
  TrustMarks trust;
  std::vector<std::uint8_t> marks;
  if (text.spans().size() == 1) {
    trust.all = text.spans().front().trusted;
  } else {
    for (const MarkedText::Span& span : text.spans()) {
      marks.insert(marks.end(), span.end - span.begin, span.trusted ? 1 : 0);
    }
    trust.marks = marks;
  }
  APR_TRY(encoder.fill({text.text(), trust}, nullptr, add_special, nullptr));
  return ids;
}

}  // namespace apr
