#include "orchestrator/pipeline/command_schema.h"

#include <algorithm>
#include <array>

#include "core/base/cat.h"
#include "orchestrator/cli/help.h"

namespace apr::pipeline {
namespace {

constexpr std::string_view kName = "apr-pipeline";

Param file_param() {
  Param param;
  param.name = "file";
  param.help = "the pipeline, a YAML file";
  param.required = true;
  param.position = 0;
  param.value_name = "FILE";
  return param;
}

Param set_param() {
  Param param;
  param.name = "set";
  param.type = ParamType::texts;
  param.value_name = "NAME=VALUE";
  param.help = "give a parameter of the pipeline a value; may be repeated";
  return param;
}

Param state_param() {
  Param param;
  param.name = "state";
  param.value_name = "FOLDER";
  param.help = "where cache and runs are kept; by default .apr beside the pipeline file";
  return param;
}

Param flag(std::string name, std::string help, char letter = 0) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::boolean;
  param.help = std::move(help);
  param.letter = letter;
  param.fallback = Json(false);
  return param;
}

Param text(std::string name, std::string value_name, std::string help) {
  Param param;
  param.name = std::move(name);
  param.value_name = std::move(value_name);
  param.help = std::move(help);
  return param;
}

Param choice(std::string name, std::vector<std::string> choices, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::choice;
  param.choices = std::move(choices);
  param.help = std::move(help);
  return param;
}

Param stage_param() {
  Param param = text("stage", "STAGE", "only this stage; a stage with a matrix means all of it");
  param.position = 1;
  return param;
}

Param which_run_param() {
  return text("run", "ID", "a run by its id; by default the last one");
}

std::vector<Param> run_params() {
  Param jobs;
  jobs.name = "jobs";
  jobs.type = ParamType::integer;
  jobs.letter = 'j';
  jobs.minimum = 1;
  jobs.maximum = 256;
  jobs.help = "stages at a time; by default one per processor";
  Param lock;
  lock.name = "lock";
  lock.value_name = "FILE";
  lock.help = "the lock file; by default the pipeline's name with .lock";
  return {file_param(),
          set_param(),
          jobs,
          state_param(),
          flag("keep-going", "after a failure, go on with what does not depend on it", 'k'),
          flag("force", "replace files at the places of outputs that no run put there", 'f'),
          lock,
          flag("locked", "refuse any difference from the lock file"),
          flag("no-lock", "write no lock file"),
          choice("events", {"jsonl"}, "print every event as a line of JSON instead"),
          text("html", "FILE", "write the report here, too"),
          text("junit", "FILE", "write the outcome as JUnit XML")};
}

std::vector<VerbInfo> make_commands() {
  VerbInfo lint;
  lint.name = "lint";
  lint.summary = "check a pipeline file without running anything";
  lint.details =
      "Reports everything that is wrong at once, each with line, column and a suggestion: unknown "
      "keys, stages, parameters and outputs, wrong types, limits that could never fail, cycles. "
      "Warnings (unused parameters, results that nothing uses) do not count as failure.";
  lint.params = {file_param(), set_param()};
  lint.examples = {{"apr-pipeline lint pipelines/north-star.yaml", "is this file sound?"}};

  VerbInfo plan;
  plan.name = "plan";
  plan.summary = "show what a run would do, and why";
  plan.details =
      "For every stage: cached, or will run and which part of its key differs from last time "
      "(parameter, input, plugin, apr itself). Stages behind one that has to run first cannot be "
      "decided yet and say so. Nothing is run and nothing is written.";
  plan.params = {file_param(), set_param(), state_param()};
  plan.examples = {{"apr-pipeline plan pipelines/north-star.yaml", "what is left to do?"},
                   {"apr-pipeline plan pipelines/north-star.yaml --set int4_ratio=1.01",
                    "what would that change?"}};

  VerbInfo run;
  run.name = "run";
  run.summary = "run a pipeline";
  run.details =
      "Stages run in parallel as soon as what they need is there. A stage whose inputs, "
      "parameters and plugins are those of an earlier run is taken from the cache. A gate that "
      "does not hold stops the line with exit code 5 and shows its figures; what was finished is "
      "kept. Ctrl-C stops cleanly, and `apr-pipeline resume` goes on from there.\n\n"
      "Paths in the file are relative to the file; paths given with --set are relative to the "
      "current folder.";
  run.params = run_params();
  run.examples = {
      {"apr-pipeline run pipelines/north-star.yaml", "the whole way, with the bundled model"},
      {"apr-pipeline run pipelines/north-star.yaml --set source=./my-model -j 1",
       "another model, one stage at a time"},
      {"apr-pipeline run pipelines/north-star.yaml --locked", "only if nothing differs"}};

  VerbInfo resume;
  resume.name = "resume";
  resume.summary = "go on with the last run, with the parameters it was given";
  resume.details =
      "The same as run with the --set values of this pipeline's last run; further --set words "
      "replace them one by one. Finished stages come from the cache.";
  resume.params = run_params();
  resume.examples = {{"apr-pipeline resume pipelines/north-star.yaml", "after Ctrl-C or a crash"}};

  VerbInfo status;
  status.name = "status";
  status.summary = "show the last run";
  status.details = "With --json: every stage's report, gates with their evidence, and errors.";
  status.params = {file_param(), state_param()};
  status.examples = {{"apr-pipeline status pipelines/north-star.yaml", "how did it go?"}};
  status.params.push_back(which_run_param());

  VerbInfo explain;
  explain.name = "explain";
  explain.summary = "show which part of a stage's key changed";
  explain.details =
      "For every stage: what a run would do with it, and every part of its key (parameters, "
      "inputs, "
      "plugins, variables, apr itself) that differs from the last run, with both values. With "
      "--json also everything the key is made of.";
  explain.params = {file_param(), stage_param(), set_param(), state_param()};
  explain.examples = {{"apr-pipeline explain pipelines/north-star.yaml shrink-int4",
                       "why would this stage run again?"}};

  VerbInfo logs;
  logs.name = "logs";
  logs.summary = "show what stages printed";
  logs.details =
      "Everything that the stages of a run and the measurements of their gates printed, "
      "each attempt by itself; for results from the cache, what was printed when they "
      "were made.";
  logs.params = {file_param(), stage_param(), state_param(), which_run_param()};
  logs.examples = {{"apr-pipeline logs pipelines/north-star.yaml chat", "what did it answer?"}};

  VerbInfo graph;
  graph.name = "graph";
  graph.summary = "the stages and what flows between them, to be drawn";
  graph.details = "Formats: mermaid (what GitHub draws in Markdown), dot (Graphviz), json.";
  Param format = choice("format", {"mermaid", "dot", "json"}, "how it is written");
  format.fallback = Json("mermaid");
  graph.params = {file_param(), format, set_param()};
  graph.examples = {{"apr-pipeline graph pipelines/north-star.yaml --format dot", "for Graphviz"}};

  VerbInfo report;
  report.name = "report";
  report.summary = "the report of a run as one HTML file";
  report.details =
      "Every run writes its report into its folder; this prints where it is, or writes it to a "
      "place of your own. The file needs nothing else, no network and no script.";
  report.params = {file_param(), text("html", "FILE", "write it here"),
                   text("junit", "FILE", "write the outcome as JUnit XML"), state_param(),
                   which_run_param()};
  report.examples = {
      {"apr-pipeline report pipelines/north-star.yaml --html report.html", "to send to somebody"}};

  VerbInfo verify;
  verify.name = "verify";
  verify.summary = "check results against the lock file";
  verify.details =
      "Digests what lies at the places of outputs and compares it with the lock file. With "
      "--rebuild everything is made again from the inputs, in a fresh folder and with another "
      "number of threads (--threads chooses it), and the digests of every stage are compared; "
      "gates are not measured and nothing is published. A difference is exit code 5.";
  verify.params = {
      file_param(), flag("rebuild", "make everything again and compare"),
      text("lock", "FILE", "the lock file; by default the pipeline's name with .lock")};
  verify.examples = {{"apr-pipeline verify pipelines/north-star.yaml --rebuild",
                      "are the results what the inputs give?"}};

  VerbInfo gc;
  gc.name = "gc";
  gc.summary = "remove old runs and results that nothing uses";
  gc.details =
      "Keeps the newest runs of every pipeline in the state folder, the last successful one in any "
      "case, and all results that these used. Published outputs stay where they are. Refused while "
      "a run goes on.";
  Param keep;
  keep.name = "keep";
  keep.type = ParamType::integer;
  keep.minimum = 0;
  keep.maximum = 100'000;
  keep.fallback = Json(5);
  keep.help = "how many runs of each pipeline are kept";
  gc.params = {file_param(), keep, flag("dry-run", "only say what would go", 'n'), state_param()};
  gc.examples = {
      {"apr-pipeline gc pipelines/north-star.yaml --keep 1 --dry-run", "what could go?"}};

  VerbInfo schema;
  schema.name = "schema";
  schema.summary = "print the JSON schema of pipeline files, for editors";
  schema.details =
      "Editors with a YAML language server complete and check pipelines while you write, if the "
      "first line of the file names the schema: # yaml-language-server: $schema=FILE";
  Param output = text("output", "FILE", "write it here");
  output.letter = 'o';
  schema.params = {output};
  schema.examples = {{"apr-pipeline schema -o apr-pipeline.schema.json", "once per project"}};

  VerbInfo init;
  init.name = "init";
  init.summary = "write a commented pipeline to start from";
  init.details =
      "The file is sound, and runs as it is where --source names a checkpoint: import, validate, "
      "shrink, look.";
  init.params = {file_param(),
                 text("source", "MODEL", "the checkpoint; without it, runs need --set source=…"),
                 flag("force", "replace an existing file", 'f')};
  init.examples = {
      {"apr-pipeline init my.yaml --source golden/apr-tiny-chat", "with the bundled model"}};
  return {lint, plan, run, resume, status, explain, logs, report, graph, verify, gc, init, schema};
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t at = 0;
  while ((at = text.find(from, at)) != std::string::npos) {
    text.replace(at, from.size(), to);
    at += to.size();
  }
}

}  // namespace

