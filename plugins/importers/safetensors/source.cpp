#include "plugins/importers/safetensors/source.h"

#include <algorithm>
#include <string_view>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "core/formats/hugging_face.h"
#include "core/platform/file.h"

namespace apr::safetensors_import {

namespace {

constexpr std::string_view kSuffix = ".safetensors";
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// "model-00001-of-00003.safetensors".
bool is_shard_name(std::string_view name) {
  const auto of = name.find("-of-");
  return of != std::string_view::npos && name.ends_with(kSuffix) && name.find('-') < of;
}

bool is_pickle_name(std::string_view name) {
  return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") ||
         name.ends_with(".ckpt") || name.ends_with(".pkl");
}

Error no_weights(const std::string& folder, const std::vector<std::string>& names) {
  const auto pickle = std::ranges::find_if(names, is_pickle_name);
  if (pickle != names.end()) {
    return make_error(ErrorCode::unsupported,
                      cat("has its weights in ", *pickle,
                          ", a Python pickle; opening one can run any code, so it is not read"),
                      folder, "save the model with safe_serialization=True and import that");
  }
  const auto gguf =
      std::ranges::find_if(names, [](std::string_view name) { return name.ends_with(".gguf"); });
  if (gguf != names.end()) {
    return make_error(ErrorCode::unsupported,
                      cat("holds no .safetensors file, but ", *gguf, ", which is not read"), folder,
                      "import the checkpoint that it was made from");
  }
  return make_error(
      ErrorCode::not_found, "the folder holds no .safetensors file", folder,
      "a checkpoint is a folder with config.json, model.safetensors and tokenizer.json");
}

Result<Source> find_in_folder(const std::string& folder) {
  APR_ASSIGN(const std::vector<std::string> names, list_folder(folder));
  Source source;
  source.folder = folder;
  if (contains(names, kWeightsIndexFile)) {
    source.index = join_path(folder, kWeightsIndexFile);
    return source;
  }
  if (contains(names, kWeightsFile)) {
    source.weights.push_back(join_path(folder, kWeightsFile));
    return source;
  }
  std::vector<std::string> found;
  std::ranges::copy_if(names, std::back_inserter(found),
                       [](std::string_view name) { return name.ends_with(kSuffix); });
  if (found.empty()) return no_weights(folder, names);
  if (found.size() > 1) {
    const bool shards = std::ranges::all_of(found, is_shard_name);
    return make_error(
        ErrorCode::not_found,
        shards ? cat("holds shards and no ", kWeightsIndexFile, " that says what is where")
               : cat("holds several .safetensors files: ", join_names(found)),
        folder, shards ? "fetch the index file too" : "name the one to import");
  }
  source.weights.push_back(join_path(folder, found.front()));
  return source;
}

}  // namespace

Result<Source> find_source(const std::string& path) {
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::folder) return find_in_folder(path);
  Source source;
  source.folder = parent_path(path);
  if (path.ends_with(kIndexSuffix)) {
    source.index = path;
    return source;
  }
  const std::string name = base_name(path);
  if (status.kind == FileKind::file && is_shard_name(name)) {
    const std::string index = join_path(source.folder, kWeightsIndexFile);
    APR_ASSIGN(const FileStatus index_status, file_status(index));
    if (index_status.kind == FileKind::file) {
      return make_error(ErrorCode::usage, "is one shard of a model in several files", path,
                        cat("import the folder, or ", index));
    }
  }
  source.weights.push_back(path);
  return source;
}

}  // namespace apr::safetensors_import
