// The schema of a pipeline file as JSON Schema, for editors: completion, help and red lines while
// writing. Made from the same tables that lint uses; lint stays the judge, as references and values
// are beyond a schema.
#pragma once

#include "core/base/json.h"
#include "orchestrator/pipeline/check.h"

namespace apr::pipeline {

/// Draft 7, which editors understand.
Json pipeline_schema(const VerbTable& verbs);

}  // namespace apr::pipeline
