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

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/platform/file.h"
#include "core/runtime/backend.h"
#include "core/runtime/batch.h"
#include "core/tensor/shape.h"

namespace apr {

/// A row of a batch; most prompts have one.
struct GoldenSequence {
  std::vector<TokenId> ids;         ///< without the padding behind them
  std::vector<std::int32_t> types;  ///< their token types; empty: not stated
  std::vector<std::string> texts;   ///< one, or two that are read together
  std::size_t stored_tokens = 0;    ///< with the padding: what the stored values have rows for
};

struct GoldenPrompt {
  std::string name;
  bool parse_special = false;
  std::vector<GoldenSequence> sequences;
  bool is_batch = false;         ///< the stored values have a leading axis of sequences
  std::vector<TokenId> top_ids;  ///< after the last token, most probable first; empty: not stored
  std::vector<TokenId> greedy_ids;
  std::optional<std::size_t> greedy_stop;  ///< index of the first stop token among greedy_ids
  std::vector<std::string> values;         ///< "layer0.out": tensor "<name>.layer0.out"
  /// Values of a model with a known mistake, stored beside the right ones: "keys17.logits_last",
  /// where window_variants names keys17. A right model must not agree with them.
  std::vector<std::string> controls;

  std::size_t tokens() const;  ///< of all sequences, without padding
  std::size_t longest() const;
};

/// Which rows of which of the model's values a stored value holds.
struct GoldenPart {
  enum class Choice : std::uint8_t {
    all,
    tail,    ///< the last `count`
    first,   ///< the first `count`
    every,   ///< each `count`-th, from 0 on
    listed,  ///< those of GoldenValue::listed
  };
  std::string value;  ///< "layer0.attn_probs"; "logits"
  Choice rows = Choice::all;
  std::size_t count = 0;
};
/// "layer0.attn_probs.tail8" -> the last 8 queries; "logits_all", "logits_last", "logits_tail8",
/// "enc.embed.first160", "enc.embed.every50", "enc.layer0.attn_probs.queries".
GoldenPart part_of(std::string_view stored);

/// One stored value. Numbers are row-major: one row per token, or [heads, query, key].
struct GoldenValue {
  Shape shape;
  std::span<const float> numbers;
  std::vector<std::size_t> listed;  ///< rows of a value named ".queries"
};

/// What an encoder of frames was given.
struct GoldenAudio {
  std::string file;  ///< path of the recording; empty: only its features are stored
  std::string sha256;
  std::uint64_t frames = 0;  ///< 0: no features are stored
  std::uint64_t features = 0;
  std::vector<float> numbers;  ///< [features][frames], those behind the stored ones filled in
  explicit operator bool() const { return frames > 0 || !file.empty(); }
};

/// Largest differences that the trace's makers suggest for float32, absolute, by class of value:
/// "hidden_states" for the field hidden_states_float32_engine.
using SuggestedTolerance = std::map<std::string, double, std::less<>>;

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
  const GoldenAudio& audio() const { return audio_; }
  /// Values of the audio, which all prompts share: "enc.layer0.out.first160".
  const std::vector<std::string>& shared_values() const { return shared_; }
  /// Present for every name in prompt.values and prompt.controls.
  const GoldenValue& value(const GoldenPrompt& prompt, std::string_view name) const;
  const GoldenValue& shared_value(std::string_view name) const;
  /// Names that a model's values have, over all prompts (what is made of its output left out).
  std::vector<std::string> tap_names() const;
  /// Tokens of the largest step, of the longest sequence with its greedy tokens; sequences.
  std::size_t largest_step() const;
  std::size_t longest_sequence() const;
  std::size_t most_sequences() const;

 private:
  friend class GoldenReader;
  GoldenTrace() = default;
  std::string path_;
  std::string reference_;
  std::vector<GoldenPrompt> prompts_;
  std::vector<std::string> shared_;
  GoldenAudio audio_;
  SuggestedTolerance suggested_;
  std::map<std::string, GoldenValue, std::less<>> values_;
  std::vector<float> numbers_;
};

// Stored values that no node makes.
inline constexpr std::string_view kLogits = "logits";  ///< what a step returns
inline constexpr std::string_view kSentenceEmbedding = "sentence_embedding";
inline constexpr std::string_view kInputFeatures = "input_features";
inline constexpr std::string_view kMelFilters = "mel_filters";

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

/// Keeps the values it is given; those of several sequences one after the other.
class TapCollector final : public TapSink {
 public:
  struct Value {
    std::uint64_t rows = 0;
    std::uint64_t features = 0;
    std::vector<float> numbers;
  };
  void on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                std::span<const float> data) noexcept override {
    Value& value = values_[std::string(name)];
    value.rows += rows;
    value.features = features;
    value.numbers.insert(value.numbers.end(), data.begin(), data.end());
  }
  const std::map<std::string, Value, std::less<>>& values() const { return values_; }
  /// Of a value or of an output, by its name; empty if the step did not make it.
  std::span<const float> numbers(const Graph& graph, std::string_view name) const;

 private:
  std::map<std::string, Value, std::less<>> values_;
};

/// The mean of each sequence's rows, divided by its Euclidean norm: `lengths` rows each.
std::vector<float> sentence_embeddings(std::span<const float> rows, std::size_t features,
                                       std::span<const std::size_t> lengths);

/// A table of `rows` rows, its columns as rows.
std::vector<float> transposed(std::span<const float> table, std::size_t rows);

/// Ids of the k largest logits, largest first, lower ids first among equals. NaN ranks last.
std::vector<TokenId> largest_ids(std::span<const float> logits, std::size_t k);

}  // namespace apr
