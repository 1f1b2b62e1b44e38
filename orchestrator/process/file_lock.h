// A file that one at a time holds.
#pragma once

#include <string>
#include <utility>

#include "core/base/result.h"
#include "orchestrator/process/descriptor.h"

namespace apr {

/// Held while something is changed that several processes share: by one process and one thread at a
/// time. A thread that holds one must not take the same again. Goes with its process, however that
/// ends.
class FileLock {
 public:
  /// Waits for whoever has it. Makes the file if need be. What is held is the file that lies at
  /// `path` then: it may be written and moved away, and the next makes another.
  static Result<FileLock> take(const std::string& path);

 private:
  explicit FileLock(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
};

}  // namespace apr
