// Loading a model to run it: the parameters that the verbs which do so share.
#pragma once

#include <string>
#include <vector>

#include "core/runtime/model.h"
#include "orchestrator/stages/verb.h"

namespace apr {

Param backend_param();
Param mode_param(Mode fallback);
Param allow_synthetic_param();

/// Compiles with the verb's --backend, --mode and --allow-synthetic. `compile` holds the rest; mode
/// and team are filled in here.
Result<Model> load_model(RunContext& context, Package package, CompileOptions compile);
/// The same for what `path` names.
Result<Model> load_model(RunContext& context, const std::string& path, CompileOptions compile);

/// Fails unless the model continues texts, naming the verb, what the model is (an encoder, or one
/// that needs a recording) and the verb for such models.
Status require_causal(const Graph& graph, const std::string& path, std::string_view verb);
inline Status require_causal(const Model& model, std::string_view verb) {
  return require_causal(model.graph(), model.package().path(), verb);
}

}  // namespace apr
