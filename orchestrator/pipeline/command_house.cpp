// gc and init: keeping house.
#include <iostream>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/command_tools.h"
#include "orchestrator/pipeline/gc.h"
#include "orchestrator/pipeline/json_schema.h"
#include "orchestrator/pipeline/publish.h"

namespace apr::pipeline {

int gc_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  const bool dry = command.params.flag("dry-run");
  const std::string folder = state_folder(command);
  if (!command.params.has("state")) {
    const auto pipeline = file_status(command.params.text("file"));
    if (!pipeline || pipeline->kind == FileKind::missing) {
      return fail(make_error(ErrorCode::not_found, "there is no such pipeline file",
                             command.params.text("file"), "name it, or its --state folder"),
                  json);
    }
  }
  // Nothing may be using what goes.
  auto in_use = dry ? Result<UseLock>(UseLock()) : UseLock::exclusive(folder);
  if (!in_use) return fail(in_use.error(), json);
  const State state = State::look_at(folder);
  const auto garbage =
      find_garbage(state, static_cast<std::size_t>(command.params.integer("keep")));
  if (!garbage) return fail(garbage.error(), json);
  std::uint64_t bytes = 0;
  std::size_t runs = 0;
  Json list = Json::array();
  for (const Leftover& item : garbage->items) {
    const bool run = item.kind == Leftover::Kind::run;
    bytes += item.bytes;
    runs += run ? 1 : 0;
    list.push_back(Json::object(
        {{"kind", run ? "run" : "result"}, {"name", item.name}, {"bytes", item.bytes}}));
    if (!json && !command.global.quiet) {
      std::cout << (dry ? "would remove " : "removed ") << (run ? "run    " : "result ")
                << (run ? item.name : item.name.substr(0, 16)) << "  " << human_bytes(item.bytes)
                << '\n';
    }
    if (!dry) remove_all(item.path);
  }
  const std::size_t results = garbage->items.size() - runs;
  if (json) {
    std::cout << Json::object({{"dry_run", dry},
                               {"removed", std::move(list)},
                               {"freed_bytes", bytes},
                               {"kept_runs", std::uint64_t{garbage->kept_runs}},
                               {"kept_results", std::uint64_t{garbage->kept_results}}})
                     .dump(2)
              << '\n';
  } else {
    std::cout << plural(runs, "run") << " and " << plural(results, "result")
              << (dry ? " would go, freeing " : " gone, freeing ") << human_bytes(bytes) << "; "
              << plural(garbage->kept_runs, "run") << " and "
              << plural(garbage->kept_results, "result") << " kept\n";
  }
  return 0;
}

int schema_command(const ParsedCommand& command) {
  const std::string text = pipeline_schema(all_stages()).dump(2) + "\n";
  if (!command.params.has("output")) {
    std::cout << text;
    return 0;
  }
  const std::string target = resolve_path(command.params.text("output"), current_folder());
  if (Status written = publish_text(text, target); !written) {
    return fail(written.error(), command.global.json);
  }
  if (command.global.json) std::cout << Json::object({{"output", target}}).dump(2) << '\n';
  return 0;
}

namespace {

constexpr std::string_view kTemplate = R"(# yaml-language-server: $schema=./apr-pipeline.schema.json
# (`apr-pipeline schema -o apr-pipeline.schema.json` writes that file for your editor.)
#
#   apr-pipeline lint @FILE@     is the file sound?
#   apr-pipeline plan @FILE@     what would run, and why?
#   apr-pipeline run  @FILE@@GIVEN@
#
# Paths in this file are relative to this file; those given with --set to the current folder.
apiVersion: apr.dev/v1
kind: Pipeline
name: @NAME@
description: A checkpoint becomes a small model that is nearly as good

requires: {apr: ">=0.1 <1"}

# What a run may set: apr-pipeline run @FILE@ --set scheme=q8_0
params:
  source:
    type: path@SOURCE@
    help: the checkpoint, a folder as on Hugging Face, or an .apr, .gguf or .safetensors file
  scheme:
    type: choice
    choices: [q4_0, q8_0, int4, int8, f16]
    default: q4_0
    help: how the weights are stored
  max_size_ratio:
    type: float
    default: 0.7
    range: [0, 1]
    help: largest size of the small model, as a part of the original's

# How every stage is run, unless it says otherwise.
defaults:
  timeout: 1h
  # retry: {count: 2, delay: 5s, after: [io, timeout]}

stages:
  import:
    uses: import                     # a verb of apr: `apr import --help` explains its parameters
    with: {source: "${params.source}"}
    # A recorded trace of a trusted implementation proves that nothing was lost:
    # gates:
    #   - golden-trace: {reference: golden.json}

