// Builds marked text and pays for it.
#pragma once

#include <string_view>

#include "core/text/jinja/meter.h"
#include "core/text/marked_text.h"

namespace apr::jinja {

/// Once the meter is spent nothing more is added; whoever builds looks at the meter at the end.
class TextBuilder {
 public:
  explicit TextBuilder(Meter& meter) : meter_(&meter) {}

  void put(std::string_view text, bool trusted) {
    if (pay(text.size())) text_.append(text, trusted);
  }
  void put(const MarkedText& text) { put_slice(text, 0, text.size()); }
  void put_slice(const MarkedText& text, std::size_t begin, std::size_t end) {
    if (begin >= end || !pay(end - begin)) return;
    const auto& spans = text.spans();
    if (begin == 0 && end == text.size() && spans.size() == 1) {
      text_.append(text.text(), spans[0].trusted);
    } else {
      const MarkedText part = text.slice(begin, end);
      for (const MarkedText::Span& span : part.spans()) {
        text_.append(std::string_view(part.text()).substr(span.begin, span.end - span.begin),
                     span.trusted);
      }
    }
  }
  std::size_t size() const { return text_.size(); }
  MarkedText take() { return std::move(text_); }

 private:
  bool pay(std::size_t bytes) {
    if (meter_->spent()) return false;
    if (bytes > meter_->max_text() || text_.size() > meter_->max_text() - bytes) {
      return meter_->bytes(meter_->max_text() + 1);
    }
    owed_ += bytes + 16;  // a piece may also need a span
    const std::size_t steps = owed_ / 128;
    owed_ %= 128;
    return meter_->step(steps);
  }

  Meter* meter_;
  MarkedText text_;
  std::size_t owed_ = 0;
};

}  // namespace apr::jinja
