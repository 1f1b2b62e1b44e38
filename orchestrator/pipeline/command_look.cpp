// plan, status, explain, logs, report: looking without changing anything.
#include <algorithm>
#include <iostream>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/pipeline/command_tools.h"
#include "orchestrator/pipeline/html_report.h"
#include "orchestrator/pipeline/junit.h"
#include "orchestrator/pipeline/plan.h"
#include "orchestrator/pipeline/publish.h"

namespace apr::pipeline {
namespace {

std::string word_for(PlannedStage::Action action) {
  switch (action) {
    case PlannedStage::Action::cached:
      return "cached";
    case PlannedStage::Action::measure:
      return "measure";
    case PlannedStage::Action::run:
      return "will run";
    case PlannedStage::Action::skip:
      return "skipped";
    case PlannedStage::Action::open:
      return "open";
  }
  return "";
}

std::string word_for(PlannedGate::State state) {
  switch (state) {
    case PlannedGate::State::holds:
      return "  gate ✓";
    case PlannedGate::State::fails:
      return "  gate ✗";
    case PlannedGate::State::open:
      return "  gate";
  }
  return "";
}

void print_plan(const Plan& plan, std::ostream& out, Style style) {
  Table table({{"stage"}, {"uses"}, {"action"}, {"why"}});
  for (const PlannedStage& stage : plan.stages) {
    std::string why = printable(stage.reason);
    if (stage.action == PlannedStage::Action::run) {
      std::string needs = cat("memory ", human_bytes(stage.needs.memory_bytes));
      if (stage.needs.output_bytes > 0) {
        needs += cat(", disk ", human_bytes(stage.needs.output_bytes));
      }
      if (stage.needs.seconds) needs += cat(", ", human_seconds(*stage.needs.seconds));
      why += cat(why.empty() ? "" : "; ", "about ", needs);
    }
    table.row({stage.name, stage.verb, word_for(stage.action), why});
    for (const PlannedGate& gate : stage.gates) {
      table.row(
          {"", "", word_for(gate.state),
           printable(gate.state == PlannedGate::State::open
                         ? gate.text
                         : cat(gate.text.substr(0, gate.text.find(':')), ": ", gate.message))});
    }
  }
  out << table.to_string(style);
  for (const Plan::Place& place : plan.places) {
    if (!place.there)
      out << "→ " << place.output << "  to be put at " << printable(place.path) << '\n';
  }
  const auto count = [&](PlannedStage::Action action) {
    return std::ranges::count(plan.stages, action, &PlannedStage::action);
  };
  out << "\n"
      << count(PlannedStage::Action::cached) << " cached, " << count(PlannedStage::Action::run)
      << " to run, " << count(PlannedStage::Action::skip) << " skipped";
  const std::pair<PlannedStage::Action, std::string_view> rare[] = {
      {PlannedStage::Action::measure, " to measure"}, {PlannedStage::Action::open, " open"}};
  for (const auto& [action, word] : rare) {
    if (const auto found = count(action); found > 0) out << ", " << found << word;
  }
  out << '\n';
  if (count(PlannedStage::Action::run) + count(PlannedStage::Action::open) > 0) {
    out << "a run needs about " << human_bytes(plan.peak_memory_bytes)
        << " of memory for its largest stage, " << human_bytes(plan.disk_bytes) << " of disk";
    if (plan.seconds) {
      out << ", " << human_seconds(*plan.seconds) << " of work, gates not counted";
    } else {
      out << "; how long is not known before a first run";
    }
    out << '\n';
  }
  for (const std::string& remark : plan.remarks) {
    out << style.yellow("remark:") << ' ' << printable(remark) << '\n';
  }
}

/// The plan for what the command names; on failure `code` is set.
std::optional<Plan> plan_for(const ParsedCommand& command, const LoadedPipeline& loaded,
                             int& code) {
  const bool json = command.global.json;
  auto host = PluginHost::create(command.global.plugin_path);
  if (!host) {
    code = fail(host.error(), json);
    return std::nullopt;
  }
  State state = State::look_at(state_folder(command));
  const VerbTable verbs = all_stages();
  RunOptions options;
  options.lock_file = lock_file_path(resolve_path(command.params.text("file"), current_folder()));
  auto plan = plan_pipeline({loaded.pipeline, loaded.checked, loaded.params, verbs, options}, state,
                            **host);
  if (plan) return *std::move(plan);
  code = fail(plan.error(), json);
  return std::nullopt;
}

}  // namespace

int plan_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  int code = 0;
  const auto loaded = load_sound(command, command.params.texts("set"), code);
  if (!loaded) return code;
  const auto plan = plan_for(command, *loaded, code);
  if (!plan) return code;
  if (json) {
    Json object = Json::object({{"pipeline", loaded->pipeline.name}});
    const Json planned = to_json(*plan);
    for (const auto& [key, value] : planned.as_object()) object.set(key, value);
    std::cout << object.dump(2) << '\n';
  } else {
    print_plan(*plan, std::cout, output_style());
  }
  std::cout.flush();
  return plan->refusal ? fail(*plan->refusal, false) : 0;
}

