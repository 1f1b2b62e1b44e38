// The terminal: how wide it is, whether to use colour, and text laid out for it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace apr {

bool is_terminal(int descriptor);
/// A terminal that wants colour: NO_COLOR is not set and TERM is not "dumb".
bool wants_colour(int descriptor);
/// Columns of the terminal on `descriptor`; $COLUMNS wins; 80 where unknown. Within [40, 200].
std::size_t terminal_width(int descriptor);

/// Columns a UTF-8 text takes, counting every character as one.
std::size_t display_width(std::string_view text);
/// Cuts to `width` columns, with "…" in place of what was left out.
std::string shortened(std::string_view text, std::size_t width);
/// The same, but the end is kept and "…" stands inside: names differ at their ends.
std::string shortened_inside(std::string_view text, std::size_t width);
/// Breaks at spaces into lines of at most `width` columns. Newlines in the text are kept. Every
/// line after the first starts with `indent` spaces; the first is assumed to stand after as many.
/// Lines that begin with two spaces are laid out already and stay as they are.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent = 0);

/// Control characters of a stranger's text made visible, so that no model file drives a terminal.
std::string printable(std::string_view text);

/// Marks text where `on`; returns it unchanged otherwise.
struct Style {
  bool on = false;
  std::string bold(std::string_view text) const { return marked("1", text); }
  std::string dim(std::string_view text) const { return marked("2", text); }
  std::string red(std::string_view text) const { return marked("31", text); }
  std::string green(std::string_view text) const { return marked("32", text); }
  std::string cyan(std::string_view text) const { return marked("36", text); }
  std::string yellow(std::string_view text) const { return marked("33", text); }
  std::string marked(std::string_view code, std::string_view text) const;
};

/// Columns set under each other: text to the left, numbers to the right.
class Table {
 public:
  enum class Align : unsigned char { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  /// Titles (unless all are empty) and rows, two spaces between columns, each line indented.
  std::string to_string(Style style, std::size_t indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// "label   value" lines with the values under each other.
std::string labelled(const std::vector<std::pair<std::string, std::string>>& lines, Style style);

}  // namespace apr
