// apr lineage: where a model comes from, and what of that can be proved.
#include <optional>
#include <ostream>

#include "core/base/cat.h"
#include "core/package/exported_lineage.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/history.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "lineage";
  info.summary = "show a model's history and verify what it says";
  info.details =
      "Every step that made a model is recorded in it: what it read, by SHA-256; parameters, "
      "program and plugin; and what it gave. Reads the whole file and compares every digest up to "
      "the content root, which covers the history too; compares the small files carried in the "
      "model with those that were read; and, with --parent, the parents and sources at hand, whose "
      "own history must be the beginning of this one. An export leaves the history so far beside "
      "its "
      "files (apr_lineage.json); an import of those files goes on with it, if they are unchanged. "
      "An input is `verified` where its bytes were "
      "compared, `recorded` where the sealed record alone speaks for it.\n\n"
      "Exits with 5 if a link is broken, if something was changed afterwards, or if the file has "
      "no history. Nobody's signature is involved: whoever can write the file can write another "
      "history, but not one for these bytes under this content root.";
  info.params.push_back(model_param());
  Param parent;
  parent.name = "parent";
  parent.type = ParamType::texts;
  parent.value_name = "MODEL";
  parent.help = "a parent or source that must be part of the history; may be repeated";
  info.params.push_back(std::move(parent));
  info.examples = {{"apr lineage tiny-int4.apr", "the steps, verified as far as the file goes"},
                   {"apr lineage tiny-int4.apr --parent tiny.apr", "and its parent"},
                   {"apr lineage tiny.apr --parent golden/apr-tiny-chat --json",
                    "with the source, for other programs"}};
  info.metrics = {"broken", "steps_count"};
  return info;
}

Result<AprVerification> read_all(RunContext& context, const Package& package) {
  APR_ASSIGN(const FileStatus status, file_status(package.path()));
  const std::string what = cat("checking ", base_name(package.path()));
  auto found = verify_apr(package.path(), [&](std::uint64_t done) {
    context.progress.update(what, done, status.size);
  });
  context.progress.finish();
  APR_TRY(check_interrupted());
  return found;
}

class LineageVerb final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    std::optional<AprVerification> found;
    if (package.format() == "apr") {
      APR_ASSIGN(found, read_all(context, package));
    }
    std::vector<Package> opened;
    for (const std::string& path : params.texts("parent")) {
      APR_ASSIGN(Package parent, open_any(context, path));
      opened.push_back(std::move(parent));
    }
    std::vector<Relative> relatives;
    for (const Package& parent : opened) {
      Relative relative{&parent, parent.content_root(), {}};
      if (parent.format() == "apr") {
        APR_ASSIGN(AprVerification own, read_all(context, parent));
        relative.problems = std::move(own.problems);
        if (!relative.digest) {
          APR_ASSIGN(const auto mapping, FileMapping::open(parent.path()));
          relative.digest = sha256(mapping->bytes());
        }
      }
      relatives.push_back(std::move(relative));
    }
    const History history = check_history(package, found, relatives);
    Json report = Json::object(
        {{"model", params.text("model")},
         {"name", model_name(package)},
         {"format", package.format()},
         {"content_root", package.content_root() ? Json(package.content_root()->hex()) : Json()}});
    const Json checked = history_as_json(history);
    for (const auto& [key, value] : checked.as_object()) report.set(key, value);
    report.set("steps_count", std::uint64_t{history.steps.size()});
    return Outcome{.report = std::move(report),
                   .exit_code = history.verified() ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const std::size_t width = terminal_width(1);
    const bool good = report["verified"].as_boolean();
    const JsonArray& steps = report["steps"].as_array();
    out << (good ? style.green("✓") : style.red("✗")) << " "
        << style.bold(printable(report["name"].as_string())) << ": " << plural(steps.size(), "step")
        << ", "
        << (good ? std::string("nothing contradicts them")
                 : style.red(plural(report["problems"].size(), "broken link")))
        << "\n";
    for (const Json& step : steps) print_step(step, out, style, width);
    for (const Json& problem : report["problems"].as_array()) {
      out << "\n"
          << style.red("broken") << "  " << wrapped(printable(problem.as_string()), width, 8);
    }
    for (const Json& lost : report["lost"].as_array()) {
      out << "\n"
          << style.yellow("lost") << "    " << wrapped(printable(lost.as_string()), width, 8);
    }
    if (!good || report["lost"].size() > 0) out << "\n";
  }

 private:
  static std::string mark(const std::string& status, Style style) {
    if (status == "verified") return style.green("✓");
    return status == "broken" ? style.red("✗") : style.dim("·");
  }

  static std::string parameters(const Json& json) {
    std::string text;
    for (const auto& [key, value] : json.as_object()) {
      text += cat(text.empty() ? "" : ", ", key, " ",
                  value.is_string() ? value.as_string() : value.dump());
    }
    return text;
  }

  static void print_step(const Json& step, std::ostream& out, Style style, std::size_t width) {
    out << "\n"
        << step["step"].as_integer() << ". " << style.bold(printable(step["stage"].as_string()));
    std::string by = step["tool"].as_string();
    if (!step["plugin"].as_string().empty()) by += ", " + step["plugin"].as_string();
    out << "  " << style.dim(printable(by)) << "\n";
    if (const std::string text = parameters(step["parameters"]); !text.empty()) {
      out << "   with " << wrapped(printable(text), width, 8) << "\n";
    }
    Table table({{"", Table::Align::left},
                 {"", Table::Align::left},
                 {"", Table::Align::left},
                 {"", Table::Align::left}});
    bool first = true;
    for (const Json& input : step["inputs"].as_array()) {
      const std::string& status = input["status"].as_string();
      const std::string& detail = input["detail"].as_string();
      table.row({cat(first ? "from " : "     ", mark(status, style)),
                 printable(input["name"].as_string()),
                 cat(input["sha256"].as_string().substr(0, 16), "…"),
                 printable(detail.empty() ? status : detail)});
      first = false;
    }
    const Json& gave = step["output"];
    const std::string& digest = gave["digest"].as_string();
    if (!digest.empty() || gave["status"].as_string() == "broken") {
      table.row({cat("gave ", mark(gave["status"].as_string(), style)),
                 step["stage"].as_string() == "export" ? std::string(kExportedLineageFile)
                                                       : std::string("content root"),
                 digest.empty() ? "" : cat(digest.substr(0, 16), "…"),
                 printable(gave["detail"].as_string())});
    }
    if (!table.empty()) out << table.to_string(style, 3);
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_lineage() {
  return std::make_unique<LineageVerb>();
}

}  // namespace apr
