// apr test-model: does a model compute what a trusted implementation computed?
#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/golden_check.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "test-model";
  info.summary = "check a model against a recorded reference, node by node";
  info.details =
      "Runs every prompt of a golden trace and compares the tokenizer's ids, the value of every "
      "recorded node and, where the trace has them, the ten best next tokens and the greedy "
      "continuation. Exit code 5 when anything differs; the report then names the first node that "
      "does, in the order of computation. Traces of encoders may hold batches with padding, for "
      "which nothing is computed, and recordings.\n\n"
      "A model with plain weights must match to float32 rounding. Quantized weights are held to "
      "the noise that their type makes (docs/golden-traces.md has the figures); --type-aware asks "
      "for that explicitly.";
  info.params.push_back(model_param());
  Param golden = text_param("golden-trace", "FILE", "the recorded trace: a golden.json");
  golden.role = ParamRole::input;
  golden.required = true;
  info.params.push_back(std::move(golden));
  Param tolerance;
  tolerance.name = "tolerance";
  tolerance.type = ParamType::number;
  tolerance.minimum = 0;
  tolerance.help =
      "largest difference allowed, times max(1, largest reference number), for every value; by "
      "default what the weights' types allow";
  info.params.push_back(std::move(tolerance));
  info.params.push_back(
      flag_param("type-aware",
                 "hold an f16 or bf16 model to its rounding, not to float32's; quantized ones "
                 "always are"));
  info.params.push_back(
      flag_param("ids-from-trace", "do not test the tokenizer; run the trace's own ids"));
  info.params.push_back(flag_param("features-from-trace",
                                   "do not test the audio front end on the trace's recording; let "
                                   "the encoder hear the trace's own features"));
  info.params.push_back(mode_param(Mode::exact));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr test-model tiny.apr --golden-trace golden/apr-tiny-chat/golden/golden.json",
       "every node of every prompt"},
      {"apr test-model tiny-int4.apr --golden-trace golden/apr-tiny-chat/golden/golden.json --json",
       "a quantized model, with all figures"}};
  info.metrics = {"max_difference", "max_relative_rms", "nodes", "failures"};
  return info;
}

/// Totals over all prompts, and the first thing that went wrong: the value that is computed first,
/// in whichever prompt. A value that differs says more than the tokens that follow from it.
struct Summary {
  double max_difference = 0;
  double max_relative_rms = 0;
  std::uint64_t nodes = 0;
  std::uint64_t failures = 0;
  std::uint64_t best_ids = 0;       ///< prompts whose best ids were compared
  std::uint64_t greedy_tokens = 0;  ///< compared
  Json first_value;
  std::size_t first_order = 0;
  Json first_other;
};

/// Before memory is set aside for the longest prompt.
Status check_fits(const Package& package, Registry& registry, const GoldenTrace& trace) {
  APR_ASSIGN(const Graph graph, graph_of(package, registry));
  const std::uint32_t positions = graph.facts().max_position_embeddings;
  for (const GoldenPrompt& prompt : trace.prompts()) {
    const std::size_t needed = prompt.longest() + prompt.greedy_ids.size();
    if (positions == 0 || needed <= positions) continue;
    return make_error(
        ErrorCode::validation,
        cat("prompt '", prompt.name, "'", prompt.greedy_ids.empty() ? "" : " and its greedy tokens",
            " take ", needed, " positions; ", package.path(), " has ", positions),
        trace.path(), "the trace belongs to another model");
  }
  return {};
}

double larger(double a, double b) {
  return std::isnan(a) || a >= b ? a : b;
}

