#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/file.h"
#include "core/platform/posix.h"
#include "core/platform/temporary.h"

namespace apr {

using platform::Descriptor;

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
constexpr std::size_t kLongestStem = 100;

/// A failed write is an I/O error, also where errno says "no such file" of a folder that vanished.
Error write_error(std::string_view action, std::string_view path) {
  Error error = platform::system_error(action, path);
  error.code = ErrorCode::io;
  return error;
}

/// A name beside `path` that nobody else uses: ".model.apr.apr-tmp-0123456789abcdef".
std::string temporary_name(const std::string& path) {
  static std::atomic<std::uint64_t> counter{0};
  std::uint64_t seed = monotonic_ns() + counter.fetch_add(1) * 0x9E3779B97F4A7C15u;
#if !defined(__wasm__)
  seed ^= static_cast<std::uint64_t>(::getpid()) << 40;
#endif
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(seed));
  const std::string stem = base_name(path).substr(0, kLongestStem);
  return join_path(parent_path(path), cat(".", stem, ".apr-tmp-", std::string_view(digits)));
}

/// The file that a link leads to, so that writing through a link keeps the link.
std::string resolved(const std::string& path) {
#if !defined(__wasm__)
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
    if (char* real = ::realpath(path.c_str(), nullptr)) {
      std::string target = real;
      std::free(real);
      return target;
    }
  }
#endif
  return path;
}

Status check_parent(const std::string& path) {
  const std::string parent = parent_path(path);
  if (parent.empty()) return {};
  APR_ASSIGN(const FileStatus status, file_status(parent));
  if (status.kind == FileKind::folder) return {};
  if (status.kind == FileKind::missing) {
    return make_error(ErrorCode::not_found, cat("the folder ", parent, " does not exist"), path,
                      "make it first");
  }
  return make_error(ErrorCode::io, cat(parent, " is not a folder"), path);
}

/// Makes a rename durable. Filesystems that cannot flush a folder say so with EINVAL; that is fine.
Status flush_folder(const std::string& path) {
  std::string parent = parent_path(path);
  if (parent.empty()) parent.push_back('.');
  const Descriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return {};  // a folder may be writable without being readable
  if (::fsync(folder.get()) != 0 && errno == EIO) return write_error("cannot be flushed", parent);
  return {};
}

Status write_all(int descriptor, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const std::size_t most = std::min(bytes.size(), platform::kMostPerCall);
    const auto count = ::write(descriptor, bytes.data(), most);
    if (count < 0) {
      if (errno == EINTR) continue;
      return write_error("cannot be written", path);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

/// Puts the temporary file in place without replacing what appeared there meanwhile.
Status move_into_place(const std::string& from, const std::string& to, bool overwrite) {
#if !defined(__wasm__)
  if (!overwrite) {
    if (::link(from.c_str(), to.c_str()) == 0) {
      ::unlink(from.c_str());
      return {};
    }
    if (errno == EEXIST) return check_writable_target(to, false);
  }
#endif
  APR_TRY(check_writable_target(to, overwrite));  // filesystems without hard links
  if (::rename(from.c_str(), to.c_str()) != 0) return write_error("cannot be put in place", to);
  return {};
}

}  // namespace

Status check_writable_target(const std::string& path, bool overwrite) {
  if (path.empty()) return make_error(ErrorCode::usage, "the name of the output is empty");
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::missing) return {};
  if (status.kind == FileKind::other) {
    return make_error(ErrorCode::io,
                      "is a device or pipe; outputs are moved into place whole and need a file",
                      path, "write to a file, then copy it there");
  }
  if (overwrite) return {};
  return make_error(ErrorCode::validation, "already exists", path, "pass --force to replace it");
}

Result<AtomicFile> AtomicFile::create(const std::string& path, bool overwrite) {
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::folder) {
    return make_error(ErrorCode::validation, "is a folder; the output is a file", path,
                      "name a file in it");
  }
  APR_TRY(check_writable_target(path, overwrite));
  APR_TRY(check_parent(path));
  AtomicFile file;
  file.path_ = resolved(path);
  file.overwrite_ = overwrite;
  constexpr int kAttempts = 16;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    file.temporary_ = temporary_name(file.path_);
    const Status opened = file.open_temporary();
    if (opened) return file;
    if (errno != EEXIST) return opened.error();
  }
  return make_error(ErrorCode::io, "no free name for a temporary file", path);
}

