// The commands of apr-pipeline.
#pragma once

namespace apr::pipeline {

/// From the command line to an exit code.
int run_program(int argc, char** argv);

}  // namespace apr::pipeline
