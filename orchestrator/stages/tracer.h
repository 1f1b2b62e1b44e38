// One prompt's values, node by node, and what follows from it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/runtime/model.h"
#include "orchestrator/stages/golden_trace.h"

namespace apr {

/// What is run.
struct TracedPrompt {
  std::string name;  ///< in the trace
  std::string text;
  bool is_text_exact = true;  ///< the tokenizer makes the ids of the text
  std::optional<std::string> second_text;
  bool parse_special = false;
  std::vector<TokenId> ids;
  std::vector<std::int32_t> types;  ///< token types, for graphs that take them
  std::vector<float> frames;        ///< [frames][features], for graphs that hear
};

class Tracer {
 public:
  Tracer(const Model& model, TracedPrompt prompt) : model_(model), prompt_(std::move(prompt)) {}

  /// Runs the prompt, keeping the values of these names, and `greedy` tokens behind it.
  Status run(const std::vector<std::string>& names, std::size_t greedy);

  std::span<const TracedValue> values() const { return values_; }
  /// Per value: node, shape, min, max, mean, rms, not_numbers.
  Json statistics() const;
  Json ids_json() const;
  Json types_json() const;
  Json top_json() const;
  Json greedy_json() const;
  /// What golden.json says, without the tables of values.
  Json trace_json() const;

 private:
  struct Named {
    std::string node;
    bool is_shared = false;  ///< of the audio, not of the prompt
  };
  void keep(const std::string& node, Shape shape, std::span<const float> numbers, bool is_shared);
  void keep_values(const std::vector<std::string>& names, const TapCollector& taps,
                   const TapCollector& encoder, std::size_t states);
  void keep_features(std::size_t features);
  Json prompt_json() const;
  Json stop_index() const;

  const Model& model_;
  TracedPrompt prompt_;
  std::vector<TracedValue> values_;
  std::vector<Named> named_;  ///< as values_
  Json features_;             ///< the trace's input_features
  std::vector<float> last_;
  std::vector<TokenId> top_;
  std::vector<TokenId> greedy_;
};

}  // namespace apr
