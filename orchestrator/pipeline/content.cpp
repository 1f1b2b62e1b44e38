#include "orchestrator/pipeline/content.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/state.h"
#include "orchestrator/process/descriptor.h"
#include "orchestrator/stages/verb.h"

namespace apr::pipeline {
namespace {

constexpr std::array<std::string_view, 4> kBeside{".json", ".jinja", ".txt", ".model"};
constexpr std::size_t kMaxFiles = 100'000;
constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxRemembered = 20'000;
/// How often a file is read again that someone made a link to meanwhile.
constexpr int kMaxReadings = 20;
/// A file changed this recently could change again without its times showing it.
constexpr std::int64_t kFreshNs = 50'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Error refused(const std::string& path, int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::not_found : ErrorCode::io;
  return make_error(
      code, code == ErrorCode::not_found ? "no such file or folder" : std::strerror(error), path);
}

FileFacts facts_of(const struct stat& status, std::string name) {
  FileFacts facts;
  facts.name = std::move(name);
  facts.device = status.st_dev;
  facts.inode = status.st_ino;
  facts.size = static_cast<std::uint64_t>(status.st_size);
  facts.modified_ns = nanoseconds(status.st_mtim);
  facts.changed_ns = nanoseconds(status.st_ctim);
  return facts;
}

std::string book_key(const FileFacts& facts) {
  return cat(facts.device, ":", facts.inode, ":", facts.size, ":", facts.modified_ns, ":",
             facts.changed_ns);
}

}  // namespace

bool FileFacts::same_but_links(const FileFacts& other) const {
  FileFacts linked = *this;
  linked.changed_ns = other.changed_ns;
  return linked == other;
}

std::uint64_t Artifact::size() const {
  std::uint64_t total = 0;
  for (const FileFacts& file : files) total += file.size;
  return total;
}

Result<Artifact> look_at_artifact(const std::string& path) {
  Artifact artifact;
  artifact.root = path;
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return refused(path, errno);
  if (S_ISREG(status.st_mode)) {
    artifact.files.push_back(facts_of(status, ""));
    return artifact;
  }
  if (!S_ISDIR(status.st_mode)) {
    return make_error(ErrorCode::io, "neither a regular file nor a folder", path);
  }
  artifact.folder = true;
  std::vector<std::pair<std::string, int>> waiting{{"", 0}};
  while (!waiting.empty()) {
    const auto [relative, depth] = waiting.back();
    waiting.pop_back();
    if (depth > kMaxDepth) {
      return make_error(ErrorCode::io, cat("folders nested deeper than ", kMaxDepth), path,
                        "is there a link that leads back up?");
    }
    const std::string folder = relative.empty() ? path : join_path(path, relative);
    APR_ASSIGN(const auto names, list_folder(folder));
    for (const std::string& name : names) {
      std::string inner = relative.empty() ? name : cat(relative, "/", name);
      const std::string whole = join_path(path, inner);
      if (::stat(whole.c_str(), &status) != 0) return refused(whole, errno);
      if (S_ISDIR(status.st_mode)) {
        waiting.emplace_back(std::move(inner), depth + 1);
      } else if (!S_ISREG(status.st_mode)) {
        return make_error(ErrorCode::io, "neither a regular file nor a folder", whole);
      } else {
        artifact.files.push_back(facts_of(status, std::move(inner)));
      }
      if (artifact.files.size() + waiting.size() > kMaxFiles) {
        return make_error(ErrorCode::io, cat("more than ", kMaxFiles, " files"), path,
                          "name a model's own folder");
      }
    }
  }
  std::sort(artifact.files.begin(), artifact.files.end(),
            [](const FileFacts& left, const FileFacts& right) { return left.name < right.name; });
  return artifact;
}

Result<std::uint64_t> size_of_artifact(const std::string& path) {
  APR_ASSIGN(const Artifact artifact, look_at_artifact(path));
  return artifact.size();
}

