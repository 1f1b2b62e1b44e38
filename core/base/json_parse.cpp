// The reader: nlohmann's lexer and iterative SAX parser drive a builder of our own values, which
// keeps the limits. nlohmann's own tree builder is not used (it accepts duplicate keys and has no
// limits), and nothing here throws: SAX parsing reports errors through a callback.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/cat.h"
#include "core/base/json.h"

namespace apr {

namespace {

/// Feeds the parser and remembers how far it has read, which SAX callbacks are not told.
class TrackedChar {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedChar(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  TrackedChar& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  TrackedChar operator++(int) {
    const TrackedChar before = *this;
    ++*this;
    return before;
  }
  friend bool operator!=(const TrackedChar& a, const TrackedChar& b) { return a.at_ != b.at_; }

 private:
  const char* at_;
  const char** reached_;
};

/// Printable and short, whatever the input was.
std::string quoted_for_message(std::string_view text) {
  constexpr std::size_t kMost = 80;
  const bool cut = text.size() > kMost;
  std::string shown;
  for (const char c : text.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    shown.push_back(byte < 0x20 || byte > 0x7E ? '?' : c);
  }
  return cut ? shown + "…" : shown;
}

class Builder {
 public:
  Builder(std::string_view text, std::string_view file, const JsonLimits& limits)
      : text_(text), file_(file), limits_(limits), reached_(text.data()) {}

  Result<Json> run() {
    const char* begin = text_.data();
    const TrackedChar first(begin, &reached_);
    const TrackedChar last(begin + text_.size(), &reached_);
    const bool read = nlohmann::json::sax_parse(first, last, this);
    if (error_) return *std::move(error_);
    if (!read) return fail(offset(), "is not valid JSON");
    return std::move(root_);
  }

  Error fail(std::size_t at, std::string message, std::string hint = {}) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 == 0
    const std::string position = cat(line, ":", before.size() - line_start + 1);
    return make_error(ErrorCode::format, std::move(message),
                      file_.empty() ? cat("line ", position) : cat(file_, ":", position),
                      std::move(hint));
  }

  // The callbacks of nlohmann's SAX interface.
  bool null() { return add({}); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(std::vector<std::uint8_t>&) { return false; }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Frame& frame = stack_.back();
    const std::size_t end = offset();
    const bool plain = end >= name.size() + 2 && text_[end - name.size() - 2] == '"';
    frame.key_offsets.push_back(plain ? end - name.size() - 2 : end);
    frame.key = std::move(name);
    return true;
  }

  bool end_object() {
    Frame& frame = stack_.back();
    if (!unite_duplicates(frame)) return false;
    frame.value = Json(std::move(frame.members));
    return close();
  }

  template <typename Exception>
  bool parse_error(std::size_t position, const std::string& /*last_token*/, const Exception& why) {
    // "[json.exception…] parse error at line 1, column 2: reason"; the position is told our way.
    std::string_view reason = why.what();
    if (const auto column = reason.find(", column "); column != std::string_view::npos) {
      const auto colon = reason.find(": ", column);
      if (colon != std::string_view::npos) reason.remove_prefix(colon + 2);
    } else if (const auto bracket = reason.find("] "); bracket != std::string_view::npos) {
      reason.remove_prefix(bracket + 2);
    }
    // What it read last is at the position told; what it was parsing is nothing a reader knows.
    if (const auto dash = reason.find(" - ");
        reason.starts_with("syntax error while") && dash != std::string_view::npos) {
      reason.remove_prefix(dash + 3);
    }
    std::string_view expected;
    if (const auto due = reason.rfind("; expected "); due != std::string_view::npos) {
      expected = reason.substr(due + 11);
      reason = reason.substr(0, due);
    }
    if (const auto last = reason.find("; last read: "); last != std::string_view::npos) {
      reason = reason.substr(0, last);
    }
    std::string message = cat("not valid JSON: ", quoted_for_message(reason));
    if (!expected.empty()) message += cat(", expected ", quoted_for_message(expected));
    return stop(std::min(position == 0 ? 0 : position - 1, text_.size()), std::move(message));
  }

 private:
  struct Frame {
    Json value;          ///< the array, or an empty object until it closes
    JsonObject members;  ///< of an object
    std::string key;     ///< of the member being read
    std::vector<std::size_t> key_offsets;
    bool is_object = false;
  };

  std::size_t offset() const { return static_cast<std::size_t>(reached_ - text_.data()); }

  bool stop(std::size_t at, std::string message, std::string hint = {}) {
    if (!error_) error_ = fail(at, std::move(message), std::move(hint));
    return false;
  }

  bool add(Json value) {
    if (++values_ > limits_.max_values) {
      return stop(offset(), cat("more than ", limits_.max_values, " JSON values"));
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Frame& frame = stack_.back();
    if (frame.is_object) {
      frame.members.emplace_back(std::move(frame.key), std::move(value));
    } else {
      frame.value.push_back(std::move(value));
    }
    return true;
  }

  bool open(Json container) {
    if (stack_.size() >= limits_.max_depth) {
      return stop(offset(), cat("JSON nested deeper than ", limits_.max_depth, " levels"));
    }
    Frame& frame = stack_.emplace_back();
    frame.is_object = container.is_object();
    frame.value = std::move(container);
    return true;
  }

  bool close() {
    Json value = std::move(stack_.back().value);
    stack_.pop_back();
    return add(std::move(value));
  }

  /// Finds equal keys by sorting, so that no choice of keys makes it slow.
  bool unite_duplicates(Frame& frame) {
    JsonObject& members = frame.members;
    std::vector<std::size_t> order(members.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const int compared = members[a].first.compare(members[b].first);
      return compared != 0 ? compared < 0 : a < b;
    });
    constexpr std::size_t kNone = static_cast<std::size_t>(-1);
    std::size_t first_duplicate = kNone;
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (members[order[i]].first == members[order[i - 1]].first) {
        first_duplicate = std::min(first_duplicate, order[i]);
      }
    }
    if (first_duplicate == kNone) return true;
    if (!limits_.last_duplicate_wins) {
      return stop(frame.key_offsets[first_duplicate],
                  cat("the key \"", quoted_for_message(members[first_duplicate].first),
                      "\" appears twice in one object"));
    }
    std::vector<bool> drop(members.size());
    for (std::size_t i = 0; i < order.size();) {
      const std::size_t first = order[i];
      std::size_t last = i;
      while (last + 1 < order.size() && members[order[last + 1]].first == members[first].first)
        ++last;
      if (last > i) members[first].second = std::move(members[order[last]].second);
      for (++i; i <= last; ++i) drop[order[i]] = true;
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (drop[i]) continue;
      if (kept != i) members[kept] = std::move(members[i]);
      ++kept;
    }
    members.resize(kept);
    return true;
  }

  std::string_view text_;
  std::string_view file_;
  const JsonLimits& limits_;
  const char* reached_;
  std::vector<Frame> stack_;
  std::size_t values_ = 0;
  Json root_;
  std::optional<Error> error_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view file, const JsonLimits& limits) {
  Builder builder(text, file, limits);
  if (text.size() > limits.max_bytes) {
    return make_error(
        ErrorCode::format,
        cat("JSON text of ", text.size(), " bytes; at most ", limits.max_bytes, " are read here"),
        std::string(file));
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return make_error(ErrorCode::format, text.empty() ? "is empty" : "holds nothing but blanks",
                      std::string(file));
  }
  // The lexer takes a NUL for the end of the text; it is never legal JSON.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    return builder.fail(nul, "not valid JSON: a NUL byte");
  }
  return builder.run();
}

}  // namespace apr
