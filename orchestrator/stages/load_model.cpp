#include "orchestrator/stages/load_model.h"

#include <utility>

#include "core/base/cat.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"

namespace apr {

Param backend_param() {
  Param param = text_param("backend", "NAME", "what computes: cpu, reference, or a plugin's");
  param.fallback = Json("cpu");
  param.section = "Computing";
  return param;
}

Param mode_param(Mode fallback) {
  Param param;
  param.name = "mode";
  param.type = ParamType::choice;
  param.choices = {"exact", "deterministic", "fast"};
  param.fallback = Json(name_of(fallback));
  param.section = "Computing";
  param.help =
      "exact: float32 throughout; deterministic: activations may be rounded to 8 bits before "
      "quantized weights; fast: kernels may also depend on the batch";
  return param;
}

Param allow_synthetic_param() {
  Param param =
      flag_param("allow-synthetic", "accept a model whose weights are made up, not trained");
  param.section = "Computing";
  return param;
}

Result<Model> load_model(RunContext& context, Package package, CompileOptions compile) {
  const auto mode = mode_from_name(context.params.text("mode"));
  if (!mode) return make_error(ErrorCode::usage, "unknown --mode");
  compile.mode = *mode;
  compile.team = std::make_shared<Team>(context.threads);
  ModelOptions options;
  options.backend = context.params.text("backend");
  options.compile = std::move(compile);
  options.allow_synthetic = context.params.flag("allow-synthetic");
  return Model::load(std::move(package), context.registry(), options);
}

Result<Model> load_model(RunContext& context, const std::string& path, CompileOptions compile) {
  APR_ASSIGN(Package package, open_any(context, path));
  return load_model(context, std::move(package), std::move(compile));
}

Status require_causal(const Graph& graph, const std::string& path, std::string_view verb) {
  const ModelFacts& facts = graph.facts();
  const auto refuse = [&](std::string_view what, std::string_view hint) {
    return make_error(ErrorCode::unsupported,
                      cat("apr ", verb, " works with models that continue a text; ",
                          facts.architecture, " ", what),
                      path, std::string(hint));
  };
  if (facts.max_frames > 0) {
    return refuse("hears a recording and writes down what is said in it",
                  "`apr transcribe MODEL AUDIO` does that");
  }
  if (!facts.causal) {
    return refuse("encodes whole texts and predicts no next token",
                  "`apr embeddings MODEL TEXT` gives what it makes of a text");
  }
  return {};
}

}  // namespace apr
