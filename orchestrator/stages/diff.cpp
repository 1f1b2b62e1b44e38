// apr diff: what two models, or two traces, differ in.
#include <ostream>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/model_diff.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

Param limit_param(std::string name, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::number;
  param.minimum = 0;
  param.fallback = Json(0.0);
  param.help = std::move(help);
  return param;
}

VerbInfo describe() {
  VerbInfo info;
  info.name = "diff";
  info.summary = "compare two models, or two traces, part by part";
  info.details =
      "Models: config, generation settings, tokenizer (vocabulary, and the ids of a set of awkward "
      "texts), chat template, every tensor, metadata, history, files. Tensors of different types "
      "are compared by the numbers they stand for. A tied head that one of them stores as a copy "
      "is no difference. Traces: folders that `apr trace --export` wrote, or their golden.json.\n\n"
      "Exits with 0 if nothing differs by more than the tolerance; with 1 if only the description "
      "does: names, metadata, "
      "history, files, the types of storage; with 5 if what is computed differs. (Errors "
      "have their own codes and begin with `apr: error:`.)";
  Param a = model_param("a model, or a trace folder");
  a.name = "a";
  info.params.push_back(std::move(a));
  Param b = model_param("what to compare it with");
  b.name = "b";
  b.position = 1;
  info.params.push_back(std::move(b));
  info.params.push_back(
      limit_param("tolerance", "numbers that differ by at most so much count as equal"));
  info.params.push_back(limit_param(
      "relative", "tensors whose difference has at most this relative RMS count as equal"));
  info.params.push_back(
      text_param("filter", "PATTERN",
                 "only tensors or values that match, and nothing else: a shell pattern or a part "
                 "of the name"));
  Param limit;
  limit.name = "limit";
  limit.type = ParamType::integer;
  limit.minimum = 0;
  limit.fallback = Json(10);
  limit.help = "show at most so many that differ; 0 shows all";
  limit.affects_result = false;
  info.params.push_back(std::move(limit));
  info.examples = {
      {"apr diff tiny.apr tiny-int4.apr", "what quantizing changed: weights, so exit code 5"},
      {"apr diff tiny.apr tiny-int8.apr --relative 0.01",
       "is that noise within limits? it is: exit code 1"},
      {"apr diff trace-a trace-b --tolerance 1e-4", "two traces, value by value"}};
  info.metrics = {"max_difference", "max_relative_rms", "min_cosine"};
  return info;
}

bool is_trace(const std::string& path) {
  if (path.ends_with(".json") && !path.ends_with(".safetensors.index.json")) return true;
  const auto status = file_status(join_path(path, "golden.json"));
  return status && status->kind == FileKind::file;
}

std::string trace_file(const std::string& path) {
  return path.ends_with(".json") ? path : join_path(path, "golden.json");
}

