#include "orchestrator/stages/golden_trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "core/base/cat.h"
#include "core/runtime/pooler.h"

namespace apr {

namespace {

/// "tail8" for "tail": 8; 0: the word is another one.
std::size_t number_behind(std::string_view word, std::string_view marker) {
  if (!word.starts_with(marker)) return 0;
  const std::string_view digits = word.substr(marker.size());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size() ? number : 0;
}

bool is_made_of_output(std::string_view value) {
  return value == kLogits || value == kSentenceEmbedding || value == kInputFeatures ||
         value == kMelFilters;
}

}  // namespace

std::size_t GoldenPrompt::tokens() const {
  std::size_t tokens = 0;
  for (const GoldenSequence& sequence : sequences) tokens += sequence.ids.size();
  return tokens;
}

std::size_t GoldenPrompt::longest() const {
  std::size_t longest = 0;
  for (const GoldenSequence& sequence : sequences) {
    longest = std::max(longest, sequence.ids.size());
  }
  return longest;
}

GoldenPart part_of(std::string_view stored) {
  using Choice = GoldenPart::Choice;
  const std::string logits(kLogits);
  if (stored == "logits_all") return {logits, Choice::all, 0};
  if (stored == "logits_last") return {logits, Choice::tail, 1};
  if (const std::size_t rows = number_behind(stored, "logits_tail"); rows > 0) {
    return {logits, Choice::tail, rows};
  }
  if (const std::size_t dot = stored.rfind('.'); dot != std::string_view::npos) {
    const std::string_view word = stored.substr(dot + 1);
    const std::string value(stored.substr(0, dot));
    if (word == "queries") return {value, Choice::listed, 0};
    for (const auto& [marker, rows] :
         {std::pair{"tail", Choice::tail}, {"first", Choice::first}, {"every", Choice::every}}) {
      if (const std::size_t count = number_behind(word, marker); count > 0) {
        return {value, rows, count};
      }
    }
  }
  return {std::string(stored), Choice::all, 0};
}

const GoldenValue& GoldenTrace::value(const GoldenPrompt& prompt, std::string_view name) const {
  return values_.find(cat(prompt.name, ".", name))->second;
}

const GoldenValue& GoldenTrace::shared_value(std::string_view name) const {
  return values_.find(name)->second;
}

std::vector<std::string> GoldenTrace::tap_names() const {
  std::set<std::string> names;
  const auto add = [&](const std::vector<std::string>& stored) {
    for (const std::string& name : stored) {
      if (GoldenPart part = part_of(name); !is_made_of_output(part.value)) {
        names.insert(std::move(part.value));
      }
    }
  };
  add(shared_);
  for (const GoldenPrompt& prompt : prompts_) add(prompt.values);
  return {names.begin(), names.end()};
}

std::size_t GoldenTrace::largest_step() const {
  std::size_t largest = 0;
  for (const GoldenPrompt& prompt : prompts_) largest = std::max(largest, prompt.tokens());
  return largest;
}

std::size_t GoldenTrace::longest_sequence() const {
  std::size_t longest = 0;
  for (const GoldenPrompt& prompt : prompts_) {
    longest = std::max(longest, prompt.longest() + prompt.greedy_ids.size());
  }
  return longest;
}

std::size_t GoldenTrace::most_sequences() const {
  std::size_t most = 0;
  for (const GoldenPrompt& prompt : prompts_) most = std::max(most, prompt.sequences.size());
  return most;
}

std::span<const float> TapCollector::numbers(const Graph& graph, std::string_view name) const {
  const auto id = graph.find_value(name);
  const auto found = values_.find(id ? std::string_view(graph.value(*id).name) : name);
  if (found == values_.end()) return {};
  return found->second.numbers;
}

std::vector<float> sentence_embeddings(std::span<const float> rows, std::size_t features,
                                       std::span<const std::size_t> lengths) {
  const Pooling mean = Pooling::mean;
  TokenPooler pooler({&mean, 1}, static_cast<std::uint32_t>(features));
  std::vector<float> result;
  std::vector<float> vector(features);
  for (const std::size_t length : lengths) {
    pooler.begin(0);
    for (std::size_t i = 0; i < length; ++i) pooler.add(rows.subspan(i * features, features));
    rows = rows.subspan(length * features);
    pooler.finish(vector);
    double squares = 0;
    for (const double number : vector) squares += number * number;
    for (const double number : vector) {
      result.push_back(static_cast<float>(number / std::sqrt(squares)));
    }
  }
  return result;
}

std::vector<float> transposed(std::span<const float> table, std::size_t rows) {
  std::vector<float> result(table.size());
  const std::size_t columns = rows == 0 ? 0 : table.size() / rows;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      result[column * rows + row] = table[row * columns + column];
    }
  }
  return result;
}

std::vector<TokenId> largest_ids(std::span<const float> logits, std::size_t k) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  k = std::min(k, ids.size());
  const auto rank = [&](TokenId id) {
    const float logit = logits[static_cast<std::size_t>(id)];
    return std::pair(std::isnan(logit), -logit);
  };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(k), ids.end(),
                    [&](TokenId a, TokenId b) {
                      const auto [a_nan, a_logit] = rank(a);
                      const auto [b_nan, b_logit] = rank(b);
                      if (a_nan != b_nan) return b_nan;
                      if (!a_nan && a_logit != b_logit) return a_logit < b_logit;
                      return a < b;
                    });
  ids.resize(k);
  return ids;
}

}  // namespace apr
