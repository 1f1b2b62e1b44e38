// How the files of a model say that texts become vectors: what sentence-transformers keeps beside
// the weights, or what is usual where they say nothing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/base/export.h"
#include "core/graph/graph.h"
#include "core/package/package.h"
#include "core/runtime/embedder.h"

namespace apr {

struct EmbeddingRecipe {
  std::vector<Pooling> pooling;
  bool normalize = true;
  /// Of a text, special tokens included; 0: no limit is known.
  std::uint32_t max_tokens = 0;
  std::string max_tokens_from;  ///< "sentence_bert_config.json: field max_seq_length"
  bool truncate_left = false;   ///< drop the beginning of what is too long, not the end
  bool strip = false;           ///< drop white space at both ends
  bool lower_case = false;      ///< before the tokenizer
  bool pool_prompt = true;      ///< the tokens of a prompt count
  std::vector<std::pair<std::string, std::string>> prompts;  ///< name, text
  std::string default_prompt;                                ///< a name, or empty
  bool from_modules = false;                                 ///< modules.json was there
};

/// Reads modules.json, the pooling's config.json, sentence_bert_config.json,
/// config_sentence_transformers.json and tokenizer_config.json. Without modules.json: the mean for
/// encoders, the last token for models that predict the next one, both normalized. Modules that
/// change vectors in other ways are an error that names module and file. Without `need_pooling` the
/// pooling's own file may be missing: the caller has another.
APR_API Result<EmbeddingRecipe> embedding_recipe(const Package& package, const ModelFacts& facts,
                                                 bool need_pooling = true);

}  // namespace apr
