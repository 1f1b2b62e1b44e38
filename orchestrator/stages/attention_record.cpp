#include "orchestrator/stages/attention_record.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"

namespace apr {

namespace {

constexpr std::size_t kLabelColumns = 16;
constexpr std::size_t kNoteColumns = 17;  ///< the strongest key, right of a row

/// Shades of one cell, from nothing to everything; colours of the 256-colour palette.
constexpr std::array<const char*, 6> kShades = {" ", "·", "░", "▒", "▓", "█"};
constexpr std::array<int, 8> kColours = {233, 17, 18, 54, 90, 161, 208, 226};

/// Attention is uneven: equal steps of its square root show more than equal steps of itself.
std::size_t step_of(double probability, std::size_t steps) {
  const double root = std::sqrt(std::clamp(probability, 0.0, 1.0));
  return std::min(steps - 1, static_cast<std::size_t>(root * static_cast<double>(steps)));
}

std::string cell(double probability, Style style) {
  if (!style.on) return kShades[step_of(probability, kShades.size())];
  return cat("\033[48;5;", kColours[step_of(probability, kColours.size())], "m \033[0m");
}

std::string label(const std::string& token) {
  std::string text = shortened(printable(token), kLabelColumns - 1);
  const std::size_t used = display_width(text);
  return cat(std::string(kLabelColumns - 1 - std::min(used, kLabelColumns - 1), ' '), text, " ");
}

/// "  7%", " 42%", "100%".
std::string percent(float share) {
  const std::string digits = fixed(100 * static_cast<double>(share), 0);
  return cat(std::string(3 - std::min<std::size_t>(digits.size(), 3), ' '), digits, "%");
}

std::string legend(Style style) {
  std::string line = cat(std::string(kLabelColumns, ' '), "0 ");
  for (const double share : {0.01, 0.04, 0.1, 0.2, 0.35, 0.5, 0.7, 0.95}) {
    line += cell(share, style);
  }
  return line + " 1";
}

}  // namespace

std::vector<std::string> attention_values(const Graph& graph) {
  std::vector<std::string> names;
  for (const Value& value : graph.values()) {
    if (value.type.rows == Rows::pairs) names.push_back(value.name);
  }
  return names;
}

AttentionRecord::AttentionRecord(const Graph& graph)
    : layers_(attention_values(graph)), heads_(graph.facts().num_attention_heads) {}

void AttentionRecord::choose(std::size_t layer) {
  layer_ = layer;
  truncate(0);
}

void AttentionRecord::truncate(std::size_t tokens) {
  while (rows_.size() > tokens) {
    bytes_ -= rows_.back().size() * sizeof(float);
    rows_.pop_back();
    full_ = false;
  }
}

void AttentionRecord::on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                               std::span<const float> data) noexcept {
  if (layer_ >= layers_.size() || name != layers_[layer_]) return;
  // [heads][tokens][positions]; the step's tokens are the last of the positions.
  const auto positions = static_cast<std::size_t>(features);
  const std::size_t tokens = static_cast<std::size_t>(rows) / heads_;
  const std::size_t recorded = rows_.size();
  if (full_ || recorded + tokens != positions) return;
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::size_t seen = recorded + t + 1;
    full_ = bytes_ + heads_ * seen * sizeof(float) > kMaxBytes;
    if (full_) return;
    std::vector<float> row;
    row.reserve(heads_ * seen);
    for (std::size_t head = 0; head < heads_; ++head) {
      const auto part = data.subspan((head * tokens + t) * positions, seen);
      row.insert(row.end(), part.begin(), part.end());
    }
    bytes_ += row.size() * sizeof(float);
    rows_.push_back(std::move(row));
  }
}

std::span<const float> AttentionRecord::of(std::size_t row, std::size_t head) const {
  return std::span(rows_[row]).subspan(head * (row + 1), row + 1);
}

std::string draw_attention(const AttentionRecord& record, std::size_t head,
                           const std::vector<std::string>& tokens, std::size_t width,
                           std::size_t most_rows, Style style) {
  const std::size_t rows = std::min(record.rows(), tokens.size());
  const std::size_t first = rows > most_rows ? rows - most_rows : 0;
  constexpr std::size_t kBeside = kLabelColumns + kNoteColumns;
  const std::size_t columns = std::max<std::size_t>(width, kBeside + 16) - kBeside;
  const std::size_t keys_per_column = (rows + columns - 1) / std::max<std::size_t>(columns, 1);
  std::string out;
  if (first > 0) out += style.dim(cat("  the last ", rows - first, " of ", rows, " tokens")) + "\n";
  if (keys_per_column > 1) {
    out += style.dim(cat("  one column is ", keys_per_column, " tokens")) + "\n";
  }
  for (std::size_t row = first; row < rows; ++row) {
    const auto seen = record.of(row, head);
    out += label(tokens[row]);
    std::size_t strongest = 0;
    for (std::size_t begin = 0; begin < seen.size(); begin += keys_per_column) {
      double sum = 0;
      for (std::size_t k = begin; k < std::min(begin + keys_per_column, seen.size()); ++k) {
        sum += static_cast<double>(seen[k]);
        if (seen[k] > seen[strongest]) strongest = k;
      }
      out += cell(sum, style);
    }
    const std::size_t used = (seen.size() + keys_per_column - 1) / keys_per_column;
    out += std::string((rows + keys_per_column - 1) / keys_per_column - used + 1, ' ');
    out +=
        style.dim(cat(percent(seen[strongest]), " ", shortened(printable(tokens[strongest]), 10)));
    out += '\n';
  }
  return out + legend(style) + "\n";
}

}  // namespace apr
