// The state folder: cache, runs, and temporary folders that survive no owner.
//
//   <state>/cache/<key>/      results (cache.h)
//   <state>/runs/<id>/        what each run did: run.json, logs
//   <state>/records/<name>    per pipeline: what the keys were made of last time, and what was
//   published <state>/digests.json      digests of files already seen <state>/tmp/<owner>/ work in
//   progress; <owner>.lock is locked for as long as the owner lives
//
// Several processes may use one state folder. Whatever a killed process leaves in tmp/ is removed
// by the next one that starts: a lock goes with its process, however that ends.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "orchestrator/process/file_lock.h"

namespace apr::pipeline {

/// Held, shared, by every process that runs something with a state folder; alone by one that
/// removes results. Goes with its process, however that ends.
class UseLock {
 public:
  UseLock() = default;
  static Result<UseLock> shared(const std::string& folder);
  /// An error if anybody uses the folder.
  static Result<UseLock> exclusive(const std::string& folder);
  UseLock(UseLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  UseLock& operator=(UseLock&& other) noexcept;
  ~UseLock();

 private:
  int descriptor_ = -1;
};

class State {
 public:
  /// Makes the folder if need be, takes an owner's lock and removes what dead owners left.
  static Result<State> open(std::string folder);
  /// Without an owner: for commands that only look. A missing folder is fine.
  static State look_at(std::string folder);
  State(State&& other) noexcept;
  State& operator=(State&&) = delete;
  ~State();

  const std::string& folder() const { return folder_; }
  std::string cache_folder() const { return folder_ + "/cache"; }
  std::string digest_file() const { return folder_ + "/digests.json"; }
  std::string run_folder(std::string_view id) const;
  /// Held while final places, and the record of which run put what there, are changed.
  Result<FileLock> lock_places() const;
  /// Held while an entry is put into the cache or a damaged one taken out.
  Result<FileLock> lock_cache() const;
  const std::string& owner() const { return owner_; }

  /// A new empty folder under tmp/, removed with the owner at the latest.
  Result<std::string> make_temporary_folder(std::string_view hint);

  /// A new run's id, greater than those before; its folder exists.
  Result<std::string> make_run();
  /// The record of a run, or null.
  Json run(std::string_view id) const;
  /// The newest run of a pipeline, or null.
  Json last_run(std::string_view pipeline) const;
  /// True while the process that took this owner's name lives.
  bool is_alive(std::string_view owner) const;

  /// Replaces a file of the state folder by way of the temporary folder, so that nothing
  /// half-written is ever seen or left beside it.
  Status replace(const std::string& path, std::string_view bytes);

  /// records/<name>: null if there is none.
  Json record(std::string_view name) const;
  Status set_record(std::string_view name, const Json& record);

 private:
  State() = default;
  Status take_owner();
  void remove_leftovers() const;

  std::string folder_;
  std::string owner_;
  int lock_ = -1;
  UseLock use_;
  std::atomic<unsigned> temporaries_{0};
};

/// Writes a whole file and flushes it to the disk. Not atomic: for names nobody looks at yet.
Status write_flushed(const std::string& path, std::string_view bytes);
/// Removes a file or a folder with all it holds; what is not there is fine.
void remove_all(const std::string& path) noexcept;
/// Makes a rename in this folder last.
Status flush_folder(const std::string& path);

}  // namespace apr::pipeline
