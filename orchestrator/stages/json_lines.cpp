#include "orchestrator/stages/json_lines.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr {

Result<Json> parse_json_line(std::string_view line, const std::string& file, std::size_t number) {
  const std::string where = cat(file, ":", number);
  auto value = parse_json(line, where);
  if (value) return value;
  Error error = std::move(value).error();
  const std::string own_line = where + ":1:";  // the parser counts lines from this one
  if (error.context.starts_with(own_line)) {
    error.context = cat(where, ":", error.context.substr(own_line.size()));
  }
  return error;
}

Status for_each_json_line(
    std::string_view text, const std::string& file,
    const std::function<Status(const Json& value, const std::string& where)>& use) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the mark that some editors leave
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = cat(file, ":", number);
    APR_ASSIGN(const Json value, parse_json_line(line, file, number));
    APR_TRY(use(value, where));
  }
  return {};
}

}  // namespace apr
