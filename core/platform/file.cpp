#include "core/platform/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/cat.h"
#include "core/platform/mapping_guard.h"
#include "core/platform/posix.h"

#if !defined(__wasm__)
#include <sys/mman.h>
#endif

namespace apr {

namespace platform {

Error system_error(std::string_view action, std::string_view path) {
  const int number = errno;
  const ErrorCode code = number == ENOENT ? ErrorCode::not_found : ErrorCode::io;
  std::string hint;
  if (number == EACCES || number == EPERM || number == EROFS) hint = "check the permissions";
  if (number == ENOSPC || number == EDQUOT) hint = "free some space or write to another disk";
  if (number == EFBIG)
    hint = "files may not become so large here (`ulimit -f`, or the disk's format)";
  return make_error(code, cat(action, ": ", std::strerror(number)), std::string(path),
                    std::move(hint));
}

Result<Descriptor> open_regular(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    struct stat link{};
    const int reason = errno;
    if (reason == ENOENT && ::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
      return make_error(ErrorCode::not_found, "is a link to a file that does not exist", path);
    }
    errno = reason;
    if (reason == ENOENT) return make_error(ErrorCode::not_found, "no such file", path);
    return system_error("cannot be opened", path);
  }
  APR_TRY(require_regular(info.st_mode, path));
  // Never blocks, even if the path has become a FIFO meanwhile.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return system_error("cannot be opened", path);
  if (::fstat(file.get(), &info) != 0) return system_error("cannot be examined", path);
  APR_TRY(require_regular(info.st_mode, path));
  return file;
}

Status require_regular(unsigned mode, const std::string& path) {
  if (S_ISREG(mode)) return {};
  std::string_view kind = "not a regular file";
  if (S_ISDIR(mode)) kind = "a folder, not a file";
  if (S_ISFIFO(mode)) kind = "a pipe, not a file";
  if (S_ISSOCK(mode)) kind = "a socket, not a file";
  if (S_ISCHR(mode) || S_ISBLK(mode)) kind = "a device, not a file";
  return make_error(ErrorCode::not_found, cat("is ", kind), path);
}

FileStatus to_status(const struct stat& info) {
  FileStatus status;
  status.kind = S_ISREG(info.st_mode)   ? FileKind::file
                : S_ISDIR(info.st_mode) ? FileKind::folder
                                        : FileKind::other;
  status.size = static_cast<std::uint64_t>(info.st_size);
  status.modified_ns = static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
                       static_cast<std::int64_t>(info.st_mtim.tv_nsec);
  status.device = static_cast<std::uint64_t>(info.st_dev);
  status.inode = static_cast<std::uint64_t>(info.st_ino);
  return status;
}

Result<std::size_t> read_some(int descriptor, std::span<std::byte> out, const std::string& path) {
  for (;;) {
    const auto count = ::read(descriptor, out.data(), std::min(out.size(), kMostPerCall));
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return system_error("cannot be read", path);
  }
}

}  // namespace platform

using platform::Descriptor;
using platform::system_error;

Result<FileStatus> file_status(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) return platform::to_status(info);
  if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return FileStatus{};
  return system_error("cannot be examined", path);
}

