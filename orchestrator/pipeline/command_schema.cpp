#include "orchestrator/pipeline/command_schema.h"

#include <algorithm>

#include "core/base/cat.h"
#include "orchestrator/cli/help.h"

namespace apr::pipeline {
namespace {

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
          flag("no-lock", "write no lock file")};
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
  plan.examples = {
      {"apr-pipeline plan pipelines/north-star.yaml", "what is left to do?"},
      {"apr-pipeline plan pipelines/north-star.yaml --set small=q8_0", "what would that change?"}};

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
  return {lint, plan, run, resume, status};
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
  std::string page = in_our_name(verb_page(command, width, style), command.name);
  replace_all(page, "Options of every verb", "Options of every command");
  return page;
}

std::string overview_page(std::size_t width, Style style) {
  std::string page = cat(style.bold("apr-pipeline"), " ", APR_VERSION,
                         ": runs a model's way from checkpoint to product, as a YAML file says\n\n",
                         "Usage: ", style.bold("apr-pipeline COMMAND FILE"), " [OPTIONS]\n\n");
  for (const VerbInfo& info : commands()) {
    page += cat("  ", info.name, std::string(10 - info.name.size(), ' '),
                wrapped(info.summary, width, 12), "\n");
  }
  page += "\n`apr-pipeline COMMAND --help` explains one command and shows examples.\n";
  return page;
}

}  // namespace apr::pipeline
