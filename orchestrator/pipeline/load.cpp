#include "orchestrator/pipeline/load.h"

#include "core/base/cat.h"
#include "core/platform/file.h"

namespace apr::pipeline {

Result<std::unique_ptr<LoadedPipeline>> load_pipeline_text(std::string_view text,
                                                           const std::string& file,
                                                           const std::string& folder,
                                                           const std::vector<std::string>& sets,
                                                           const VerbTable& verbs) {
  APR_ASSIGN(const YamlNode root, parse_yaml(text, file));
  auto loaded = std::make_unique<LoadedPipeline>();
  loaded->pipeline = read_pipeline(root, file, folder, loaded->diagnostics);
  APR_ASSIGN(loaded->params, param_values(loaded->pipeline, sets, current_folder()));
  loaded->checked = check_pipeline(loaded->pipeline, loaded->params, verbs, loaded->diagnostics);
  return loaded;
}

Result<std::unique_ptr<LoadedPipeline>> load_pipeline(const std::string& file,
                                                      const std::vector<std::string>& sets,
                                                      const VerbTable& verbs) {
  APR_ASSIGN(const FileStatus status, file_status(file));
  if (status.kind == FileKind::missing) {
    return make_error(ErrorCode::not_found, "there is no such pipeline file", file,
                      "name a YAML file, for example pipelines/north-star.yaml");
  }
  if (status.kind != FileKind::file) {
    return make_error(ErrorCode::io, "is not a regular file", file, "name the YAML file itself");
  }
  const YamlLimits limits;
  if (status.size > limits.max_bytes) {
    return make_error(
        ErrorCode::format,
        cat("a pipeline file of ", status.size, " bytes; the limit is ", limits.max_bytes), file,
        "is this the right file?");
  }
  APR_ASSIGN(const std::string text, read_file(file, limits.max_bytes));
  const std::string folder = parent_path(resolve_path(file, current_folder()));
  return load_pipeline_text(text, file, folder, sets, verbs);
}

}  // namespace apr::pipeline
