// A canary: what a model looked like and computed when all was well, in one small JSON file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/runtime/batch.h"
#include "orchestrator/stages/canary_setup.h"
#include "orchestrator/stages/statistics.h"

namespace apr {

struct CanaryTensor {
  std::string name;
  std::string type;
  std::vector<std::uint64_t> shape;
  std::string sha256;  ///< of the stored bytes
  TensorStatistics statistics;
};

/// What the model made of one text: logits, or hidden states of a model that predicts no tokens.
struct CanaryPrompt {
  std::optional<std::string> text;  ///< nothing: the model has no tokenizer
  std::vector<TokenId> ids;
  /// SHA-256 of every number of every token, as little-endian float32: equal wherever the same
  /// build runs in exact mode on the same instruction set, on any number of threads.
  std::string digest;
  /// For other builds and instruction sets: numbers of the last token, `features` of which are
  /// sampled at even distances, and the ten largest with their indexes.
  std::uint64_t features = 0;
  std::vector<double> sample;
  std::vector<std::uint64_t> top;
  std::vector<double> top_values;
  std::vector<double> row_rms;  ///< root mean square of every token's numbers
};

struct Canary {
  std::string tool;         ///< "apr 0.1.0"
  std::string computed_by;  ///< "cpu avx2 exact"
  std::string model_name;
  std::string architecture;
  std::string content_root;          ///< may be empty
  std::string kind;                  ///< "logits" or "hidden_states"
  std::uint64_t frames = 0;          ///< made-up frames given to an encoder of frames
  std::optional<CanarySetup> setup;  ///< nothing: a canary of version 1, which kept none
  std::vector<CanaryTensor> tensors;
  std::vector<CanaryPrompt> prompts;
};

Json canary_as_json(const Canary& canary);
/// Errors name the field.
Result<Canary> read_canary(const std::string& path);

}  // namespace apr
