#include "orchestrator/pipeline/lock_file.h"

#include <filesystem>

#include "core/base/cat.h"
#include "core/platform/file.h"

namespace apr::pipeline {
namespace {

constexpr std::int64_t kLockFormat = 1;

Json from_map(const std::map<std::string, std::string>& map) {
  Json json = Json::object();
  for (const auto& [key, value] : map) json.set(key, value);
  return json;
}

std::map<std::string, std::string> to_map(const Json& json) {
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : json.as_object()) map[key] = value.as_string();
  return map;
}

std::string brief(const std::string& digest) {
  return digest.substr(0, 12);
}

void compare(const std::map<std::string, std::string>& locked,
             const std::map<std::string, std::string>& now, std::string_view what,
             std::vector<std::string>& differences) {
  for (const auto& [name, digest] : now) {
    const auto found = locked.find(name);
    if (found == locked.end()) {
      differences.push_back(cat(what, " ", name, " is not in the lock file"));
    } else if (found->second != digest) {
      differences.push_back(
          cat(what, " ", name, " is ", brief(digest), "…, locked is ", brief(found->second), "…"));
    }
  }
}

}  // namespace

Json LockFile::to_json() const {
  Json json = Json::object();
  json.set("format", kLockFormat);
  json.set("pipeline", pipeline);
  json.set("apr", apr);
  json.set("params", params);
  json.set("inputs", from_map(inputs));
  Json plugin_list = Json::object();
  for (const auto& [name, plugin] : plugins) {
    plugin_list.set(name, Json::object({{"plugin", plugin.plugin}, {"sha256", plugin.sha256}}));
  }
  json.set("plugins", std::move(plugin_list));
  Json stage_list = Json::object();
  for (const auto& [name, digests] : stages) stage_list.set(name, from_map(digests));
  json.set("stages", std::move(stage_list));
  json.set("outputs", from_map(outputs));
  return json;
}

Result<LockFile> LockFile::read(const std::string& path) {
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::missing) {
    return make_error(ErrorCode::not_found, "there is no lock file", path,
                      "a run without --locked writes it");
  }
  APR_ASSIGN(const std::string text, read_file(path, std::uint64_t{16} << 20));
  APR_ASSIGN(const Json json, parse_json(text, path));
  if (json["format"].as_integer() != kLockFormat) {
    return make_error(ErrorCode::format, "this is not a lock file of this version", path,
                      "remove it and run again");
  }
  LockFile lock;
  lock.pipeline = json["pipeline"].as_string();
  lock.apr = json["apr"].as_string();
  if (json["params"].is_object()) lock.params = json["params"];
  lock.inputs = to_map(json["inputs"]);
  for (const auto& [name, plugin] : json["plugins"].as_object()) {
    lock.plugins[name] = {plugin["plugin"].as_string(), plugin["sha256"].as_string()};
  }
  for (const auto& [name, digests] : json["stages"].as_object())
    lock.stages[name] = to_map(digests);
  lock.outputs = to_map(json["outputs"]);
  return lock;
}

std::string lock_file_path(const std::string& pipeline_file) {
  std::filesystem::path path(pipeline_file);
  return path.replace_extension(".lock").string();
}

std::string lock_path(const std::string& path, const std::string& folder) {
  const std::string relative = std::filesystem::path(path).lexically_relative(folder).string();
  return relative.empty() ? path : relative;
}

std::vector<std::string> lock_differences(const LockFile& locked, const LockFile& now) {
  std::vector<std::string> differences;
  if (locked.apr != now.apr) {
    differences.push_back(cat("apr is ", now.apr, ", locked is ", locked.apr));
  }
  for (const auto& [name, value] : now.params.as_object()) {
    if (locked.params[name] != value) {
      differences.push_back(cat("parameter ", name, " is ", value.dump(), ", locked is ",
                                locked.params[name].dump()));
    }
  }
  for (const auto& [name, value] : locked.params.as_object()) {
    if (!now.params.contains(name)) {
      differences.push_back(cat("parameter ", name, " is not set, locked is ", value.dump()));
    }
  }
  compare(locked.inputs, now.inputs, "input", differences);
  for (const auto& [name, plugin] : now.plugins) {
    const auto found = locked.plugins.find(name);
    if (found == locked.plugins.end()) {
      differences.push_back(cat("plugin ", name, " is not in the lock file"));
    } else if (!(found->second == plugin)) {
      differences.push_back(cat("plugin ", name, " is ", plugin.plugin, " (", brief(plugin.sha256),
                                "…), locked is ", found->second.plugin, " (",
                                brief(found->second.sha256), "…)"));
    }
  }
  for (const auto& [name, digests] : now.stages) {
    const auto found = locked.stages.find(name);
    if (found == locked.stages.end()) {
      differences.push_back(cat("stage ", name, " is not in the lock file"));
    } else {
      compare(found->second, digests, cat("output of stage ", name, ":"), differences);
    }
  }
  compare(locked.outputs, now.outputs, "output", differences);
  return differences;
}

}  // namespace apr::pipeline
