#include "orchestrator/pipeline/commands.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <span>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/cli/signals.h"
#include "orchestrator/pipeline/command_schema.h"
#include "orchestrator/pipeline/command_tools.h"
#include "orchestrator/pipeline/executor.h"

namespace apr::pipeline {
namespace {

std::string count_of(const Diagnostics& diagnostics) {
  return cat(plural(diagnostics.errors(), "error"), ", ",
             plural(diagnostics.warnings(), "warning"));
}

}  // namespace

int lint_command(const ParsedCommand& command) {
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

namespace {

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

int show_help(const VerbInfo* command, bool json) {
  if (json) {
    const Json schema = command == nullptr ? commands_as_json() : command_as_json(*command);
    std::cout << schema.dump(2) << '\n';
    return 0;
  }
  const std::size_t width = terminal_width(STDOUT_FILENO);
  std::cout << (command == nullptr ? overview_page(width, output_style())
                                   : command_page(*command, width, output_style()));
  return 0;
}

/// `apr-pipeline help [COMMAND]`
int run_help(std::span<const std::string> words, bool json) {
  const VerbInfo* command = nullptr;
  for (const std::string& word : words) {
    if (word == "--json" || word == "--help" || word == "-h") continue;
    if (word.starts_with('-') || command != nullptr) {
      return fail(
          make_error(ErrorCode::usage, cat("help does not know what to do with '", word, "'"), {},
                     "for example: apr-pipeline help run"),
          json);
    }
    command = find_command(word);
    if (command == nullptr) return fail(unknown_command(word), json);
  }
  return show_help(command, json);
}

int run_words(std::span<const std::string> words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  const bool json = std::find(words.begin(), end, "--json") != end;
  const std::size_t at = find_verb_word(words);
  if (at == words.size()) {
    const auto asked = [&](std::string_view word) {
      return std::find(words.begin(), end, word) != end;
    };
    if (asked("--version")) return print_version(json);
    if (asked("--help") || asked("-h")) return show_help(nullptr, json);
    // Only options: an unknown one is told, with known ones alone the command is missing.
    if (auto parsed = parse_command(VerbInfo{}, words); !parsed) {
      Error error = std::move(parsed).error();
      if (error.message.starts_with("apr  has")) error.message.replace(0, 4, kProgram);
      if (error.hint.starts_with("see")) error.hint = "see `apr-pipeline --help`";
      return fail(error, json);
    }
    if (!words.empty()) {
      return fail(make_error(ErrorCode::usage, "which command?", {},
                             "`apr-pipeline help` lists the commands"),
                  json);
    }
    std::cerr << overview_page(terminal_width(STDERR_FILENO), {wants_colour(STDERR_FILENO)});
    return exit_code(ErrorCode::usage);
  }
  if (words[at] == "help") return run_help(words.subspan(at + 1), json);
  const VerbInfo* info = find_command(words[at]);
  if (info == nullptr) return fail(unknown_command(words[at]), json);

  std::vector<std::string> rest(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at));
  rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
  auto command = parse_command(*info, rest);
  if (!command) {
    Error error = std::move(command).error();
    error.message = in_our_name(std::move(error.message), info->name);
    error.hint = in_our_name(std::move(error.hint), info->name);
    return fail(error, json);
  }
  if (command->global.help) return show_help(info, json);
  if (command->global.version) return print_version(json);
  static constexpr std::pair<std::string_view, int (*)(const ParsedCommand&)> kCommands[] = {
      {"lint", lint_command},     {"plan", plan_command},     {"run", run_command},
      {"resume", resume_command}, {"status", status_command}, {"explain", explain_command},
      {"logs", logs_command},     {"graph", graph_command},   {"report", report_command},
      {"verify", verify_command}, {"gc", gc_command},         {"schema", schema_command},
      {"init", init_command},
  };
  for (const auto& [name, body] : kCommands) {
    if (info->name == name) return body(*command);
  }
  return fail(unknown_command(info->name), json);
}

}  // namespace

int run_program(int argc, char** argv) {
  install_signal_handlers();
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words[0] == kWorkerCommand) return run_stage_worker();
  return finish_output(kProgram, run_words(words));
}

}  // namespace apr::pipeline
