// Reading the files that describe a tokenizer into the parts of a table.
#pragma once

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

}  // namespace apr
