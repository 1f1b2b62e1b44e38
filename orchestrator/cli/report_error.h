// How both programs tell that something went wrong.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/plugin/host.h"

namespace apr {

/// {"error": {"code", "message", "context", "hint", "exit_code"}}
Json error_as_json(const Error& error);

/// "apr: error: model.apr: the header is damaged\n  hint: …\n" for standard error.
std::string error_as_text(std::string_view program, const Error& error, bool colour);

/// Prints the text to standard error and, with `json`, the object to standard output. Returns the
/// exit code.
int report_error(std::string_view program, const Error& error, bool json);

/// "apr: warning: plugin mine is refused: …", a line for each plugin of a folder that was asked for
/// and that will not be loaded, so that nobody takes a built-in one for theirs.
void warn_of_refused(std::string_view program, const PluginHost& host, std::ostream& out);

/// Flushes standard output. What could not be written (a full disk) becomes an error.
int finish_output(std::string_view program, int exit_code);

/// Runs the body of main(): exceptions become an error and exit code 1.
int guarded_main(std::string_view program, int (*body)(int, char**), int argc, char** argv);

}  // namespace apr
