// apr export: a model for another runtime.
#include <algorithm>
#include <ostream>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/type_report.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "export";
  info.summary = "write a model for another runtime";
  info.details =
      "safetensors writes a folder that Hugging Face's tools load: weights, config and tokenizer "
      "files as they came in. Plugins may bring further formats; --list-formats shows what there "
      "is.";
  Param model = model_param();
  model.required = false;
  info.params.push_back(model);
  Param format = text_param("format", "NAME", "what to write; see --list-formats");
  format.fallback = Json("safetensors");
  info.params.push_back(format);
  Param output = output_param("the file or folder to write");
  output.required = false;
  output.value_name = "TARGET";
  info.params.push_back(output);
  Param list = flag_param("list-formats", "show the formats there are and stop");
  list.cli_only = true;
  info.params.push_back(list);
  info.params.push_back(force_param());
  info.examples = {
      {"apr export tiny.apr --format safetensors -o tiny-hf", "a folder for Hugging Face's tools"},
      {"apr export --list-formats", "what can be written"}};
  info.metrics = {"output_bytes"};
  return info;
}

class Export final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"exporter", format_of(params)}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    if (params.flag("list-formats")) return list_formats(context);
    if (!params.has("model")) return missing("MODEL, the model to export");
    if (!params.has("output")) return missing("-o, --output TARGET");
    APR_ASSIGN(Exporter * exporter, context.registry().exporter(format_of(params)));
    const std::string& target = params.text("output");
    const bool force = params.flag("force");
    APR_TRY(check_writable_target(target, force));
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    APR_TRY(check_digests(context, package));
    auto written = exporter->write(package, target, force, forward_progress(context));
    context.progress.finish();
    if (!written) {
      // The folder is written under another name and renamed; people know the name they gave.
      Error error = std::move(written).error();
      const std::string other = cat(".", base_name(target), ".apr-tmp-");
      if (const auto at = error.context.find(other); at != std::string::npos) {
        const auto end = std::min(error.context.find('/', at), error.context.size());
        error.context.replace(at, end - at, base_name(target));
      }
      return error;
    }
    return Outcome{.report = Json::object({{"input", params.text("model")},
                                           {"output", target},
                                           {"format", exporter->id()},
                                           {"files", names_as_json(written->files)},
                                           {"output_bytes", written->bytes},
                                           {"notes", names_as_json(written->notes)}})};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    if (const Json* formats = report.find("formats")) {
      Table table({{"format", Table::Align::left}, {"", Table::Align::left}});
      for (const Json& format : formats->as_array()) {
        table.row({format["name"].as_string(), format["summary"].as_string()});
      }
      out << table.to_string(style);
      return;
    }
    out << style.green("✓") << " " << printable(report["input"].as_string()) << " → "
        << style.bold(printable(report["output"].as_string())) << " ("
        << report["format"].as_string() << ", "
        << human_bytes(static_cast<std::uint64_t>(report["output_bytes"].as_integer())) << ")\n";
    for (const Json& file : report["files"].as_array()) {
      out << "  " << printable(file.as_string()) << "\n";
    }
    for (const Json& note : report["notes"].as_array()) {
      out << "Note: " << printable(note.as_string()) << "\n";
    }
  }

 private:
  static std::string format_of(const Values& params) {
    return params.has("format") ? params.text("format") : "safetensors";
  }

  static Error missing(const std::string& what) {
    return make_error(ErrorCode::usage, cat("apr export needs ", what), {},
                      "see `apr export --help`");
  }

  static Result<Outcome> list_formats(RunContext& context) {
    Json list = Json::array();
    for (const Exporter* exporter : context.registry().exporters()) {
      list.push_back(Json::object({{"name", exporter->id()}, {"summary", exporter->summary()}}));
    }
    return Outcome{.report = Json::object({{"formats", std::move(list)}})};
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_export() {
  return std::make_unique<Export>();
}

}  // namespace apr