class Diff final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const std::string& a = params.text("a");
    const std::string& b = params.text("b");
    const DiffOptions options{params.number("tolerance"), params.number("relative"),
                              params.text("filter")};
    const bool traces = is_trace(a);
    if (traces != is_trace(b)) {
      return make_error(ErrorCode::usage,
                        cat("'", traces ? a : b, "' is a trace, '", traces ? b : a, "' is not"), {},
                        "compare two models, or two traces");
    }
    APR_ASSIGN(const Json found, traces ? compare_traces(context, a, b, options)
                                        : compare_models(context, a, b, options));
    const std::string& kind = found["class"].as_string();
    Json report = Json::object({{"a", a}, {"b", b}, {"kind", traces ? "traces" : "models"}});
    report.set("same", kind == "same");
    report.set("summary", summary(found));
    for (const auto& [key, value] : found.as_object()) report.set(key, value);
    report.set("limit", params.integer("limit"));
    const DiffClass worst = kind == "same"          ? DiffClass::same
                            : kind == "description" ? DiffClass::description
                                                    : DiffClass::model;
    return Outcome{.report = std::move(report), .exit_code = static_cast<int>(worst)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const std::size_t width = terminal_width(1);
    const std::string& kind = report["class"].as_string();
    out << (kind == "same"          ? style.green("✓")
            : kind == "description" ? style.yellow("~")
                                    : style.red("✗"))
        << " " << wrapped(printable(report["summary"].as_string()), width, 2) << "\n\n";
    for (const Json& part : report["parts"].as_array()) {
      const std::string& own = part["class"].as_string();
      const std::string& name = part["part"].as_string();
      out << (own == "same"          ? style.green("✓")
              : own == "description" ? style.yellow("~")
                                     : style.red("✗"))
          << " " << style.bold(name)
          << std::string(11 - std::min<std::size_t>(10, name.size()), ' ')
          << wrapped(printable(part["summary"].as_string()), width, 13) << "\n";
    }
    print_rows(report, out, style);
  }

 private:
  static Result<Json> compare_models(RunContext& context, const std::string& a,
                                     const std::string& b, const DiffOptions& options) {
    APR_ASSIGN(const Package x, open_any(context, a));
    APR_ASSIGN(const Package y, open_any(context, b));
    return diff_models(context, x, y, options);
  }

  static Result<Json> compare_traces(RunContext& context, const std::string& a,
                                     const std::string& b, const DiffOptions& options) {
    APR_ASSIGN(const GoldenTrace x, GoldenTrace::open(trace_file(a)));
    APR_ASSIGN(const GoldenTrace y, GoldenTrace::open(trace_file(b)));
    return diff_traces(context, x, y, options);
  }

  /// The gravest part in a sentence.
  static std::string summary(const Json& found) {
    const std::string& kind = found["class"].as_string();
    if (kind == "same") return "nothing differs";
    for (const Json& part : found["parts"].as_array()) {
      const std::string& name = part["part"].as_string();
      const bool grave = part["class"].as_string() == kind;
      if (grave && (name == "weights" || name == "values")) {
        return cat(name, ": ", part["summary"].as_string());
      }
    }
    for (const Json& part : found["parts"].as_array()) {
      if (part["class"].as_string() != kind) continue;
      return cat(part["part"].as_string(), ": ", part["summary"].as_string());
    }
    return "something differs";
  }

  static std::string figure(const Json& row, const char* key) {
    if (!row.contains(key)) return "-";
    return row[key].is_null() ? "∞" : significant(row[key].as_number(), 3);
  }

  /// Those that differ, the most different first; what is missing before everything.
  static void print_rows(const Json& report, std::ostream& out, Style style) {
    const bool traces = report["kind"].as_string() == "traces";
    std::vector<const Json*> rows;
    for (const Json& row : report[traces ? "values" : "tensors"].as_array()) {
      if (traces || !row["status"].as_string().starts_with("same")) rows.push_back(&row);
    }
    if (rows.empty()) return;
    if (!traces) {
      const auto weight = [](const Json* row) {
        const bool figures = row->contains("relative_rms") && !(*row)["relative_rms"].is_null();
        return figures ? (*row)["relative_rms"].as_number() : 1e300;
      };
      // All are entries of one list: addresses keep equals in its order.
      std::sort(rows.begin(), rows.end(), [&](const Json* x, const Json* y) {
        return weight(x) != weight(y) ? weight(x) > weight(y) : x < y;
      });
    }
    using Align = Table::Align;
    Table table({{traces ? "value" : "tensor", Align::left},
                 {traces ? "" : "types", Align::left},
                 {"largest", Align::right},
                 {"relative RMS", Align::right},
                 {"cosine", Align::right},
                 {"", Align::left}});
    const auto limit = static_cast<std::size_t>(report["limit"].as_integer());
    const std::size_t shown = limit == 0 ? rows.size() : std::min(limit, rows.size());
    for (std::size_t i = 0; i < shown; ++i) {
      const Json& row = *rows[i];
      const std::string& status = row["status"].as_string();
      const bool good = status == "same" || status == "within tolerance";
      const std::string name = traces ? cat(row["prompt"].as_string(), ".", row["name"].as_string())
                                      : row["name"].as_string();
      std::string types = row["type_a"].as_string();
      if (row["type_b"] != row["type_a"]) types += cat(" / ", row["type_b"].as_string());
      const std::string remark = status == "values" || status == "same" ? "" : status;
      table.row({printable(name), types, figure(row, "max_abs"), figure(row, "relative_rms"),
                 row.contains("cosine") ? fixed(row["cosine"].as_number(), 6) : "-",
                 cat(good ? style.green("✓") : style.red("✗"), " ", remark)});
    }
    out << "\n" << table.to_string(style);
    if (shown < rows.size()) {
      out << style.dim(cat(rows.size() - shown, " more; --limit 0 shows all")) << "\n";
    }
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_diff() {
  return std::make_unique<Diff>();
}

}  // namespace apr
