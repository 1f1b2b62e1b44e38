#include "orchestrator/pipeline/state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/file.h"

namespace apr::pipeline {
namespace {

constexpr std::size_t kWriteAtOnce = std::size_t{64} << 20;
constexpr std::string_view kLockSuffix = ".lock";

Error failed(std::string_view what, const std::string& path) {
  return make_error(ErrorCode::io, cat("cannot ", what, ": ", std::strerror(errno)), path);
}

std::string utc_stamp() {
  const std::time_t now = unix_seconds();
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%S", &parts);
  return std::string(text.data(), size);
}

Json read_json(const std::string& path) {
  const auto text = read_file(path, std::uint64_t{64} << 20);
  if (!text) return {};
  auto json = parse_json(*text, path);
  return json ? *std::move(json) : Json();
}

}  // namespace

Status write_flushed(const std::string& path, std::string_view bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return failed("write", path);
  bool good = true;
  while (good && !bytes.empty()) {
    const ssize_t count = ::write(file, bytes.data(), std::min(bytes.size(), kWriteAtOnce));
    if (count < 0 && errno == EINTR) continue;
    good = count > 0;
    if (good) bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  good = good && ::fsync(file) == 0;
  const int error = errno;
  ::close(file);
  errno = error;
  if (!good) return failed("write", path);
  return {};
}

void remove_all(const std::string& path) noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

Status flush_folder(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return failed("open the folder", path);
  const bool good = ::fsync(folder) == 0;
  ::close(folder);
  if (!good) return failed("flush the folder", path);
  return {};
}

Result<UseLock> UseLock::shared(const std::string& folder) {
  UseLock lock;
  const std::string path = cat(folder, "/use.lock");
  lock.descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock.descriptor_ < 0) return failed("open", path);
  while (::flock(lock.descriptor_, LOCK_SH) != 0) {
    if (errno != EINTR) return failed("lock", path);
  }
  return lock;
}

Result<UseLock> UseLock::exclusive(const std::string& folder) {
  UseLock lock;
  const std::string path = cat(folder, "/use.lock");
  lock.descriptor_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (lock.descriptor_ < 0) {
    return make_error(ErrorCode::not_found, "there is no state folder", folder,
                      "nothing has been run here, or name the folder with --state");
  }
  if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    return make_error(ErrorCode::validation, "a run is using this state folder", folder,
                      "wait until it is done");
  }
  return lock;
}

UseLock& UseLock::operator=(UseLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

UseLock::~UseLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

State::State(State&& other) noexcept
    : folder_(std::move(other.folder_)),
      owner_(std::move(other.owner_)),
      lock_(other.lock_),
      use_(std::move(other.use_)),
      temporaries_(other.temporaries_.load()) {
  other.lock_ = -1;
}

State::~State() {
  if (lock_ < 0) return;
  remove_all(cat(folder_, "/tmp/", owner_));
  ::unlink(cat(folder_, "/tmp/", owner_, kLockSuffix).c_str());
  ::close(lock_);
  // A run that was killed while it started a stage leaves its lock to that stage for a moment, so
  // that the look at the beginning may have come too early.
  remove_leftovers();
}

State State::look_at(std::string folder) {
  State state;
  state.folder_ = std::move(folder);
  return state;
}

Result<State> State::open(std::string folder) {
  State state;
  state.folder_ = std::move(folder);
  for (const std::string_view name : {"cache", "runs", "records", "tmp"}) {
    auto made = make_folders(cat(state.folder_, "/", name));
    if (!made) {
      Error error = std::move(made).error();
      error.hint = "choose a writable folder with --state";
      return error;
    }
  }
  APR_ASSIGN(state.use_, UseLock::shared(state.folder_));
  state.remove_leftovers();
  APR_TRY(state.take_owner());
  return state;
}

Status State::take_owner() {
  for (unsigned attempt = 0; attempt < 1000; ++attempt) {
    owner_ = cat(utc_stamp(), "-", ::getpid(), "-", attempt);
    const std::string path = cat(folder_, "/tmp/", owner_, kLockSuffix);
    const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (lock < 0 && errno == EEXIST) continue;
    if (lock < 0) return failed("make the lock", path);
    struct stat status{};
    // Someone tidying up may have taken the lock between its making and here, and removed it.
    if (::flock(lock, LOCK_EX) == 0 && ::fstat(lock, &status) == 0 && status.st_nlink > 0) {
      lock_ = lock;
      return make_folders(cat(folder_, "/tmp/", owner_));
    }
    ::close(lock);
  }
  return make_error(ErrorCode::io, "cannot take a lock", folder_, "try again");
}

void State::remove_leftovers() const {
  const std::string tmp = cat(folder_, "/tmp");
  const auto names = list_folder(tmp);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.ends_with(kLockSuffix)) continue;
    const std::string path = cat(tmp, "/", name);
    const int lock = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (lock < 0) continue;
    if (::flock(lock, LOCK_EX | LOCK_NB) == 0) {
      // A stage that is about to die may still write here: then the lock stays for the next look.
      const std::string folder = path.substr(0, path.size() - kLockSuffix.size());
      remove_all(folder);
      const auto left = file_status(folder);
      if (left && left->kind == FileKind::missing) ::unlink(path.c_str());
    }
    ::close(lock);
  }
}

