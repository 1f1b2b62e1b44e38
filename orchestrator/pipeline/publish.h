// Putting results at their final places.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "orchestrator/pipeline/cache.h"
#include "orchestrator/pipeline/content.h"
#include "orchestrator/pipeline/pipeline.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {

/// Puts a cached output at `target`, complete or not at all: hard links where the file system
/// allows, copies elsewhere, under a temporary name beside the target, then one rename. The
/// temporary name is always the same, so that what a killed process left is removed by the next. A
/// target that already has these bytes is left alone. What was not put there by a pipeline (its
/// digest is not among `ours`) is replaced only with `force`. Returns true if the target was
/// written. One at a time: callers hold `State::lock_places`.
Result<bool> publish(const Output& output, const std::string& target,
                     const std::vector<std::string>& ours, bool force, DigestBook& book);

/// Digests that may lie at a place because runs put them there, or were stopped while they did:
/// from a pipeline's record.
std::vector<std::string> our_digests(const Json& record, const std::string& key);
/// The name of a place in the record: below the pipeline's folder relative to it, so that a folder
/// that is moved or copied still knows what is its own.
std::string place_key(const Pipeline& pipeline, const std::string& target);

/// Writes JSON beside the pipeline: like publish(), it leaves nothing for ever if the process is
/// killed.
Status publish_json(const Json& json, const std::string& target);
/// The same for a text; makes the folder if need be.
Status publish_text(std::string_view text, const std::string& target);

}  // namespace apr::pipeline
