#include "core/text/marked_text.h"

#include <algorithm>

namespace apr {

MarkedText MarkedText::trusted(std::string_view text) {
  MarkedText result;
  result.append(text, true);
  return result;
}

MarkedText MarkedText::untrusted(std::string_view text) {
  MarkedText result;
  result.append(text, false);
  return result;
}

void MarkedText::append(std::string_view text, bool is_trusted) {
  if (text.empty()) return;
  const std::size_t begin = text_.size();
  text_.append(text);
  if (!spans_.empty() && spans_.back().trusted == is_trusted) {
    spans_.back().end = text_.size();
  } else {
    spans_.push_back({begin, text_.size(), is_trusted});
  }
}

void MarkedText::append(const MarkedText& other) {
  const std::vector<Span> spans = other.spans_;  // copies: `other` may be *this
  const std::string text = other.text_;
  for (const Span& span : spans) {
    append(std::string_view(text).substr(span.begin, span.end - span.begin), span.trusted);
  }
}

MarkedText MarkedText::slice(std::size_t begin, std::size_t end) const {
  MarkedText result;
  end = std::min(end, text_.size());
  auto span = std::upper_bound(spans_.begin(), spans_.end(), begin,
                               [](std::size_t place, const Span& s) { return place < s.end; });
  for (; span != spans_.end() && span->begin < end; ++span) {
    const std::size_t from = std::max(begin, span->begin);
    const std::size_t to = std::min(end, span->end);
    result.append(std::string_view(text_).substr(from, to - from), span->trusted);
  }
  return result;
}

}  // namespace apr