bool State::is_alive(std::string_view owner) const {
  const std::string path = cat(folder_, "/tmp/", owner, kLockSuffix);
  const int lock = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (lock < 0) return false;
  const bool free = ::flock(lock, LOCK_EX | LOCK_NB) == 0;
  ::close(lock);
  return !free;
}

Result<FileLock> State::lock_places() const {
  return FileLock::take(cat(folder_, "/places.lock"));
}

Result<FileLock> State::lock_cache() const {
  return FileLock::take(cat(folder_, "/cache.lock"));
}

std::string State::run_folder(std::string_view id) const {
  return cat(folder_, "/runs/", id);
}

Result<std::string> State::make_temporary_folder(std::string_view hint) {
  const std::string path = cat(folder_, "/tmp/", owner_, "/", temporaries_.fetch_add(1), "-", hint);
  APR_TRY(make_folders(path));
  return path;
}

Result<std::string> State::make_run() {
  const std::string stamp = utc_stamp();
  for (int attempt = 1; attempt < 10'000; ++attempt) {
    std::array<char, 16> number{};
    std::snprintf(number.data(), number.size(), "-%04d", attempt);
    std::string id = cat(stamp, number.data());
    const std::string path = run_folder(id);
    if (::mkdir(path.c_str(), 0755) == 0) return id;
    if (errno != EEXIST) return failed("make the folder", path);
  }
  return make_error(ErrorCode::io, "too many runs in one second", folder_);
}

Json State::run(std::string_view id) const {
  if (id.empty() || id.find('/') != std::string_view::npos || id.starts_with('.')) return {};
  return read_json(cat(run_folder(id), "/run.json"));
}

Json State::last_run(std::string_view pipeline) const {
  const auto names = list_folder(cat(folder_, "/runs"));
  if (!names) return {};
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    Json run = read_json(cat(run_folder(*name), "/run.json"));
    if (run["pipeline"].as_string() == pipeline) return run;
  }
  return {};
}

Json State::record(std::string_view name) const {
  return read_json(cat(folder_, "/records/", name, ".json"));
}

Status State::replace(const std::string& path, std::string_view bytes) {
  const std::string fresh = cat(folder_, "/tmp/", owner_, "/", temporaries_.fetch_add(1));
  APR_TRY(write_flushed(fresh, bytes));
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return failed("replace", path);
  return {};
}

Status State::set_record(std::string_view name, const Json& record) {
  return replace(cat(folder_, "/records/", name, ".json"), record.dump(2));
}

}  // namespace apr::pipeline
