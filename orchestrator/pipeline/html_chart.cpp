// A table's chart: one point for each row, with its name.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/html_report.h"

namespace apr::pipeline {
namespace {

constexpr double kWidth = 640;
constexpr double kHeight = 380;
constexpr double kLeft = 78;
constexpr double kRight = 24;
constexpr double kTop = 20;
constexpr double kBottom = 54;

struct Point {
  std::string name;
  double x = 0;
  double y = 0;
};

/// One axis: its range, and round numbers on it.
struct Axis {
  double low = 0;
  double high = 1;
  std::vector<double> ticks;

  explicit Axis(double least, double most) {
    const double span = most > least ? most - least : std::max(std::abs(most), 1e-9);
    low = least - span * 0.12;
    high = most + span * 0.12;
    if (least >= 0 && low < 0) low = 0;
    const double rough = (high - low) / 4;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = power;
    for (const double factor : {1.0, 2.0, 2.5, 5.0, 10.0}) {
      step = power * factor;
      if (step >= rough) break;
    }
    high = std::max(high, std::ceil(most / step) * step);
    for (double tick = std::ceil(low / step) * step; tick <= high && ticks.size() < 12;
         tick += step) {
      ticks.push_back(std::abs(tick) < step * 1e-9 ? 0 : tick);
    }
  }
  double part(double value) const { return (value - low) / (high - low); }
};

}  // namespace

std::string chart_svg(const Json& table) {
  const std::string& x_title = table["chart"]["x"].as_string();
  const std::string& y_title = table["chart"]["y"].as_string();
  std::size_t x_column = 0;
  std::size_t y_column = 0;
  const JsonArray& columns = table["columns"].as_array();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i]["title"].as_string() == x_title) x_column = i;
    if (columns[i]["title"].as_string() == y_title) y_column = i;
  }
  std::vector<Point> points;
  for (const Json& row : table["rows"].as_array()) {
    const JsonArray& cells = row.as_array();
    if (std::max(x_column, y_column) >= cells.size()) continue;
    if (!cells[x_column].is_number() || !cells[y_column].is_number()) continue;
    points.push_back(
        {cells[0].as_string(), cells[x_column].as_number(), cells[y_column].as_number()});
  }
  if (points.size() < 2) return {};
  const auto [left, right] = std::ranges::minmax_element(points, {}, &Point::x);
  const auto [bottom, top] = std::ranges::minmax_element(points, {}, &Point::y);
  const Axis horizontal(left->x, right->x);
  const Axis vertical(bottom->y, top->y);
  const auto px = [&](double x) { return kLeft + horizontal.part(x) * (kWidth - kLeft - kRight); };
  const auto py = [&](double y) {
    return kHeight - kBottom - vertical.part(y) * (kHeight - kTop - kBottom);
  };
  const std::string_view x_unit = columns[x_column]["unit"].as_string();
  const std::string_view y_unit = columns[y_column]["unit"].as_string();
  std::string out =
      cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", fixed(kWidth, 0), " ",
          fixed(kHeight, 0), "\" width=\"", fixed(kWidth, 0), "\" role=\"img\" aria-label=\"",
          escape_html(cat(y_title, " by ", x_title)), "\" font-size=\"12\">");
  for (const double tick : vertical.ticks) {
    out += cat("<line x1=\"", fixed(kLeft, 0), "\" x2=\"", fixed(kWidth - kRight, 0), "\" y1=\"",
               fixed(py(tick), 1), "\" y2=\"", fixed(py(tick), 1),
               "\" stroke=\"var(--line)\"/><text x=\"", fixed(kLeft - 8, 0), "\" y=\"",
               fixed(py(tick) + 4, 1), "\" text-anchor=\"end\" fill=\"var(--soft)\">",
               escape_html(shown_figure(tick, y_unit)), "</text>");
  }
  for (const double tick : horizontal.ticks) {
    out += cat("<text x=\"", fixed(px(tick), 1), "\" y=\"", fixed(kHeight - kBottom + 18, 0),
               "\" text-anchor=\"middle\" fill=\"var(--soft)\">",
               escape_html(shown_figure(tick, x_unit)), "</text>");
  }
  out += cat(
      "<text x=\"", fixed((kLeft + kWidth - kRight) / 2, 0), "\" y=\"", fixed(kHeight - 10, 0),
      "\" text-anchor=\"middle\" font-weight=\"600\" fill=\"var(--ink)\">", escape_html(x_title),
      "</text><text transform=\"translate(14 ", fixed((kTop + kHeight - kBottom) / 2, 0),
      ") rotate(-90)\" text-anchor=\"middle\" font-weight=\"600\" fill=\"var(--ink)\">",
      escape_html(y_title), "</text>");
  // Names where they do not lie on one another: above or below, then wherever is room.
  std::ranges::sort(points, {}, &Point::x);
  std::vector<std::pair<double, double>> taken;
  for (const Point& point : points) {
    const double x = px(point.x);
    const bool at_end = x > kWidth - kRight - 70;
    double y = py(point.y) - 9;
    for (const double offset : {-9.0, 20.0, -24.0, 35.0}) {
      y = py(point.y) + offset;
      const bool free = std::ranges::none_of(taken, [&](const auto& other) {
        return std::abs(other.first - x) < 90 && std::abs(other.second - y) < 14;
      });
      if (free) break;
    }
    taken.emplace_back(x, y);
    out +=
        cat("<circle cx=\"", fixed(x, 1), "\" cy=\"", fixed(py(point.y), 1),
            "\" r=\"5.5\" fill=\"var(--calm)\"><title>", escape_html(point.name),
            "</title></circle><text x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1), "\" text-anchor=\"",
            at_end           ? "end"
            : x < kLeft + 40 ? "start"
                             : "middle",
            "\" font-weight=\"600\" fill=\"var(--ink)\">", escape_html(point.name), "</text>");
  }
  return cat("<div class=\"chart\">", out, "</svg></div>");
}

}  // namespace apr::pipeline
