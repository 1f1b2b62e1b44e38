#include "orchestrator/stages/open_package.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "core/base/cat.h"
#include "core/package/write.h"
#include "core/platform/file.h"

namespace apr {

namespace {

/// The first bytes of a file; fewer if it is shorter or cannot be read.
std::string first_bytes(const std::string& path, std::size_t count) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) return {};
  std::string bytes(count, '\0');
  bytes.resize(std::fread(bytes.data(), 1, count, file.get()));
  return bytes;
}

bool is_remote(std::string_view path) {
  return path.starts_with("hf://") || path.starts_with("http://") || path.starts_with("https://");
}

Error remote_source(const std::string& path) {
  std::string hint = "download the folder and import it from its path";
  if (path.starts_with("hf://")) {
    const std::string name = path.substr(5);
    hint = cat("download it first, for example with `git clone https://huggingface.co/", name,
               "`, and import the folder");
  }
  return make_error(ErrorCode::unsupported, "the hub importer is not there yet", path,
                    std::move(hint));
}

Error missing_source(const std::string& path) {
  if (path.empty()) {
    return make_error(ErrorCode::usage, "the name of the model is empty", {},
                      "is a variable of the shell not set?");
  }
  std::error_code ignored;
  if (std::filesystem::is_symlink(path, ignored)) {
    return make_error(ErrorCode::not_found, "is a link that leads nowhere", path,
                      cat("it points to ", std::filesystem::read_symlink(path, ignored).string()));
  }
  // The nearest name in the folder it should be in.
  std::string hint;
  const std::string folder = parent_path(path);
  if (const auto names = list_folder(folder.empty() ? "." : folder)) {
    const std::string near = nearest(base_name(path), *names);
    if (!near.empty())
      hint = cat("did you mean '", folder.empty() ? near : join_path(folder, near), "'?");
  }
  return make_error(ErrorCode::not_found, "there is no such file or folder", path, std::move(hint));
}

/// Said here, because importers that only look for what they know would say "not mine".
Status check_readable(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file) return {};
  const int reason = errno;
  return make_error(ErrorCode::io, cat("cannot be opened: ", std::strerror(reason)), path,
                    reason == EACCES ? "check the permissions" : "");
}

bool has_suffix(std::string_view name, std::initializer_list<std::string_view> suffixes) {
  for (const std::string_view suffix : suffixes) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

/// PyTorch's own checkpoints: a pickle, bare or in a zip archive.
bool is_pickle(const std::string& path) {
  const std::string bytes = first_bytes(path, 4);
  if (bytes.size() >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5) return true;
  const bool named = has_suffix(path, {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"});
  return named && bytes == "PK\x03\x04";
}

Error pickle_source(const std::string& path) {
  return make_error(ErrorCode::unsupported,
                    "is a pickle file, which can run any code when opened, and is not read", path,
                    "save the model as safetensors where you trust its source: "
                    "model.save_pretrained(folder, safe_serialization=True)");
}

/// A folder that holds weights only as pickles: names one of them.
std::string pickle_in_folder(const std::string& folder) {
  const auto names = list_folder(folder);
  if (!names) return {};
  std::string pickle;
  for (const std::string& name : *names) {
    if (has_suffix(name, {".safetensors", ".safetensors.index.json"})) return {};
    if (has_suffix(name, {".bin", ".pt", ".pth"}) && is_pickle(join_path(folder, name))) {
      pickle = join_path(folder, name);
    }
  }
  return pickle;
}

}  // namespace

bool looks_like_apr(const std::string& path) {
  const auto status = file_status(path);
  return status && status->kind == FileKind::file && first_bytes(path, 3) == "APR";
}

Result<Package> open_any(RunContext& context, const std::string& path) {
  if (is_remote(path)) return remote_source(path);
  APR_ASSIGN(const FileStatus status, file_status(path));
  switch (status.kind) {
    case FileKind::missing:
      return missing_source(path);
    case FileKind::other:
      return make_error(ErrorCode::not_found, "is neither a file nor a folder", path);
    case FileKind::file:
      APR_TRY(check_readable(path));
      if (looks_like_apr(path)) return open_apr(path);
      if (is_pickle(path)) return pickle_source(path);
      if (status.size == 0) return make_error(ErrorCode::format, "is empty", path);
      break;
    case FileKind::folder:
      if (const std::string pickle = pickle_in_folder(path); !pickle.empty()) {
        return pickle_source(pickle);
      }
      break;
  }
  const auto found = context.registry().importer_for(path);
  if (!found && found.error().code == ErrorCode::format && first_bytes(path, 4) == "GGUF") {
    return make_error(ErrorCode::unsupported, "is a GGUF file, which no plugin here reads", path,
                      "import the checkpoint that it was made from");
  }
  APR_ASSIGN(Importer * importer, found);
  auto package = importer->open(path, forward_progress(context));
  context.progress.finish();
  return package;
}

Status check_digests(RunContext& context, const Package& package) {
  if (package.format() != "apr") return {};
  APR_ASSIGN(const FileStatus status, file_status(package.path()));
  const std::string what = cat("checking ", base_name(package.path()));
  auto found = verify_apr(package.path(), [&](std::uint64_t done) {
    context.progress.update(what, done, status.size);
  });
  context.progress.finish();
  if (!found) return std::move(found).error();
  APR_TRY(check_interrupted());
  if (found->problems.empty()) return {};
  // A problem that names its tensor says more than the checksum of the whole file.
  const auto named = std::ranges::find_if(found->problems, [](const std::string& problem) {
    return problem.find("tensor ") != std::string::npos;
  });
  const std::string& problem = named == found->problems.end() ? found->problems.front() : *named;
  const std::size_t more = found->problems.size() - 1;
  return make_error(ErrorCode::format, cat(problem, more == 0 ? "" : cat(" (and ", more, " more)")),
                    package.path(),
                    "the file was damaged or changed; get it again (`apr validate` lists what is "
                    "wrong)");
}

ProgressFunction forward_progress(RunContext& context) {
  return [&context](std::string_view what, std::uint64_t done, std::uint64_t total) {
    context.progress.update(what, done, total);
    return !g_interrupted.load(std::memory_order_relaxed);
  };
}

std::string model_name(const Package& package) {
  if (const std::string& name = package.metadata()["name"].as_string(); !name.empty()) return name;
  std::error_code problem;
  const auto absolute = std::filesystem::weakly_canonical(package.path(), problem);
  const bool folder = std::filesystem::is_directory(absolute, problem);
  const std::string name = folder ? absolute.filename().string() : absolute.stem().string();
  // "some-model/model.safetensors" is called after its folder.
  if (!folder && name.starts_with("model") && absolute.parent_path().has_filename()) {
    return absolute.parent_path().filename().string();
  }
  return name.empty() ? "model" : name;
}

}  // namespace apr
