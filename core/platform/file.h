// Files, as the library sees them: read-only mappings and atomic writers. The only folder that
// talks to the operating system; under WASI a mapping is a private copy of the range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"

namespace apr {

enum class FileKind : std::uint8_t { missing, file, folder, other };

struct FileStatus {
  FileKind kind = FileKind::missing;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

/// Follows links. A missing file is a status, not an error; a dangling link is `missing`.
APR_API Result<FileStatus> file_status(const std::string& path);

/// Names in a folder, sorted bytewise, without "." and "..".
APR_API Result<std::vector<std::string>> list_folder(const std::string& path);

/// Reads a whole regular file of at most `limit` bytes.
APR_API Result<std::string> read_file(const std::string& path, std::uint64_t limit);

/// Makes a folder and its parents; an existing folder is fine.
APR_API Status make_folders(const std::string& path);

APR_API std::string join_path(std::string_view folder, std::string_view name);
APR_API std::string parent_path(std::string_view path);
APR_API std::string base_name(std::string_view path);

/// A read-only view of a whole regular file. The bytes stay valid until the object goes; moving it
/// does not move them. The file is opened read-only and never changed.
class APR_API FileMapping {
 public:
  static Result<std::shared_ptr<const FileMapping>> open(const std::string& path);
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;
  ~FileMapping();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  /// An error if size or modification time differ from when the file was opened.
  Status check_unchanged() const;

 private:
  FileMapping() = default;
  std::string path_;
  std::span<const std::byte> bytes_;
  FileStatus status_;
  std::vector<std::byte> copy_;  ///< used where there is no mmap
};

/// From now on, reading a mapping whose file was cut short meanwhile gives zeros instead of ending
/// the process; FileMapping::check_unchanged() then reports it. Other SIGBUS signals go to the
/// handler that was installed before. For programs to call once at their start; libraries leave
/// signals to their host.
APR_API void guard_mappings() noexcept;

/// Writes a file that appears under its name complete or not at all: bytes go to a temporary file
/// in the same folder; commit() flushes it to the disk and renames. Without commit() the temporary
/// file is removed. Also removed on the signals for which remove_temporary_files() is called.
class APR_API AtomicFile {
 public:
  /// An existing `path` is refused (ErrorCode::validation) unless `overwrite`.
  static Result<AtomicFile> create(const std::string& path, bool overwrite);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) noexcept;
  ~AtomicFile();

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text);
  /// Overwrites bytes written before; the write position stays at the end.
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  std::uint64_t size() const { return size_; }
  Status commit();

 private:
  friend class AtomicFolder;
  AtomicFile() = default;
  void discard() noexcept;
  Status open_temporary();
  Status flush();
  std::string path_;       ///< links resolved
  std::string temporary_;  ///< equal to path_ inside an AtomicFolder
  int descriptor_ = -1;
  int slot_ = -1;  ///< in the table of temporary files
  bool overwrite_ = false;
  std::uint64_t size_ = 0;
  std::vector<std::byte> buffer_;
};

/// The same for a folder of files, and of folders with files: it appears complete or not at all.
class APR_API AtomicFolder {
 public:
  /// An existing folder that is not empty is refused (ErrorCode::validation) unless `overwrite`,
  /// and even then unless every name in it ("a", "folder/b") is `replaceable`: what a user keeps
  /// there is never deleted.
  static Result<AtomicFolder> create(const std::string& path, bool overwrite,
                                     const std::function<bool(std::string_view)>& replaceable);
  AtomicFolder(AtomicFolder&&) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) noexcept;
  ~AtomicFolder();

  /// A file in the folder, "a", or in a folder in it, "folder/b"; commit() it before the folder.
  Result<AtomicFile> create_file(std::string_view name);
  Status commit();

 private:
  AtomicFolder() = default;
  void discard() noexcept;
  std::string path_;
  std::string temporary_;
  int slot_ = -1;
  std::vector<std::string> inner_;  ///< folders made in the temporary one
};

/// Removes the temporary files of every AtomicFile and AtomicFolder alive in this process.
/// Async-signal-safe.
APR_API void remove_temporary_files() noexcept;

/// The refusal every writer gives for an existing output, with the hint to pass --force. Devices
/// and pipes are refused always; whether an existing folder can be replaced is for the writer to
/// say.
APR_API Status check_writable_target(const std::string& path, bool overwrite);

}  // namespace apr
