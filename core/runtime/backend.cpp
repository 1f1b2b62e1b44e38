#include "core/runtime/backend.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr {

std::string_view name_of(Mode mode) {
  switch (mode) {
    case Mode::exact:
      return "exact";
    case Mode::deterministic:
      return "deterministic";
    case Mode::fast:
      return "fast";
  }
  return "?";
}

std::optional<Mode> mode_from_name(std::string_view name) {
  for (const Mode mode : {Mode::exact, Mode::deterministic, Mode::fast}) {
    if (name == name_of(mode)) return mode;
  }
  return std::nullopt;
}

namespace {

Error bad_step(std::string message) {
  return make_error(ErrorCode::inference, std::move(message), "step");
}

Status check_sizes(const CompileOptions& options, const Batch& batch) {
  if (batch.tokens() == 0 && batch.encoded.empty()) return bad_step("there are no tokens");
  if (batch.tokens() > options.max_tokens) {
    return bad_step(cat(batch.tokens(), " tokens are more than the ", options.max_tokens,
                        " the model was compiled for"));
  }
  if (batch.logit_rows.size() > options.max_logit_rows) {
    return bad_step(cat(batch.logit_rows.size(), " logit rows are more than the ",
                        options.max_logit_rows, " the model was compiled for"));
  }
  if (batch.positions.size() != batch.tokens() || batch.sequences.size() != batch.tokens()) {
    return bad_step(cat(batch.tokens(), " tokens with ", batch.positions.size(), " positions and ",
                        batch.sequences.size(), " sequences"));
  }
  for (std::size_t i = 0; i < batch.logit_rows.size(); ++i) {
    if (batch.logit_rows[i] >= batch.tokens() ||
        (i > 0 && batch.logit_rows[i] <= batch.logit_rows[i - 1])) {
      return bad_step("logit rows must be ascending rows of the step");
    }
  }
  return {};
}

Error unknown_sequence(const KvCache& cache, SequenceId sequence) {
  return bad_step(cat("sequence ", sequence, " is not one of the ", cache.options().max_sequences,
                      " there is room for"));
}

Status check_frames(const Graph& graph, const CompileOptions& options, const KvCache& cache,
                    const Batch& batch) {
  const std::uint64_t most = graph.facts().max_frames;
  std::uint64_t frames = 0;
  std::uint64_t states = 0;
  for (std::size_t i = 0; i < batch.encoded.size(); ++i) {
    const EncodedFrames& encoded = batch.encoded[i];
    if (most == 0) return bad_step("the model has no encoder for frames");
    if (encoded.sequence >= cache.options().max_sequences) {
      return unknown_sequence(cache, encoded.sequence);
    }
    if (encoded.frames == 0 || encoded.frames > most) {
      return bad_step(cat("sequence ", encoded.sequence, " has ", encoded.frames,
                          " frames, the encoder takes 1 to ", most));
    }
    if (cache.length(encoded.sequence) > 0) {
      return bad_step(cat("sequence ", encoded.sequence, " holds tokens already, which belong to ",
                          "other frames"));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (batch.encoded[j].sequence == encoded.sequence) {
        return bad_step(cat("sequence ", encoded.sequence, " has frames twice"));
      }
    }
    frames += encoded.frames;
    states += graph.facts().states_of(encoded.frames);
  }
  const RowCounts largest = largest_step(graph, options);
  if (frames <= largest.frames && states <= largest.states) return {};
  return bad_step(cat(frames, " frames of ", batch.encoded.size(), " sequences are more than the ",
                      largest.frames, " the model was compiled for"));
}

Status check_sequences(const Graph& graph, const KvCache& cache, const Batch& batch) {
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const SequenceId sequence = batch.sequences[begin];
    if (sequence >= cache.options().max_sequences) return unknown_sequence(cache, sequence);
    const bool encodes =
        std::any_of(batch.encoded.begin(), batch.encoded.end(),
                    [&](const EncodedFrames& encoded) { return encoded.sequence == sequence; });
    if (graph.facts().max_frames > 0 && !encodes && cache.states(sequence) == 0) {
      return bad_step(cat("sequence ", sequence, " has no frames to attend to"));
    }
    const auto seen = batch.sequences.subspan(0, begin);
    if (std::find(seen.begin(), seen.end(), sequence) != seen.end()) {
      return bad_step(cat("the tokens of sequence ", sequence, " are not adjacent"));
    }
    const std::int64_t held = cache.length(sequence);
    for (std::size_t i = begin; i < end; ++i) {
      const std::int64_t expected = held + static_cast<std::int64_t>(i - begin);
      if (batch.positions[i] != expected) {
        return bad_step(cat("token ", i, " of the step has position ", batch.positions[i],
                            ", sequence ", sequence, " goes on at ", expected));
      }
    }
    begin = end;
  }
  return {};
}

bool follows_from_step(const Value& input) {
  return input.name == "token_ids" || input.name == "positions" || input.name == "state_positions";
}

