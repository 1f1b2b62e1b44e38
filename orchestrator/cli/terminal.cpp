#include "orchestrator/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace apr {

bool is_terminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

bool wants_colour(int descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string_view(term) == "dumb") return false;
  return is_terminal(descriptor);
}

std::size_t terminal_width(int descriptor) {
  std::size_t width = 0;
  if (const char* columns = std::getenv("COLUMNS")) {
    const std::string_view text(columns);
    std::from_chars(text.data(), text.data() + text.size(), width);
  }
  winsize size{};
  if (width == 0 && ::ioctl(descriptor, TIOCGWINSZ, &size) == 0) width = size.ws_col;
  if (width == 0) width = 80;
  return std::clamp<std::size_t>(width, 40, 200);
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string shortened(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::string out;
  std::size_t used = 0;
  for (const char c : text) {
    const bool starts = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (starts && ++used >= width) break;
    out.push_back(c);
  }
  return out + "…";
}

std::string shortened_inside(std::string_view text, std::size_t width) {
  if (display_width(text) <= width || width < 4) return std::string(text);
  const std::size_t head = width / 4;
  std::size_t tail = text.size();  // the last characters that leave room for the head and "…"
  for (std::size_t kept = 0; kept < width - head;) {
    --tail;
    if ((static_cast<unsigned char>(text[tail]) & 0xC0) != 0x80) ++kept;
  }
  return shortened(text, head) + std::string(text.substr(tail));
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  const std::size_t room = std::max<std::size_t>(width > indent ? width - indent : 0, 16);
  std::size_t used = 0;
  while (true) {
    if (used == 0 && text.starts_with("  ")) {
      const std::size_t line = std::min(text.find('\n'), text.size());
      out.append(text.substr(0, line));
      text.remove_prefix(line);
    }
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    const std::size_t size = display_width(word);
    if (used > 0 && used + 1 + size > room) {
      out.append("\n").append(indent, ' ');
      used = 0;
    }
    if (used > 0 && size > 0) {
      out.push_back(' ');
      ++used;
    }
    out.append(word);
    used += size;
    if (end == text.size()) return out;
    if (text[end] == '\n') {
      out.append("\n");
      if (end + 1 < text.size() && text[end + 1] != '\n') out.append(indent, ' ');
      used = 0;
    }
    text.remove_prefix(end + 1);
  }
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C0 controls and DEL; the C1 controls are C2 80..9F in UTF-8.
    const bool c1 =
        byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (byte < 0x20 || byte == 0x7F) {
      out += "�";
    } else if (c1) {
      out += "�";
      ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string Style::marked(std::string_view code, std::string_view text) const {
  if (!on) return std::string(text);
  std::string out = "\x1b[";
  out.append(code).append("m").append(text).append("\x1b[0m");
  return out;
}

std::string Table::to_string(Style style, std::size_t indent) const {
  std::vector<std::size_t> widths;
  bool titled = false;
  for (const Column& column : columns_) {
    widths.push_back(display_width(column.title));
    titled = titled || !column.title.empty();
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size() && i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string out(indent, ' ');
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = i < cells.size() ? cells[i] : std::string();
      const std::string space(widths[i] - display_width(cell), ' ');
      if (i > 0) out += "  ";
      out += columns_[i].align == Align::right ? space + cell : cell + space;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out;
  };
  std::string out;
  if (titled) {
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.push_back(column.title);
    out += style.dim(line(titles)) + "\n";
  }
  for (const auto& row : rows_) out += line(row) + "\n";
  return out;
}

std::string labelled(const std::vector<std::pair<std::string, std::string>>& lines, Style style) {
  std::size_t width = 0;
  for (const auto& [label, value] : lines) width = std::max(width, display_width(label));
  std::string out;
  for (const auto& [label, value] : lines) {
    out += style.dim(label) + std::string(width + 2 - display_width(label), ' ') + value + "\n";
  }
  return out;
}

}  // namespace apr
