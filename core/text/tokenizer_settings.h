// What a tokenizer does besides its vocabulary: normalizer, pre-tokenizer, post-processor, decoder.
// The same JSON in a tokenizer.json and in a binary table's settings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"
#include "core/text/tokenizer_pattern.h"
#include "core/text/unicode.h"

namespace apr {

struct NormalizerStep {
  enum class Kind : std::uint8_t {
    form,           ///< a Unicode normalization form
    prepend,        ///< `content` before a text that is not empty
    replace,        ///< every `pattern` by `content`
    lowercase,      ///< character by character
    strip_accents,  ///< takes away every mark (general category M)
    strip,          ///< takes white space off the ends
    bert,           ///< the switches below, in their order
  };
  Kind kind = Kind::form;
  NormalForm form = NormalForm::nfc;
  std::string pattern;
  std::string content;
  bool strip_left = false;
  bool strip_right = false;
  bool clean_text = false;        ///< no control characters, white space as blanks
  bool space_ideographs = false;  ///< blanks around each
  bool strip_accents = false;     ///< NFD without nonspacing marks (general category Mn)
  bool lowercase = false;
};

struct PreTokenizerStep {
  enum class Kind : std::uint8_t {
    pattern,      ///< cut into the words of a SplitPattern
    delimiter,    ///< cut at every `text`
    digits,       ///< cut off numbers, each digit alone if `individual`
    metaspace,    ///< blanks become `text`
    byte_level,   ///< go on with bytes instead of characters; always the last step
    white_space,  ///< cut at white space, which goes away
    word_runs,    ///< runs of word characters and runs of other characters, without white space
    punctuation,  ///< cut at every punctuation mark, which goes where `join` says
    bert,         ///< white_space, then punctuation marks alone
  };
  enum class Join : std::uint8_t { isolated, removed, with_previous, with_next };
  enum class Prefix : std::uint8_t { never, first, always };

  Kind kind = Kind::pattern;
  SplitPattern pattern;
  std::string text;
  Join join = Join::isolated;     ///< delimiter, metaspace: where the delimiter goes
  Prefix prefix = Prefix::never;  ///< metaspace, byte_level: whether one is put before a text
  bool individual = false;
  bool cuts =
      true;  ///< metaspace: cut before every replacement; byte_level: cut by the GPT-2 pattern
};

struct DecoderStep {
  enum class Kind : std::uint8_t {
    byte_level,     ///< spellings are bytes written as characters
    replace,        ///< every `pattern` by `content`
    byte_fallback,  ///< <0xNN> is a byte
    fuse,           ///< what follows works on the whole text
    strip,          ///< takes up to `start` and `stop` times `content` off the ends
    metaspace,      ///< `pattern` becomes a blank; in the first token nothing if `drop_first`
    word_piece,     ///< `pattern` at the start joins a token to the one before, otherwise a blank
                    ///< comes between them; `cleanup` takes blanks before punctuation away again
  };
  Kind kind = Kind::fuse;
  std::string pattern;
  std::string content;
  std::size_t start = 0;
  std::size_t stop = 0;
  bool drop_first = false;
  bool cleanup = false;
};

/// What stands where when special tokens are put around one text or two.
struct TemplatePiece {
  enum class Kind : std::uint8_t { token, first, second };
  Kind kind = Kind::token;
  TokenId id = 0;         ///< token
  std::int32_t type = 0;  ///< token type id of all that this stands for
  friend bool operator==(const TemplatePiece&, const TemplatePiece&) = default;
};
using Template = std::vector<TemplatePiece>;

/// What a tokenizer does if its file does not say: the texts one after the other, nothing around.
Template default_single();
Template default_pair();

inline constexpr std::size_t kMaxTemplatePieces = 64;
inline constexpr std::size_t kMaxSubwordPrefix = 64;

struct TokenizerSettings {
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;
  Template single = default_single();  ///< the first text once
  Template pair = default_pair();      ///< both texts once
  std::optional<TokenId> unknown;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> pad;
  std::optional<TokenId> cls;
  std::optional<TokenId> sep;
  std::optional<TokenId> mask;
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  ///< a word that is in the vocabulary is not merged together
  bool word_piece = false;     ///< WordPiece instead of BPE
  std::string subword_prefix;  ///< WordPiece: before every piece but a word's first
  std::uint64_t max_word_characters = 0;  ///< WordPiece: a longer word is unknown
  bool clean_up = false;  ///< WordPiece: decoded text loses the blanks before punctuation

  bool byte_level() const {
    return !pre_tokenizer.empty() &&
           pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  }
};

/// A switch of a tokenizer.json that may be left out or null. What is neither true nor false is an
/// error that names `field`.`name`.
Result<bool> read_switch_or(const Json& json, std::string_view field, std::string_view name,
                            bool fallback, std::string_view file);

/// Readers of the parts of a tokenizer.json. Errors name the field.
Result<std::vector<NormalizerStep>> read_normalizer(const Json& json, std::string_view file);
Result<std::vector<PreTokenizerStep>> read_pre_tokenizer(const Json& json, std::string_view file);
Result<std::vector<DecoderStep>> read_decoder(const Json& json, std::string_view file);

/// The settings section of a table. Ids are checked against the number of tokens.
Result<TokenizerSettings> read_settings(std::string_view text, std::uint32_t tokens,
                                        std::string_view file);
/// The other way: the three parts as in the tokenizer.json, the rest resolved to ids.
std::string write_settings(const TokenizerSettings& settings, const Json& normalizer,
                           const Json& pre_tokenizer, const Json& decoder);

}  // namespace apr
