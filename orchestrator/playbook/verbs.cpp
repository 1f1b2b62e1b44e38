#include "orchestrator/playbook/verbs.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/playbook/junit.h"
#include "orchestrator/playbook/playbook.h"
#include "orchestrator/stages/params.h"

namespace apr {

namespace {

using playbook::Playbook;
using playbook::PlaybookResult;
using playbook::StepResult;

constexpr std::size_t kMaxPlaybooks = 10'000;
constexpr std::size_t kShownLines = 12;

Param paths_param() {
  Param param = text_param("paths", "PATH", "playbooks (.yaml), or folders of them");
  param.position = 0;
  param.fallback = Json("tests/playbooks");
  return param;
}

Param allow_param() {
  Param param;
  param.name = "allow";
  param.value_name = "PROGRAM";
  param.type = ParamType::texts;
  param.help = "let playbooks run this program, too, as found in $PATH; may be repeated";
  return param;
}

/// The playbooks a path names, sorted.
Result<std::vector<std::string>> playbook_files(const std::string& path) {
  APR_ASSIGN(const FileStatus status, file_status(path));
  if (status.kind == FileKind::file) return std::vector<std::string>{path};
  if (status.kind != FileKind::folder) {
    return make_error(ErrorCode::not_found, "there is no such playbook or folder", path,
                      "`apr probador playbook create FILE` writes a first one");
  }
  APR_ASSIGN(const std::vector<std::string> names, list_folder(path));
  std::vector<std::string> files;
  for (const std::string& name : names) {
    if (name.ends_with(".yaml") || name.ends_with(".yml")) files.push_back(join_path(path, name));
  }
  if (files.empty() || files.size() > kMaxPlaybooks) {
    return make_error(ErrorCode::not_found,
                      files.empty() ? std::string("the folder holds no playbook")
                                    : cat("the folder holds ", files.size(), " playbooks; at most ",
                                          kMaxPlaybooks, " are read"),
                      path, files.empty() ? "playbooks end in .yaml or .yml" : "");
  }
  return files;
}

/// All that `path` names, read; mistakes are listed with their places.
struct Loaded {
  std::vector<Playbook> playbooks;
  std::vector<std::string> mistakes;
};

Result<Loaded> load_all(const Values& params) {
  const std::string& path = params.text("paths");
  APR_ASSIGN(const std::vector<std::string> files, playbook_files(path));
  Loaded loaded;
  for (const std::string& file : files) {
    pipeline::Diagnostics found;
    auto read = playbook::read_playbook(file, found, params.texts("allow"));
    if (!read) {
      if (read.error().code != ErrorCode::format) return std::move(read).error();
      loaded.mistakes.push_back(read.error().to_string());
      continue;
    }
    for (const auto& diagnostic : found.all()) {
      loaded.mistakes.push_back(pipeline::to_string(diagnostic, file));
    }
    if (found.errors() == 0) loaded.playbooks.push_back(*std::move(read));
  }
  return loaded;
}

Error mistakes_error(const Loaded& loaded) {
  std::string first = loaded.mistakes.front();  // "mine.yaml:1:1: error: …"; one "error:" is enough
  if (const auto at = first.find(": error: "); at != std::string::npos) first.erase(at, 7);
  return make_error(
      ErrorCode::format,
      cat(first, loaded.mistakes.size() == 1 ? std::string()
                                             : cat(" (and ", loaded.mistakes.size() - 1, " more)")),
      {}, "`apr probador playbook validate` lists all");
}

/// The folder of the running program: its neighbour is apr-pipeline.
Result<std::string> program_folder() {
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size <= 0) return make_error(ErrorCode::io, "the program's own folder cannot be found");
  return parent_path(std::string(path, static_cast<std::size_t>(size)));
}

Json step_json(const StepResult& step) {
  Json json = Json::object({{"name", step.name},
                            {"command", step.command},
                            {"passed", step.passed},
                            {"exit_code", step.exit_code},
                            {"seconds", step.seconds}});
  if (!step.passed) {
    json.set("problem", step.problem);
    json.set("output", step.output);
    json.set("stderr", step.error_output);
  }
  return json;
}

/// The last lines of a text, indented.
std::string tail(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  std::string out;
  const std::size_t first = lines.size() > kShownLines ? lines.size() - kShownLines : 0;
  for (std::size_t i = first; i < lines.size(); ++i)
    out += cat("      ", printable(lines[i]), "\n");
  return out;
}

class PlaybookRun final : public Verb {
 public:
  PlaybookRun() {
    info_.name = "probador playbook run";
    info_.summary = "run scripted sessions and check what comes of them";
    info_.details =
        "Each playbook runs in a fresh folder with an almost empty environment. --model FILE is "
        "shown "
        "to it as model.apr. A playbook ends with its first step that fails; exit code 5 when any "
        "failed. docs/playbooks.md has the format.";
    info_.params = {paths_param()};
    Param model = text_param("model", "FILE", "the model that playbooks know as model.apr");
    model.role = ParamRole::input;
    info_.params.push_back(std::move(model));
    info_.params.push_back(text_param("category", "NAME", "only playbooks of this category"));
    info_.params.push_back(text_param("junit", "FILE", "write the results as JUnit XML, for CI"));
    info_.params.push_back(allow_param());
    info_.params.push_back(force_param());
    info_.examples = {
        {"apr probador playbook run tests/playbooks --model tiny.apr", "all of a folder"},
        {"apr probador playbook run tests/playbooks --model tiny.apr --category "
         "error-handling --junit playbooks.xml",
         "some of them, for CI"}};
    info_.reproducible = false;
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(Loaded loaded, load_all(params));
    if (!loaded.mistakes.empty()) return mistakes_error(loaded);
    playbook::RunOptions options;
    APR_ASSIGN(options.programs, program_folder());
    options.model = params.text("model");
    if (params.has("model")) {
      APR_ASSIGN(const FileStatus status, file_status(options.model));
      if (status.kind == FileKind::missing) {
        return make_error(ErrorCode::not_found, "there is no such model", options.model);
      }
    }
    if (params.has("junit")) {
      APR_TRY(check_writable_target(params.text("junit"), params.flag("force")));
    }
    std::erase_if(loaded.playbooks, [&](const Playbook& candidate) {
      return params.has("category") && candidate.category != params.text("category");
    });
    if (loaded.playbooks.empty()) {
      return make_error(ErrorCode::not_found,
                        cat("no playbook has the category '", params.text("category"), "'"),
                        params.text("paths"));
    }
    std::vector<PlaybookResult> results;
    for (const Playbook& candidate : loaded.playbooks) {
      context.progress.update(candidate.name, results.size(), loaded.playbooks.size());
      APR_ASSIGN(PlaybookResult result, playbook::run_playbook(candidate, options));
      results.push_back(std::move(result));
    }
    context.progress.finish();
    if (params.has("junit")) {
      APR_ASSIGN(AtomicFile file, AtomicFile::create(params.text("junit"), params.flag("force")));
      APR_TRY(file.write(playbook::junit_xml(results)));
      APR_TRY(file.commit());
    }
    return outcome_of(results);
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    for (const Json& result : report["playbooks"].as_array()) {
      const bool passed = result["passed"].as_boolean();
      out << (passed ? style.green("✓") : style.red("✗")) << " "
          << printable(result["name"].as_string()) << "  "
          << style.dim(cat(plural(result["steps"].size(), "step"), ", ",
                           human_seconds(result["seconds"].as_number())))
          << "\n";
      if (passed) continue;
      const Json& step = result["steps"].as_array().back();
      out << "    " << printable(result["file"].as_string()) << ": "
          << printable(step["name"].as_string()) << ": "
          << style.red(printable(step["problem"].as_string())) << "\n    $ "
          << printable(step["command"].as_string()) << "\n"
          << tail(step["output"].as_string()) << tail(step["stderr"].as_string());
    }
    out << report["passed_count"].as_integer() << " of " << report["playbooks"].size()
        << " playbooks passed\n";
  }

