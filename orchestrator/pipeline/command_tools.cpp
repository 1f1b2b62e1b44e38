#include "orchestrator/pipeline/command_tools.h"

#include <unistd.h>

#include <iostream>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/pipeline/lock_file.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {
namespace {

Error has_errors(const LoadedPipeline& loaded) {
  return make_error(ErrorCode::usage,
                    cat("the pipeline has ", plural(loaded.diagnostics.errors(), "error")),
                    loaded.pipeline.file, "");
}

}  // namespace

Style output_style() {
  return {wants_colour(STDOUT_FILENO)};
}

int fail(const Error& error, bool json) {
  return report_error(kProgram, error, json);
}

Json diagnostics_as_json(const LoadedPipeline& loaded) {
  Json list = Json::array();
  for (const Diagnostic& diagnostic : loaded.diagnostics.all()) {
    list.push_back(to_json(diagnostic, loaded.pipeline.file));
  }
  return list;
}

void print_diagnostics(const LoadedPipeline& loaded, std::ostream& out, Style style) {
  for (const Diagnostic& diagnostic : loaded.diagnostics.all()) {
    const bool error = diagnostic.severity == Diagnostic::Severity::error;
    out << style.bold(printable(place(loaded.pipeline.file, diagnostic.at))) << ": "
        << (error ? style.red("error:") : style.yellow("warning:")) << ' '
        << printable(diagnostic.message) << '\n';
    if (!diagnostic.hint.empty()) {
      out << "  " << style.dim("hint:") << ' ' << printable(diagnostic.hint) << '\n';
    }
  }
}

std::unique_ptr<LoadedPipeline> load_sound(const ParsedCommand& command,
                                           const std::vector<std::string>& sets, int& code) {
  const bool json = command.global.json;
  auto loaded = load_pipeline(command.params.text("file"), sets, all_stages());
  if (!loaded) {
    code = fail(loaded.error(), json);
    return nullptr;
  }
  if ((*loaded)->diagnostics.errors() == 0) return *std::move(loaded);
  const Error error = has_errors(**loaded);
  print_diagnostics(**loaded, std::cerr, {wants_colour(STDERR_FILENO)});
  std::cerr << error_as_text(kProgram, error, wants_colour(STDERR_FILENO));
  if (json) {
    Json object = error_as_json(error);
    object.set("diagnostics", diagnostics_as_json(**loaded));
    std::cout << object.dump(2) << '\n';
  }
  code = exit_code(error.code);
  return nullptr;
}

std::string state_folder(const ParsedCommand& command) {
  if (command.params.has("state")) {
    return resolve_path(command.params.text("state"), current_folder());
  }
  return join_path(parent_path(resolve_path(command.params.text("file"), current_folder())),
                   ".apr");
}

RunOptions run_options(const ParsedCommand& command) {
  RunOptions options;
  const Values& params = command.params;
  if (params.has("jobs")) options.jobs = static_cast<unsigned>(params.integer("jobs"));
  options.force = params.flag("force");
  options.threads = command.global.threads;
  options.keep_going = params.flag("keep-going");
  options.locked = params.flag("locked");
  options.lock_file = params.has("lock")
                          ? resolve_path(params.text("lock"), current_folder())
                          : lock_file_path(resolve_path(params.text("file"), current_folder()));
  if (params.flag("no-lock")) options.lock_file.clear();
  return options;
}

Error never_run(const std::string& file) {
  return make_error(ErrorCode::not_found, "this pipeline has not been run here", file,
                    "start with `apr-pipeline run`, or name its --state folder");
}

Result<Json> recorded_run(const ParsedCommand& command, const Pipeline& pipeline) {
  const State state = State::look_at(state_folder(command));
  Json run;
  if (command.params.has("run")) {
    const std::string& id = command.params.text("run");
    run = state.run(id);
    if (run.is_null() || run["pipeline"].as_string() != pipeline.name) {
      return make_error(ErrorCode::not_found, cat("this pipeline has no run '", id, "'"),
                        state.folder(), "`apr-pipeline status` names the last one");
    }
  } else {
    run = state.last_run(pipeline.name);
  }
  if (run.is_null()) return never_run(command.params.text("file"));
  if (run["state"].as_string() == "running" && !state.is_alive(run["owner"].as_string())) {
    run.set("state", "killed");
  }
  return run;
}

}  // namespace apr::pipeline
