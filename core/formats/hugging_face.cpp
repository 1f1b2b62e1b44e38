#include "core/formats/hugging_face.h"

#include <array>

namespace apr {

std::span<const std::string_view> hugging_face_files() {
  static constexpr std::array<std::string_view, 17> kFiles = {
      "added_tokens.json",
      "chat_template.jinja",
      "chat_template.json",
      "config.json",
      "config_sentence_transformers.json",
      "generation_config.json",
      "merges.txt",
      "modules.json",
      "normalizer.json",
      "preprocessor_config.json",
      "sentence_bert_config.json",
      "special_tokens_map.json",
      "tokenizer.json",
      "tokenizer.model",
      "tokenizer_config.json",
      "vocab.json",
      "vocab.txt",
  };
  return kFiles;
}

}  // namespace apr
