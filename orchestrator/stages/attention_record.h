// The attention of one layer, recorded while a model reads and writes, and drawn in a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/runtime/backend.h"
#include "orchestrator/cli/terminal.h"

namespace apr {

/// Names of the values that hold attention probabilities of tokens, layer by layer.
std::vector<std::string> attention_values(const Graph& graph);

/// Keeps the rows of one layer as steps bring them: row t holds, for every head, what token t paid
/// attention to.
class AttentionRecord final : public TapSink {
 public:
  /// More than this is not kept: rows() then ends early.
  static constexpr std::uint64_t kMaxBytes = 256u << 20;

  explicit AttentionRecord(const Graph& graph);

  std::size_t layers() const { return layers_.size(); }
  std::size_t layer() const { return layer_; }
  /// Records another layer from now on; what was recorded is dropped.
  void choose(std::size_t layer);
  /// Forgets the rows from `tokens` on.
  void truncate(std::size_t tokens);

  void on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                std::span<const float> data) noexcept override;

  std::size_t rows() const { return rows_.size(); }
  std::size_t heads() const { return heads_; }
  bool full() const { return full_; }
  /// What token `row` paid to tokens 0 ... row.
  std::span<const float> of(std::size_t row, std::size_t head) const;

 private:
  std::vector<std::string> layers_;
  std::size_t heads_;
  std::size_t layer_ = 0;
  bool full_ = false;
  std::uint64_t bytes_ = 0;
  std::vector<std::vector<float>> rows_;  ///< heads × positions each
};

/// A picture of the last rows: one line per token, keys from left to right, several to a column if
/// there are more than fit. `tokens` are the rows' spellings.
std::string draw_attention(const AttentionRecord& record, std::size_t head,
                           const std::vector<std::string>& tokens, std::size_t width,
                           std::size_t most_rows, Style style);

}  // namespace apr
