// How the next token is chosen: the parameters that run and chat share. docs/sampling.md explains
// them.
#pragma once

#include <vector>

#include "core/runtime/model.h"
#include "core/runtime/sampler.h"
#include "orchestrator/schema/schema.h"

namespace apr {

void add_sampling_params(std::vector<Param>& params);
/// Refuses values out of range, ids outside the vocabulary, and settings that would do nothing.
Result<SamplerOptions> sampling_options(const Values& params, const Model& model);

}  // namespace apr
