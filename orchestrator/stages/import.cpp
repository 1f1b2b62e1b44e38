// apr import: a foreign checkpoint becomes an .apr file.
#include <ostream>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/import_plan.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/requantize.h"
#include "orchestrator/stages/type_report.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "import";
  info.summary = "turn a safetensors checkpoint into one .apr file";
  info.details =
      "SOURCE is a Hugging Face folder, a .safetensors file with its config.json beside it, or a "
      "sharded index. The source is opened read-only and never changed; the digest of every file "
      "that was read becomes part of the new model's lineage.\n\n"
      "Before anything is written, the architecture must be known, every tensor it needs must be "
      "there with the right shape, no tensor may be without a use, and the tokenizer must open and "
      "fit the vocabulary. A tied output head is stored once.";
  Param source = model_param("a folder, a .safetensors file or a sharded index");
  source.name = "source";
  info.params.push_back(source);
  info.params.push_back(output_param("the .apr file to write"));
  Param arch = text_param("arch", "ID", "architecture, or auto to let config.json decide");
  arch.fallback = Json("auto");
  info.params.push_back(arch);
  info.params.push_back(
      text_param("quantize", "SCHEME", "shrink on the way in, as `apr convert --quantize` does"));
  info.params.push_back(text_param("name", "TEXT", "the model's name; by default the source's"));
  info.params.push_back(
      flag_param("allow-no-tokenizer", "import weights that come without a tokenizer.json"));
  info.params.push_back(force_param());
  info.examples = {{"apr import golden/apr-tiny-chat -o tiny.apr", "the bundled model"},
                   {"apr import ./model.safetensors -o model.apr --arch qwen2",
                    "one file, refusing any architecture but qwen2"},
                   {"apr import ./my-model -o my-model-int4.apr --quantize int4",
                    "import and shrink in one go"}};
  info.metrics = {"output_bytes", "parameters"};
  return info;
}

class Import final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Estimate estimate(const Values& params) const override {
    const auto status = file_status(params.text("source"));
    const std::uint64_t size = status && status->kind == FileKind::file ? status->size : 0;
    return {.memory_bytes = 64u << 20, .output_bytes = size};
  }

  Json key_facts(const Values& params) const override {
    if (params.has("name")) return {};
    return Json::object({{"source_name", base_name(params.text("source"))}});
  }

  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    std::vector<std::pair<std::string, std::string>> used;
    if (params.has("quantize")) used.emplace_back("quantizer", params.text("quantize"));
    if (params.has("arch") && params.text("arch") != "auto") {
      used.emplace_back("architecture", params.text("arch"));
    }
    return used;
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const std::string& source = params.text("source");
    const std::string& output = params.text("output");
    const bool force = params.flag("force");
    APR_TRY(check_writable_target(output, force));
    if (looks_like_apr(source)) {
      return make_error(ErrorCode::usage, "is an .apr file already", source,
                        "use `apr convert` to shrink it");
    }
    APR_ASSIGN(Package opened, open_any(context, source));
    const auto package = std::make_shared<const Package>(std::move(opened));
    APR_ASSIGN(ImportPlan made,
               plan_import(context, package,
                           {.arch = params.has("arch") ? params.text("arch") : "auto",
                            .name = params.text("name"),
                            .allow_no_tokenizer = params.flag("allow-no-tokenizer")}));
    Json report = Json::object({{"source", source},
                                {"output", output},
                                {"name", made.plan.metadata["name"]},
                                {"architecture", made.architecture},
                                {"parameters", made.plan.metadata["param_count"]}});
    if (params.has("quantize")) {
      APR_ASSIGN(const SchemeUse use,
                 quantize_plan(context, package, params.text("quantize"), made.plan));
      APR_TRY(add_lineage(made.plan, *package, "convert", use.plugin,
                          Json::object({{"quantize", use.name}})));
      report.set("quantization", scheme_as_json(use));
    }
    const TypeTable before = types_of(*package);
    const TypeTable after = types_of(made.plan);
    report.set("tensors", made.plan.tensors.size());
    report.set("tied", ties_as_json(made.plan));
    report.set("left_out", names_as_json(made.inventory.ignorable));
    report.set("tokenizer", made.tokenizer.empty() ? Json() : Json(made.tokenizer));
    report.set("source_types", types_as_json(before));
    report.set("types", types_as_json(after));
    report.set("source_bytes", total_bytes(before));
    APR_ASSIGN(const WrittenPackage written,
               write_plan(context, *package, output, force, std::move(made.plan)));
    report.set("output_bytes", written.bytes);
    report.set("content_root", written.content_root.hex());
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    std::vector<std::pair<std::string, std::string>> lines = {
        {"Architecture", report["architecture"].as_string()},
        {"Parameters", parameters_text(report["parameters"])},
        {"Types", types_line(report["types"])}};
    if (!report["quantization"].is_null()) {
      lines.emplace_back("Quantized", scheme_line(report["quantization"]));
    }
    lines.emplace_back("Tokenizer", report["tokenizer"].is_null()
                                        ? std::string("none")
                                        : report["tokenizer"].as_string());
    for (const Json& tie : report["tied"].as_array()) {
      lines.emplace_back("Tied", cat(printable(tie["tensor"].as_string()), " = ",
                                     printable(tie["source"].as_string())));
    }
    if (report["left_out"].size() > 0) {
      lines.emplace_back("Left out", plural(report["left_out"].size(), "buffer") +
                                         " that the model does not need");
    }
    lines.emplace_back("Size", bytes_text(report["output_bytes"]));
    lines.emplace_back("Content root", report["content_root"].as_string());
    out << style.green("✓") << " " << printable(report["name"].as_string()) << ": "
        << printable(report["source"].as_string()) << " → "
        << style.bold(printable(report["output"].as_string())) << "\n"
        << labelled(lines, style);
  }

 private:
  static Json ties_as_json(const PackagePlan& plan) {
    Json list = Json::array();
    for (const PackagePlan::PlannedTensor& tensor : plan.tensors) {
      if (tensor.alias_of.empty()) continue;
      list.push_back(Json::object({{"tensor", tensor.name}, {"source", tensor.alias_of}}));
    }
    return list;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_import() {
  return std::make_unique<Import>();
}

}  // namespace apr