 private:
  static Outcome outcome_of(const std::vector<PlaybookResult>& results) {
    Json list = Json::array();
    std::uint64_t passed = 0;
    for (const PlaybookResult& result : results) {
      Json steps = Json::array();
      for (const StepResult& step : result.steps) steps.push_back(step_json(step));
      Json not_run = Json::array();
      for (const std::string& name : result.not_run) not_run.push_back(name);
      passed += result.passed ? 1 : 0;
      list.push_back(Json::object({{"file", result.file},
                                   {"name", result.name},
                                   {"category", result.category},
                                   {"passed", result.passed},
                                   {"seconds", result.seconds},
                                   {"steps", std::move(steps)},
                                   {"not_run", std::move(not_run)}}));
    }
    const bool all = passed == results.size();
    return Outcome{.report = Json::object({{"passed", all},
                                           {"passed_count", passed},
                                           {"failed_count", std::uint64_t{results.size()} - passed},
                                           {"playbooks", std::move(list)}}),
                   .exit_code = all ? 0 : exit_code(ErrorCode::validation)};
  }

  VerbInfo info_;
};

class PlaybookList final : public Verb {
 public:
  PlaybookList() {
    info_.name = "probador playbook list";
    info_.summary = "list playbooks with their categories";
    info_.params = {paths_param(), allow_param()};
    info_.examples = {{"apr probador playbook list tests/playbooks", "what there is to run"}};
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    APR_ASSIGN(const Loaded loaded, load_all(context.params));
    Json mistakes = Json::array();
    for (const std::string& mistake : loaded.mistakes) mistakes.push_back(mistake);
    Json list = Json::array();
    for (const Playbook& entry : loaded.playbooks) {
      list.push_back(Json::object({{"file", entry.file},
                                   {"name", entry.name},
                                   {"category", entry.category},
                                   {"steps", std::uint64_t{entry.steps.size()}}}));
    }
    const bool sound = loaded.mistakes.empty();
    return Outcome{
        .report = Json::object({{"playbooks", std::move(list)}, {"mistakes", std::move(mistakes)}}),
        .exit_code = sound ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    Table table({{"category", Table::Align::left},
                 {"name", Table::Align::left},
                 {"steps", Table::Align::right},
                 {"file", Table::Align::left}});
    for (const Json& entry : report["playbooks"].as_array()) {
      table.row({printable(entry["category"].as_string()), printable(entry["name"].as_string()),
                 cat(entry["steps"].as_integer()), printable(entry["file"].as_string())});
    }
    out << table.to_string(Style{terminal});
    for (const Json& mistake : report["mistakes"].as_array()) {
      out << Style{terminal}.red("✗") << " " << printable(mistake.as_string()) << "\n";
    }
  }

 private:
  VerbInfo info_;
};

class PlaybookValidate final : public Verb {
 public:
  PlaybookValidate() {
    info_.name = "probador playbook validate";
    info_.summary = "check playbooks without running them";
    info_.params = {paths_param(), allow_param()};
    info_.examples = {{"apr probador playbook validate tests/playbooks", "places of all mistakes"}};
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    APR_ASSIGN(const Loaded loaded, load_all(context.params));
    Json mistakes = Json::array();
    for (const std::string& mistake : loaded.mistakes) mistakes.push_back(mistake);
    const bool valid = loaded.mistakes.empty();
    return Outcome{.report = Json::object({{"valid", valid},
                                           {"playbooks", std::uint64_t{loaded.playbooks.size()}},
                                           {"mistakes", std::move(mistakes)}}),
                   .exit_code = valid ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool) const override {
    for (const Json& mistake : report["mistakes"].as_array()) {
      out << printable(mistake.as_string()) << "\n";
    }
    if (report["valid"].as_boolean()) {
      out << plural(static_cast<std::uint64_t>(report["playbooks"].as_integer()), "playbook")
          << ", no mistakes\n";
    }
  }

 private:
  VerbInfo info_;
};

constexpr std::string_view kTemplate =
    R"(# A playbook for `apr probador playbook run FILE --model MODEL`. The model is model.apr here.
name: "A first playbook"
description: "What a user does, and what must come of it"
category: happy-path        # happy-path, error-handling, edge-cases, performance, regression
timeout: 60s                # of all steps together

files:                      # written into the session's folder before the first step
  question.txt: "What is 2+2?"

steps:
  - name: "The model is sound"
    command: "apr validate model.apr"

