// Ctrl-C, SIGTERM and closed pipes, for both programs.
#pragma once

namespace apr {

/// The first Ctrl-C or SIGTERM sets g_interrupted, so that long work stops and cleans up; the
/// second removes temporary files and exits with 130 at once. A closed pipe (`apr tensors m.apr |
/// head`) removes temporary files and ends the program quietly with 141. Blocking reads return
/// EINTR.
void install_signal_handlers();

}  // namespace apr
