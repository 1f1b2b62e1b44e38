#include "orchestrator/stages/golden_rows.h"

#include <numeric>

#include "core/base/cat.h"

namespace apr {

namespace {

/// The rows of a table that a part holds; nothing if the table has too few.
std::vector<std::size_t> rows_of_part(const GoldenPart& part, std::size_t rows,
                                      const std::vector<std::size_t>& listed) {
  std::vector<std::size_t> chosen;
  std::size_t begin = 0;
  std::size_t step = 1;
  std::size_t end = rows;
  switch (part.rows) {
    case GoldenPart::Choice::all:
      break;
    case GoldenPart::Choice::tail:
      if (part.count > rows) return {};
      begin = rows - part.count;
      break;
    case GoldenPart::Choice::first:
      if (part.count > rows) return {};
      end = part.count;
      break;
    case GoldenPart::Choice::every:
      step = part.count;
      break;
    case GoldenPart::Choice::listed:
      for (const std::size_t row : listed) {
        if (row >= rows) return {};
      }
      return listed;
  }
  for (std::size_t row = begin; row < end; row += step) chosen.push_back(row);
  return chosen;
}

Pairing unequal(std::size_t found, const GoldenValue& reference) {
  Pairing pairing;
  pairing.problem = cat("it has ", found, " values, the reference has ", reference.numbers.size());
  return pairing;
}

}  // namespace

std::vector<SequenceRows> rows_of_value(const ValueType& type, const GoldenPrompt* prompt,
                                        const EncoderRows& encoder) {
  const std::size_t states = encoder.states;
  const auto features = static_cast<std::size_t>(type.features);
  std::vector<SequenceRows> result;
  if (type.rows == Rows::frames) {
    return {{1, encoder.frames, features, encoder.frames, features}};
  }
  if (type.rows == Rows::states) return {{1, states, features, states, features}};
  if (type.rows == Rows::state_pairs) return {{features, states, states, states, states}};
  if (prompt == nullptr) return {};
  for (const GoldenSequence& sequence : prompt->sequences) {
    const std::size_t tokens = sequence.ids.size();
    const std::size_t stored = sequence.stored_tokens;
    switch (type.rows) {
      case Rows::tokens:
      case Rows::logit_rows:
        result.push_back({1, tokens, features, stored, features});
        break;
      case Rows::pairs:
        result.push_back({features, tokens, tokens, stored, stored});
        break;
      case Rows::cross_pairs:
        result.push_back({features, tokens, states, stored, states});
        break;
      case Rows::sequences:
        result.push_back({1, 1, features, 1, features});
        break;
      default:
        return {};
    }
  }
  return result;
}

Pairing pair_up(const GoldenValue& reference, const GoldenPart& part,
                std::span<const SequenceRows> sequences, std::span<const float> numbers) {
  std::size_t has = 0;
  for (const SequenceRows& sequence : sequences) {
    has += sequence.tables * sequence.rows * sequence.columns;
  }
  if (has != numbers.size() || has == 0) return unequal(numbers.size(), reference);
  Pairing pairing;
  std::size_t from = 0;   // of the sequence's first number among the model's
  std::size_t place = 0;  // of its first number among the stored
  bool whole = true;
  for (const SequenceRows& sequence : sequences) {
    const bool padded = sequence.stored_rows != sequence.rows;
    const std::vector<std::size_t> rows = rows_of_part(part, sequence.rows, reference.listed);
    if (rows.empty() || (padded && part.rows != GoldenPart::Choice::all)) {
      return unequal(numbers.size(), reference);
    }
    const std::size_t stored_rows = padded ? sequence.stored_rows : rows.size();
    whole = whole && !padded && sequence.stored_columns == sequence.columns;
    for (std::size_t table = 0; table < sequence.tables; ++table) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t row = from + (table * sequence.rows + rows[i]) * sequence.columns;
        const std::size_t to = place + (table * stored_rows + i) * sequence.stored_columns;
        for (std::size_t column = 0; column < sequence.columns; ++column) {
          pairing.found.push_back(numbers[row + column]);
          pairing.places.push_back(to + column);
        }
      }
    }
    from += sequence.tables * sequence.rows * sequence.columns;
    place += sequence.tables * stored_rows * sequence.stored_columns;
  }
  const std::size_t columns = sequences.front().stored_columns;
  if (place != reference.numbers.size() || reference.shape.columns() != columns) {
    return unequal(whole ? pairing.found.size() : place, reference);
  }
  if (whole) pairing.places.clear();
  return pairing;
}

Pairing pair_whole(const GoldenValue& reference, std::vector<float> numbers) {
  if (numbers.size() != reference.numbers.size()) return unequal(numbers.size(), reference);
  return {std::move(numbers), {}, {}};
}

}  // namespace apr
