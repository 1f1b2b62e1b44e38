// What is looked at before a run starts, and what is shown of a stage after it.
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "core/base/cat.h"
#include "core/platform/cpu.h"
#include "core/platform/file.h"
#include "core/platform/memory.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/plan.h"
#include "orchestrator/pipeline/publish.h"
#include "orchestrator/pipeline/resolve.h"
#include "orchestrator/pipeline/runner.h"

namespace apr::pipeline {

std::vector<std::string> key_figures(const VerbInfo& info, const CacheEntry& entry) {
  std::vector<std::string> figures;
  for (const std::string& metric : info.metrics) {
    const Json* value = entry.report.find(metric);
    if (value == nullptr || !value->is_number() || figures.size() == 3) continue;
    std::string name = metric;
    std::replace(name.begin(), name.end(), '_', ' ');
    if (name.ends_with(" bytes") && value->as_number() >= 0) {
      name.resize(name.size() - 6);
      figures.push_back(
          cat(name, " ", human_bytes(static_cast<std::uint64_t>(value->as_number()))));
    } else if (value->is_integer() && value->as_integer() >= 0) {
      figures.push_back(
          cat(name, " ", with_commas(static_cast<std::uint64_t>(value->as_integer()))));
    } else {
      figures.push_back(cat(name, " ", significant(value->as_number(), 5)));
    }
  }
  return figures;
}

Status check_inputs(const RunRequest& request, Workshop& workshop, LockFile* lock) {
  const Pipeline& pipeline = request.pipeline;
  if (!request.params.missing.empty()) {
    const std::string& name = request.params.missing.front();
    const ParamSpec* spec = pipeline.find_param(name);
    return make_error(ErrorCode::usage, cat("parameter '", name, "' has no value"),
                      place(pipeline.file, spec == nullptr ? Position{} : spec->at),
                      cat("give it with --set ", name, "=VALUE"));
  }
  for (const ForeignInput& foreign : foreign_inputs(pipeline, request.checked, request.params)) {
    auto input = workshop.input(foreign.path);
    if (!input) {
      Error error = std::move(input).error();
      error.context =
          cat(place(pipeline.file, foreign.at), ": stage '", foreign.stage, "': ", error.context);
      if (error.code == ErrorCode::not_found && error.hint.empty()) {
        error.hint =
            "paths in the file are relative to it, those given with --set to the current folder";
      }
      return error;
    }
    if (lock != nullptr) {
      lock->inputs[lock_path(input->path, pipeline.folder)] = input->digest.hex();
    }
  }
  return {};
}

namespace {

/// The nearest folder above `path` that exists.
std::string existing_folder(std::string path) {
  while (path.size() > 1) {
    const auto status = file_status(path);
    if (status && status->kind != FileKind::missing) break;
    path = parent_path(path);
  }
  return path.empty() ? "." : path;
}

Status check_writable(const std::string& folder, const std::string& what) {
  const std::string existing = existing_folder(folder);
  const auto status = file_status(existing);
  if (status && status->kind != FileKind::folder) {
    return make_error(ErrorCode::io, cat(what, " cannot be put here: ", existing, " is no folder"),
                      folder, "choose another place");
  }
  if (::access(existing.c_str(), W_OK | X_OK) != 0) {
    return make_error(ErrorCode::io, cat(what, " cannot be put here: no permission to write"),
                      existing, "choose another place, or change its permissions");
  }
  return {};
}

}  // namespace

std::uint64_t memory_budget(const Pipeline& pipeline) {
  if (pipeline.resources.memory_bytes) return *pipeline.resources.memory_bytes;
  const std::uint64_t total = total_memory_bytes();
  return total > 0 ? total : UINT64_MAX;
}

unsigned thread_budget(const Pipeline& pipeline, const RunOptions& options) {
  if (options.threads > 0) return options.threads;
  return pipeline.resources.threads.value_or(available_processors());
}

Status check_places(const RunRequest& request, const Json& record, Workshop& workshop) {
  const Pipeline& pipeline = request.pipeline;
  std::optional<LockFile> lock;
  if (!request.options.lock_file.empty()) {
    if (auto read = LockFile::read(request.options.lock_file)) lock = *std::move(read);
  }
  for (const OutputSpec& output : pipeline.outputs) {
    APR_ASSIGN(const std::string target, output_place(pipeline, output));
    const std::string where = place(pipeline.file, output.to_at);
    const std::string what = cat("output '", output.name, "'");
    if (Status writable = check_writable(parent_path(target), what); !writable) {
      return std::move(writable).error().within(where);
    }
    APR_ASSIGN(const FileStatus status, file_status(target));
    if (status.kind == FileKind::missing || request.options.force) continue;
    // Ours: what the last run put there, or what the lock file says that a run makes.
    const auto there = workshop.book().digest(target);
    const std::string digest = there ? there->digest.hex() : "";
    const auto digests = our_digests(record, place_key(pipeline, target));
    const bool ours = there && std::find(digests.begin(), digests.end(), digest) != digests.end();
    const bool locked = there && lock && lock->outputs[output.name] == digest;
    if (ours || locked) continue;
    return make_error(ErrorCode::validation, cat("the place of ", what, " holds something else"),
                      cat(where, ": ", target), "move it away, or replace it with --force");
  }
  return {};
}

Status check_resources(const RunRequest& request, const State& state, const Plan& plan) {
  const Pipeline& pipeline = request.pipeline;
  const std::uint64_t memory = memory_budget(pipeline);
  for (const PlannedStage& planned : plan.stages) {
    if (planned.needs.memory_bytes <= memory) continue;
    const StageSpec* spec = pipeline.find_stage(planned.name);
    return make_error(
        ErrorCode::validation,
        cat("stage '", planned.name, "' needs about ", human_bytes(planned.needs.memory_bytes),
            " of memory; ",
            pipeline.resources.memory_bytes ? "the pipeline may take " : "there are ",
            human_bytes(memory)),
        place(pipeline.file, spec == nullptr ? Position{} : spec->at),
        "use a smaller model or a larger machine; if the estimate is wrong, state the true need "
        "with 'resources: {memory: …}'");
  }
  if (pipeline.resources.disk_bytes && plan.disk_bytes > *pipeline.resources.disk_bytes) {
    return make_error(
        ErrorCode::validation,
        cat("the run needs about ", human_bytes(plan.disk_bytes),
            " of disk; the pipeline may take ", human_bytes(*pipeline.resources.disk_bytes)),
        pipeline.file, "raise 'resources: {disk: …}', or make fewer results");
  }
  const std::string folder = existing_folder(state.folder());
  struct statvfs space{};
  if (::statvfs(folder.c_str(), &space) != 0) return {};
  const std::uint64_t free = std::uint64_t{space.f_bavail} * space.f_frsize;
  if (plan.disk_bytes > free) {
    return make_error(ErrorCode::io,
                      cat("the run needs about ", human_bytes(plan.disk_bytes), " of disk; ",
                          human_bytes(free), " are free"),
                      state.folder(),
                      "make room (`apr-pipeline gc`), or choose another folder with --state");
  }
  return {};
}

}  // namespace apr::pipeline
