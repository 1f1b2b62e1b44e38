// Texts as an embedding model reads them: prompt, clean-up, special tokens, cut to what fits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/runtime/embedding_recipe.h"
#include "core/text/tokenizer.h"

namespace apr {

struct EmbeddingText {
  TextTokens tokens;
  std::uint64_t left_out = 0;  ///< tokens that did not fit
};

/// Special tokens written out in a text stay text. Safe to use from many threads.
class APR_API EmbeddingTextEncoder {
 public:
  /// `prompt` is put before every text. An error if prompt and special tokens alone fill
  /// `max_tokens`. The tokenizer and the recipe must outlive the encoder.
  static Result<EmbeddingTextEncoder> create(const Tokenizer& tokenizer,
                                             const EmbeddingRecipe& recipe,
                                             std::uint32_t max_tokens, std::string prompt);

  /// A text, or a pair of them as the tokenizer joins them. What is too long is cut as Hugging
  /// Face's tokenizers do it: of a pair, the longer text first.
  Result<EmbeddingText> encode(std::string_view first,
                               std::optional<std::string_view> second = std::nullopt) const;

  const std::string& prompt() const { return prompt_; }

 private:
  EmbeddingTextEncoder(const Tokenizer& tokenizer, const EmbeddingRecipe& recipe)
      : tokenizer_(&tokenizer), recipe_(&recipe) {}
  std::string prepared(std::string_view text) const;
  Status cut(Encoding& encoding, std::string_view first,
             std::optional<std::string_view> second) const;

  const Tokenizer* tokenizer_;
  const EmbeddingRecipe* recipe_;
  std::uint32_t max_tokens_ = 0;
  std::uint32_t unpooled_ = 0;
  std::string prompt_;
};

}  // namespace apr
