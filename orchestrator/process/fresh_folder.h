// A folder of one's own, removed with all that is in it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.h"

namespace apr {

class FreshFolder {
 public:
  /// In $TMPDIR, else in the system's folder for temporary files; the name begins with `prefix`.
  static Result<FreshFolder> create(std::string_view prefix);
  FreshFolder(FreshFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  FreshFolder& operator=(FreshFolder&&) = delete;
  ~FreshFolder();
  const std::string& path() const { return path_; }

 private:
  explicit FreshFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace apr
