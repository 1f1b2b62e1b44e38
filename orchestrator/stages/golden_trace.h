// A golden trace: prompts with the values that a trusted implementation computed for them. The
// format is described in docs/golden-traces.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/platform/file.h"
#include "core/runtime/backend.h"
#include "core/runtime/batch.h"
#include "core/tensor/shape.h"

namespace apr {

struct GoldenPrompt {
  std::string name;
  std::string text;
  bool parse_special = false;
  std::vector<TokenId> ids;
  std::vector<TokenId> top_ids;  ///< after the last token, most probable first
  std::vector<double> top_logits;
  std::vector<TokenId> greedy_ids;
  std::optional<std::size_t> greedy_stop;  ///< index of the first stop token among greedy_ids
  std::vector<std::string> values;         ///< "layer0.out": tensor "<name>.layer0.out"
  /// Values of a model with a known mistake, stored beside the right ones: "keys17.logits_last",
  /// where window_variants names keys17. A right model must not agree with them.
  std::vector<std::string> controls;
};

/// Which rows of which of the model's values a stored value holds.
struct GoldenPart {
  std::string value;     ///< "layer0.attn_probs"; "logits"
  std::size_t tail = 0;  ///< only so many last rows (tokens, queries); 0: all
};
/// "layer0.attn_probs.tail8" -> the last 8 queries; "logits_all", "logits_last", "logits_tail8".
GoldenPart part_of(std::string_view stored);

/// Largest differences that the trace's makers suggest for float32, absolute; nothing: not said.
struct SuggestedTolerance {
  std::optional<double> hidden_states;
  std::optional<double> attention_probabilities;
  std::optional<double> logits;
};

/// One value of a prompt. Numbers are row-major: one row per token, or [heads, query, key].
struct GoldenValue {
  Shape shape;
  std::span<const float> numbers;
};

class GoldenTrace {
 public:
  /// Reads golden.json and the tensor file beside it, whose SHA-256 must be the stated one.
  static Result<GoldenTrace> open(const std::string& path);
  GoldenTrace(GoldenTrace&&) = default;
  GoldenTrace& operator=(GoldenTrace&&) = default;

  const std::string& path() const { return path_; }
  const std::string& reference() const { return reference_; }
  const std::vector<GoldenPrompt>& prompts() const { return prompts_; }
  const SuggestedTolerance& suggested() const { return suggested_; }
  /// Present for every name in prompt.values and prompt.controls.
  const GoldenValue& value(const GoldenPrompt& prompt, std::string_view name) const;
  /// Names that a model's values have, over all prompts (logits left out).
  std::vector<std::string> tap_names() const;
  std::size_t longest_prompt() const;

 private:
  GoldenTrace() = default;
  Status read_prompts(const Json& json, std::string_view file);
  Status read_tensors(const Json& json, const std::string& file);
  std::string path_;
  std::string reference_;
  std::vector<GoldenPrompt> prompts_;
  SuggestedTolerance suggested_;
  std::map<std::string, GoldenValue, std::less<>> values_;
  std::vector<float> numbers_;
};

/// A value to be written: the name in the tensor file and what is in it.
struct TracedValue {
  std::string name;
  Shape shape;
  std::vector<float> numbers;
};

/// Writes golden.json and golden.safetensors into `folder`. `json` gets the names, shapes and
/// digests of the values and of the tensor file.
Status write_golden_trace(const std::string& folder, bool overwrite, Json json,
                          std::span<const TracedValue> values);

/// Keeps the values it is given.
class TapCollector final : public TapSink {
 public:
  struct Value {
    std::uint64_t rows = 0;
    std::uint64_t features = 0;
    std::vector<float> numbers;
  };
  void on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                std::span<const float> data) noexcept override {
    values_[std::string(name)] = {rows, features, {data.begin(), data.end()}};
  }
  const std::map<std::string, Value, std::less<>>& values() const { return values_; }
  void clear() { values_.clear(); }

 private:
  std::map<std::string, Value, std::less<>> values_;
};

/// Ids of the k largest logits, largest first, lower ids first among equals. NaN ranks last.
std::vector<TokenId> largest_ids(std::span<const float> logits, std::size_t k);

}  // namespace apr
