// What files and folders contain, as digests; remembered between runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace apr::pipeline {

class State;

/// One regular file of an artifact; `name` is relative to a folder, empty for a single file.
struct FileFacts {
  std::string name;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;  ///< of the inode (ctime)
  friend bool operator==(const FileFacts&, const FileFacts&) = default;
  /// All but the change time, which moves too when someone links to the file or drops a link.
  bool same_but_links(const FileFacts& other) const;
};

/// What the file system says about a file, or about every file of a folder (links followed, sorted
/// by name). Devices, sockets and dangling links are refused.
struct Artifact {
  bool folder = false;
  std::string root;  ///< what the names are relative to; a file alone is its own root
  std::vector<FileFacts> files;
  std::uint64_t size() const;
  friend bool operator==(const Artifact&, const Artifact&) = default;
};
Result<Artifact> look_at_artifact(const std::string& path);

/// Bytes of all its files.
Result<std::uint64_t> size_of_artifact(const std::string& path);

/// The same for something a stage reads. A checkpoint named by one file (weights.safetensors, or
/// the index of its shards) is read together with the configuration, tokenizer and shards that lie
/// beside it, so these count as well: every .json, .jinja, .txt and .model file of the folder, and
/// with an index the shards.
Result<Artifact> look_at_input(const std::string& path);

/// The digest of an artifact from those of its files. A file's is SHA-256 of its bytes; a folder's
/// is SHA-256 of "apr-tree-v1\n" and, for each file in bytewise order of names, the line
/// "<hex digest> <size> <length of name> <name>\n". Times, owners and empty folders do not count.
Digest combine(const Artifact& artifact, const std::vector<Digest>& files);

/// SHA-256 of a file's bytes. Stops after Ctrl-C.
Result<Digest> digest_file(const std::string& path);

/// Digests by (device, inode, size, modification and change time). Safe to use from many threads.
class DigestBook {
 public:
  /// Reads what was remembered in `file`; a missing or broken file is an empty book.
  explicit DigestBook(std::string file);

  struct Entry {
    Digest digest;
    Artifact artifact;  ///< as it was when digested
  };
  Result<Entry> digest(const std::string& path);
  Result<Entry> digest_input(const std::string& path);
  /// Writes the book, keeping the entries used in this run and the newest of the others.
  Status save(State& state);

 private:
  Result<Entry> digest_all(Artifact artifact);
  Result<Digest> digest_of(const std::string& path, FileFacts facts);

  std::string file_;
  std::mutex mutex_;
  struct Remembered {
    Digest digest;
    bool used = false;
  };
  std::map<std::string, Remembered> known_;
  bool changed_ = false;
};

}  // namespace apr::pipeline
