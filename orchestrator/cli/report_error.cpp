#include "orchestrator/cli/report_error.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/terminal.h"

namespace apr {

Json error_as_json(const Error& error) {
  return Json::object({{"error", Json::object({{"code", name_of(error.code)},
                                               {"message", error.message},
                                               {"context", error.context},
                                               {"hint", error.hint},
                                               {"exit_code", exit_code(error.code)}})}});
}

std::string error_as_text(std::string_view program, const Error& error, bool colour) {
  const Style style{colour};
  std::string text = cat(program, ": ", style.red("error:"), " ");
  if (!error.context.empty()) text += printable(error.context) + ": ";
  text += printable(error.message) + "\n";
  if (!error.hint.empty()) text += cat("  ", style.dim("hint:"), " ", printable(error.hint), "\n");
  return text;
}

int report_error(std::string_view program, const Error& error, bool json) {
  std::cerr << error_as_text(program, error, wants_colour(STDERR_FILENO)) << std::flush;
  if (json) std::cout << error_as_json(error).dump(2) << '\n';
  return exit_code(error.code);
}

void warn_of_refused(std::string_view program, const PluginHost& host, std::ostream& out) {
  const Style style{wants_colour(STDERR_FILENO)};
  for (const PluginInfo& plugin : host.plugins()) {
    if (!plugin.asked_for || plugin.refusal.empty()) continue;
    out << program << ": " << style.yellow("warning:") << " plugin " << printable(plugin.name)
        << " is refused: " << printable(plugin.refusal) << '\n';
  }
}

int finish_output(std::string_view program, int code) {
  std::cout.flush();
  if (std::cout.good()) return code;
  // The stream does not keep the reason; the system gives it again.
  errno = 0;
  if (::write(STDOUT_FILENO, "\n", 1) == 1) errno = 0;
  const std::string reason = errno != 0 ? cat(": ", std::strerror(errno)) : "";
  const Error error = make_error(ErrorCode::io, cat("standard output could not be written", reason),
                                 {}, "the result shown is incomplete; is the disk full?");
  std::cerr << error_as_text(program, error, wants_colour(STDERR_FILENO)) << std::flush;
  return exit_code(error.code);
}

int guarded_main(std::string_view program, int (*body)(int, char**), int argc, char** argv) {
  Error error;
  try {
    std::ios::sync_with_stdio(false);
    guard_mappings();
    return body(argc, argv);
  } catch (const std::bad_alloc&) {
    error.message = "out of memory";
    error.hint = "close other programs, or work on a machine with more memory";
  } catch (const std::exception& exception) {
    error.message = cat("unexpected failure: ", exception.what());
    error.hint = "this is a mistake in apr; please report it with the command you ran";
  }
  remove_temporary_files();
  return report_error(program, error, false);
}

}  // namespace apr
