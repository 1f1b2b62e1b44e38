// apr tensors: the tensors of a model, one line each.
#include <fnmatch.h>

#include <algorithm>
#include <ostream>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/statistics.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "tensors";
  info.summary = "list a model's tensors: names, shapes, types, statistics";
  info.details =
      "--stats decodes every element of the tensors listed. Mean, deviation and extremes are over "
      "the finite elements.";
  info.params.push_back(model_param());
  info.params.push_back(
      flag_param("stats", "mean, deviation, extremes, zeros, NaN and infinities"));
  info.params.push_back(
      text_param("filter", "PATTERN",
                 "only names that match: a shell pattern (*, ?, [...]), or a part of the name"));
  Param limit;
  limit.name = "limit";
  limit.type = ParamType::integer;
  limit.minimum = 0;
  limit.fallback = Json(0);
  limit.help = "show at most so many; 0 shows all";
  info.params.push_back(limit);
  info.examples = {{"apr tensors tiny.apr", "all tensors"},
                   {"apr tensors tiny.apr --filter '*.mlp.*' --stats", "one part, with statistics"},
                   {"apr tensors tiny.apr --json", "for other programs"}};
  return info;
}

bool is_pattern(const std::string& text) {
  return text.find_first_of("*?[") != text.npos;
}

bool matches(const std::string& name, const std::string& filter) {
  if (filter.empty()) return true;
  if (!is_pattern(filter)) return name.find(filter) != name.npos;
  return ::fnmatch(filter.c_str(), name.c_str(), 0) == 0;
}

Json dims_of(const Shape& shape) {
  Json dims = Json::array();
  for (const std::uint64_t dim : shape.dims()) dims.push_back(dim);
  return dims;
}

class Tensors final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    const std::string& filter = params.text("filter");
    const auto limit = static_cast<std::size_t>(params.integer("limit"));
    Json list = Json::array();
    std::uint64_t matching = 0;
    for (const TensorEntry& entry : package.tensors()) {
      if (!matches(entry.name, filter)) continue;
      ++matching;
      if (limit != 0 && list.size() == limit) continue;
      Json row = Json::object({{"name", entry.name},
                               {"shape", dims_of(entry.view.shape)},
                               {"type", name_of(entry.view.type)},
                               {"bytes", std::uint64_t{entry.view.data.size()}}});
      if (!entry.alias_of.empty()) row.set("alias_of", entry.alias_of);
      if (params.flag("stats")) {
        context.progress.update(entry.name, matching, package.tensors().size());
        auto statistics = statistics_of(entry, context.threads);
        if (!statistics)
          return std::move(statistics).error().within(cat(package.path(), ": tensor ", entry.name));
        row.set("stats", statistics_as_json(*statistics));
      }
      list.push_back(std::move(row));
    }
    context.progress.finish();
    if (matching == 0 && !filter.empty()) {
      return make_error(ErrorCode::not_found, cat("no tensor's name matches '", filter, "'"),
                        package.path(), cat("`apr tensors ", package.path(), "` lists the names"));
    }
    return Outcome{.report = Json::object({{"model", params.text("model")},
                                           {"count", std::uint64_t{package.tensors().size()}},
                                           {"matching", matching},
                                           {"tensors", std::move(list)}})};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    using Align = Table::Align;
    // On a terminal long names give way to the numbers; in a pipe nothing is left out.
    const std::size_t room = is_terminal(1) ? terminal_width(1) : 0;
    const JsonArray& list = report["tensors"].as_array();
    const bool stats = !list.empty() && list.front().contains("stats");
    std::vector<Table::Column> columns = {
        {"name", Align::left}, {"type", Align::left}, {"shape", Align::right}};
    if (stats) {
      for (const char* title : {"mean", "std", "min", "max", "zeros"}) {
        columns.push_back({title, Align::right});
      }
    } else {
      columns.push_back({"bytes", Align::right});
    }
    columns.push_back({"", Align::left});
    const std::size_t numbers = stats ? 58 : 36;
    const std::size_t name_width =
        room == 0 ? 1000 : std::max<std::size_t>(24, room - std::min(room, numbers));
    Table table(columns);
    for (const Json& entry : list) table.row(cells(entry, stats, name_width, style));
    out << table.to_string(style);
    const auto matching = static_cast<std::uint64_t>(report["matching"].as_integer());
    const auto count = static_cast<std::uint64_t>(report["count"].as_integer());
    std::string total = plural(list.size(), "tensor");
    if (list.size() < matching) total += cat(" of ", with_commas(matching), " that match");
    if (matching < count) total += cat(", ", with_commas(count), " in the model");
    out << style.dim(total) << "\n";
  }

 private:
  static std::string shape_text(const Json& dims) {
    std::string text = "[";
    for (const Json& dim : dims.as_array())
      text += cat(text.size() > 1 ? ", " : "", dim.as_integer());
    return text + "]";
  }

  static std::vector<std::string> cells(const Json& entry, bool stats, std::size_t name_width,
                                        Style style) {
    std::vector<std::string> row = {
        shortened_inside(printable(entry["name"].as_string()), name_width),
        entry["type"].as_string(), shape_text(entry["shape"])};
    std::string remark;
    if (stats) {
      const Json& values = entry["stats"];
      for (const char* key : {"mean", "std", "min", "max"}) {
        row.push_back(fixed(values[key].as_number(), 4));
      }
      row.push_back(with_commas(static_cast<std::uint64_t>(values["zeros"].as_integer())));
      if (const auto nans = values["nans"].as_integer(); nans > 0) remark += cat(nans, " NaN ");
      if (const auto infs = values["infinities"].as_integer(); infs > 0) {
        remark += cat(infs, " infinite ");
      }
      remark = style.red(remark);
      if (values["nans"].as_integer() + values["infinities"].as_integer() == 0) remark.clear();
    } else {
      row.push_back(with_commas(static_cast<std::uint64_t>(entry["bytes"].as_integer())));
    }
    if (entry.contains("alias_of")) {
      remark += "= " + printable(entry["alias_of"].as_string());
    }
    row.push_back(remark);
    return row;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_tensors() {
  return std::make_unique<Tensors>();
}

}  // namespace apr
