#include "orchestrator/pipeline/commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <span>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/options.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/cli/signals.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/pipeline/command_schema.h"
#include "orchestrator/pipeline/display.h"
#include "orchestrator/pipeline/load.h"
#include "orchestrator/pipeline/plan.h"
#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {
namespace {

constexpr std::string_view kProgram = "apr-pipeline";

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

std::string count_of(const Diagnostics& diagnostics) {
  return cat(plural(diagnostics.errors(), "error"), ", ",
             plural(diagnostics.warnings(), "warning"));
}

Error has_errors(const LoadedPipeline& loaded) {
  return make_error(ErrorCode::usage,
                    cat("the pipeline has ", plural(loaded.diagnostics.errors(), "error")),
                    loaded.pipeline.file, "");
}

/// Loads for a command that goes on only if lint finds no error. On failure returns null; `code` is
/// set.
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

int lint(const ParsedCommand& command) {
  const bool json = command.global.json;
  const auto loaded =
      load_pipeline(command.params.text("file"), command.params.texts("set"), all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const Diagnostics& diagnostics = (*loaded)->diagnostics;
  const bool good = diagnostics.errors() == 0;
  if (json) {
    std::cout << Json::object({{"file", (*loaded)->pipeline.file},
                               {"ok", good},
                               {"errors", std::uint64_t{diagnostics.errors()}},
                               {"warnings", std::uint64_t{diagnostics.warnings()}},
                               {"stages", std::uint64_t{(*loaded)->checked.stages.size()}},
                               {"diagnostics", diagnostics_as_json(**loaded)}})
                     .dump(2)
              << '\n';
  } else {
    print_diagnostics(**loaded, std::cout, output_style());
    std::cout << printable((*loaded)->pipeline.file) << ": "
              << plural((*loaded)->checked.stages.size(), "stage") << ", " << count_of(diagnostics)
              << '\n';
  }
  return good ? 0 : exit_code(ErrorCode::usage);
}

void print_plan(const std::vector<PlannedStage>& stages, std::ostream& out, Style style) {
  Table table({{"stage"}, {"uses"}, {"action"}, {"why"}});
  for (const PlannedStage& stage : stages) {
    std::string action;
    switch (stage.action) {
      case PlannedStage::Action::cached:
        action = "cached";
        break;
      case PlannedStage::Action::run:
        action = "will run";
        break;
      case PlannedStage::Action::skip:
        action = "skipped";
        break;
      case PlannedStage::Action::open:
        action = "open";
        break;
    }
    std::string why = printable(stage.reason);
    if (stage.action == PlannedStage::Action::run && stage.estimate.output_bytes > 0) {
      why += cat(why.empty() ? "" : "; ", "about ", human_bytes(stage.estimate.output_bytes));
    }
    table.row({stage.name, stage.verb, action, why});
    for (const std::string& gate : stage.gates) {
      table.row({"", "", "gate", printable(gate)});
    }
  }
  out << table.to_string(style);
  const auto count = [&](PlannedStage::Action action) {
    return std::count_if(stages.begin(), stages.end(),
                         [&](const PlannedStage& stage) { return stage.action == action; });
  };
  out << "\n"
      << count(PlannedStage::Action::cached) << " cached, " << count(PlannedStage::Action::run)
      << " to run, " << count(PlannedStage::Action::skip) << " skipped";
  if (const auto open = count(PlannedStage::Action::open); open > 0) out << ", " << open << " open";
  out << '\n';
}

int plan(const ParsedCommand& command) {
  const bool json = command.global.json;
  int code = 0;
  const auto loaded = load_sound(command, command.params.texts("set"), code);
  if (!loaded) return code;
  auto host = PluginHost::create(command.global.plugin_path);
  if (!host) return fail(host.error(), json);
  State state = State::look_at(state_folder(command));
  const VerbTable verbs = all_stages();
  const auto stages =
      plan_pipeline({loaded->pipeline, loaded->checked, loaded->params, verbs, {}}, state, **host);
  if (!stages) return fail(stages.error(), json);
  if (json) {
    Json list = Json::array();
    for (const PlannedStage& stage : *stages) list.push_back(to_json(stage));
    std::cout
        << Json::object({{"pipeline", loaded->pipeline.name}, {"stages", std::move(list)}}).dump(2)
        << '\n';
  } else {
    print_plan(*stages, std::cout, output_style());
  }
  return 0;
}

RunOptions run_options(const ParsedCommand& command) {
  RunOptions options;
  const Values& params = command.params;
  if (params.has("jobs")) options.jobs = static_cast<unsigned>(params.integer("jobs"));
  options.force = params.flag("force");
  options.keep_going = params.flag("keep-going");
  options.locked = params.flag("locked");
  options.lock_file = params.has("lock")
                          ? resolve_path(params.text("lock"), current_folder())
                          : lock_file_path(resolve_path(params.text("file"), current_folder()));
  if (params.flag("no-lock")) options.lock_file.clear();
  return options;
}

Json run_as_json(const Pipeline& pipeline, const RunResult& result) {
  Json json = Json::object();
  json.set("pipeline", pipeline.name);
  json.set("run", result.id);
  json.set("ok", !result.error.has_value());
  json.set("exit_code", result.exit_code());
  json.set("seconds", result.seconds);
  Json stages = Json::array();
  for (const StageResult& stage : result.stages) stages.push_back(to_json(stage));
  json.set("stages", std::move(stages));
  Json outputs = Json::object();
  for (const Published& published : result.published) {
    outputs.set(published.name, Json::object({{"path", published.target},
                                              {"sha256", published.digest.hex()},
                                              {"size", published.size},
                                              {"written", published.written}}));
  }
  json.set("outputs", std::move(outputs));
  if (result.error) json.set("error", error_as_json(*result.error)["error"]);
  return json;
}

/// Stages do not share our standard input: a verb that would read it finds its end at once.
void close_standard_input() {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0) return;
  ::dup2(nothing, STDIN_FILENO);
  ::close(nothing);
}

int run_with(const ParsedCommand& command, const std::vector<std::string>& sets) {
  const bool json = command.global.json;
  const bool quiet = command.global.quiet;
  if (command.params.flag("locked") && command.params.flag("no-lock")) {
    return fail(make_error(ErrorCode::usage, "--locked and --no-lock exclude each other"), json);
  }
  int code = 0;
  const auto loaded = load_sound(command, sets, code);
  if (!loaded) return code;
  auto host = PluginHost::create(command.global.plugin_path);
  if (!host) return fail(host.error(), json);
  auto state = State::open(state_folder(command));
  if (!state) return fail(state.error(), json);

  close_standard_input();
  const VerbTable verbs = all_stages();
  std::size_t name_width = 0;
  for (const StageSpec& stage : loaded->pipeline.stages) {
    name_width = std::max(name_width, stage.name.size());
  }
  Display::Options shown;
  shown.lines = !json && !quiet;
  shown.bars = !quiet && is_terminal(STDERR_FILENO);
  shown.style = output_style();
  shown.width = terminal_width(STDERR_FILENO);
  Result<RunResult> result = RunResult{};
  {
    Display display(std::cout, shown, name_width);
    result = run_pipeline(
        {loaded->pipeline, loaded->checked, loaded->params, verbs, run_options(command)}, *state,
        **host, display);
  }
  if (!result) return fail(result.error(), json);
  if (json) {
    std::cout << run_as_json(loaded->pipeline, *result).dump(2) << '\n';
  } else if (!quiet) {
    print_summary(*result, std::cout, output_style());
  }
  std::cout.flush();
  if (result->error) {
    std::cerr << error_as_text(kProgram, *result->error, wants_colour(STDERR_FILENO));
  }
  return result->exit_code();
}

int run(const ParsedCommand& command) {
  return run_with(command, command.params.texts("set"));
}

/// The words of the last run, those given now taking their place.
int resume(const ParsedCommand& command) {
  const bool json = command.global.json;
  const std::string& file = command.params.text("file");
  auto loaded = load_pipeline(file, {}, all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const Json last = State::look_at(state_folder(command)).last_run((*loaded)->pipeline.name);
  if (last.is_null()) {
    return fail(make_error(ErrorCode::not_found, "this pipeline has not been run here", file,
                           "start with `apr-pipeline run`, or name its --state folder"),
                json);
  }
  std::vector<std::string> sets = command.params.texts("set");
  const auto is_given = [&](const std::string& name) {
    return std::any_of(sets.begin(), sets.end(),
                       [&](const std::string& word) { return word.starts_with(name + "="); });
  };
  std::vector<std::string> recorded;
  for (const auto& [name, value] : last["set"].as_object()) {
    if (!is_given(name)) recorded.push_back(cat(name, "=", value.as_string()));
  }
  sets.insert(sets.end(), recorded.begin(), recorded.end());
  return run_with(command, sets);
}

int status(const ParsedCommand& command) {
  const bool json = command.global.json;
  const std::string& file = command.params.text("file");
  auto loaded = load_pipeline(file, {}, all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const State state = State::look_at(state_folder(command));
  Json last = state.last_run((*loaded)->pipeline.name);
  if (last.is_null()) {
    return fail(make_error(ErrorCode::not_found, "this pipeline has not been run here", file,
                           "start with `apr-pipeline run`, or name its --state folder"),
                json);
  }
  if (last["state"].as_string() == "running" && !state.is_alive(last["owner"].as_string())) {
    last.set("state", "killed");
  }
  if (json) {
    std::cout << last.dump(2) << '\n';
    return 0;
  }
  const Style style = output_style();
  std::cout << style.bold((*loaded)->pipeline.name) << "  run " << last["id"].as_string() << ": "
            << last["state"].as_string() << '\n';
  for (const auto& [name, value] : last["set"].as_object()) {
    std::cout << "  with " << name << " = " << printable(value.as_string()) << '\n';
  }
  Table table({{"stage"}, {"uses"}, {"state"}, {"time", Table::Align::right}, {""}});
  for (const Json& stage : last["stages"].as_array()) {
    std::string remark = stage["reason"].as_string();
    if (stage["error"].is_object()) remark = stage["error"]["message"].as_string();
    const double seconds = stage["seconds"].as_number();
    table.row({stage["name"].as_string(), stage["uses"].as_string(), stage["state"].as_string(),
               seconds > 0 ? human_seconds(seconds) : "", printable(remark)});
    for (const Json& gate : stage["gates"].as_array()) {
      table.row({"", "", gate["passed"].as_boolean() ? "  gate ✓" : "  gate ✗", "",
                 cat(gate["gate"].as_string(), ": ", printable(gate["message"].as_string()))});
    }
  }
  std::cout << table.to_string(style, 2);
  const std::string run_state = last["state"].as_string();
  if (run_state == "killed" || run_state == "interrupted") {
    std::cout << "  `apr-pipeline resume " << printable(file) << "` goes on from here\n";
  }
  return 0;
}

Error unknown_command(const std::string& word) {
  return make_error(ErrorCode::usage, cat("there is no command '", word, "'"), "",
                    suggestion(word, command_names(), "commands"));
}

int print_version(bool json) {
  if (json) {
    std::cout << Json::object({{"name", kProgram}, {"version", APR_VERSION}}).dump(2) << '\n';
  } else {
    std::cout << kProgram << ' ' << APR_VERSION << '\n';
  }
  return 0;
}

int show_help(const VerbInfo* command) {
  const std::size_t width = terminal_width(STDOUT_FILENO);
  std::cout << (command == nullptr ? overview_page(width, output_style())
                                   : command_page(*command, width, output_style()));
  return 0;
}

int run_words(std::span<const std::string> words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  const bool json = std::find(words.begin(), end, "--json") != end;
  std::size_t at = find_verb_word(words);
  if (at == words.size()) {
    const auto asked = [&](std::string_view word) {
      return std::find(words.begin(), end, word) != end;
    };
    if (asked("--version")) return print_version(json);
    if (asked("--help") || asked("-h")) return show_help(nullptr);
    if (!words.empty()) return fail(unknown_command(words.front()), json);
    std::cerr << overview_page(terminal_width(STDERR_FILENO), {wants_colour(STDERR_FILENO)});
    return exit_code(ErrorCode::usage);
  }
  const bool help = words[at] == "help";
  if (help && ++at == words.size()) return show_help(nullptr);
  const VerbInfo* info = find_command(words[at]);
  if (info == nullptr) return fail(unknown_command(words[at]), json);
  if (help) return show_help(info);

  std::vector<std::string> rest(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at));
  rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
  auto command = parse_command(*info, rest);
  if (!command) {
    Error error = std::move(command).error();
    error.message = in_our_name(std::move(error.message), info->name);
    error.hint = in_our_name(std::move(error.hint), info->name);
    return fail(error, json);
  }
  if (command->global.help) return show_help(info);
  if (command->global.version) return print_version(json);
  if (info->name == "lint") return lint(*command);
  if (info->name == "plan") return plan(*command);
  if (info->name == "run") return run(*command);
  if (info->name == "resume") return resume(*command);
  return status(*command);
}

}  // namespace

int run_program(int argc, char** argv) {
  install_signal_handlers();
  const std::vector<std::string> words(argv + 1, argv + argc);
  return finish_output(kProgram, run_words(words));
}

}  // namespace apr::pipeline
