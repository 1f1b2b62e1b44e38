// From a recording to the frames that a model's encoder hears.
#pragma once

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/package/package.h"
#include "core/speech/mel.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// The front end that the package's preprocessor_config.json describes, checked against the graph
/// behind it.
Result<LogMel> front_end_of(const Package& package, const Graph& graph);

/// Features of a recording that fits the encoder at once, silence behind it:
/// [max_frames][features].
Result<std::vector<float>> frames_of_recording(RunContext& context, const LogMel& front_end,
                                               const std::string& path);

}  // namespace apr