Status AtomicFile::open_temporary() {
  slot_ = platform::enter_temporary(temporary_, platform::TemporaryKind::file);
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ >= 0) return {};
  const int reason = errno;
  platform::leave_temporary(std::exchange(slot_, -1));
  errno = reason;
  Status failed = write_error("cannot be created", path_);
  errno = reason;
  return failed;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept {
  *this = std::move(other);
}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  discard();
  path_ = std::move(other.path_);
  temporary_ = std::move(other.temporary_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  slot_ = std::exchange(other.slot_, -1);
  overwrite_ = other.overwrite_;
  size_ = std::exchange(other.size_, 0);
  buffer_ = std::move(other.buffer_);
  return *this;
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
  platform::leave_temporary(std::exchange(slot_, -1));
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) return make_error(ErrorCode::generic, "is not open for writing", path_);
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() <= kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }
  APR_TRY(flush());
  if (bytes.size() >= kBufferBytes) return write_all(descriptor_, bytes, path_);
  buffer_.assign(bytes.begin(), bytes.end());
  return {};
}

Status AtomicFile::write(std::string_view text) {
  return write(std::as_bytes(std::span(text.data(), text.size())));
}

Status AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (offset > size_ || bytes.size() > size_ - offset) {
    return make_error(ErrorCode::generic, "bytes to be replaced were not written yet", path_);
  }
  APR_TRY(flush());
  while (!bytes.empty()) {
    const std::size_t most = std::min(bytes.size(), platform::kMostPerCall);
    const auto count = ::pwrite(descriptor_, bytes.data(), most, static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      return write_error("cannot be written", path_);
    }
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Status AtomicFile::flush() {
  if (descriptor_ < 0) return make_error(ErrorCode::generic, "is not open for writing", path_);
  Status written = write_all(descriptor_, buffer_, path_);
  buffer_.clear();
  return written;
}

Status AtomicFile::commit() {
  APR_TRY(flush());
  if (::fsync(descriptor_) != 0) return write_error("cannot be flushed to the disk", path_);
  const bool in_folder = temporary_ == path_;
  if (!in_folder) {
    APR_TRY(move_into_place(temporary_, path_, overwrite_));
    platform::leave_temporary(slot_);
  }
  slot_ = -1;  // inside a folder the entry stays until the folder is done
  ::close(std::exchange(descriptor_, -1));
  return in_folder ? Status{} : flush_folder(path_);
}

namespace {

/// Every file in the folder and in its folders must be one that the new folder may replace.
Status check_replaceable(const std::string& path, std::span<const std::string> names,
                         const std::string& within,
                         const std::function<bool(std::string_view)>& replaceable) {
  for (const std::string& plain : names) {
    const std::string name = join_path(within, plain);
    APR_ASSIGN(const FileStatus inside, file_status(join_path(path, name)));
    if (inside.kind == FileKind::file && replaceable(name)) continue;
    if (inside.kind == FileKind::folder && within.empty()) {
      APR_ASSIGN(const std::vector<std::string> deeper, list_folder(join_path(path, name)));
      if (!deeper.empty()) {
        APR_TRY(check_replaceable(path, deeper, name, replaceable));
        continue;
      }
    }
    return make_error(ErrorCode::validation,
                      cat("the folder holds '", name, "', which this command would not write"),
                      path, "choose another folder, or move that file away");
  }
  return {};
}

}  // namespace

Result<AtomicFolder> AtomicFolder::create(
    const std::string& path, bool overwrite,
    const std::function<bool(std::string_view)>& replaceable) {
  if (path.empty()) return make_error(ErrorCode::usage, "the name of the output folder is empty");
  APR_TRY(check_parent(path));
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::file || status.kind == FileKind::other) {
    return make_error(ErrorCode::validation, "is a file; the output is a folder", path);
  }
  if (status.kind == FileKind::folder) {
    APR_ASSIGN(const std::vector<std::string> names, list_folder(path));
    if (!names.empty() && !overwrite) {
      return make_error(ErrorCode::validation, "the folder already exists and is not empty", path,
                        "pass --force to replace it");
    }
    APR_TRY(check_replaceable(path, names, {}, replaceable));
  }
  AtomicFolder folder;
  folder.path_ = resolved(path);
  while (folder.path_.size() > 1 && folder.path_.ends_with('/')) folder.path_.pop_back();
  folder.temporary_ = temporary_name(folder.path_);
  const int slot = platform::enter_temporary(folder.temporary_, platform::TemporaryKind::folder);
  if (::mkdir(folder.temporary_.c_str(), 0777) != 0) {
    const Error error = write_error("the folder cannot be made", path);
    platform::leave_temporary(slot);
    return error;
  }
  folder.slot_ = slot;
  return folder;
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept {
  *this = std::move(other);
}

AtomicFolder& AtomicFolder::operator=(AtomicFolder&& other) noexcept {
  if (this == &other) return *this;
  discard();
  path_ = std::move(other.path_);
  temporary_ = std::exchange(other.temporary_, {});
  slot_ = std::exchange(other.slot_, -1);
  inner_ = std::exchange(other.inner_, {});
  return *this;
}

AtomicFolder::~AtomicFolder() {
  discard();
}

namespace {
/// Removes a folder made of files only.
void remove_flat_folder(const std::string& path) {
  if (const auto names = list_folder(path)) {
    for (const std::string& name : *names) ::unlink(join_path(path, name).c_str());
  }
  ::rmdir(path.c_str());
}
/// Removes a folder made of files, and of folders made of files only.
void remove_shallow_folder(const std::string& path) {
  if (const auto names = list_folder(path)) {
    for (const std::string& name : *names) {
      const std::string inner = join_path(path, name);
      if (::unlink(inner.c_str()) != 0) remove_flat_folder(inner);
    }
  }
  ::rmdir(path.c_str());
}
}  // namespace

void AtomicFolder::discard() noexcept {
  if (temporary_.empty()) return;
  remove_shallow_folder(temporary_);
  platform::leave_temporaries_in(temporary_);
  platform::leave_temporary(std::exchange(slot_, -1));
  temporary_.clear();
}

Result<AtomicFile> AtomicFolder::create_file(std::string_view name) {
  if (const std::size_t slash = name.find('/'); slash != name.npos) {
    std::string inner = join_path(temporary_, name.substr(0, slash));
    if (std::find(inner_.begin(), inner_.end(), inner) == inner_.end()) {
      platform::enter_temporary(inner, platform::TemporaryKind::folder);
      if (::mkdir(inner.c_str(), 0777) != 0) return write_error("the folder cannot be made", inner);
      inner_.push_back(std::move(inner));
    }
  }
  AtomicFile file;
  file.path_ = join_path(temporary_, name);
  file.temporary_ = file.path_;
  APR_TRY(file.open_temporary());
  return file;
}

Status AtomicFolder::commit() {
  if (temporary_.empty()) return make_error(ErrorCode::generic, "is already in place", path_);
  for (const std::string& inner : inner_) APR_TRY(flush_folder(join_path(inner, "x")));
  APR_TRY(flush_folder(join_path(temporary_, "x")));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) return write_error("cannot be put in place", path_);
    // An older output, already checked: put it aside, and delete it only when the new one is in
    // place.
    const std::string aside = temporary_name(path_);
    if (::rename(path_.c_str(), aside.c_str()) != 0) {
      return write_error("cannot be replaced", path_);
    }
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      const Error error = write_error("cannot be put in place", path_);
      ::rename(aside.c_str(), path_.c_str());
      return error;
    }
    remove_shallow_folder(aside);
  }
  platform::leave_temporaries_in(temporary_);
  platform::leave_temporary(std::exchange(slot_, -1));
  temporary_.clear();
  return flush_folder(path_);
}

}  // namespace apr
