#include "core/runtime/session.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

Session::Session(std::shared_ptr<Executable> executable, KvCache cache, std::uint32_t context)
    : executable_(std::move(executable)), cache_(std::move(cache)), context_(context) {}

Result<Session> Session::create(std::shared_ptr<Executable> executable, std::uint32_t context,
                                std::uint32_t max_sequences) {
  const ModelFacts& facts = executable->graph().facts();
  if (context == 0) return make_error(ErrorCode::usage, "a context of 0 positions holds nothing");
  if (facts.max_position_embeddings > 0 && context > facts.max_position_embeddings) {
    return make_error(ErrorCode::usage,
                      cat("a context of ", context, " positions is more than the ",
                          facts.max_position_embeddings, " the model was made for"),
                      {}, cat("use at most ", facts.max_position_embeddings));
  }
  KvCacheOptions options;
  options.max_sequences = max_sequences;
  options.max_positions = std::uint64_t{context} * max_sequences;
  options.max_states = facts.states_of(facts.max_frames);
  APR_ASSIGN(KvCache cache, KvCache::create(executable->graph().caches(), options));
  return Session(std::move(executable), std::move(cache), context);
}

Result<std::span<const float>> Session::step(const Batch& batch, const StepSinks& sinks) {
  APR_TRY(check_step(executable_->graph(), executable_->options(), cache_, batch));
  const auto undo = [&] {
    for (const EncodedFrames& encoded : batch.encoded) cache_.release(encoded.sequence);
    for (const SequenceId sequence : batch.sequences) {
      // Cutting to the length that is held only gives back what was reserved, which cannot fail.
      (void)cache_.truncate(sequence, cache_.length(sequence));
    }
  };
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const SequenceId sequence = batch.sequences[begin];
    const std::uint64_t length = std::uint64_t{cache_.length(sequence)} + (end - begin);
    Status room;
    if (length > context_) {
      room = make_error(ErrorCode::inference,
                        cat("sequence ", sequence, " would hold ", length,
                            " tokens, and the context has room for ", context_),
                        {}, "use a larger context or a shorter text");
    } else {
      room = cache_.reserve(sequence, static_cast<std::uint32_t>(length));
    }
    if (!room) {
      undo();
      return std::move(room).error();
    }
    begin = end;
  }
  for (const EncodedFrames& encoded : batch.encoded) {
    const std::uint64_t states = executable_->graph().facts().states_of(encoded.frames);
    if (auto room = cache_.set_states(encoded.sequence, states); !room) {
      undo();
      return std::move(room).error();
    }
  }
  auto logits = executable_->run(batch, cache_, sinks);
  if (!logits) {
    undo();
    return logits;
  }
  for (std::size_t begin = 0; begin < batch.tokens();) {
    const std::size_t end = segment_end(batch, begin);
    const auto last = static_cast<std::uint32_t>(batch.positions[end - 1]);
    if (executable_->graph().sees_whole_sequences()) {
      cache_.release(batch.sequences[begin]);
    } else {
      cache_.commit(batch.sequences[begin], last + 1);
    }
    begin = end;
  }
  return logits;
}

Status Session::encode(SequenceId sequence, std::span<const float> frames, const StepSinks& sinks) {
  const Graph& graph = executable_->graph();
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    if (value.type.rows != Rows::frames || value.type.element != Element::f32) continue;
    const std::uint64_t features = value.type.features;
    if (frames.empty() || frames.size() % features != 0 || frames.size() / features > UINT32_MAX) {
      return make_error(ErrorCode::inference,
                        cat(frames.size(), " numbers are not frames of ", features, " features"));
    }
    const BatchInput input{value.name, frames, {}};
    const EncodedFrames encoded{sequence, static_cast<std::uint32_t>(frames.size() / features)};
    Batch batch;
    batch.inputs = {&input, 1};
    batch.encoded = {&encoded, 1};
    APR_TRY(step(batch, sinks));
    return {};
  }
  return make_error(ErrorCode::unsupported, "the model has no encoder for frames");
}

Result<std::span<const float>> Session::append_rows(SequenceId sequence,
                                                    std::span<const TokenId> tokens,
                                                    bool all_logits, const StepSinks& sinks) {
  const std::uint32_t before = cache_.length(sequence);
  if (tokens.empty()) return make_error(ErrorCode::inference, "there are no tokens to append");
  if (tokens.size() > context_ || before + tokens.size() > context_) {
    return make_error(ErrorCode::inference,
                      cat("sequence ", sequence, " holds ", before, " tokens, ", tokens.size(),
                          " more do not fit a context of ", context_),
                      {}, "use a larger context or a shorter text");
  }
  const std::size_t largest = executable_->options().max_tokens;
  if (executable_->graph().sees_whole_sequences() && tokens.size() > largest) {
    return make_error(ErrorCode::inference,
                      cat("the model sees whole sequences only, and was compiled for ", largest,
                          " tokens at a time; there are ", tokens.size()));
  }
  std::span<const float> logits;
  for (std::size_t begin = 0; begin < tokens.size(); begin += largest) {
    const std::size_t count = std::min(largest, tokens.size() - begin);
    const bool last = begin + count == tokens.size();
    positions_.resize(count);
    sequences_.assign(count, sequence);
    rows_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      positions_[i] = static_cast<std::int32_t>(before + begin + i);
      if (all_logits || (last && i + 1 == count)) rows_.push_back(static_cast<std::uint32_t>(i));
    }
    auto result = step({tokens.subspan(begin, count), positions_, sequences_, rows_, {}}, sinks);
    if (!result) {
      // Back to where the call began; after a window has moved on this is not possible, and
      // length() tells what was kept.
      (void)cache_.truncate(sequence, before);
      return result;
    }
    logits = *result;
  }
  return logits;
}

Result<std::span<const float>> Session::append(SequenceId sequence, std::span<const TokenId> tokens,
                                               const StepSinks& sinks) {
  return append_rows(sequence, tokens, false, sinks);
}

Result<std::span<const float>> Session::append_all_logits(SequenceId sequence,
                                                          std::span<const TokenId> tokens,
                                                          const StepSinks& sinks) {
  const CompileOptions& options = executable_->options();
  const std::size_t limit = std::min(options.max_tokens, options.max_logit_rows);
  if (tokens.size() > limit) {
    return make_error(
        ErrorCode::inference,
        cat("the logits of ", tokens.size(), " tokens were asked for, the model was compiled for ",
            limit, " at a time"));
  }
  return append_rows(sequence, tokens, true, sinks);
}

}  // namespace apr
