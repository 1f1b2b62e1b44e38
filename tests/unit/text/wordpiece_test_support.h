// A small invented WordPiece tokenizer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text_test_support.h"

namespace apr::test {

/// Its vocabulary, one token a line.
const std::string& small_vocab_txt();
/// Its tokenizer.json, with BERT's normalizer, lower-casing.
Json small_bert_json();
/// The same with one member set; `path` is "model.unk_token" or "decoder".
Json small_bert_json_with(const std::string& path, Json value);
Json bert_normalizer(bool clean, bool ideographs, Json accents, bool lower);

Tokenizer open_tokenizer(const Json& json, const Json& config = Json());
/// Spellings of the tokens of a text without special tokens, with blanks between them.
std::string pieces_of(const Tokenizer& tokenizer, std::string_view text);

}  // namespace apr::test
