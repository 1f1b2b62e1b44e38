#include "orchestrator/stages/text_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/cat.h"
#include "core/base/json.h"
#include "core/platform/file.h"
#include "orchestrator/stages/json_lines.h"
#include "orchestrator/stages/open_package.h"

namespace apr {

namespace {

constexpr std::size_t kMaxLine = std::size_t{64} << 20;
constexpr std::size_t kReadBytes = std::size_t{256} << 10;

class Words final : public TextSource {
 public:
  explicit Words(std::vector<std::string> words) : words_(std::move(words)) {}
  Result<std::optional<SourceText>> next() override {
    if (next_ == words_.size()) return std::optional<SourceText>();
    return std::optional<SourceText>({std::move(words_[next_++]), {}});
  }

 private:
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

class Lines final : public TextSource {
 public:
  Lines(int descriptor, std::string name, std::uint64_t total, bool json_lines)
      : descriptor_(descriptor), name_(std::move(name)), total_(total), json_lines_(json_lines) {}
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  ~Lines() override {
    if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
  }

  Result<std::optional<SourceText>> next() override {
    APR_ASSIGN(std::optional<std::string> line, next_line());
    if (!line) return std::optional<SourceText>();
    if (line->ends_with('\r')) line->pop_back();
    if (!json_lines_) return std::optional<SourceText>({*std::move(line), {}});
    APR_ASSIGN(SourceText text, text_of_json(*line));
    return std::optional<SourceText>(std::move(text));
  }
  std::uint64_t bytes_read() const override { return read_; }
  std::uint64_t bytes_total() const override { return total_; }

 private:
  std::string here() const { return cat(name_, ":", line_); }

  Result<std::optional<std::string>> next_line() {
    ++line_;
    std::string line;
    while (true) {
      const std::size_t end = buffer_.find('\n', at_);
      if (end != buffer_.npos) {
        line.append(buffer_, at_, end - at_);
        at_ = end + 1;
        return std::optional<std::string>(std::move(line));
      }
      line.append(buffer_, at_);
      if (line.size() > kMaxLine) {
        return make_error(ErrorCode::usage, cat("has more than ", kMaxLine >> 20, " MiB"), here());
      }
      APR_ASSIGN(const bool more, fill());
      if (more) continue;
      if (line.empty()) return std::optional<std::string>();
      return std::optional<std::string>(std::move(line));  // the last line, without its end
    }
  }

  /// False at the end.
  Result<bool> fill() {
    at_ = 0;
    buffer_.resize(kReadBytes);
    while (true) {
      const ssize_t got = ::read(descriptor_, buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) {
        APR_TRY(check_interrupted());
        continue;
      }
      buffer_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      read_ += buffer_.size();
      if (got >= 0) return got > 0;
      return make_error(ErrorCode::io, cat("cannot be read: ", std::strerror(errno)), name_);
    }
  }

  Result<SourceText> text_of_json(const std::string& line) const {
    APR_ASSIGN(const Json json, parse_json_line(line, name_, line_));
    const Json& text = json["text"];
    const Json& pair = json["text_pair"];
    if (!text.is_string() || !(pair.is_string() || pair.is_null())) {
      return make_error(ErrorCode::format,
                        !text.is_string() ? "there is no field \"text\" with a text"
                                          : "field \"text_pair\" is not a text",
                        here(), "a line is an object such as {\"text\": \"Hello\"}");
    }
    SourceText result{text.as_string(), {}};
    if (pair.is_string()) result.second = pair.as_string();
    return result;
  }

  int descriptor_;
  std::string name_;
  std::uint64_t total_ = 0;
  bool json_lines_ = false;
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t line_ = 0;
};

}  // namespace

std::unique_ptr<TextSource> texts_of_words(std::vector<std::string> words) {
  return std::make_unique<Words>(std::move(words));
}

Result<std::unique_ptr<TextSource>> texts_of_file(const std::string& path, bool json_lines) {
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::missing) {
    return make_error(ErrorCode::not_found, "there is no such file", path);
  }
  if (status.kind == FileKind::folder) {
    return make_error(ErrorCode::not_found, "is a folder, not a file of texts", path);
  }
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return make_error(ErrorCode::io, cat("cannot be read: ", std::strerror(errno)), path);
  }
  return std::unique_ptr<TextSource>(
      std::make_unique<Lines>(descriptor, path, status.size, json_lines));
}

std::unique_ptr<TextSource> texts_of_standard_input(bool json_lines) {
  return std::make_unique<Lines>(STDIN_FILENO, "standard input", 0, json_lines);
}

}  // namespace apr
