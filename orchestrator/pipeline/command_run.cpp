// run, resume, verify.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "core/base/cat.h"
#include "core/platform/cpu.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/pipeline/command_tools.h"
#include "orchestrator/pipeline/display.h"
#include "orchestrator/pipeline/html_report.h"
#include "orchestrator/pipeline/junit.h"
#include "orchestrator/pipeline/publish.h"
#include "orchestrator/process/fresh_folder.h"

namespace apr::pipeline {
namespace {

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
  Json tables = Json::array();
  for (const TableResult& table : result.tables) tables.push_back(to_json(table));
  if (tables.size() > 0) json.set("tables", std::move(tables));
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

/// The reports that the pipeline or the command line wants at places of their own.
Status write_reports(const ParsedCommand& command, const LoadedPipeline& loaded, const State& state,
                     const std::string& id) {
  const Pipeline& pipeline = loaded.pipeline;
  const auto target = [&](std::string_view option, const std::string& in_file) -> std::string {
    if (command.params.has(option)) {
      return resolve_path(command.params.text(option), current_folder());
    }
    return in_file.empty() ? "" : resolve_path(in_file, pipeline.folder);
  };
  const std::string html = target("html", pipeline.report.html);
  const std::string junit = target("junit", pipeline.report.junit);
  if (html.empty() && junit.empty()) return {};
  const Json run = state.run(id);
  if (!html.empty()) APR_TRY(publish_text(html_report(run), html));
  if (!junit.empty()) APR_TRY(publish_text(junit_report(run), junit));
  return {};
}

int run_with(const ParsedCommand& command, const std::vector<std::string>& sets) {
  const bool json = command.global.json;
  const bool quiet = command.global.quiet;
  const bool events = command.params.has("events");
  if (events && json) {
    return fail(make_error(ErrorCode::usage, "--events and --json exclude each other"), json);
  }
  if (command.params.flag("locked") && command.params.flag("no-lock")) {
    return fail(make_error(ErrorCode::usage, "--locked and --no-lock exclude each other"), json);
  }
  int code = 0;
  const auto loaded = load_sound(command, sets, code);
  if (!loaded) return code;
  auto host = PluginHost::create(command.global.plugin_path);
  if (!host) return fail(host.error(), json);
  if (!quiet) warn_of_refused(kProgram, **host, std::cerr);
  auto state = State::open(state_folder(command));
  if (!state) return fail(state.error(), json);

  close_standard_input();
  const VerbTable verbs = all_stages();
  std::size_t name_width = 0;
  for (const StageSpec& stage : loaded->pipeline.stages) {
    name_width = std::max(name_width, stage.name.size());
  }
  Display::Options shown;
  shown.lines = !json && !quiet && !events;
  shown.bars = !quiet && is_terminal(STDERR_FILENO);
  shown.style = output_style();
  shown.width = terminal_width(STDERR_FILENO);
  std::vector<std::string> variables;
  for (const Name& name : loaded->pipeline.environment) variables.push_back(name.text);
  ChildProcess executor(command.global.plugin_path, variables);
  Result<RunResult> result = RunResult{};
  {
    Display display(std::cout, shown, name_width);
    EventLog log(std::cout);
    std::vector<Observer*> watchers{&display};
    if (events) watchers.push_back(&log);
    Observers observers(watchers);
    result = run_pipeline(
        {loaded->pipeline, loaded->checked, loaded->params, verbs, run_options(command), &executor},
        *state, **host, observers);
  }
  if (!result) return fail(result.error(), json);
  if (json) {
    std::cout << run_as_json(loaded->pipeline, *result).dump(2) << '\n';
  } else if (!quiet && !events) {
    print_summary(*result, std::cout, output_style());
  }
  if (Status written = write_reports(command, *loaded, *state, result->id); !written) {
    const int code_now = fail(written.error(), false);
    if (!result->error) return code_now;
  }
  std::cout.flush();
  if (result->error) {
    std::cerr << error_as_text(kProgram, *result->error, wants_colour(STDERR_FILENO));
  }
  return result->exit_code();
}

}  // namespace

int run_command(const ParsedCommand& command) {
  return run_with(command, command.params.texts("set"));
}

/// The words of the last run, those given now taking their place.
int resume_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  const std::string& file = command.params.text("file");
  auto loaded = load_pipeline(file, {}, all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const Json last = State::look_at(state_folder(command)).last_run((*loaded)->pipeline.name);
  if (last.is_null()) return fail(never_run(file), json);
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

namespace {

void add_differences(const std::map<std::string, std::string>& locked,
                     const std::map<std::string, std::string>& now, const std::string& what,
                     Json& list, std::size_t& equal) {
  for (const auto& [name, digest] : locked) {
    const auto found = now.find(name);
    if (found != now.end() && found->second == digest) {
      ++equal;
      continue;
    }
    list.push_back(Json::object({{"what", cat(what, name)},
                                 {"locked", digest},
                                 {"found", found == now.end() ? Json() : Json(found->second)}}));
  }
}

/// Everything made anew, elsewhere, with another number of threads: digests by stage and output.
Result<LockFile> rebuild(const ParsedCommand& command, const std::vector<std::string>& sets,
                         unsigned threads, Json& unstable) {
  const std::string& file = command.params.text("file");
  const VerbTable verbs = all_stages();
  APR_ASSIGN(const auto loaded, load_pipeline(file, sets, verbs));
  if (loaded->diagnostics.errors() > 0) {
    return make_error(ErrorCode::usage, "the pipeline has errors", file,
                      "`apr-pipeline lint` shows them");
  }
  APR_ASSIGN(const auto host, PluginHost::create(command.global.plugin_path));
  APR_ASSIGN(const FreshFolder folder, FreshFolder::create("apr-rebuild"));
  APR_ASSIGN(State state, State::open(cat(folder.path(), "/state")));
  close_standard_input();
  std::vector<std::string> variables;
  for (const Name& name : loaded->pipeline.environment) variables.push_back(name.text);
  ChildProcess executor(command.global.plugin_path, variables);
  RunOptions options;
  options.jobs = 1;
  options.threads = threads;
  options.gates = false;
  options.publish = false;
  Display::Options shown;
  shown.lines = !command.global.json && !command.global.quiet;
  shown.style = output_style();
  Display display(std::cout, shown, 12);
  APR_ASSIGN(const RunResult result, run_pipeline({loaded->pipeline, loaded->checked,
                                                   loaded->params, verbs, options, &executor},
                                                  state, *host, display));
  if (result.error) return *result.error;
  LockFile made;
  for (std::size_t i = 0; i < result.stages.size(); ++i) {
    const StageResult& stage = result.stages[i];
    if (!loaded->checked.stages[i].verb->info().reproducible) {
      unstable.push_back(stage.name);
      continue;
    }
    for (const Output& output : stage.entry.outputs) {
      made.stages[stage.name][output.port] = output.digest.hex();
    }
  }
  return made;
}

/// Digests of what lies at the places of outputs now.
Result<std::map<std::string, std::string>> outputs_now(const Pipeline& pipeline) {
  std::map<std::string, std::string> digests;
  DigestBook book("");
  for (const OutputSpec& output : pipeline.outputs) {
    APR_ASSIGN(const std::string target, output_place(pipeline, output));
    APR_ASSIGN(const FileStatus status, file_status(target));
    if (status.kind == FileKind::missing) continue;
    APR_ASSIGN(const auto entry, book.digest(target));
    digests[output.name] = entry.digest.hex();
  }
  return digests;
}

}  // namespace

int verify_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  int code = 0;
  const auto loaded = load_sound(command, {}, code);
  if (!loaded) return code;
  const std::string lock_path_now =
      command.params.has("lock")
          ? resolve_path(command.params.text("lock"), current_folder())
          : lock_file_path(resolve_path(command.params.text("file"), current_folder()));
  const auto locked = LockFile::read(lock_path_now);
  if (!locked) return fail(locked.error(), json);
  Json differences = Json::array();
  Json unstable = Json::array();
  std::size_t equal = 0;
  unsigned threads = 0;
  if (command.params.flag("rebuild")) {
    std::vector<std::string> sets;
    for (const auto& [name, value] : locked->params.as_object()) {
      const ParamSpec* spec = loaded->pipeline.find_param(name);
      const bool path = spec != nullptr && spec->is_path;
      sets.push_back(
          cat(name, "=",
              path ? resolve_path(value.as_string(), loaded->pipeline.folder) : value.as_string()));
    }
    // Another number than a run takes by itself.
    threads = command.global.threads;
    if (threads == 0) threads = available_processors() == 1 ? 2 : 1;
    const auto made = rebuild(command, sets, threads, unstable);
    if (!made) return fail(made.error(), json);
    for (const auto& [stage, digests] : locked->stages) {
      const bool skipped = std::any_of(unstable.as_array().begin(), unstable.as_array().end(),
                                       [&](const Json& name) { return name.as_string() == stage; });
      if (skipped) continue;
      const auto found = made->stages.find(stage);
      add_differences(
          digests,
          found == made->stages.end() ? std::map<std::string, std::string>{} : found->second,
          cat("stage ", stage, ": "), differences, equal);
    }
  } else {
    const auto now = outputs_now(loaded->pipeline);
    if (!now) return fail(now.error(), json);
    add_differences(locked->outputs, *now, "output ", differences, equal);
  }
  const bool good = differences.size() == 0;
  if (json) {
    Json report = Json::object({{"ok", good},
                                {"rebuilt", command.params.flag("rebuild")},
                                {"equal", std::uint64_t{equal}},
                                {"differences", differences},
                                {"not_reproducible", unstable}});
    if (threads > 0) report.set("threads", std::uint64_t{threads});
    std::cout << report.dump(2) << '\n';
  } else {
    for (const Json& one : differences.as_array()) {
      std::cout << output_style().red("differs") << "  " << one["what"].as_string() << ": locked "
                << one["locked"].as_string().substr(0, 16) << "…, found "
                << (one["found"].is_null() ? "nothing"
                                           : one["found"].as_string().substr(0, 16) + "…")
                << '\n';
    }
    for (const Json& name : unstable.as_array()) {
      std::cout << "not compared: " << name.as_string() << " (its result is not reproducible)\n";
    }
    std::cout << plural(equal, "digest") << " equal to the lock file, " << differences.size()
              << " different\n";
  }
  std::cout.flush();
  if (good) return 0;
  return fail(make_error(ErrorCode::validation, "not what the lock file says", lock_path_now,
                         command.params.flag("rebuild")
                             ? "`apr-pipeline explain` shows what a key is made of"
                             : "`apr-pipeline run --force` puts the outputs there again"),
              false);
}

}  // namespace apr::pipeline
