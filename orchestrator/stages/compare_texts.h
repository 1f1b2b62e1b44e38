// Where two models' configs, tokenizers and templates differ.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/package/package.h"
#include "core/text/tokenizer.h"

namespace apr {

struct FieldDifference {
  std::string field;  ///< "rope_scaling.factor"
  Json a;             ///< null: absent
  Json b;
};
/// Fields that differ, in a's order and then b's; 1 and 1.0 are equal, and so are null and absent.
std::vector<FieldDifference> compare_fields(const Json& a, const Json& b);

/// Fields of a config.json that say who wrote it, not what it computes.
bool describes_only(std::string_view config_field);

/// Texts on which tokenizers tend to part: scripts, spaces, digits, marks, controls, special
/// tokens, bytes that are no text.
std::vector<std::string> tokenizer_test_texts();

/// A text with the tokenizer's own special tokens, alone and beside words and blanks: what their
/// flags (lstrip, rstrip, single_word) do shows here.
std::string special_tokens_text(const Tokenizer& tokenizer);

struct TokenizerDifference {
  std::vector<std::string> problems;  ///< one sentence each; empty: they do the same
  std::size_t texts = 0;              ///< compared
  std::size_t texts_differ = 0;
  bool same() const { return problems.empty(); }
};
/// Vocabulary, special tokens, and the ids of tokenizer_test_texts() (and of a text with a's
/// special tokens) with and without special tokens recognised.
TokenizerDifference compare_tokenizers(const Tokenizer& a, const Tokenizer& b);
/// The same for what two models carry; neither carrying one is no difference.
Result<TokenizerDifference> compare_tokenizers(const Package& a, const Package& b);

/// The chat template as it is carried; empty if there is none.
std::string template_source(const Package& package);

/// A value for a line of text, cut if it is long.
std::string short_value(const Json& value);

}  // namespace apr
