#include "orchestrator/stages/json_lines.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr {

Status for_each_json_line(
    std::string_view text, const std::string& file,
    const std::function<Status(const Json& value, const std::string& where)>& use) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the mark that some editors leave
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = cat(file, ": line ", number);
    APR_ASSIGN(const Json value, parse_json(line, where));
    APR_TRY(use(value, where));
  }
  return {};
}

}  // namespace apr
