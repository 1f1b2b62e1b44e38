// The program `apr`.
#pragma once

namespace apr {

/// From the command line to an exit code.
int run_program(int argc, char** argv);

}  // namespace apr
