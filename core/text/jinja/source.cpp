#include "core/text/jinja/source.h"

#include "core/base/cat.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {

Source::Source(std::string_view text, std::string_view file) : file_(file) {
  text_.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      text_.push_back(text[i]);
      continue;
    }
    text_.push_back('\n');
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  if (!text_.empty() && text_.back() == '\n') text_.pop_back();
}

std::string Source::where(Offset at) const {
  const std::string_view before = std::string_view(text_).substr(0, at);
  std::size_t line = 1;
  std::size_t line_begin = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] != '\n') continue;
    ++line;
    line_begin = i + 1;
  }
  const std::size_t column = count_characters(before.substr(line_begin)) + 1;
  return cat(file_.empty() ? std::string_view("template") : std::string_view(file_), ":", line, ":",
             column);
}

Error Source::error(ErrorCode code, Offset at, std::string message, std::string hint) const {
  return make_error(code, std::move(message), where(at), std::move(hint));
}

}  // namespace apr::jinja
