#include "orchestrator/pipeline/gc.h"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "core/base/cat.h"
#include "core/platform/file.h"

namespace apr::pipeline {
namespace {

/// Bytes that removing a folder frees: a file that has another name elsewhere stays.
std::uint64_t freed_by(const std::string& path) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  for (std::filesystem::recursive_directory_iterator it(path, failed), end; it != end && !failed;
       it.increment(failed)) {
    struct stat status{};
    if (::lstat(it->path().c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_nlink == 1) {
      bytes += static_cast<std::uint64_t>(status.st_size);
    }
  }
  return bytes;
}

struct PipelineRuns {
  std::size_t seen = 0;
  bool good = false;  ///< a successful one is kept
};

}  // namespace

Result<Garbage> find_garbage(const State& state, std::size_t keep) {
  Garbage garbage;
  const std::string runs = cat(state.folder(), "/runs");
  APR_ASSIGN(const FileStatus there, file_status(state.folder()));
  if (there.kind != FileKind::folder) {
    return make_error(ErrorCode::not_found, "there is no state folder", state.folder(),
                      "nothing has been run here, or name the folder with --state");
  }
  std::map<std::string, PipelineRuns> pipelines;
  std::set<std::string> used;
  const auto ids = list_folder(runs);
  if (ids) {
    for (auto id = ids->rbegin(); id != ids->rend(); ++id) {
      const Json run = state.run(*id);
      PipelineRuns& seen = pipelines[run["pipeline"].as_string()];
      const bool good = run["state"].as_string() == "ok";
      const bool kept = !run.is_null() && (seen.seen < keep || (good && !seen.good));
      ++seen.seen;
      if (!kept) {
        const std::string path = cat(runs, "/", *id);
        garbage.items.push_back({Leftover::Kind::run, *id, path, freed_by(path)});
        continue;
      }
      seen.good = seen.good || good;
      ++garbage.kept_runs;
      for (const Json& key : run["keys"].as_array()) used.insert(key.as_string());
    }
  }
  const auto keys = list_folder(state.cache_folder());
  if (keys) {
    for (const std::string& key : *keys) {
      if (used.contains(key)) {
        ++garbage.kept_results;
        continue;
      }
      const std::string path = cat(state.cache_folder(), "/", key);
      garbage.items.push_back({Leftover::Kind::result, key, path, freed_by(path)});
    }
  }
  return garbage;
}

}  // namespace apr::pipeline
