// What the commands of apr-pipeline share.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/cli/options.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/pipeline/load.h"
#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

inline constexpr std::string_view kProgram = "apr-pipeline";

Style output_style();
/// Tells the error as both programs do; returns its exit code.
int fail(const Error& error, bool json);
Json diagnostics_as_json(const LoadedPipeline& loaded);
void print_diagnostics(const LoadedPipeline& loaded, std::ostream& out, Style style);
/// Loads for a command that goes on only if lint finds no error. On failure returns null; `code` is
/// set.
std::unique_ptr<LoadedPipeline> load_sound(const ParsedCommand& command,
                                           const std::vector<std::string>& sets, int& code);
std::string state_folder(const ParsedCommand& command);
RunOptions run_options(const ParsedCommand& command);
Error never_run(const std::string& file);
/// The record of the run that `--run` names, else of the last one; its state is "killed" if its
/// process is gone.
Result<Json> recorded_run(const ParsedCommand& command, const Pipeline& pipeline);

// One function for each command: from its parameters to an exit code.
int lint_command(const ParsedCommand& command);
int plan_command(const ParsedCommand& command);
int run_command(const ParsedCommand& command);
int resume_command(const ParsedCommand& command);
int verify_command(const ParsedCommand& command);
int status_command(const ParsedCommand& command);
int explain_command(const ParsedCommand& command);
int logs_command(const ParsedCommand& command);
int graph_command(const ParsedCommand& command);
int report_command(const ParsedCommand& command);
int gc_command(const ParsedCommand& command);
int schema_command(const ParsedCommand& command);
int init_command(const ParsedCommand& command);

}  // namespace apr::pipeline
