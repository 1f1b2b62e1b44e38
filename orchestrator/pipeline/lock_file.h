// The lock file: what a successful run was made of and what it gave, for people to keep in version
// control and for --locked to insist on. JSON, sorted, without times.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "orchestrator/pipeline/job.h"

namespace apr::pipeline {

struct LockFile {
  std::string pipeline;
  std::string apr;                            ///< version
  Json params = Json::object();               ///< as set, text
  std::map<std::string, std::string> inputs;  ///< path relative to the pipeline file -> sha256
  struct Plugin {
    std::string plugin;  ///< "block 0.1.0"
    std::string sha256;
    friend bool operator==(const Plugin&, const Plugin&) = default;
  };
  std::map<std::string, Plugin> plugins;                             ///< "quantizer/block"
  std::map<std::string, std::map<std::string, std::string>> stages;  ///< outputs' digests
  std::map<std::string, std::string> outputs;  ///< declared outputs: name -> sha256

  Json to_json() const;
  static Result<LockFile> read(const std::string& path);
};

/// "pipelines/north-star.yaml" -> "pipelines/north-star.lock".
std::string lock_file_path(const std::string& pipeline_file);
/// How a path is written in a lock file.
std::string lock_path(const std::string& path, const std::string& folder);

/// Differences of what both know: each in one line.
std::vector<std::string> lock_differences(const LockFile& locked, const LockFile& now);

}  // namespace apr::pipeline
