#include "orchestrator/pipeline/diagnostic.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr::pipeline {

std::size_t Diagnostics::errors() const {
  return static_cast<std::size_t>(
      std::count_if(list_.begin(), list_.end(), [](const Diagnostic& diagnostic) {
        return diagnostic.severity == Diagnostic::Severity::error;
      }));
}

void Diagnostics::add(Diagnostic diagnostic) {
  const auto [first, last] = std::ranges::equal_range(list_, diagnostic.at, {}, &Diagnostic::at);
  // What stands once in the file is said once, though a matrix makes many stages of it.
  const bool said = std::any_of(
      first, last, [&](const Diagnostic& other) { return other.message == diagnostic.message; });
  if (!said) list_.insert(last, std::move(diagnostic));
}

std::string place(std::string_view file, Position at) {
  if (at.line == 0) return std::string(file);
  return cat(file, ":", at.line, ":", at.column);
}

std::string to_string(const Diagnostic& diagnostic, std::string_view file) {
  std::string text =
      cat(place(file, diagnostic.at),
          diagnostic.severity == Diagnostic::Severity::error ? ": error: " : ": warning: ",
          diagnostic.message);
  if (!diagnostic.hint.empty()) text += cat("; ", diagnostic.hint);
  return text;
}

Json to_json(const Diagnostic& diagnostic, std::string_view file) {
  Json json = Json::object();
  json.set("severity", diagnostic.severity == Diagnostic::Severity::error ? "error" : "warning");
  json.set("file", file);
  json.set("line", diagnostic.at.line);
  json.set("column", diagnostic.at.column);
  json.set("message", diagnostic.message);
  if (!diagnostic.hint.empty()) json.set("hint", diagnostic.hint);
  return json;
}

}  // namespace apr::pipeline
