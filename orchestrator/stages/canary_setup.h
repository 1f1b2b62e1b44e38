// What a canary keeps of everything beside the weights: the config, the generation settings, the
// tokenizer and the chat template.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/package/package.h"

namespace apr {

struct CanaryTokenizer {
  std::uint64_t ids = 0;
  std::string
      vocabulary;     ///< SHA-256 of every id's token and kind, and of the ids that begin and end
  std::string texts;  ///< SHA-256 of the ids of tokenizer_test_texts() and special_tokens_text()
};

struct CanarySetup {
  Json config = Json::object();      ///< fields that decide what is computed
  Json generation = Json::object();  ///< of generation_config.json
  std::optional<CanaryTokenizer> tokenizer;
  std::string chat_template;  ///< SHA-256; empty: there is none
};

Result<CanarySetup> setup_of(const Package& package);

struct SetupFinding {
  std::string part;  ///< "config", "settings", "tokenizer", "template"
  std::string name;  ///< of the field; may be empty
  std::string problem;
};
std::vector<SetupFinding> compare_setups(const CanarySetup& recorded, const CanarySetup& found);

Json setup_as_json(const CanarySetup& setup);
Result<CanarySetup> read_setup(const Json& json, const std::string& where);

}  // namespace apr
