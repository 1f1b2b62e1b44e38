// Text that knows which of its bytes a template wrote and which came from a user.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"

namespace apr {

/// A string in spans of two kinds. Special tokens are recognised in trusted spans only, so that a
/// user's
/// "<|im_end|>" stays text.
class APR_API MarkedText {
 public:
  MarkedText() = default;
  static MarkedText trusted(std::string_view text);
  static MarkedText untrusted(std::string_view text);

  void append(std::string_view text, bool is_trusted);
  void append(const MarkedText& other);
  const std::string& text() const { return text_; }
  std::size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }

  struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool trusted = false;
  };
  /// Adjacent, covering, alternating; empty for an empty text.
  const std::vector<Span>& spans() const { return spans_; }
  /// Bytes [begin, end) with their marks.
  MarkedText slice(std::size_t begin, std::size_t end) const;

 private:
  std::string text_;
  std::vector<Span> spans_;
};

}  // namespace apr
