#include "orchestrator/stages/step_tokens.h"

#include <algorithm>
#include <numeric>

namespace apr {

namespace {

constexpr std::string_view kTokenTypes = "token_types";

}  // namespace

bool takes_token_types(const Graph& graph) {
  return std::ranges::any_of(graph.inputs(),
                             [&](ValueId id) { return graph.value(id).name == kTokenTypes; });
}

void StepTokens::add(SequenceId sequence, std::uint32_t position, std::span<const TokenId> ids,
                     std::span<const std::int32_t> types) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids_.push_back(ids[i]);
    types_.push_back(i < types.size() ? types[i] : 0);
    positions_.push_back(static_cast<std::int32_t>(position + i));
    sequences_.push_back(sequence);
  }
}

Result<std::span<const float>> StepTokens::run(Session& session, const StepSinks& sinks) const {
  const Graph& graph = session.executable().graph();
  std::vector<std::uint32_t> rows(graph.facts().causal ? ids_.size() : 0);
  std::iota(rows.begin(), rows.end(), 0U);
  const BatchInput types{kTokenTypes, {}, types_};
  Batch batch{ids_, positions_, sequences_, rows};
  if (takes_token_types(graph)) batch.inputs = {&types, 1};
  return session.step(batch, sinks);
}

}  // namespace apr
