// What a rendering may still spend. Every loop over data of the template's or the user's making
// pays here.
#pragma once

#include <cstdint>

namespace apr::jinja {

class Meter {
 public:
  Meter(std::uint64_t steps, std::uint64_t text_bytes)
      : left_(steps), total_(steps), max_text_(text_bytes) {}

  /// False, from then on for ever, once the steps are used up.
  bool step(std::uint64_t count = 1) {
    if (count > left_) {
      left_ = 0;
      spent_ = true;
      return false;
    }
    left_ -= count;
    return true;
  }
  /// Reading or writing so many bytes of text; also bounds the length of any one text.
  bool bytes(std::uint64_t count) {
    if (count > max_text_) {
      too_long_ = true;
      return false;
    }
    return step(1 + count / kBytesPerStep);
  }
  bool spent() const { return spent_ || too_long_; }
  bool too_long() const { return too_long_; }
  std::uint64_t total() const { return total_; }
  std::uint64_t max_text() const { return max_text_; }

 private:
  static constexpr std::uint64_t kBytesPerStep = 128;
  std::uint64_t left_;
  std::uint64_t total_;
  std::uint64_t max_text_;
  bool spent_ = false;
  bool too_long_ = false;
};

}  // namespace apr::jinja
