#include "orchestrator/pipeline/run_result.h"

#include "orchestrator/cli/report_error.h"

namespace apr::pipeline {

std::string_view name_of(StageState state) {
  switch (state) {
    case StageState::waiting:
      return "waiting";
    case StageState::running:
      return "running";
    case StageState::cached:
      return "cached";
    case StageState::ran:
      return "ran";
    case StageState::skipped:
      return "skipped";
    case StageState::failed:
      return "failed";
    case StageState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

int RunResult::exit_code() const {
  return error ? apr::exit_code(error->code) : 0;
}

Json to_json(const StageResult& stage) {
  Json json = Json::object();
  json.set("name", stage.name);
  json.set("uses", stage.verb);
  json.set("state", name_of(stage.state));
  if (!stage.reason.empty()) json.set("reason", stage.reason);
  json.set("seconds", stage.seconds);
  if (!stage.entry.key.empty()) json.set("key", stage.entry.key);
  Json outputs = Json::object();
  for (const Output& output : stage.entry.outputs) {
    Json item = Json::object();
    item.set("path", output.path);
    item.set("sha256", output.digest.hex());
    item.set("size", output.size);
    outputs.set(output.port, std::move(item));
  }
  if (outputs.size() > 0) json.set("outputs", std::move(outputs));
  if (!stage.gates.empty()) {
    Json gates = Json::array();
    for (const GateOutcome& gate : stage.gates) gates.push_back(to_json(gate));
    json.set("gates", std::move(gates));
  }
  if (stage.entry.report.size() > 0) json.set("report", stage.entry.report);
  if (!stage.printed.empty()) json.set("printed", stage.printed);
  if (stage.error) json.set("error", error_as_json(*stage.error)["error"]);
  return json;
}

}  // namespace apr::pipeline
