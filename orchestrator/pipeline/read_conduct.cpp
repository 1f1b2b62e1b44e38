// From YAML: how stages are run (retry, timeout, resources), and what the report holds.
#include "orchestrator/pipeline/expression.h"
#include "orchestrator/pipeline/map_reader.h"

namespace apr::pipeline {
namespace {

constexpr std::int64_t kMaxRetries = 10;

std::optional<std::uint64_t> read_duration(const YamlNode& node, std::string_view key,
                                           const std::string& what, Diagnostics& diagnostics) {
  const auto duration = node.is_text() ? parse_duration(node.text) : std::nullopt;
  if (!duration) {
    diagnostics.error(
        node.at,
        cat("'", key, "' of ", what, " must be a duration, not ",
            node.is_text() ? cat("'", node.text, "'") : std::string(node.kind_name())),
        "write a number and its unit: 500ms, 90s, 5m, 2h");
  }
  return duration;
}

std::optional<std::uint64_t> read_timeout(const YamlNode& node, const std::string& what,
                                          Diagnostics& diagnostics) {
  const auto duration = read_duration(node, "timeout", what, diagnostics);
  if (duration == std::uint64_t{0}) {
    diagnostics.error(node.at, cat("'timeout' of ", what, " must be longer than nothing"),
                      "leave it out for no limit");
  }
  return duration;
}

std::optional<std::int64_t> read_integer(const YamlNode& node, std::string_view key,
                                         const std::string& what, std::int64_t least,
                                         std::int64_t most, Diagnostics& diagnostics) {
  if (node.kind == YamlNode::Kind::integer) {
    const std::int64_t value = node.to_json().as_integer();
    if (value >= least && value <= most) return value;
  }
  diagnostics.error(
      node.at, cat("'", key, "' of ", what, " must be an integer between ", least, " and ", most));
  return std::nullopt;
}

void read_retry(const YamlNode& node, const std::string& what, RetrySpec& retry,
                Diagnostics& diagnostics) {
  const std::string whose = cat("'retry' of ", what);
  // What may pass by itself: all but mistakes and failed checks.
  const Names usual{"timeout", "io", "network", "load"};
  if (node.kind == YamlNode::Kind::integer) {
    const auto value = read_integer(node, "retry", what, 0, kMaxRetries, diagnostics);
    retry = {};
    retry.on = usual;
    if (value) retry.count = static_cast<unsigned>(*value);
    return;
  }
  MapReader reader(node, whose, {"count", "delay", "after"}, {}, diagnostics);
  if (node.kind != YamlNode::Kind::map) return;
  retry = {};
  if (const YamlMember* count = reader.member("count")) {
    const auto value = read_integer(count->value, "count", whose, 1, kMaxRetries, diagnostics);
    if (value) retry.count = static_cast<unsigned>(*value);
  } else {
    diagnostics.error(node.at, cat(whose, " lacks 'count'"), "how often to try again: count: 2");
  }
  if (const YamlMember* delay = reader.member("delay")) {
    if (const auto value = read_duration(delay->value, "delay", whose, diagnostics)) {
      retry.delay_ms = *value;
    }
  }
  const YamlMember* on = reader.member("after");
  if (on == nullptr) {
    retry.on = usual;
    return;
  }
  std::vector<YamlNode> causes = on->value.items;
  if (on->value.kind != YamlNode::Kind::list) causes = {on->value};
  for (const YamlNode& cause : causes) {
    const Names& known = retry_causes();
    if (std::find(known.begin(), known.end(), cause.text) == known.end()) {
      diagnostics.error(cause.at, cat("'", cause.text, "' is not something to try again after"),
                        suggestion(cause.text, known, "causes"));
    } else {
      retry.on.push_back(cause.text);
    }
  }
}

}  // namespace

ResourceSpec read_resources(const YamlNode& node, const std::string& what, bool whole,
                            Diagnostics& diagnostics) {
  const std::string whose = cat("'resources' of ", what);
  Names keys{"memory", "threads"};
  if (whole) keys.emplace_back("disk");
  MapReader reader(node, whose, keys, {}, diagnostics);
  ResourceSpec resources;
  if (node.kind != YamlNode::Kind::map) return resources;
  const auto bytes = [&](std::string_view key) -> std::optional<std::uint64_t> {
    const YamlMember* member = reader.member(key);
    if (member == nullptr) return std::nullopt;
    Param param;
    param.name = key;
    param.type = ParamType::bytes;
    const auto value = check_param(param, member->value.to_json());
    if (value && value->as_integer() > 0) return static_cast<std::uint64_t>(value->as_integer());
    diagnostics.error(member->value.at, cat("'", key, "' of ", whose, " must be a size"),
                      "write for example 512MiB or 8GiB");
    return std::nullopt;
  };
  resources.memory_bytes = bytes("memory");
  if (whole) resources.disk_bytes = bytes("disk");
  if (const YamlMember* threads = reader.member("threads")) {
    const auto value = read_integer(threads->value, "threads", whose, 1, 4096, diagnostics);
    if (value) resources.threads = static_cast<unsigned>(*value);
  }
  return resources;
}

void read_conduct(MapReader& reader, const std::string& what, StageSpec& stage,
                  Diagnostics& diagnostics) {
  if (const YamlMember* retry = reader.member("retry")) {
    read_retry(retry->value, what, stage.retry, diagnostics);
  }
  if (const YamlMember* timeout = reader.member("timeout")) {
    stage.timeout_ms = read_timeout(timeout->value, what, diagnostics);
  }
  if (const YamlMember* resources = reader.member("resources")) {
    stage.resources = read_resources(resources->value, what, false, diagnostics);
  }
}

namespace {

void read_columns(const YamlNode& node, const std::string& what, TableSpec& table,
                  Diagnostics& diagnostics) {
  if (node.kind != YamlNode::Kind::list || node.items.empty()) {
    diagnostics.error(node.at, cat("'columns' of ", what, " must be a list of maps"),
                      "write for example: - {title: size, value: \"${…}\", unit: bytes}");
    return;
  }
  const Names units{"bytes", "seconds", "percent"};
  for (const YamlNode& item : node.items) {
    const std::string whose = cat("a column of ", what);
    MapReader reader(item, whose, {"title", "value", "unit"}, {}, diagnostics);
    if (item.kind != YamlNode::Kind::map) continue;
    TableColumn column;
    column.at = item.at;
    column.title = reader.text("title", true);
    Position unit_at = item.at;
    column.unit = reader.text("unit", false, &unit_at);
    if (!column.unit.empty() && std::find(units.begin(), units.end(), column.unit) == units.end()) {
      diagnostics.error(unit_at, cat("unknown unit '", column.unit, "'"),
                        suggestion(column.unit, units, "units"));
    }
    if (const YamlMember* value = reader.member("value")) {
      column.value = value->value;
    } else {
      diagnostics.error(item.at, cat(whose, " lacks 'value'"), "");
    }
    table.columns.push_back(std::move(column));
  }
}

void read_chart(const YamlNode& node, const std::string& what, TableSpec& table,
                Diagnostics& diagnostics) {
  MapReader reader(node, cat("'chart' of ", what), {"x", "y"}, {}, diagnostics);
  if (node.kind != YamlNode::Kind::map) return;
  table.chart_at = node.at;
  Names titles;
  for (const TableColumn& column : table.columns) titles.push_back(column.title);
  const auto axis = [&](std::string_view key) {
    Position at = node.at;
    std::string title = reader.text(key, true, &at);
    if (!title.empty() && std::find(titles.begin(), titles.end(), title) == titles.end()) {
      diagnostics.error(at, cat(what, " has no column '", title, "'"),
                        suggestion(title, titles, "columns"));
    }
    return title;
  };
  table.chart_x = axis("x");
  table.chart_y = axis("y");
}

void read_tables(const YamlNode& node, Pipeline& pipeline, Diagnostics& diagnostics) {
  if (node.kind != YamlNode::Kind::list) {
    diagnostics.error(node.at, "'tables' of report must be a list of maps");
    return;
  }
  for (const YamlNode& item : node.items) {
    TableSpec table;
    table.at = item.at;
    MapReader reader(item, "a table", {"title", "rows", "columns", "chart"}, {}, diagnostics);
    if (item.kind != YamlNode::Kind::map) continue;
    table.title = reader.text("title", true);
    const std::string what = cat("table '", table.title, "'");
    table.rows_at = item.at;
    table.rows = reader.text("rows", true, &table.rows_at);
    if (const YamlMember* columns = reader.member("columns")) {
      read_columns(columns->value, what, table, diagnostics);
    } else {
      diagnostics.error(item.at, cat(what, " lacks 'columns'"), "");
    }
    if (const YamlMember* chart = reader.member("chart")) {
      read_chart(chart->value, what, table, diagnostics);
    }
    pipeline.report.tables.push_back(std::move(table));
  }
}

}  // namespace

void read_report(const YamlNode& node, Pipeline& pipeline, Diagnostics& diagnostics) {
  MapReader reader(node, "report", {"html", "junit", "tables"}, {}, diagnostics);
  pipeline.report.html = reader.text("html", false);
  pipeline.report.junit = reader.text("junit", false);
  if (const YamlMember* tables = reader.member("tables")) {
    read_tables(tables->value, pipeline, diagnostics);
  }
}

}  // namespace apr::pipeline
