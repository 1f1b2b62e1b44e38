#include "orchestrator/pipeline/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/cat.h"
#include "core/platform/file.h"

namespace apr::pipeline {
namespace {

constexpr std::int64_t kEntryFormat = 2;
constexpr std::uint64_t kMaxJson = std::uint64_t{64} << 20;

std::optional<Json> read_json(const std::string& path) {
  const auto text = read_file(path, kMaxJson);
  if (!text) return std::nullopt;
  auto json = parse_json(*text, path);
  if (!json) return std::nullopt;
  return *std::move(json);
}

/// What is stored beside the outputs: figures that gates hold against limits, and what was printed.
constexpr std::array kTexts = {"report.json", "out.txt", "notes.txt"};

/// The texts' digests; a text that is not there has none.
Json texts_to_json(const std::string& folder) {
  Json digests = Json::object();
  for (const char* name : kTexts) {
    if (const auto digest = digest_file(join_path(folder, name))) {
      digests.set(name, digest->hex());
    }
  }
  return digests;
}

std::string file_path(const std::string& path, const FileFacts& file) {
  return file.name.empty() ? path : join_path(path, file.name);
}

Result<Digest> digest_all(const std::string& path, const Artifact& artifact) {
  std::vector<Digest> digests;
  for (const FileFacts& file : artifact.files) {
    APR_ASSIGN(const Digest digest, digest_file(file_path(path, file)));
    digests.push_back(digest);
  }
  return combine(artifact, digests);
}

/// Makes an output's bytes last and its files read-only, so that nobody changes the cache by
/// accident through a published link.
Status settle(const std::string& path, const Artifact& artifact) {
  for (const FileFacts& file : artifact.files) {
    const std::string whole = file_path(path, file);
    const int descriptor = ::open(whole.c_str(), O_RDONLY | O_CLOEXEC);
    const bool good = descriptor >= 0 && ::fsync(descriptor) == 0;
    const int error = errno;
    if (descriptor >= 0) ::close(descriptor);
    if (!good) return make_error(ErrorCode::io, std::strerror(error), whole);
    ::chmod(whole.c_str(), 0444);
  }
  return {};
}

Json files_to_json(const Artifact& artifact) {
  Json list = Json::array();
  for (const FileFacts& file : artifact.files) {
    list.push_back(Json::object(
        {{"name", file.name}, {"size", file.size}, {"modified_ns", file.modified_ns}}));
  }
  return list;
}

/// Whether the file system still says what it said when the entry was stored.
bool looks_untouched(const Artifact& artifact, const Json& stored) {
  const JsonArray& files = stored["files"].as_array();
  if (files.size() != artifact.files.size()) return false;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const FileFacts& file = artifact.files[i];
    if (files[i]["name"].as_string() != file.name ||
        files[i]["size"].as_integer(-1) != static_cast<std::int64_t>(file.size) ||
        files[i]["modified_ns"].as_integer(-1) != file.modified_ns) {
      return false;
    }
  }
  return true;
}

}  // namespace

const Output* CacheEntry::find(std::string_view port) const {
  const auto found = std::find_if(outputs.begin(), outputs.end(),
                                  [&](const Output& output) { return output.port == port; });
  return found == outputs.end() ? nullptr : &*found;
}

std::string Cache::folder_of(const std::string& key) const {
  return cat(state_.cache_folder(), "/", key);
}

std::optional<CacheEntry> Cache::find(const std::string& key) const {
  CacheEntry entry;
  entry.key = key;
  entry.folder = folder_of(key);
  const auto stored = read_json(cat(entry.folder, "/entry.json"));
  auto report = read_json(cat(entry.folder, "/report.json"));
  const bool readable = stored && report && (*stored)["format"].as_integer() == kEntryFormat &&
                        (*stored)["key"].as_string() == key &&
                        (*stored)["texts"].dump() == texts_to_json(entry.folder).dump();
  if (!readable) return std::nullopt;
  entry.components = (*stored)["components"];
  entry.cost.seconds = (*stored)["seconds"].as_number();
  entry.cost.cpu_seconds = (*stored)["cpu_seconds"].as_number();
  entry.cost.peak_memory_bytes =
      static_cast<std::uint64_t>((*stored)["peak_memory_bytes"].as_integer());
  entry.report = *std::move(report);
  for (const Json& item : (*stored)["outputs"].as_array()) {
    Output output;
    output.port = item["port"].as_string();
    output.path = join_path(entry.folder, item["file"].as_string());
    const auto digest = Digest::from_hex(item["sha256"].as_string());
    auto artifact = look_at_artifact(output.path);
    if (!digest || !artifact) return std::nullopt;
    output.digest = *digest;
    output.size = artifact->size();
    output.folder = artifact->folder;
    if (!looks_untouched(*artifact, item)) {
      const auto now = digest_all(output.path, *artifact);
      if (!now || *now != *digest) return std::nullopt;
    }
    entry.outputs.push_back(std::move(output));
  }
  return entry;
}

Result<CacheEntry> Cache::store(const std::string& key, const Json& components,
                                const std::string& work,
                                const std::vector<std::pair<std::string, std::string>>& outputs,
                                const Json& report, const CacheEntry::Cost& cost,
                                const std::function<bool()>& is_sound) const {
  Json list = Json::array();
  for (const auto& [port, file] : outputs) {
    const std::string path = join_path(work, file);
    auto artifact = look_at_artifact(path);
    if (!artifact) {
      return make_error(ErrorCode::generic, cat("the stage ended well but made no '", port, "'"),
                        path, "this is a fault of the stage");
    }
    APR_TRY(settle(path, *artifact));
    APR_ASSIGN(const Digest digest, digest_all(path, *artifact));
    Json item = Json::object();
    item.set("port", port);
    item.set("file", file);
    item.set("sha256", digest.hex());
    item.set("size", artifact->size());
    item.set("files", files_to_json(*artifact));
    list.push_back(std::move(item));
  }
  APR_TRY(write_flushed(cat(work, "/report.json"), report.dump(2)));
  Json entry = Json::object();
  entry.set("format", kEntryFormat);
  entry.set("key", key);
  entry.set("components", components);
  entry.set("outputs", std::move(list));
  entry.set("texts", texts_to_json(work));
  entry.set("seconds", cost.seconds);
  entry.set("cpu_seconds", cost.cpu_seconds);
  entry.set("peak_memory_bytes", cost.peak_memory_bytes);
  APR_TRY(write_flushed(cat(work, "/entry.json"), entry.dump(2)));
  APR_TRY(flush_folder(work));

  const std::string target = folder_of(key);
  APR_ASSIGN(const FileLock lock, state_.lock_cache());
  if (is_sound()) {
    if (auto other = find(key)) return *std::move(other);
  }
  remove_all(target);
  if (std::rename(work.c_str(), target.c_str()) != 0) {
    return make_error(ErrorCode::io, cat("cannot store the result: ", std::strerror(errno)),
                      target);
  }
  APR_TRY(flush_folder(state_.cache_folder()));
  if (auto stored = find(key)) return *std::move(stored);
  return make_error(ErrorCode::io, "a stored result cannot be read back", target,
                    "remove this folder and run again");
}

}  // namespace apr::pipeline
