// Reading the files that describe a tokenizer into the parts of a table.
#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/text/tokenizer_table.h"

namespace apr {

/// A Hugging Face tokenizer.json. `config` is the tokenizer_config.json or null.
Result<TokenizerParts> read_tokenizer_json(const Json& json, const Json& config,
                                           std::string_view file);

/// A vocab.json and a merges.txt of a byte-level tokenizer, as a tokenizer.json would say it.
Result<Json> tokenizer_json_from_vocab(Json vocab, std::string_view merges,
                                       const Json& added_tokens, const Json& config,
                                       std::string_view pattern, std::string_view file);

/// A vocab.txt and what lies beside it, parsed; null where a file is not there.
struct VocabTxtFiles {
  std::string_view vocab;
  Json config;
  Json special_tokens_map;
  Json added_tokens;
  std::string_view file;
};
/// By what BERT's tokenizer classes do with these files.
Result<TokenizerParts> read_vocab_txt(const VocabTxtFiles& files);

/// BERT's tokenizer class or one of those that do the same, "Fast" or not.
bool is_bert_tokenizer_class(std::string_view name);

/// The name of a file that lies beside `file`, whose own name may be told with its package's:
/// "model.apr: vocab.json".
std::string beside(std::string_view file, std::string_view name);

}  // namespace apr
