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
  json.set("started_s", stage.started_s);
  if (stage.attempts > 0) json.set("attempts", std::uint64_t{stage.attempts});
  if (stage.allowed) json.set("allowed", true);
  if (stage.cost.seconds > 0) {
    json.set("work_seconds", stage.cost.seconds);
    json.set("cpu_seconds", stage.cost.cpu_seconds);
    json.set("peak_memory_bytes", stage.cost.peak_memory_bytes);
  }
  if (stage.input_bytes > 0) json.set("input_bytes", stage.input_bytes);
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
  if (!stage.logs.empty()) {
    Json logs = Json::array();
    for (const StageResult::Log& log : stage.logs) {
      logs.push_back(Json::object({{"what", log.what}, {"file", log.file}}));
    }
    json.set("logs", std::move(logs));
  }
  if (stage.error) json.set("error", error_as_json(*stage.error)["error"]);
  return json;
}

Json to_json(const TableResult& table) {
  Json json = Json::object();
  json.set("title", table.title);
  Json columns = Json::array();
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    columns.push_back(Json::object({{"title", table.columns[i]}, {"unit", table.units[i]}}));
  }
  json.set("columns", std::move(columns));
  Json rows = Json::array();
  for (const auto& row : table.rows) rows.push_back(Json(JsonArray(row.begin(), row.end())));
  json.set("rows", std::move(rows));
  if (!table.chart_x.empty()) {
    json.set("chart", Json::object({{"x", table.chart_x}, {"y", table.chart_y}}));
  }
  return json;
}

}  // namespace apr::pipeline
