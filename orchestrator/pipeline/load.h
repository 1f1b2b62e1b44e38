// From a file on disk to a checked pipeline.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "orchestrator/pipeline/check.h"
#include "orchestrator/pipeline/diagnostic.h"
#include "orchestrator/pipeline/pipeline.h"
#include "orchestrator/pipeline/values.h"

namespace apr::pipeline {

struct LoadedPipeline {
  Pipeline pipeline;
  ParamValues params;
  CheckedPipeline checked;  ///< points into `pipeline`
  Diagnostics diagnostics;
};

/// An Error means that the file cannot be read as YAML or a `--set` word is wrong; everything else
/// that is wrong is in the diagnostics. Paths among `sets` are relative to the current folder.
Result<std::unique_ptr<LoadedPipeline>> load_pipeline(const std::string& file,
                                                      const std::vector<std::string>& sets,
                                                      const VerbTable& verbs);

/// The same from a text; `folder` is what paths in it are relative to.
Result<std::unique_ptr<LoadedPipeline>> load_pipeline_text(std::string_view text,
                                                           const std::string& file,
                                                           const std::string& folder,
                                                           const std::vector<std::string>& sets,
                                                           const VerbTable& verbs);

}  // namespace apr::pipeline
