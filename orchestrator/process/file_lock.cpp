#include "orchestrator/process/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/base/cat.h"

namespace apr {

Result<FileLock> FileLock::take(const std::string& path) {
  const auto failed = [&](std::string_view what) {
    return make_error(ErrorCode::io, cat("cannot ", what, ": ", std::strerror(errno)), path);
  };
  while (true) {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (file.get() < 0) return failed("write");
    while (::flock(file.get(), LOCK_EX) != 0) {
      if (errno != EINTR) return failed("lock");
    }
    struct stat mine{};
    struct stat there{};
    if (::fstat(file.get(), &mine) != 0) return failed("write");
    const bool same = ::lstat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
                      mine.st_dev == there.st_dev;
    if (same) return FileLock(std::move(file));
  }
}

}  // namespace apr
