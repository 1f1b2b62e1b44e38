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

namespace apr {

struct NormalizerStep {
  enum class Kind : std::uint8_t {
    nfc,
    prepend,  ///< `content` before a text that is not empty
    replace,  ///< every `pattern` by `content`
  };
  Kind kind = Kind::nfc;
  std::string pattern;
  std::string content;
};

struct PreTokenizerStep {
  enum class Kind : std::uint8_t {
    pattern,     ///< cut into the words of a SplitPattern
    delimiter,   ///< cut at every `text`
    digits,      ///< cut off numbers, each digit alone if `individual`
    metaspace,   ///< blanks become `text`
    byte_level,  ///< go on with bytes instead of characters; always the last step
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
  };
  Kind kind = Kind::fuse;
  std::string pattern;
  std::string content;
  std::size_t start = 0;
  std::size_t stop = 0;
  bool drop_first = false;
};

struct TokenizerSettings {
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;
  std::vector<TokenId> prefix;  ///< ids before the text when special tokens are added
  std::vector<TokenId> suffix;
  std::optional<TokenId> unknown;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  ///< a word that is in the vocabulary is not merged together

  bool byte_level() const {
    return !pre_tokenizer.empty() &&
           pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  }
};

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
