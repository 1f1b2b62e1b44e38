// What went wrong, as a value. Part of the interface: every message says what is wrong with which
// file, tensor, field or line, and what to do next.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/export.h"

namespace apr {

/// Categories of failure. The numeric value is the exit code of both programs.
enum class ErrorCode : std::uint8_t {
  generic = 1,
  usage = 2,
  not_found = 3,    ///< a file, tensor, plugin or name that does not exist
  format = 4,       ///< bytes that are not what they claim to be
  validation = 5,   ///< a failed check or gate, or a refused overwrite
  load = 6,         ///< a sound file whose model cannot be run as described
  io = 7,           ///< the operating system refused a read or a write
  inference = 8,    ///< a failure while computing
  unsupported = 9,  ///< understood, but not something this build can do
  network = 10,
  http_not_found = 11,
  interrupted = 130,
};

/// Short lower-case name of a category ("format"), as printed in `--json` errors.
APR_API std::string_view name_of(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::generic;
  std::string message;  ///< one sentence: what is wrong
  std::string context;  ///< where: "model.apr", "model.apr: tensor lm_head.weight", "a.yaml:3:7"
  std::string hint;     ///< what to do next; may be empty

  /// "context: message" and, if there is a hint, "; hint".
  APR_API std::string to_string() const;

  /// The same error seen from further out: `where` is put before the context, unless that begins
  /// with it already.
  APR_API Error within(std::string_view where) &&;
};

inline int exit_code(ErrorCode code) {
  return static_cast<int>(code);
}

}  // namespace apr