void add(Summary& summary, const PromptCheck& check) {
  const auto fail = [&](Json& first, Json evidence) {
    ++summary.failures;
    if (!first.is_null()) return;
    evidence.set("prompt", check.prompt);
    first = std::move(evidence);
  };
  const auto fail_value = [&](const NodeCheck& node, Json evidence) {
    if (node.order < summary.first_order) summary.first_value = Json();
    if (summary.first_value.is_null()) summary.first_order = node.order;
    fail(summary.first_value, std::move(evidence));
  };
  if (!check.ids.value_or(true)) {
    fail(summary.first_other, Json::object({{"node", "tokenizer"}, {"remark", check.ids_problem}}));
  }
  if (!check.top_reference.empty()) ++summary.best_ids;
  summary.greedy_tokens += check.greedy_compared;
  for (const NodeCheck& node : check.nodes) {
    ++summary.nodes;
    summary.max_difference = larger(summary.max_difference, node.difference);
    summary.max_relative_rms = larger(summary.max_relative_rms, node.relative_rms);
    if (node.passed) continue;
    Json evidence = to_json(node);
    evidence.set("difference", node.measured);
    fail_value(node, std::move(evidence));
  }
  for (const NodeCheck& control : check.controls) {
    if (!control.passed) fail_value(control, to_json(control));
  }
  if (!check.top_passed) {
    fail(summary.first_other, Json::object({{"node", "best next tokens"},
                                            {"remark", cat(check.top_common, " of the reference's ",
                                                           check.top_reference.size(),
                                                           " best ids are among the model's")}}));
  }
  if (!check.greedy_passed.value_or(true)) {
    fail(summary.first_other,
         Json::object({{"node", "greedy tokens"},
                       {"remark", cat(check.greedy_equal, " of ", check.greedy_compared,
                                      " tokens are equal")}}));
  }
}

