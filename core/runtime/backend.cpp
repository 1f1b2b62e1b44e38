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
  if (batch.tokens() == 0) return bad_step("there are no tokens");
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

Status check_sequences(const KvCache& cache, const Batch& batch) {
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const SequenceId sequence = batch.sequences[begin];
    if (sequence >= cache.options().max_sequences) {
      return bad_step(cat("sequence ", sequence, " is not one of the ",
                          cache.options().max_sequences, " there is room for"));
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

Status check_inputs(const Graph& graph, const Batch& batch) {
  std::uint64_t frames = 0;
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    if (value.name == "token_ids" || value.name == "positions") continue;
    const auto input =
        std::find_if(batch.inputs.begin(), batch.inputs.end(),
                     [&](const BatchInput& candidate) { return candidate.name == value.name; });
    if (input == batch.inputs.end()) return bad_step(cat("input ", value.name, " is missing"));
    const std::uint64_t elements =
        value.type.element == Element::f32 ? input->f32.size() : input->i32.size();
    const std::uint64_t features = value.type.features;
    bool fits = features > 0 && elements % features == 0;
    if (value.type.rows == Rows::tokens) {
      fits = fits && elements / features == batch.tokens();
    } else if (value.type.rows == Rows::frames) {
      fits = fits && (frames == 0 || elements / features == frames);
      if (fits) frames = elements / features;
    } else {
      fits = false;
    }
    if (!fits) {
      return bad_step(cat("input ", value.name, " has ", elements, " elements, which are not ",
                          name_of(value.type.rows), " x ", features));
    }
  }
  return {};
}

}  // namespace

Status check_step(const Graph& graph, const CompileOptions& options, const KvCache& cache,
                  const Batch& batch) {
  APR_TRY(check_sizes(options, batch));
  APR_TRY(check_sequences(cache, batch));
  const std::uint32_t vocab_size = graph.facts().vocab_size;
  for (const TokenId id : batch.token_ids) {
    if (id < 0 || static_cast<std::uint32_t>(id) >= vocab_size) {
      return bad_step(cat("token id ", id, " is outside the vocabulary of ", vocab_size));
    }
  }
  return check_inputs(graph, batch);
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
