// apr convert and apr quantize: the same model in other types.
#include "orchestrator/stages/convert.h"

#include <ostream>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/stages/import_plan.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/requantize.h"
#include "orchestrator/stages/type_report.h"

namespace apr {

namespace {

constexpr std::string_view kDetails =
    "Large matrices are stored in the scheme's type; norms, biases and tiny tensors keep theirs. "
    "int8 stands for q8_0 and int4 for q4_0 (GGML's blocks of 32 with an f16 scale); the report "
    "always names the real type. f16, bf16 and f32 convert between float types and back from "
    "quantized ones; what quantizing lost stays lost. Plugins may bring further schemes: `apr "
    "plugins list` shows them.\n\n"
    "A quantized model is not quantized again to another type: errors would add up unseen. The new "
    "file's lineage names its parent by content root, the parameters and the plugin. The same "
    "input "
    "gives the same bytes on any number of threads.";

}  // namespace

Param scheme_param(std::string name) {
  Param param = text_param(std::move(name), "SCHEME",
                           "int8, int4, q8_0, q4_0, f16, bf16, f32, or a plugin's scheme");
  param.required = true;
  return param;
}

std::string conversion_details() {
  return std::string(kDetails);
}

Result<Outcome> run_conversion(RunContext& context, const std::string& input,
                               const std::string& scheme) {
  const std::string& output = context.params.text("output");
  const bool force = context.params.flag("force");
  APR_TRY(check_writable_target(output, force));
  // A wrong name is told before gigabytes are read.
  APR_TRY(context.registry().quantization(scheme));
  APR_ASSIGN(Package opened, open_any(context, input));
  const auto package = std::make_shared<const Package>(std::move(opened));
  APR_TRY(check_digests(context, *package));
  PackagePlan plan;
  if (package->format() == "apr") {
    plan = plan_copy(*package);
  } else {
    APR_ASSIGN(ImportPlan made, plan_import(context, package, {}));
    plan = std::move(made.plan);
  }
  APR_ASSIGN(const SchemeUse use, quantize_plan(context, package, scheme, plan));
  APR_TRY(add_lineage(plan, *package, "convert", use.plugin, Json::object({{"quantize", scheme}})));
  if (use.changed == 0 && traits(use.type).quantized && !package->tensors().empty()) {
    context.notes << "apr: no tensor was converted: all are " << name_of(use.type)
                  << " already, too small, or have rows that are no multiple of "
                  << traits(use.type).block_elements << "\n";
  }
  const TypeTable before = types_of(*package);
  const TypeTable after = types_of(plan);
  APR_ASSIGN(const WrittenPackage written,
             write_plan(context, *package, output, force, std::move(plan)));
  const std::uint64_t weights_before = total_bytes(before);
  const std::uint64_t weights_after = total_bytes(after);
  Json report = Json::object({{"input", input}, {"output", output}});
  report.set("quantization", scheme_as_json(use));
  report.set("input_types", types_as_json(before));
  report.set("types", types_as_json(after));
  report.set("input_weight_bytes", weights_before);
  report.set("weight_bytes", weights_after);
  report.set("ratio", weights_after == 0 ? 0.0
                                         : static_cast<double>(weights_before) /
                                               static_cast<double>(weights_after));
  report.set("output_bytes", written.bytes);
  report.set("content_root", written.content_root.hex());
  return Outcome{.report = std::move(report)};
}

void print_conversion(const Json& report, std::ostream& out, bool terminal) {
  const Style style{terminal};
  const Json& scheme = report["quantization"];
  const double ratio = report["ratio"].as_number();
  const auto bytes = [&](std::string_view key) {
    return human_bytes(static_cast<std::uint64_t>(report[key].as_integer()));
  };
  const std::string change = ratio >= 1.005  ? cat(" (", fixed(ratio, 2), "× smaller)")
                             : ratio < 0.995 ? cat(" (", fixed(1 / ratio, 2), "× larger)")
                                             : "";
  out << style.green("✓") << " " << printable(report["input"].as_string()) << " → "
      << style.bold(printable(report["output"].as_string())) << "\n"
      << labelled({{"Scheme", scheme_line(scheme)},
                   {"Tensors", cat(scheme["changed"].as_integer(), " converted, ",
                                   scheme["kept"].as_integer(), " kept as they were")},
                   {"Weights", cat(bytes("input_weight_bytes"), " → ", bytes("weight_bytes"),
                                   style.bold(change))},
                   {"File", bytes_text(report["output_bytes"])},
                   {"Content root", report["content_root"].as_string()}},
                  style)
      << "\n"
      << types_table(report["types"], style);
}

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "convert";
  info.summary = "store weights in another type: int8, int4, f16, ...";
  info.details = conversion_details();
  info.params = {model_param(), scheme_param("quantize"), output_param("the .apr file to write"),
                 force_param()};
  info.examples = {
      {"apr convert tiny.apr --quantize int8 -o tiny-int8.apr",
       "half the size of f16, next to no loss"},
      {"apr convert tiny.apr --quantize int4 -o tiny-int4.apr", "a quarter of the size of f16"},
      {"apr convert tiny-int4.apr --quantize f16 -o tiny-f16.apr --force",
       "back to floats for a tool that reads no blocks"}};
  info.metrics = {"output_bytes", "weight_bytes", "ratio"};
  return info;
}

class Convert final : public ConversionStage {
 public:
  Convert() : ConversionStage(describe(), "quantize") {}
};

}  // namespace

std::unique_ptr<Verb> make_convert() {
  return std::make_unique<Convert>();
}

}  // namespace apr
