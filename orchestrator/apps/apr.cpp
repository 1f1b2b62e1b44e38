#include "orchestrator/cli/program.h"
#include "orchestrator/cli/report_error.h"

int main(int argc, char** argv) {
  return apr::guarded_main("apr", apr::run_program, argc, argv);
}