int status_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  const std::string& file = command.params.text("file");
  auto loaded = load_pipeline(file, {}, all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const auto run = recorded_run(command, (*loaded)->pipeline);
  if (!run) return fail(run.error(), json);
  const Json& last = *run;
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

namespace {

/// Stages of a record whose name, or whose group, is `wanted`; all if it is empty.
std::vector<const Json*> stages_named(const Json& run, const std::string& wanted) {
  std::vector<const Json*> found;
  for (const Json& stage : run["stages"].as_array()) {
    const std::string& name = stage["name"].as_string();
    if (wanted.empty() || name == wanted || stage["group"].as_string() == wanted) {
      found.push_back(&stage);
    }
  }
  return found;
}

Error no_stage(const std::string& wanted, const Pipeline& pipeline) {
  return make_error(ErrorCode::not_found, cat("there is no stage '", wanted, "'"), pipeline.file,
                    suggestion(wanted, pipeline.group_names(), "stages"));
}

void print_log(const Json& log, std::ostream& out, Style style) {
  constexpr std::uint64_t kMost = std::uint64_t{64} << 20;
  out << style.dim(cat("── ", log["what"].as_string())) << '\n';
  const auto text = read_file(log["file"].as_string(), kMost);
  if (!text) {
    out << style.yellow("(no longer kept)") << '\n';
    return;
  }
  std::size_t start = 0;
  while (start < text->size()) {
    const std::size_t end = std::min(text->find('\n', start), text->size());
    out << printable(std::string_view(*text).substr(start, end - start)) << '\n';
    start = end + 1;
  }
}

}  // namespace

int logs_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  auto loaded = load_pipeline(command.params.text("file"), {}, all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const auto run = recorded_run(command, (*loaded)->pipeline);
  if (!run) return fail(run.error(), json);
  const std::string wanted =
      command.params.has("stage") ? command.params.text("stage") : std::string();
  const auto stages = stages_named(*run, wanted);
  if (stages.empty()) return fail(no_stage(wanted, (*loaded)->pipeline), json);
  const Style style = output_style();
  Json list = Json::array();
  for (const Json* stage : stages) {
    if (json) {
      for (Json log : (*stage)["logs"].as_array()) {
        auto text = read_file(log["file"].as_string(), std::uint64_t{64} << 20);
        log.set("stage", (*stage)["name"]);
        log.set("text", text ? Json(*std::move(text)) : Json());
        list.push_back(std::move(log));
      }
      continue;
    }
    const Json& error = (*stage)["error"];
    std::cout << style.bold((*stage)["name"].as_string()) << "  " << (*stage)["state"].as_string()
              << '\n';
    for (const Json& log : (*stage)["logs"].as_array()) print_log(log, std::cout, style);
    if (error.is_object()) {
      std::cout << style.red("error:") << ' ' << printable(error["context"].as_string()) << ": "
                << printable(error["message"].as_string()) << '\n';
    }
  }
  if (json) {
    std::cout << Json::object({{"run", (*run)["id"]}, {"logs", std::move(list)}}).dump(2) << '\n';
  }
  return 0;
}

int explain_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  int code = 0;
  const auto loaded = load_sound(command, command.params.texts("set"), code);
  if (!loaded) return code;
  const std::string wanted =
      command.params.has("stage") ? command.params.text("stage") : std::string();
  const Pipeline& pipeline = loaded->pipeline;
  if (!wanted.empty() && pipeline.find_stage(wanted) == nullptr &&
      pipeline.find_group(wanted) == nullptr) {
    return fail(no_stage(wanted, pipeline), json);
  }
  const auto plan = plan_for(command, *loaded, code);
  if (!plan) return code;
  const Json record = State::look_at(state_folder(command)).record(pipeline.name);
  const Style style = output_style();
  Json list = Json::array();
  for (const PlannedStage& stage : plan->stages) {
    const StageSpec* spec = pipeline.find_stage(stage.name);
    if (!wanted.empty() && stage.name != wanted && spec->group != wanted) continue;
    const Json& before = record["stages"][stage.name];
    std::vector<KeyDifference> differences;
    if (!before.is_null() && !stage.components.is_null()) {
      differences = key_differences(before, stage.components);
    }
    if (json) {
      Json object = to_json(stage);
      Json changed = Json::array();
      for (const KeyDifference& one : differences) {
        changed.push_back(
            Json::object({{"part", one.part}, {"before", one.before}, {"now", one.now}}));
      }
      object.set("changed", std::move(changed));
      object.set("made_of", stage.components);
      list.push_back(std::move(object));
      continue;
    }
    std::cout << style.bold(stage.name) << "  " << word_for(stage.action);
    if (!stage.key.empty()) std::cout << "  " << style.dim(cat("key ", stage.key.substr(0, 16)));
    std::cout << '\n';
    if (!stage.reason.empty()) std::cout << "  why: " << printable(stage.reason) << '\n';
    for (const KeyDifference& one : differences) {
      std::cout << "  " << printable(one.part) << '\n'
                << "    was " << printable(one.before) << '\n'
                << "    is  " << printable(one.now) << '\n';
    }
    for (const PlannedGate& gate : stage.gates) {
      std::cout << word_for(gate.state) << ' ' << printable(gate.text);
      if (!gate.message.empty()) std::cout << ": " << printable(gate.message);
      std::cout << '\n';
    }
  }
  if (json) {
    std::cout << Json::object({{"pipeline", pipeline.name}, {"stages", std::move(list)}}).dump(2)
              << '\n';
  }
  return 0;
}