Result<Artifact> look_at_input(const std::string& path) {
  APR_ASSIGN(Artifact artifact, look_at_artifact(path));
  const bool index = path.ends_with(".safetensors.index.json");
  if (artifact.folder || !(index || path.ends_with(".safetensors"))) return artifact;
  Artifact all;
  all.folder = true;
  all.root = parent_path(path);
  APR_ASSIGN(const auto names, list_folder(all.root));
  const std::string own = base_name(path);
  for (const std::string& name : names) {
    const bool beside =
        std::any_of(kBeside.begin(), kBeside.end(),
                    [&](std::string_view ending) { return name.ends_with(ending); }) ||
        (index && name.ends_with(".safetensors"));
    if (name != own && !beside) continue;
    struct stat status{};
    const std::string whole = join_path(all.root, name);
    if (::stat(whole.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    all.files.push_back(facts_of(status, name));
  }
  return all;
}

Digest combine(const Artifact& artifact, const std::vector<Digest>& files) {
  if (!artifact.folder && files.size() == 1) return files[0];
  Sha256 hash;
  hash.update("apr-tree-v1\n");
  for (std::size_t i = 0; i < files.size(); ++i) {
    const FileFacts& file = artifact.files[i];
    hash.update(cat(files[i].hex(), " ", file.size, " ", file.name.size(), " ", file.name, "\n"));
  }
  return hash.finish();
}

Result<Digest> digest_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return refused(path, errno);
  Sha256 hash;
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  while (true) {
    if (g_interrupted.load(std::memory_order_relaxed)) {
      return make_error(ErrorCode::interrupted, "stopped by the user");
    }
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return refused(path, errno);
    if (count == 0) return hash.finish();
    hash.update(std::span(buffer).first(static_cast<std::size_t>(count)));
  }
}

DigestBook::DigestBook(std::string file) : file_(std::move(file)) {
  const auto text = read_file(file_, std::uint64_t{16} << 20);
  if (!text) return;
  const auto json = parse_json(*text, file_);
  if (!json) return;
  for (const auto& [key, value] : json->as_object()) {
    if (const auto digest = Digest::from_hex(value.as_string())) known_[key] = {*digest, false};
  }
}

Result<Digest> DigestBook::digest_of(const std::string& path, FileFacts facts) {
  std::string key = book_key(facts);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = known_.find(key); found != known_.end()) {
      found->second.used = true;
      return found->second.digest;
    }
  }
  timespec now{};
  Digest digest;
  for (int reading = 1;; ++reading) {
    ::clock_gettime(CLOCK_REALTIME, &now);
    APR_ASSIGN(digest, digest_file(path));
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return refused(path, errno);
    const FileFacts after = facts_of(status, facts.name);
    if (after == facts) break;
    // Another run may have linked to a file of the cache.
    if (!after.same_but_links(facts) || reading == kMaxReadings) {
      return make_error(ErrorCode::io, "the file changed while it was read", path,
                        "wait until it is complete and run again");
    }
    facts = after;
    key = book_key(facts);
  }
  const bool settled = nanoseconds(now) - std::max(facts.modified_ns, facts.changed_ns) > kFreshNs;
  if (settled) {
    const std::lock_guard<std::mutex> lock(mutex_);
    known_[key] = {digest, true};
    changed_ = true;
  }
  return digest;
}

Result<DigestBook::Entry> DigestBook::digest_all(Artifact artifact) {
  Entry entry;
  std::vector<Digest> digests;
  for (const FileFacts& file : artifact.files) {
    APR_ASSIGN(
        const Digest digest,
        digest_of(file.name.empty() ? artifact.root : join_path(artifact.root, file.name), file));
    digests.push_back(digest);
  }
  entry.digest = combine(artifact, digests);
  entry.artifact = std::move(artifact);
  return entry;
}

Result<DigestBook::Entry> DigestBook::digest(const std::string& path) {
  APR_ASSIGN(Artifact artifact, look_at_artifact(path));
  return digest_all(std::move(artifact));
}

Result<DigestBook::Entry> DigestBook::digest_input(const std::string& path) {
  APR_ASSIGN(Artifact artifact, look_at_input(path));
  return digest_all(std::move(artifact));
}

Status DigestBook::save(State& state) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!changed_) return {};
  Json json = Json::object();
  std::size_t spare = kMaxRemembered;
  for (const auto& [key, value] : known_) {
    if (!value.used && spare == 0) continue;
    if (spare > 0) --spare;
    json.set(key, value.digest.hex());
  }
  APR_TRY(state.replace(file_, json.dump(0)));
  changed_ = false;
  return {};
}

}  // namespace apr::pipeline
