// The report of a run as one HTML file that needs nothing else, no script and no network: the graph
// drawn, times, sizes, the gates with their figures and evidence, tables, and where everything came
// from.
#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "orchestrator/cli/markup.h"

namespace apr::pipeline {

/// From a run's record (run.json). Every text in it is a stranger's and escaped.
std::string html_report(const Json& run);

// Parts, as SVG.
/// The stages from top to bottom, each below what it waits for. Empty if there is none.
std::string graph_svg(const Json& run);
/// The points of a table that wants a chart; empty if it has fewer than two.
std::string chart_svg(const Json& table);

/// A figure with its unit ("bytes", "seconds", "percent" or none); "–" for what is missing.
std::string shown_figure(const Json& value, std::string_view unit);

/// The style sheet of the report.
extern const std::string_view kReportStyle;

}  // namespace apr::pipeline
