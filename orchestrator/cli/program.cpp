#include "orchestrator/cli/program.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <span>
#include <streambuf>
#include <string>
#include <vector>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/memory.h"
#include "core/plugin/plugin.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/help.h"
#include "orchestrator/cli/options.h"
#include "orchestrator/cli/progress_bar.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/cli/signals.h"
#include "orchestrator/cli/terminal.h"

namespace apr {

namespace {

constexpr std::string_view kProgram = "apr";

/// Takes everything and keeps nothing: where remarks go with --quiet.
class Silence final : public std::streambuf {
 protected:
  int overflow(int c) override { return traits_type::not_eof(c); }
};

bool asks_for_json(std::span<const std::string> words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

Style output_style() {
  return {wants_colour(STDOUT_FILENO)};
}

int print_version(bool json) {
  if (json) {
    std::cout << Json::object({{"name", "apr"},
                               {"version", APR_VERSION},
                               {"plugin_api", kPluginApi},
                               {"build", kBuildTag}})
                     .dump(2)
              << '\n';
  } else {
    std::cout << "apr " << APR_VERSION << '\n';
  }
  return 0;
}

std::vector<std::string> verb_names() {
  std::vector<std::string> names{"help"};
  for (const auto& verb : all_verbs()) names.push_back(verb->info().name);
  return names;
}

Error unknown_verb(const std::string& word) {
  std::vector<std::string> names = verb_names();
  for (const auto& verb : all_verbs()) {  // "plugin" is near "plugins", the first word of a verb
    const std::string& name = verb->info().name;
    if (const auto space = name.find(' '); space != name.npos)
      names.push_back(name.substr(0, space));
  }
  const std::string near = nearest(word, names);
  return make_error(
      ErrorCode::usage, cat("unknown verb '", word, "'"), {},
      near.empty() ? "`apr help` lists the verbs" : cat("did you mean '", near, "'?"));
}

Error incomplete_verb(const std::string& word, const std::string& next) {
  std::vector<std::string> names;
  std::string list;
  for (const Verb* verb : verbs_of_group(word)) {
    names.push_back(verb->info().name.substr(word.size() + 1));
    list += (list.empty() ? "" : ", ") + names.back();
  }
  if (next.empty() || next.starts_with('-')) {
    return make_error(ErrorCode::usage, cat("'apr ", word, "' wants one of: ", list), {},
                      cat("for example: apr ", word, " ", names.front()));
  }
  const std::string near = nearest(next, names);
  return make_error(
      ErrorCode::usage, cat("unknown verb '", word, " ", next, "'"), {},
      near.empty() ? cat("there are: ", list) : cat("did you mean '", word, " ", near, "'?"));
}

struct FoundVerb {
  Verb* verb;
  std::size_t words;  ///< how many words name it
};

Result<FoundVerb> verb_at(std::span<const std::string> words) {
  // The longest name wins: "probador playbook run" before "probador playbook".
  constexpr std::size_t kMostWords = 3;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(words.size(), kMostWords); ++i) {
    names.push_back(i == 0 ? words[0] : cat(names.back(), " ", words[i]));
  }
  for (std::size_t i = names.size(); i-- > 0;) {
    if (Verb* verb = find_verb(names[i])) return FoundVerb{verb, i + 1};
  }
  for (std::size_t i = names.size(); i-- > 0;) {
    if (verbs_of_group(names[i]).empty()) continue;
    return incomplete_verb(names[i], i + 1 < words.size() ? words[i + 1] : "");
  }
  return unknown_verb(words[0]);
}

int print_overview(std::ostream& out, Style style) {
  out << overview_page(terminal_width(STDOUT_FILENO), style);
  return 0;
}

Json all_as_json() {
  Json verbs = Json::array();
  for (const auto& verb : all_verbs()) verbs.push_back(verb_as_json(kProgram, verb->info()));
  return Json::object({{"name", "apr"}, {"version", APR_VERSION}, {"verbs", std::move(verbs)}});
}

int print_group(const std::string& word, bool json) {
  const std::vector<const Verb*> verbs = verbs_of_group(word);
  if (json) {
    Json list = Json::array();
    for (const Verb* verb : verbs) list.push_back(verb_as_json(kProgram, verb->info()));
    std::cout << Json::object({{"name", word}, {"verbs", std::move(list)}}).dump(2) << '\n';
    return 0;
  }
  std::vector<std::pair<std::string, std::string>> lines;
  for (const Verb* verb : verbs)
    lines.emplace_back("apr " + verb->info().name, verb->info().summary);
  std::cout << labelled(lines, output_style());
  return 0;
}

/// `apr help`, `apr help VERB`, `apr help --markdown`.
int run_help(std::span<const std::string> words, bool json) {
  std::vector<std::string> names;
  for (const std::string& word : words) {
    if (word == "--markdown") {
      std::cout << markdown_reference();
      return 0;
    }
    if (!word.starts_with('-')) {
      names.push_back(word);
    } else if (word != "--json" && word != "--help" && word != "-h") {
      return report_error(
          kProgram,
          make_error(ErrorCode::usage, cat("apr help has no option '", word, "'"), {},
                     "it has --json and --markdown; for example: apr help convert"),
          json);
    }
  }
  if (names.empty()) {
    if (!json) return print_overview(std::cout, output_style());
    std::cout << all_as_json().dump(2) << '\n';
    return 0;
  }
  if (names == std::vector<std::string>{"exit-codes"}) {
    std::cout << (json ? exit_codes_as_json().dump(2) + "\n"
                       : exit_codes_page(terminal_width(STDOUT_FILENO)));
    return 0;
  }
  const auto found = verb_at(names);
  if (!found) {
    if (names.size() > 1 || verbs_of_group(names[0]).empty()) {
      return report_error(kProgram, found.error(), json);
    }
    return print_group(names[0], json);  // `apr help plugins`
  }
  const VerbInfo& info = found->verb->info();
  if (json) {
    std::cout << verb_as_json(kProgram, info).dump(2) << '\n';
  } else {
    std::cout << verb_page(info, terminal_width(STDOUT_FILENO), output_style());
  }
  return 0;
}

/// No verb at all: `apr`, `apr --help`, `apr --version`, `apr --jsn`.
int run_without_verb(std::span<const std::string> words, bool json) {
  const auto parsed = parse_command(VerbInfo{}, words);
  if (!parsed) {
    Error error = parsed.error();
    if (const auto at = error.message.find("apr  has"); at == 0) error.message.erase(3, 1);
    if (error.hint.starts_with("see")) error.hint = "see `apr --help`";
    return report_error(kProgram, error, json);
  }
  if (parsed->global.version) return print_version(json);
  if (parsed->global.help) return run_help({}, json);
  if (json) {
    return report_error(
        kProgram, make_error(ErrorCode::usage, "which verb?", {}, "`apr help` lists the verbs"),
        json);
  }
  print_overview(std::cerr, Style{wants_colour(STDERR_FILENO)});
  return exit_code(ErrorCode::usage);
}

void tell_costs(std::uint64_t started, const VerbInfo& info, const PluginHost& host) {
  const double seconds = static_cast<double>(monotonic_ns() - started) / 1e9;
  std::cerr << "apr: " << info.name << " took " << human_seconds(seconds) << ", peak memory "
            << human_bytes(memory_use().peak_resident_bytes) << '\n';
  for (const std::string& folder : host.search_path()) {
    std::cerr << "apr: plugins searched in " << folder << '\n';
  }
}

int run_verb(Verb& verb, const ParsedCommand& command) {
  const std::uint64_t started = monotonic_ns();
  const GlobalOptions& global = command.global;
  auto host = PluginHost::create(global.plugin_path);
  if (!host) return report_error(kProgram, host.error(), global.json);

  Silence silence;
  std::ostream nowhere(&silence);
  const std::unique_ptr<Progress> progress = make_progress(global.quiet);
  const bool terminal = is_terminal(STDOUT_FILENO);
  RunContext context{.params = command.params,
                     .plugins = **host,
                     .progress = *progress,
                     .out = std::cout,
                     .notes = global.quiet ? nowhere : std::cerr,
                     .json = global.json,
                     .terminal = terminal,
                     .threads = global.threads};
  if (!verb.info().name.starts_with("plugins ")) warn_of_refused(kProgram, **host, context.notes);
  auto outcome = verb.run(context);
  progress->finish();
  if (global.verbose) tell_costs(started, verb.info(), **host);
  if (!outcome && outcome.error().code == ErrorCode::interrupted) {
    // Where exactly it was does not matter to whoever pressed Ctrl-C.
    return report_error(kProgram,
                        make_error(ErrorCode::interrupted, cat(verb.info().name, " was stopped")),
                        global.json);
  }
  if (!outcome) return report_error(kProgram, outcome.error(), global.json);
  if (global.json) {
    // A verb that has printed its reports itself, line by line, leaves none.
    if (!outcome->report.is_null()) std::cout << outcome->report.dump(2) << '\n';
  } else {
    verb.print(outcome->report, std::cout, wants_colour(STDOUT_FILENO));
  }
  return outcome->exit_code;
}

int run_words(std::span<const std::string> words) {
  const bool json = asks_for_json(words);
  const std::size_t at = find_verb_word(words);
  if (at == words.size()) return run_without_verb(words, json);
  if (words[at] == "help") return run_help(words.subspan(at + 1), json);
  const auto found = verb_at(words.subspan(at));
  if (!found) return report_error(kProgram, found.error(), json);

  std::vector<std::string> rest(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at));
  const auto after = words.subspan(at + found->words);
  rest.insert(rest.end(), after.begin(), after.end());
  const auto command = parse_command(found->verb->info(), rest);
  if (!command) return report_error(kProgram, command.error(), json);
  if (command->global.help) return run_help(words.subspan(at, found->words), json);
  if (command->global.version) return print_version(json);
  return run_verb(*found->verb, *command);
}

}  // namespace

int run_program(int argc, char** argv) {
  install_signal_handlers();
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  return finish_output(kProgram, run_words(words));
}

}  // namespace apr