  - name: "It answers"
    command: "apr run model.apr -"
    stdin: "What is 2+2?"
    timeout: 30s
    expect_exit: 0          # which is also what is expected when nothing is said

  - name: "The answer is not empty"
    action: assert          # looks at the output of the step before
    output_not_empty: true

  - name: "What cannot be is refused"
    command: "apr inspect nowhere.apr"
    expect_exit: 3
    expect_stderr: "nowhere.apr"
)";

class PlaybookCreate final : public Verb {
 public:
  PlaybookCreate() {
    info_.name = "probador playbook create";
    info_.summary = "write a first playbook, with comments";
    Param file = text_param("output", "FILE", "where to write it");
    file.role = ParamRole::output;
    file.fallback = Json("playbook.yaml");
    file.position = 0;
    file.letter = 'o';
    info_.params = {std::move(file), force_param()};
    info_.examples = {{"apr probador playbook create first.yaml", "a file to begin with"}};
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const std::string& path = context.params.text("output");
    APR_ASSIGN(AtomicFile file, AtomicFile::create(path, context.params.flag("force")));
    APR_TRY(file.write(kTemplate));
    APR_TRY(file.commit());
    return Outcome{.report = Json::object({{"output", path}})};
  }

  void print(const Json& report, std::ostream& out, bool) const override {
    const std::string path = printable(report["output"].as_string());
    out << "wrote " << path << "\nRun it with: apr probador playbook run " << path
        << " --model MODEL\n";
  }

 private:
  VerbInfo info_;
};

}  // namespace

std::unique_ptr<Verb> make_playbook_run() {
  return std::make_unique<PlaybookRun>();
}
std::unique_ptr<Verb> make_playbook_list() {
  return std::make_unique<PlaybookList>();
}
std::unique_ptr<Verb> make_playbook_validate() {
  return std::make_unique<PlaybookValidate>();
}
std::unique_ptr<Verb> make_playbook_create() {
  return std::make_unique<PlaybookCreate>();
}

}  // namespace apr