Status check_inputs(const Graph& graph, const Batch& batch) {
  std::uint64_t frames = 0;
  for (const EncodedFrames& encoded : batch.encoded) frames += encoded.frames;
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    if (follows_from_step(value)) continue;
    const std::uint64_t rows = value.type.rows == Rows::frames ? frames : batch.tokens();
    if (rows == 0) continue;
    const auto input =
        std::find_if(batch.inputs.begin(), batch.inputs.end(),
                     [&](const BatchInput& candidate) { return candidate.name == value.name; });
    if (input == batch.inputs.end()) return bad_step(cat("input ", value.name, " is missing"));
    const std::uint64_t elements =
        value.type.element == Element::f32 ? input->f32.size() : input->i32.size();
    const std::uint64_t features = value.type.features;
    const bool known = value.type.rows == Rows::tokens || value.type.rows == Rows::frames;
    if (!known || features == 0 || elements % features != 0 || elements / features != rows) {
      return bad_step(cat("input ", value.name, " has ", elements, " elements, which are not ",
                          rows, " ", name_of(value.type.rows), " x ", features));
    }
  }
  return {};
}

}  // namespace

Status check_step(const Graph& graph, const CompileOptions& options, const KvCache& cache,
                  const Batch& batch) {
  APR_TRY(check_sizes(options, batch));
  APR_TRY(check_frames(graph, options, cache, batch));
  APR_TRY(check_sequences(graph, cache, batch));
  const std::uint32_t vocab_size = graph.facts().vocab_size;
  for (const TokenId id : batch.token_ids) {
    if (id < 0 || static_cast<std::uint32_t>(id) >= vocab_size) {
      return bad_step(cat("token id ", id, " is outside the vocabulary of ", vocab_size));
    }
  }
  return check_inputs(graph, batch);
}

RowCounts largest_step(const Graph& graph, const CompileOptions& options) {
  const ModelFacts& facts = graph.facts();
  RowCounts most;
  most.tokens = most.sequences = options.max_tokens;
  most.logit_rows = options.max_logit_rows;
  if (facts.max_frames == 0) return most;
  most.frames = std::max(options.max_frames, facts.max_frames);
  // Every sequence rounds up.
  most.states = facts.states_of(most.frames) + most.frames / facts.max_frames;
  return most;
}

Status fill_input(const Graph& graph, const Value& input, const Batch& batch, const RowsView& to) {
  if (to.rows == 0) return {};
  if (input.name == "token_ids") {
    std::copy(batch.token_ids.begin(), batch.token_ids.end(), to.i32);
    return {};
  }
  if (input.name == "positions") {
    std::copy(batch.positions.begin(), batch.positions.end(), to.i32);
    return {};
  }
  if (input.name == "state_positions") {
    std::int32_t* next = to.i32;
    for (const EncodedFrames& encoded : batch.encoded) {
      const auto states = static_cast<std::int32_t>(graph.facts().states_of(encoded.frames));
      for (std::int32_t position = 0; position < states; ++position) *next++ = position;
    }
    return {};
  }
  const auto given =
      std::find_if(batch.inputs.begin(), batch.inputs.end(),
                   [&](const BatchInput& candidate) { return candidate.name == input.name; });
  if (given == batch.inputs.end()) {
    return make_error(ErrorCode::inference, cat("input ", input.name, " is missing"));
  }
  if (to.f32 != nullptr) std::copy(given->f32.begin(), given->f32.end(), to.f32);
  if (to.i32 != nullptr) std::copy(given->i32.begin(), given->i32.end(), to.i32);
  return {};
}

void report_value(const Graph& graph, const Value& value, const Batch& batch, const KvCache& cache,
                  const RowCounts& counts, const float* data, TapSink& sink) {
  const std::uint64_t rows = counts.of(value.type.rows);
  const std::uint64_t features = value.type.features;
  if (rows == 0) return;
  if (!is_pairs(value.type.rows)) {
    sink.on_value(value.name, rows, features, {data, static_cast<std::size_t>(rows * features)});
    return;
  }
  for (const RowSegment& segment : segments_of(graph, batch, cache, value.type.rows)) {
    const std::uint64_t queries = features * segment.rows;
    const auto size = static_cast<std::size_t>(queries * segment.keys);
    sink.on_value(value.name, queries, segment.keys, {data, size});
    data += size;
  }
}

bool has_work(const Graph& graph, const Node& node, const RowCounts& counts) {
  if (counts.of(graph.value(node.outputs.front()).type.rows) > 0) return true;
  return node.cache && graph.caches()[*node.cache].cross && counts.states > 0;
}

Result<std::vector<ValueId>> resolve_taps(const Graph& graph, std::span<const std::string> taps) {
  std::vector<bool> wanted(graph.values().size(), false);
  const auto tappable = [&](ValueId id) {
    const Value& value = graph.value(id);
    return value.producer.has_value() && value.type.element == Element::f32;
  };
  for (const std::string& tap : taps) {
    if (tap == "*") {
      for (ValueId id = 0; id < wanted.size(); ++id) wanted[id] = wanted[id] || tappable(id);
      continue;
    }
    const auto id = graph.find_value(tap);
    if (!id || !tappable(*id)) {
      return make_error(ErrorCode::not_found, cat("the model has no value named ", tap), {},
                        "the names are those of its nodes, as apr graph and apr trace print them");
    }
    wanted[*id] = true;
  }
  std::vector<ValueId> ids;
  for (ValueId id = 0; id < wanted.size(); ++id) {
    if (wanted[id]) ids.push_back(id);
  }
  return ids;
}

}  // namespace apr
