#include "orchestrator/cli/report_error.h"
#include "orchestrator/pipeline/commands.h"

int main(int argc, char** argv) {
  return apr::guarded_main("apr-pipeline", apr::pipeline::run_program, argc, argv);
}
