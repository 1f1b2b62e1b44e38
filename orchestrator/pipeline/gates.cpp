#include "orchestrator/pipeline/gates.h"

#include <cmath>
#include <optional>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/gate_kinds.h"
#include "orchestrator/pipeline/values.h"

namespace apr::pipeline {
namespace {

/// A figure of a report. What is not there, or is null (as NaN is written), is NaN and passes no
/// limit.
double figure(const Json& report, std::string_view key) {
  const Json* value = report.find(key);
  return value != nullptr && value->is_number() ? value->as_number() : std::nan("");
}

std::string shown(double value) {
  return std::isnan(value) ? "not a number" : significant(value, 6);
}

/// Collects checks; a gate passes if all hold and there was at least one.
class Checks {
 public:
  explicit Checks(std::string_view kind) { outcome_.kind = kind; }

  void hold(std::string_view what, double value, const Limit& limit) {
    const bool good = limit.holds(value);
    all_ = all_ && good;
    any_ = true;
    outcome_.evidence.set(what, value);
    outcome_.evidence.set(cat(what, "_limit"), limit.to_string());
    add(cat(what, " ", shown(value), good ? " (limit " : " breaks the limit ", limit.to_string(),
            good ? ")" : ""));
  }
  void note(std::string_view key, Json value) { outcome_.evidence.set(key, std::move(value)); }
  void remark(std::string text) { add(std::move(text)); }
  void result(bool good, std::string text) {
    all_ = all_ && good;
    any_ = true;
    add(std::move(text));
  }
  GateOutcome finish() {
    outcome_.passed = all_ && any_;
    return std::move(outcome_);
  }

