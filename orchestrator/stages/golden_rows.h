// Which of a model's numbers belong to which numbers of a stored value: rows left out, batches,
// padding.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "orchestrator/stages/golden_trace.h"

namespace apr {

/// What one sequence has of a value: tables of rows. `stored_*` count padding, too.
struct SequenceRows {
  std::size_t tables = 1;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t stored_rows = 0;
  std::size_t stored_columns = 0;
};

/// What an encoder heard and what it made of it.
struct EncoderRows {
  std::size_t frames = 0;
  std::size_t states = 0;
};

/// Of a value of the given type, for each sequence of the prompt (nullptr: of the audio alone).
std::vector<SequenceRows> rows_of_value(const ValueType& type, const GoldenPrompt* prompt,
                                        const EncoderRows& encoder);

/// The model's numbers beside the stored ones. Padding is in neither.
struct Pairing {
  std::vector<float> found;
  /// Where in the stored value each of them belongs; empty: they are all of it, in its order.
  std::vector<std::size_t> places;
  std::string problem;  ///< why they cannot be paired; empty: they can
};

/// `numbers`: all that the model computed of the value, sequence after sequence.
Pairing pair_up(const GoldenValue& reference, const GoldenPart& part,
                std::span<const SequenceRows> sequences, std::span<const float> numbers);
/// Numbers that are the stored ones' shape already.
Pairing pair_whole(const GoldenValue& reference, std::vector<float> numbers);

}  // namespace apr
