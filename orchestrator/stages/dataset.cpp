#include "orchestrator/stages/dataset.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "core/text/utf8.h"
#include "orchestrator/schema/schema.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{1} << 30;
constexpr std::string_view kWikitext = "wikitext-2";

/// The files WikiText-2 is published in, the raw form before the tokenised one.
std::vector<std::string> wikitext_files(const std::string& split) {
  return {cat("wiki.", split, ".raw"), cat("wikitext-2-raw/wiki.", split, ".raw"),
          cat("wiki.", split, ".tokens"), cat("wikitext-2/wiki.", split, ".tokens"),
          cat(split, ".txt")};
}

std::vector<std::string> cache_folders() {
  std::vector<std::string> folders;
  if (const char* own = std::getenv("APR_DATASETS"); own != nullptr && *own != 0) {
    folders.emplace_back(own);
  }
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && cache[0] == '/') {
    folders.push_back(join_path(cache, "apr/datasets"));
  } else if (home != nullptr && home[0] == '/') {
    folders.push_back(join_path(home, ".cache/apr/datasets"));
  }
  return folders;
}

FileKind kind_of(const std::string& path) {
  const auto status = file_status(path);
  return status ? status->kind : FileKind::missing;
}

std::optional<std::string> split_in(const std::string& folder, const std::string& split) {
  for (const std::string& name : wikitext_files(split)) {
    std::string path = join_path(folder, name);
    if (kind_of(path) == FileKind::file) return path;
  }
  return std::nullopt;
}

/// The tokenised form has "<unk>" for rare words and " @-@ " for a hyphen.
std::string form_of(std::string_view text) {
  const std::string_view head = text.substr(0, std::size_t{1} << 20);
  const bool tokenised = head.find(" <unk> ") != std::string_view::npos &&
                         head.find(" @-@ ") != std::string_view::npos;
  return tokenised ? "tokenised" : "raw";
}

Result<TextDataset> read_dataset(std::string path, std::string name) {
  APR_ASSIGN(std::string text, read_file(path, kMaxTextBytes));
  std::size_t line = 1;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = utf8_at(text, at);
    if (character.code == kInvalidCharacter) {
      return make_error(ErrorCode::format, cat("line ", line, " is no UTF-8 text: byte ", at), path,
                        "--dataset wants a text; `iconv -t UTF-8` converts other encodings");
    }
    line += character.code == '\n' ? 1 : 0;
    at += character.size;
  }
  std::string form = form_of(text);
  return TextDataset{std::move(path), std::move(name), std::move(form), std::move(text)};
}

std::string listed(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += cat(text.empty() ? "" : ", ", item);
  return text;
}

}  // namespace

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = {std::string(kWikitext)};
  return names;
}

Result<TextDataset> open_dataset(const std::string& given, const std::string& split) {
  const FileKind kind = kind_of(given);
  if (kind == FileKind::file) return read_dataset(given, {});
  if (kind == FileKind::folder) {
    if (const auto path = split_in(given, split)) {
      return read_dataset(*path, std::string(kWikitext));
    }
    return make_error(ErrorCode::not_found, cat("the folder holds no ", split, " split"), given,
                      cat("files that are looked for: ", listed(wikitext_files(split))));
  }
  const auto& names = dataset_names();
  if (std::find(names.begin(), names.end(), given) == names.end()) {
    if (kind == FileKind::other) return read_dataset(given, {});
    const std::string near = nearest(given, names);
    return make_error(ErrorCode::not_found, "there is no such file or dataset", given,
                      near.empty() ? cat("datasets known by name: ", listed(names))
                                   : cat("did you mean ", near, "?"));
  }
  std::vector<std::string> looked;
  for (const std::string& folder : cache_folders()) {
    looked.push_back(join_path(folder, given));
    if (const auto path = split_in(looked.back(), split)) return read_dataset(*path, given);
  }
  return make_error(ErrorCode::not_found,
                    cat("the dataset's ", split, " split is not on this machine; looked in ",
                        looked.empty() ? "no folder, as $HOME is not set" : listed(looked)),
                    given,
                    cat("put wiki.", split, ".raw there, or give its path; apr downloads nothing"));
}

}  // namespace apr
