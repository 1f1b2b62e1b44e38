// Texts one after the other: words of the command line, lines of a file or of standard input.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace apr {

struct SourceText {
  std::string first;
  std::optional<std::string> second;  ///< of a pair
};

class TextSource {
 public:
  virtual ~TextSource() = default;
  /// Nothing at the end. Errors name the line; ErrorCode::interrupted after Ctrl-C.
  virtual Result<std::optional<SourceText>> next() = 0;
  /// Bytes read so far and in all; 0 in all where that is unknown.
  virtual std::uint64_t bytes_read() const { return 0; }
  virtual std::uint64_t bytes_total() const { return 0; }
};

std::unique_ptr<TextSource> texts_of_words(std::vector<std::string> words);

/// One text per line, an empty line is an empty text; or, with `json_lines`, an object per line
/// whose field "text" is the text and "text_pair", if it is there, a second one.
Result<std::unique_ptr<TextSource>> texts_of_file(const std::string& path, bool json_lines);
std::unique_ptr<TextSource> texts_of_standard_input(bool json_lines);

}  // namespace apr