  validate:
    uses: validate
    with: {model: "${stages.import.output}"}

  shrink:
    uses: convert
    needs: validate                  # wait for it, without using what it makes
    with: {model: "${stages.import.output}", quantize: "${params.scheme}"}
    # One stage for each of several schemes: write
    #   matrix: {scheme: [q8_0, q4_0]}
    # and "${matrix.scheme}" above; its results are then "${stages.shrink[q4_0].output}".
    gates:                           # nothing is passed on that does not hold these
      - size: {of: "${stages.import.output}", max_ratio: "${params.max_size_ratio}"}
      # With a text that is like what the model will be used for:
      # - perplexity: {text: eval.txt, ratio_to: "${stages.import.output}", max_ratio: 1.05}
      # - kld: {parent: "${stages.import.output}", text: eval.txt, mean: "<= 0.05"}

  look:
    uses: inspect
    with: {model: "${stages.shrink.output}"}
    allow_failure: true              # told in the report, stops nothing

# Results and where they go. A place that holds something else is left alone.
outputs:
  model: {from: "${stages.shrink.output}", to: "out/@NAME@.apr"}

# Every run writes a report; this puts a copy where you want it.
# report: {html: "out/@NAME@.html", junit: "out/@NAME@.xml"}
)";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

/// A pipeline's name from that of its file.
std::string name_from(const std::string& file) {
  std::string name = base_name(file);
  name = name.substr(0, name.find('.'));
  for (char& c : name) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '-';
    if (!fits) c = '-';
  }
  const bool starts_well = !name.empty() && ((name[0] >= 'a' && name[0] <= 'z') ||
                                             (name[0] >= 'A' && name[0] <= 'Z') || name[0] == '_');
  return (starts_well ? name : "pipeline-" + name).substr(0, 64);
}

}  // namespace

int init_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  const std::string& file = command.params.text("file");
  const auto status = file_status(file);
  if (!status) return fail(status.error(), json);
  if (status->kind != FileKind::missing && !command.params.flag("force")) {
    return fail(make_error(ErrorCode::validation, "this file is there already", file,
                           "choose another name, or replace it with --force"),
                json);
  }
  std::string text(kTemplate);
  std::string source;
  if (command.params.has("source")) {
    // As a text in YAML: quoted like JSON.
    source = cat("\n    default: ",
                 Json(resolve_path(command.params.text("source"), current_folder())).dump());
  }
  replace_all(text, "@SOURCE@", source);
  replace_all(text, "@GIVEN@", source.empty() ? " --set source=MODEL" : "");
  replace_all(text, "@NAME@", name_from(file));
  replace_all(text, "@FILE@", base_name(file));
  const std::string target = resolve_path(file, current_folder());
  if (Status written = publish_text(text, target); !written) return fail(written.error(), json);
  if (json) {
    std::cout << Json::object({{"file", target}}).dump(2) << '\n';
  } else if (!command.global.quiet) {
    std::cout << "wrote " << printable(file) << "; next: apr-pipeline run " << printable(file)
              << (source.empty() ? " --set source=MODEL" : "") << '\n';
  }
  return 0;
}

}  // namespace apr::pipeline
