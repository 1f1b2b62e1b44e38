#include "orchestrator/process/fresh_folder.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/base/cat.h"

namespace apr {

Result<FreshFolder> FreshFolder::create(std::string_view prefix) {
  // Asks $TMPDIR, too, and falls back where that is empty.
  std::error_code failed;
  const std::string base = std::filesystem::temp_directory_path(failed).string();
  std::string path = cat(base, "/", prefix, "-XXXXXX");
  if (failed || ::mkdtemp(path.data()) == nullptr) {
    const std::string why = failed ? failed.message() : std::strerror(errno);
    return make_error(ErrorCode::io, cat("no temporary folder can be made: ", why), base,
                      "set TMPDIR to a folder that can be written");
  }
  return FreshFolder(std::move(path));
}

FreshFolder::~FreshFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace apr