const std::vector<VerbInfo>& commands() {
  static const std::vector<VerbInfo> list = make_commands();
  return list;
}

const VerbInfo* find_command(std::string_view name) {
  const auto& list = commands();
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const VerbInfo& info) { return info.name == name; });
  return found == list.end() ? nullptr : &*found;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const VerbInfo& info : commands()) names.push_back(info.name);
  return names;
}

std::string in_our_name(std::string text, std::string_view command) {
  replace_all(text, cat("apr ", command), cat("apr-pipeline ", command));
  return text;
}

std::string command_page(const VerbInfo& command, std::size_t width, Style style) {
  return apr::command_page(kName, command, width, style);
}

std::string overview_page(std::size_t width, Style style) {
  static constexpr struct {
    std::string_view title;
    std::array<std::string_view, 5> names;
  } kGroups[] = {
      {"Write", {"init", "lint", "schema"}},
      {"Run", {"plan", "run", "resume"}},
      {"Look", {"status", "logs", "explain", "report", "graph"}},
      {"Trust and tidy", {"verify", "gc"}},
  };
  Overview page;
  page.program = kName;
  page.about = "takes a model all the way, as a YAML file says";
  page.usage = cat(kName, " COMMAND FILE [OPTIONS]");
  for (const auto& [title, names] : kGroups) {
    Overview::Group& group = page.groups.emplace_back(Overview::Group{std::string(title), {}});
    for (const std::string_view name : names) {
      if (const VerbInfo* info = find_command(name)) {
        group.entries.push_back({info->name, info->summary});
      }
    }
  }
  page.options_title = "Options of every command";
  page.examples = {
      {"apr-pipeline init my.yaml --source golden/apr-tiny-chat", "a file to begin with"},
      {"apr-pipeline run pipelines/north-star.yaml", "the whole way, with the bundled model"}};
  page.footer =
      "`apr-pipeline COMMAND --help` explains one command and shows examples; docs/pipeline.md "
      "explains the YAML.";
  return apr::overview_page(page, width, style);
}

Json commands_as_json() {
  Json list = Json::array();
  for (const VerbInfo& info : commands()) list.push_back(command_as_json(info));
  return Json::object({{"name", kName}, {"version", APR_VERSION}, {"commands", std::move(list)}});
}

Json command_as_json(const VerbInfo& command) {
  return verb_as_json(kName, command);
}

}  // namespace apr::pipeline
