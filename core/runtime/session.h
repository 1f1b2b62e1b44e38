// Session: running sequences over one executable and one cache.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/runtime/backend.h"
#include "core/runtime/batch.h"
#include "core/runtime/kv_cache.h"

namespace apr {

/// Not safe for use by two threads at once.
class APR_API Session {
 public:
  /// `context` positions per sequence.
  static Result<Session> create(std::shared_ptr<Executable> executable, std::uint32_t context,
                                std::uint32_t max_sequences = 1);

  /// Gives a sequence the frames its encoder shall see: frames × features numbers, as the graph's
  /// input of Rows::frames has them. The sequence must hold no tokens.
  Status encode(SequenceId sequence, std::span<const float> frames, const StepSinks& sinks = {});
  /// Makes `to` hold the tokens and states that `from` holds; what `to` held is forgotten.
  Status copy(SequenceId from, SequenceId to) { return cache_.copy(from, to); }

  /// Appends tokens to one sequence, in steps of at most the executable's max_tokens, and returns
  /// the logits of the last token (vocab_size floats, valid until the next call). Of a model that
  /// is not causal it returns a row for every token; the tokens are a whole sequence, which is
  /// forgotten again.
  Result<std::span<const float>> append(SequenceId sequence, std::span<const TokenId> tokens,
                                        const StepSinks& sinks = {});
  /// The same with the logits of every token: tokens × vocab_size. At most max_logit_rows tokens.
  Result<std::span<const float>> append_all_logits(SequenceId sequence,
                                                   std::span<const TokenId> tokens,
                                                   const StepSinks& sinks = {});
  /// Any step: reserves, runs, commits. Positions must continue each sequence. If a step with
  /// frames fails, the sequences that they belong to hold no states.
  Result<std::span<const float>> step(const Batch& batch, const StepSinks& sinks = {});

  std::uint32_t length(SequenceId sequence) const { return cache_.length(sequence); }
  std::uint32_t states(SequenceId sequence) const { return cache_.states(sequence); }
  Status truncate(SequenceId sequence, std::uint32_t length) {
    return cache_.truncate(sequence, length);
  }
  void release(SequenceId sequence) { cache_.release(sequence); }
  std::uint32_t context() const { return context_; }
  Executable& executable() { return *executable_; }
  const KvCache& cache() const { return cache_; }

 private:
  Session(std::shared_ptr<Executable> executable, KvCache cache, std::uint32_t context);
  Result<std::span<const float>> append_rows(SequenceId sequence, std::span<const TokenId> tokens,
                                             bool all_logits, const StepSinks& sinks);
  std::shared_ptr<Executable> executable_;
  KvCache cache_;
  std::uint32_t context_ = 0;
  std::vector<std::int32_t> positions_;
  std::vector<SequenceId> sequences_;
  std::vector<std::uint32_t> rows_;
};

}  // namespace apr