Result<std::vector<std::string>> list_folder(const std::string& path) {
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return system_error("the folder cannot be listed", path);
  std::vector<std::string> names;
  int reason = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder);
    if (entry == nullptr) {
      reason = errno;
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(folder);
  if (reason != 0) {
    errno = reason;
    return system_error("the folder cannot be listed", path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> read_file(const std::string& path, std::uint64_t limit) {
  APR_ASSIGN(const Descriptor file, platform::open_regular(path));
  const auto too_large = [&](std::uint64_t size) {
    return make_error(ErrorCode::format,
                      cat("has ", size, " bytes; at most ", limit, " are read here"), path);
  };
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return system_error("cannot be examined", path);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > limit) return too_large(size);
  // Files of /proc say size 0, and files may grow: read until the end, whatever was announced.
  std::string text;
  std::size_t used = 0;
  for (;;) {
    if (used > limit) return too_large(used);
    constexpr std::size_t kSlack = 4096;
    text.resize(std::max<std::size_t>(static_cast<std::size_t>(size) + 1, used + kSlack));
    const auto room = std::as_writable_bytes(std::span(text.data() + used, text.size() - used));
    APR_ASSIGN(const std::size_t count, platform::read_some(file.get(), room, path));
    if (count == 0) break;
    used += count;
  }
  text.resize(used);
  return text;
}

Status make_folders(const std::string& path) {
  if (path.empty()) return {};
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::folder) return {};
  if (status.kind != FileKind::missing) {
    return make_error(ErrorCode::io, "is a file where a folder is needed", path);
  }
  const std::string parent = parent_path(path);
  if (!parent.empty() && parent != path) APR_TRY(make_folders(parent));
  if (::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) return {};
  Error error = system_error("the folder cannot be made", path);
  error.code = ErrorCode::io;
  return error;
}

std::string join_path(std::string_view folder, std::string_view name) {
  if (folder.empty() || name.starts_with('/')) return std::string(name);
  if (folder.ends_with('/')) return cat(folder, name);
  return cat(folder, "/", name);
}

namespace {
std::string_view without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}
}  // namespace

std::string parent_path(std::string_view path) {
  path = without_trailing_slashes(path);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {};
  if (slash == 0) return "/";
  return std::string(without_trailing_slashes(path.substr(0, slash)));
}

std::string base_name(std::string_view path) {
  path = without_trailing_slashes(path);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos || path == "/") return std::string(path);
  return std::string(path.substr(slash + 1));
}

Result<std::shared_ptr<const FileMapping>> FileMapping::open(const std::string& path) {
  APR_ASSIGN(const Descriptor file, platform::open_regular(path));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return system_error("cannot be examined", path);
  const std::shared_ptr<FileMapping> mapping(new FileMapping());
  mapping->path_ = path;
  mapping->status_ = platform::to_status(info);
  const std::uint64_t size = mapping->status_.size;
  if (size > SIZE_MAX / 2) {
    return make_error(ErrorCode::unsupported, "is too large for this machine's address space",
                      path);
  }
  if (size == 0) return std::shared_ptr<const FileMapping>(mapping);
#if defined(__wasm__)
  mapping->copy_.resize(static_cast<std::size_t>(size));
  std::size_t used = 0;
  while (used < mapping->copy_.size()) {
    const auto room = std::span(mapping->copy_).subspan(used);
    APR_ASSIGN(const std::size_t count, platform::read_some(file.get(), room, path));
    if (count == 0) return make_error(ErrorCode::io, "became shorter while it was read", path);
    used += count;
  }
  mapping->bytes_ = mapping->copy_;
#else
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (start == MAP_FAILED) return system_error("cannot be mapped", path);
  mapping->bytes_ = {static_cast<const std::byte*>(start), static_cast<std::size_t>(size)};
  platform::enter_mapping(mapping->bytes_);
#endif
  return std::shared_ptr<const FileMapping>(mapping);
}

FileMapping::~FileMapping() {
#if !defined(__wasm__)
  if (!bytes_.empty()) {
    platform::leave_mapping(bytes_);
    ::munmap(const_cast<void*>(static_cast<const void*>(bytes_.data())), bytes_.size());
  }
#endif
}

Status FileMapping::check_unchanged() const {
  APR_ASSIGN(const FileStatus now, file_status(path_));
  const bool same = now.kind == FileKind::file && now.size == status_.size &&
                    now.modified_ns == status_.modified_ns && now.inode == status_.inode &&
                    now.device == status_.device;
  if (same) return {};
  return make_error(ErrorCode::io, "the file changed while it was in use", path_,
                    "run the command again when nothing else writes to it");
}

}  // namespace apr
