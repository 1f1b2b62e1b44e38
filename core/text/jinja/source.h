// The text of a template and where things are in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace apr::jinja {

/// Byte offset into the template's text.
using Offset = std::uint32_t;

/// The normalised text of a template: line ends are "\n", one newline at the end is dropped.
class Source {
 public:
  Source(std::string_view text, std::string_view file);
  const std::string& text() const { return text_; }
  const std::string& file() const { return file_; }
  /// "file:line:column", both counted from 1, columns in characters.
  std::string where(Offset at) const;
  Error error(ErrorCode code, Offset at, std::string message, std::string hint = {}) const;

 private:
  std::string text_;
  std::string file_;
};

}  // namespace apr::jinja
