#include "orchestrator/pipeline/publish.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {
namespace {

Error failed(std::string_view what, const std::string& path) {
  return make_error(ErrorCode::io, cat("cannot ", what, ": ", std::strerror(errno)), path);
}

Status copy_file(const std::string& from, const std::string& to) {
  APR_ASSIGN(const auto mapping, FileMapping::open(from));
  const auto bytes = mapping->bytes();
  return write_flushed(to, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Status link_or_copy(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return {};
  return copy_file(from, to);
}

Status place_all(const Output& output, const std::string& target) {
  if (!output.folder) return link_or_copy(output.path, target);
  APR_TRY(make_folders(target));
  APR_ASSIGN(const Artifact artifact, look_at_artifact(output.path));
  for (const FileFacts& file : artifact.files) {
    const std::string whole = join_path(target, file.name);
    APR_TRY(make_folders(parent_path(whole)));
    APR_TRY(link_or_copy(join_path(output.path, file.name), whole));
  }
  return flush_folder(target);
}

std::string temporary_name(const std::string& target) {
  return join_path(parent_path(target), cat(".", base_name(target), ".apr-tmp"));
}

}  // namespace

Status publish_json(const Json& json, const std::string& target) {
  return publish_text(json.dump(2) + "\n", target);
}

Status publish_text(std::string_view text, const std::string& target) {
  APR_TRY(make_folders(parent_path(target)));
  const std::string fresh = temporary_name(target);
  // Whoever else writes this text waits, whatever its state folder.
  APR_ASSIGN(const FileLock alone, FileLock::take(fresh));
  if (const auto there = read_file(target, text.size()); there && *there == text) {
    ::unlink(fresh.c_str());
    return {};
  }
  Status written = write_flushed(fresh, text);
  if (written && std::rename(fresh.c_str(), target.c_str()) != 0) {
    written = failed("put in place", target);
  }
  if (!written) {
    ::unlink(fresh.c_str());
    return written;
  }
  return flush_folder(parent_path(target));
}

std::vector<std::string> our_digests(const Json& record, const std::string& key) {
  std::vector<std::string> digests;
  for (const char* list : {"published", "publishing"}) {
    if (const std::string& digest = record[list][key].as_string(); !digest.empty()) {
      digests.push_back(digest);
    }
  }
  return digests;
}

std::string place_key(const Pipeline& pipeline, const std::string& target) {
  const std::string inside = pipeline.folder + "/";
  return target.starts_with(inside) ? target.substr(inside.size()) : target;
}

Result<bool> publish(const Output& output, const std::string& target,
                     const std::vector<std::string>& ours, bool force, DigestBook& book) {
  const std::string fresh = temporary_name(target);
  remove_all(fresh);
  APR_ASSIGN(const FileStatus status, file_status(target));
  if (status.kind != FileKind::missing) {
    const auto there = book.digest(target);
    if (there && there->digest == output.digest &&
        (status.kind == FileKind::folder) == output.folder) {
      return false;
    }
    const bool mine =
        there && std::find(ours.begin(), ours.end(), there->digest.hex()) != ours.end();
    if (!mine && !force) {
      return make_error(ErrorCode::validation, "this output place holds something else already",
                        target, "move it away, or replace it with --force");
    }
  }
  const std::string folder = parent_path(target);
  APR_TRY(make_folders(folder));
  struct Remover {
    const std::string& path;
    ~Remover() { remove_all(path); }
  } const remover{fresh};
  APR_TRY(place_all(output, fresh));
  // A rename replaces a file by a file; a folder changes places with what was there, which then
  // goes.
  const bool swap =
      status.kind != FileKind::missing && (output.folder || status.kind != FileKind::file);
  if (swap) {
    if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
      remove_all(target);
      if (std::rename(fresh.c_str(), target.c_str()) != 0) return failed("put in place", target);
    }
  } else if (std::rename(fresh.c_str(), target.c_str()) != 0) {
    return failed("put in place", target);
  }
  APR_TRY(flush_folder(folder));
  return true;
}

}  // namespace apr::pipeline