class TestModel final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Estimate estimate(const Values& params) const override {
    const auto status = file_status(params.text("model"));
    const bool is_file = status && status->kind == FileKind::file;
    return {.memory_bytes = (is_file ? status->size : 0) + (256u << 20), .output_bytes = 0};
  }
  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const GoldenTrace trace, GoldenTrace::open(params.text("golden-trace")));
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    APR_TRY(check_fits(package, context.registry(), trace));
    CompileOptions compile;
    compile.taps = trace.tap_names();
    compile.max_tokens = static_cast<std::uint32_t>(trace.largest_step());
    compile.max_logit_rows = compile.max_tokens;
    APR_ASSIGN(const Model model, load_model(context, std::move(package), std::move(compile)));
    if (params.flag("features-from-trace") && !trace.audio()) {
      return make_error(ErrorCode::usage, "the trace holds no features of a sound", trace.path(),
                        "leave out --features-from-trace");
    }
    const Type weights = coarsest_weight_type(model);
    GoldenCheckOptions options{tolerance(params, weights), !params.flag("ids-from-trace"),
                               !params.flag("features-from-trace")};
    if (!params.has("tolerance")) options.tolerance.suggested = trace.suggested();

    Summary summary;
    Json prompts = Json::array();
    APR_ASSIGN(GoldenRun golden, GoldenRun::start(model, trace, options));
    auto audio = golden.check_audio(context);
    if (!audio) return std::move(audio).error().within("the trace's audio");
    if (*audio) {
      add(summary, **audio);
      prompts.push_back(to_json(**audio));
    }
    for (const GoldenPrompt& prompt : trace.prompts()) {
      APR_TRY(check_interrupted());
      context.progress.update(cat("prompt '", prompt.name, "'"), prompts.size(),
                              trace.prompts().size());
      auto check = golden.check(prompt);
      if (!check) return std::move(check).error().within(cat("prompt '", prompt.name, "'"));
      add(summary, *check);
      prompts.push_back(to_json(*check));
    }
    context.progress.finish();
    Json& first = summary.first_value.is_null() ? summary.first_other : summary.first_value;
    Json report = Json::object({{"model", params.text("model")},
                                {"golden_trace", trace.path()},
                                {"reference", trace.reference()},
                                {"passed", summary.failures == 0},
                                {"backend", model.executable()->description()},
                                {"mode", params.text("mode")},
                                {"weights", name_of(weights)},
                                {"type_aware", options.tolerance.type_aware},
                                {"nodes", summary.nodes},
                                {"failures", summary.failures},
                                {"best_ids", summary.best_ids},
                                {"greedy_tokens", summary.greedy_tokens},
                                {"max_difference", summary.max_difference},
                                {"max_relative_rms", summary.max_relative_rms},
                                {"first_divergence", std::move(first)},
                                {"prompts", std::move(prompts)}});
    return Outcome{.report = std::move(report),
                   .exit_code = summary.failures == 0 ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    Table table({{"prompt", Table::Align::left},
                 {"ids", Table::Align::left},
                 {"values", Table::Align::right},
                 {report["type_aware"].as_boolean() ? "largest RMS" : "largest difference",
                  Table::Align::right},
                 {"best ids", Table::Align::right},
                 {"greedy", Table::Align::right},
                 {"", Table::Align::left}});
    for (const Json& prompt : report["prompts"].as_array()) {
      table.row(row_of(prompt, report["type_aware"].as_boolean(), style));
    }
    out << table.to_string(style) << "\n";
    if (report["passed"].as_boolean()) {
      const std::string& weights = report["weights"].as_string();
      out << style.green("✓") << " " << report["nodes"].as_integer()
          << (report["type_aware"].as_boolean()
                  ? cat(" values are within the noise of ", weights, " weights")
                  : cat(" values", also_compared(report), " agree with the reference (", weights,
                        " weights)"))
          << ", computed by " << printable(report["backend"].as_string()) << "\n";
      return;
    }
    print_first(report["first_divergence"], report["type_aware"].as_boolean(), out, style);
    out << report["failures"].as_integer() << " checks failed; --json lists them all\n";
  }

 private:
  static GoldenTolerance tolerance(const Values& params, Type weights) {
    if (!params.has("tolerance")) return tolerance_for(weights, params.flag("type-aware"));
    GoldenTolerance result;
    result.node = result.embed = result.logits = params.number("tolerance");
    return result;
  }

  static std::string also_compared(const Json& report) {
    const bool best = report["best_ids"].as_integer() > 0;
    const bool greedy = report["greedy_tokens"].as_integer() > 0;
    if (best && greedy) return ", the best ids and the greedy tokens";
    if (best) return " and the best ids";
    return greedy ? " and the greedy tokens" : "";
  }

  static std::vector<std::string> row_of(const Json& prompt, bool type_aware, Style style) {
    double largest = 0;
    std::uint64_t good = 0;
    for (const Json& node : prompt["nodes"].as_array()) {
      const double figure =
          node[type_aware ? "relative_rms" : "difference"].as_number(std::nan(""));
      largest = larger(largest, figure);
      if (node["passed"].as_boolean()) ++good;
    }
    const Json& ids = prompt["tokenizer"];
    const std::string ids_cell = ids.is_null()                  ? "-"
                                 : !ids["checked"].as_boolean() ? "not tested"
                                 : ids["passed"].as_boolean()   ? "equal"
                                                                : "differ";
    const Json& greedy = prompt["greedy"];
    return {printable(prompt["prompt"].as_string()),
            ids_cell,
            cat(good, "/", prompt["nodes"].size()),
            std::isnan(largest) ? "not a number" : significant(largest, 2),
            prompt["top"].is_null()
                ? std::string("-")
                : cat(prompt["top"]["common"].as_integer(), "/", prompt["top"]["reference"].size()),
            greedy.is_null()
                ? std::string("-")
                : cat(greedy["equal"].as_integer(), "/", greedy["compared"].as_integer()),
            prompt["passed"].as_boolean() ? style.green("✓") : style.red("✗")};
  }

  static void print_first(const Json& first, bool type_aware, std::ostream& out, Style style) {
    out << style.red("✗") << " differs from the reference first at "
        << style.bold(printable(first["node"].as_string())) << " of prompt '"
        << printable(first["prompt"].as_string()) << "'\n";
    if (first.contains("tolerance")) {
      std::string at;
      for (const Json& index : first["at"].as_array()) {
        at += cat(at.empty() ? "" : ", ", index.as_integer());
      }
      const double measured = first["measured"].as_number(std::nan(""));
      out << (type_aware ? "  relative RMS " : "  difference ")
          << (std::isnan(measured) ? "not a number" : significant(measured, 3)) << ", allowed "
          << significant(first["tolerance"].as_number(), 3) << "; at [" << at
          << "] the reference has " << significant(first["reference"].as_number(), 6)
          << ", the model "
          << (first["found"].is_null() ? "no number" : significant(first["found"].as_number(), 6))
          << "\n";
    }
    if (const std::string& remark = first["remark"].as_string(); !remark.empty()) {
      out << "  " << printable(remark) << "\n";
    }
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_test_model() {
  return std::make_unique<TestModel>();
}

}  // namespace apr
