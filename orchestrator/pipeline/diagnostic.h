// What lint finds: a remark with a place in the pipeline file.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace apr::pipeline {

/// Line and column of the file, both from 1; columns count bytes. {0, 0}: nowhere in the file.
struct Position {
  int line = 0;
  int column = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

struct Diagnostic {
  enum class Severity { error, warning };
  Severity severity = Severity::error;
  Position at;
  std::string message;
  std::string hint;
};

class Diagnostics {
 public:
  void error(Position at, std::string message, std::string hint = {}) {
    add({Diagnostic::Severity::error, at, std::move(message), std::move(hint)});
  }
  void warning(Position at, std::string message, std::string hint = {}) {
    add({Diagnostic::Severity::warning, at, std::move(message), std::move(hint)});
  }
  /// Sorted by place in the file.
  const std::vector<Diagnostic>& all() const { return list_; }
  std::size_t errors() const;
  std::size_t warnings() const { return list_.size() - errors(); }

 private:
  void add(Diagnostic diagnostic);
  std::vector<Diagnostic> list_;
};

/// "file:line:column".
std::string place(std::string_view file, Position at);
/// "file:line:column: error: message; hint".
std::string to_string(const Diagnostic& diagnostic, std::string_view file);
Json to_json(const Diagnostic& diagnostic, std::string_view file);

}  // namespace apr::pipeline