int report_command(const ParsedCommand& command) {
  const bool json = command.global.json;
  auto loaded = load_pipeline(command.params.text("file"), {}, all_stages());
  if (!loaded) return fail(loaded.error(), json);
  const auto run = recorded_run(command, (*loaded)->pipeline);
  if (!run) return fail(run.error(), json);
  const State state = State::look_at(state_folder(command));
  Json written = Json::object({{"run", (*run)["id"]}});
  std::string html = cat(state.run_folder((*run)["id"].as_string()), "/report.html");
  const bool wanted = command.params.has("html");
  if (wanted) html = resolve_path(command.params.text("html"), current_folder());
  const auto there = file_status(html);
  if (wanted || !there || there->kind == FileKind::missing) {
    if (Status status = publish_text(html_report(*run), html); !status) {
      return fail(status.error(), json);
    }
  }
  written.set("html", html);
  if (command.params.has("junit")) {
    const std::string junit = resolve_path(command.params.text("junit"), current_folder());
    if (Status status = publish_text(junit_report(*run), junit); !status) {
      return fail(status.error(), json);
    }
    written.set("junit", junit);
  }
  if (json) {
    std::cout << written.dump(2) << '\n';
  } else {
    for (const auto& [kind, path] : written.as_object()) {
      if (kind != "run") std::cout << path.as_string() << '\n';
    }
  }
  return 0;
}

}  // namespace apr::pipeline
