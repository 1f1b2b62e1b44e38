// The special tokens of a speech model's vocabulary, and which tokens it must not write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"
#include "core/text/tokenizer.h"

namespace apr {

enum class SpeechTask : std::uint8_t { transcribe, translate };
APR_API std::string_view name_of(SpeechTask task);

struct SpokenLanguage {
  std::string code;  ///< "en"
  TokenId token = 0;
};

/// Ids below `end` are text, ids from first_timestamp on are times; what lies between directs the
/// model.
struct APR_API SpeechTokens {
  TokenId end = 0;
  TokenId start = 0;
  std::optional<TokenId> previous;        ///< begins the text said before
  std::optional<TokenId> no_speech;       ///< predicted after `start` where nobody speaks
  std::optional<TokenId> no_timestamps;   ///< ends the prompt of a transcript without times
  std::optional<TokenId> transcribe;      ///< multilingual models only
  std::optional<TokenId> translate;       ///< multilingual models only
  std::vector<SpokenLanguage> languages;  ///< by token; empty: the model knows one language

  /// Timestamps: token first_timestamp + i is i states after the beginning of the chunk.
  TokenId first_timestamp = 0;
  std::uint32_t timestamps = 0;  ///< 0: the model has none
  /// How late the first timestamp may be; nothing: any time.
  std::optional<std::uint32_t> max_initial_timestamp = 50;

  std::vector<TokenId> suppressed;           ///< never written
  std::vector<TokenId> suppressed_at_begin;  ///< not written first

  bool multilingual() const { return !languages.empty(); }
  bool is_text(TokenId token) const { return token >= 0 && token < end; }
  bool is_timestamp(TokenId token) const {
    return token >= first_timestamp &&
           token - first_timestamp < static_cast<std::int64_t>(timestamps);
  }
  const SpokenLanguage* find_language(std::string_view code) const;
  /// "de, en, es, fr", for messages.
  std::string language_codes() const;
};

/// What the tokens are read from. Without generation_config.json (a null) names in the vocabulary
/// and config.json say as much; what the files say wins.
struct SpeechTokenSource {
  const Json& config;             ///< config.json
  const Json& generation_config;  ///< generation_config.json or null
  const Tokenizer& tokenizer;
  std::uint32_t vocab_size = 0;  ///< of the model
  std::uint32_t max_states = 0;  ///< that its encoder makes of a chunk
  std::string file;              ///< the model, for errors
};
APR_API Result<SpeechTokens> read_speech_tokens(const SpeechTokenSource& source);

}  // namespace apr
