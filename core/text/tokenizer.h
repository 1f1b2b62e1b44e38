// Tokenizer: text <-> ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"
#include "core/text/marked_text.h"

namespace apr {

/// One text or two as a model reads them, and which of them each id belongs to.
struct Encoding {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> types;  ///< token type of each id
};

/// Byte-level BPE (GPT-2, Qwen2, Llama-3 patterns), SentencePiece-style BPE with byte fallback or
/// WordPiece, as a Hugging Face tokenizer.json describes it. Immutable; safe to use from many
/// threads. Encoding takes time linear in the text (n log n in the longest run the pattern leaves
/// whole).
class APR_API Tokenizer {
 public:
  /// Errors name the field of the file that is missing, malformed or unsupported.
  static Result<Tokenizer> from_tokenizer_json(std::string_view json, std::string_view file,
                                               std::string_view tokenizer_config_json = {});
  /// From the files of the older layout: vocab.json, merges.txt and (may be empty)
  /// added_tokens.json and tokenizer_config.json. `pattern`: "qwen2", "gpt-2" or "llama-3"; empty:
  /// by the config's tokenizer_class.
  static Result<Tokenizer> from_vocab_merges(std::string_view vocab_json,
                                             std::string_view merges_txt,
                                             std::string_view added_tokens_json,
                                             std::string_view tokenizer_config_json,
                                             std::string_view pattern, std::string_view file);
  /// From the files of BERT's older layout: vocab.txt and (may be empty) tokenizer_config.json,
  /// special_tokens_map.json and added_tokens.json.
  static Result<Tokenizer> from_vocab_txt(std::string_view vocab_txt,
                                          std::string_view tokenizer_config_json,
                                          std::string_view special_tokens_map_json,
                                          std::string_view added_tokens_json,
                                          std::string_view file);
  /// The table that to_binary() made: opened without parsing a vocabulary. The bytes are copied or
  /// borrowed as the implementation likes; they must outlive the tokenizer.
  static Result<Tokenizer> from_binary(std::span<const std::byte> table, std::string_view file);
  std::vector<std::byte> to_binary() const;

  struct EncodeOptions {
    bool add_special = true;     ///< what the tokenizer's own post-processor puts around texts
    bool parse_special = false;  ///< recognise special tokens written out in the text
  };
  /// Any bytes are accepted; invalid UTF-8 survives decode(encode(x)) for byte-level tokenizers.
  Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options) const;
  /// A text and perhaps a second one, with token types as the post-processor gives them: BERT has
  /// 0 for a single text and the first of two, 1 for the second.
  Result<Encoding> encode_pair(std::string_view first, std::optional<std::string_view> second,
                               const EncodeOptions& options) const;
  /// Special tokens are recognised in the trusted spans only.
  Result<std::vector<TokenId>> encode(const MarkedText& text, bool add_special) const;

  /// Bytes of the ids, invalid UTF-8 included. Ids outside the vocabulary are an error.
  Result<std::string> decode(std::span<const TokenId> ids, bool skip_special) const;
  /// Bytes that one id adds in the middle of a text; empty for special tokens if skip_special.
  std::string piece(TokenId id, bool skip_special) const;

  std::uint32_t vocab_size() const;  ///< one more than the highest id
  std::optional<TokenId> id_of(std::string_view token) const;
  /// As written in the vocabulary (byte-level spelling), or empty.
  std::string_view token(TokenId id) const;
  bool is_special(TokenId id) const;
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> pad() const;
  std::optional<TokenId> cls() const;
  std::optional<TokenId> sep() const;
  std::optional<TokenId> mask() const;
  std::optional<TokenId> unk() const;
  bool is_word_piece() const;
  std::string_view kind() const;  ///< "byte-level BPE, qwen2 pattern", for reports

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

 private:
  friend class TokenizerEncoder;
  Tokenizer();
  struct State;
  std::unique_ptr<State> state_;
};

/// Joins pieces into whole UTF-8 characters: what push() returns never ends inside a character.
class APR_API Utf8Joiner {
 public:
  std::string push(std::string_view bytes);
  /// What is left at the end, incomplete or not.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace apr