 private:
  void add(std::string text) {
    if (!outcome_.message.empty()) outcome_.message += ", ";
    outcome_.message += text;
  }
  GateOutcome outcome_;
  bool all_ = true;
  bool any_ = false;
};

Limit at_most(const Json& bound) {
  return {Limit::Op::less_equal, bound.as_number()};
}

Json eval_params(const Json& values, const std::string& model) {
  Json params = Json::object();
  params.set("model", model);
  params.set("dataset", values["text"]);
  if (values.contains("window")) params.set("window", values["window"]);
  return params;
}

Result<GateOutcome> golden_trace(const Json& values, const GateTools& tools) {
  Json params = Json::object();
  params.set("model", values["model"]);
  params.set("golden-trace", values["reference"]);
  if (values.contains("tolerance")) params.set("tolerance", values["tolerance"]);
  APR_ASSIGN(const auto measured, tools.measure("test-model", params));
  Checks checks("golden-trace");
  checks.note("report", measured.report);
  const Json& report = measured.report;
  // The verb's verdict is its exit code and its report; both must say so.
  const bool passed = measured.exit_code == 0 && report["passed"].as_boolean(false);
  if (passed) {
    std::string text = "every node agrees with the reference";
    if (const double worst = figure(report, "max_difference"); !std::isnan(worst)) {
      text += cat(" (largest difference ", shown(worst), ")");
    }
    checks.result(true, std::move(text));
    return checks.finish();
  }
  std::string text = "differs from the reference";
  const Json& first = report["first_divergence"];
  if (first.is_object()) {
    text += cat(": first at node ", first["node"].as_string());
    if (first.contains("prompt")) text += cat(" of prompt '", first["prompt"].as_string(), "'");
    if (first["difference"].is_number()) {
      text += cat(", difference ", shown(first["difference"].as_number()));
    }
    if (first["tolerance"].is_number()) {
      text += cat(", tolerance ", shown(first["tolerance"].as_number()));
    }
    if (const std::string& remark = first["remark"].as_string(); !remark.empty()) {
      text += cat(" (", remark, ")");
    }
  }
  checks.result(false, std::move(text));
  return checks.finish();
}

Result<GateOutcome> perplexity(const Json& values, const GateTools& tools) {
  Json params = eval_params(values, values["model"].as_string());
  // One measurement gives both perplexities, and serves a kld gate on the same text, too.
  if (values.contains("ratio_to")) params.set("against", values["ratio_to"]);
  APR_ASSIGN(const auto measured, tools.measure("eval", params));
  const double value = figure(measured.report, "perplexity");
  Checks checks("perplexity");
  checks.note("perplexity", value);
  if (values.contains("max")) checks.hold("perplexity", value, at_most(values["max"]));
  if (values.contains("ratio_to")) {
    const double reference = figure(measured.report, "parent_perplexity");
    checks.note("reference_perplexity", reference);
    checks.hold("ratio", value / reference, at_most(values["max_ratio"]));
    checks.result(true, cat("perplexity ", shown(value), " against ", shown(reference)));
  }
  return checks.finish();
}

Result<GateOutcome> kld(const Json& values, const GateTools& tools) {
  Json params = eval_params(values, values["model"].as_string());
  params.set("against", values["parent"]);
  APR_ASSIGN(const auto measured, tools.measure("eval", params));
  Checks checks("kld");
  const Json& report = measured.report;
  const auto hold = [&](std::string_view setting, std::string_view key, Limit::Op bare) -> Status {
    if (!values.contains(setting)) return {};
    APR_ASSIGN(const Limit limit, parse_limit(values[setting], bare));
    checks.hold(key, figure(report, key), limit);
    return {};
  };
  APR_TRY(hold("mean", "mean_kld", Limit::Op::less_equal));
  APR_TRY(hold("top1", "top1_agreement", Limit::Op::greater_equal));
  return checks.finish();
}

Result<GateOutcome> tokenizer_parity(const Json& values, const GateTools& tools) {
  Json params = Json::object();
  params.set("model", values["model"]);
  params.set("reference", values["reference"]);
  APR_ASSIGN(const auto measured, tools.measure("tokenizer-parity", params));
  const Json& report = measured.report;
  Checks checks("tokenizer-parity");
  checks.note("texts", report["texts"]);
  checks.hold("mismatches", figure(report, "mismatches"),
              {Limit::Op::less_equal, values["mismatches"].as_number(0)});
  const Json& first = report["first_mismatch"];
  if (first.is_object()) {
    checks.note("first_mismatch", first);
    checks.remark(cat("first at text ", first["text"].dump()));
  } else {
    checks.remark(cat("of ", report["texts"].dump(), " texts"));
  }
  return checks.finish();
}

Result<GateOutcome> canary(const Json& values, const GateTools& tools) {
  Json params = Json::object();
  params.set("model", values["model"]);
  params.set("canary", values["canary"]);
  if (values["type_aware"].as_boolean(false)) params.set("type-aware", true);
  if (values.contains("tolerance")) params.set("tolerance", values["tolerance"]);
  APR_ASSIGN(const auto measured, tools.measure("canary check", params));
  const Json& report = measured.report;
  Checks checks("canary");
  for (const char* key : {"tensors_changed", "prompts_failed", "max_difference"}) {
    checks.note(key, report[key]);
  }
  // The verb's verdict is its exit code and its report; both must say so.
  const bool passed = measured.exit_code == 0 && report["passed"].as_boolean(false);
  if (passed) {
    checks.result(true, cat(report["tensors"].dump(), " tensors and all prompts are as recorded"));
    return checks.finish();
  }
  std::string text = cat("not as recorded: ", report["failures"].dump(), " findings");
  if (report["findings"].size() > 0) {
    const Json& first = report["findings"].as_array().front();
    checks.note("first_finding", first);
    text += cat("; first ", first["part"].as_string(), " ", first["name"].as_string(), " ",
                first["problem"].as_string());
  }
  checks.result(false, std::move(text));
  return checks.finish();
}

Result<GateOutcome> size(const Json& values, const GateTools& tools) {
  APR_ASSIGN(const std::uint64_t bytes, tools.size(values["model"].as_string()));
  Checks checks("size");
  if (values.contains("max")) {
    const std::int64_t limit = values["max"].as_integer();
    const bool good = limit >= 0 && bytes <= static_cast<std::uint64_t>(limit);
    checks.note("bytes", bytes);
    checks.note("bytes_limit", limit);
    checks.result(good,
                  cat(with_commas(bytes), " bytes", good ? " (limit " : " break the limit of ",
                      with_commas(static_cast<std::uint64_t>(limit)), good ? ")" : ""));
  }
  if (values.contains("of")) {
    APR_ASSIGN(const std::uint64_t other, tools.size(values["of"].as_string()));
    checks.note("bytes", bytes);
    checks.note("of_bytes", other);
    checks.hold("ratio", static_cast<double>(bytes) / static_cast<double>(other),
                at_most(values["max_ratio"]));
  }
  return checks.finish();
}

/// What a limit could be put on, for people who guessed.
std::string figures_of(const Json& report) {
  std::string names;
  for (const auto& [key, value] : report.as_object()) {
    if (value.is_number()) names += cat(names.empty() ? "" : ", ", key);
  }
  return names.empty() ? "it has no figures" : cat("its figures: ", names);
}

Result<GateOutcome> report(const Json& values, const GateTools& tools) {
  Checks checks("report");
  for (const auto& [key, value] : values.as_object()) {
    APR_ASSIGN(const Limit limit, parse_limit(value, Limit::Op::less_equal));
    std::vector<std::string> path;
    std::size_t start = 0;
    while (start <= key.size()) {
      const std::size_t end = std::min(key.find('.', start), key.size());
      path.push_back(key.substr(start, end - start));
      start = end + 1;
    }
    if (tools.report == nullptr) return make_error(ErrorCode::validation, "there is no report");
    const Json* found = find_in_report(*tools.report, path);
    if (found == nullptr) {
      return make_error(ErrorCode::validation, cat("the stage's report has no '", key, "'"), "",
                        figures_of(*tools.report));
    }
    checks.hold(key, found->is_number() ? found->as_number() : std::nan(""), limit);
  }
  return checks.finish();
}

}  // namespace

Result<GateOutcome> evaluate_gate(std::string_view kind, const Json& values,
                                  const GateTools& tools) {
  if (kind == "golden-trace") return golden_trace(values, tools);
  if (kind == "perplexity") return perplexity(values, tools);
  if (kind == "kld") return kld(values, tools);
  if (kind == "tokenizer-parity") return tokenizer_parity(values, tools);
  if (kind == "canary") return canary(values, tools);
  if (kind == "size") return size(values, tools);
  if (kind == "report") return report(values, tools);
  return make_error(ErrorCode::usage, "unknown gate", std::string(kind));
}

Json to_json(const GateOutcome& outcome) {
  Json json = Json::object();
  json.set("gate", outcome.kind);
  json.set("passed", outcome.passed);
  json.set("message", outcome.message);
  json.set("evidence", outcome.evidence);
  return json;
}

}  // namespace apr::pipeline
