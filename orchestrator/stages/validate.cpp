// apr validate: is this file whole, and is it the model it claims to be?
#include <map>
#include <optional>
#include <ostream>

#include "core/base/cat.h"
#include "core/package/write.h"
#include "core/runtime/model.h"
#include "core/tensor/codec.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/inventory.h"
#include "orchestrator/stages/model_facts.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/quality.h"
#include "orchestrator/stages/statistics.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

std::string rubric() {
  std::string text;
  for (const QualityRule& rule : quality_rules()) {
    const std::string points = std::to_string(rule.points);
    const std::string name = rule.name;
    text += cat("\n", std::string(6 - points.size(), ' '), points, "  ", name,
                std::string(18 - name.size(), ' '), wrapped(rule.meaning, 78, 26));
  }
  return text;
}

VerbInfo describe() {
  VerbInfo info;
  info.name = "validate";
  info.summary = "check that a model is whole and what it claims to be";
  info.details =
      "Reads the whole file: checksums, padding, every digest and the content root; then builds "
      "the "
      "architecture and checks that every tensor it needs is there with the right shape and none "
      "is "
      "without a use, that no value is NaN or infinite, and that tokenizer and chat template open "
      "and "
      "fit. Exits with 5 if a check fails, with 4 if the file cannot be read as a model at all.\n\n"
      "--quality rates the numbers and what the file carries, out of 100 points. Lost are:\n" +
      rubric();
  info.params.push_back(model_param());
  info.params.push_back(flag_param("quality", "rate the weights' statistics and what is carried"));
  info.params.push_back(flag_param("strict", "warnings fail, too"));
  Param score;
  score.name = "min-score";
  score.type = ParamType::integer;
  score.minimum = 0;
  score.maximum = 100;
  score.help = "fail below this quality score; implies --quality";
  info.params.push_back(score);
  info.examples = {{"apr validate tiny.apr", "every check"},
                   {"apr validate tiny.apr --quality --min-score 90", "a gate on quality"},
                   {"apr validate tiny.apr --strict --json", "for a build server"}};
  info.metrics = {"score", "failed", "warnings"};
  return info;
}

enum class CheckStatus : unsigned char { pass, warn, fail, skip };

std::string_view name_of(CheckStatus status) {
  switch (status) {
    case CheckStatus::pass:
      return "pass";
    case CheckStatus::warn:
      return "warn";
    case CheckStatus::fail:
      return "fail";
    case CheckStatus::skip:
      return "skip";
  }
  return "";
}

/// The checks made so far.
class Findings {
 public:
  void add(std::string name, CheckStatus status, std::string detail) {
    if (status == CheckStatus::fail) {
      ++failed_;
      problems_.push_back(cat(name, ": ", detail));
    }
    if (status == CheckStatus::warn) ++warnings_;
    checks_.push_back(Json::object(
        {{"name", std::move(name)}, {"status", name_of(status)}, {"detail", std::move(detail)}}));
  }
  void add(std::string name, bool good, std::string detail) {
    add(std::move(name), good ? CheckStatus::pass : CheckStatus::fail, std::move(detail));
  }
  std::size_t failed() const { return failed_; }
  std::size_t warnings() const { return warnings_; }
  Json checks() const { return checks_; }
  Json problems() const { return problems_; }

 private:
  Json checks_ = Json::array();
  Json problems_ = Json::array();
  std::size_t failed_ = 0;
  std::size_t warnings_ = 0;
};

std::string first_and_count(const std::vector<std::string>& problems) {
  if (problems.empty()) return {};
  return problems.size() == 1 ? problems.front()
                              : cat(problems.front(), " (and ", problems.size() - 1, " more)");
}

/// Everything that the bytes alone say.
Status check_container(RunContext& context, const Package& package, Findings& findings) {
  if (package.format() != "apr") {
    findings.add("integrity", CheckStatus::skip,
                 cat("a ", package.format(), " source carries no checksums"));
    return {};
  }
  APR_ASSIGN(const FileStatus status, file_status(package.path()));
  APR_ASSIGN(const AprVerification found, verify_apr(package.path(), [&](std::uint64_t done) {
               context.progress.update("checking digests", done, status.size);
             }));
  APR_TRY(check_interrupted());
  std::vector<std::string> digests;
  std::vector<std::string> others;
  for (const std::string& problem : found.problems) {
    (problem.find("digest") == problem.npos ? others : digests).push_back(problem);
  }
  findings.add("integrity", others.empty(),
               others.empty() ? "header, footer and padding are sound" : first_and_count(others));
  if (!found.footer_present) {
    findings.add("footer", CheckStatus::warn, "there is no checksum of the whole file");
  }
  if (!digests.empty()) {
    findings.add("digests", CheckStatus::fail, first_and_count(digests));
  } else if (!found.trust_section) {
    findings.add("digests", CheckStatus::warn,
                 found.trust_section_stale
                     ? cat("the trust section cannot be used: ", package.trust_problem())
                     : "there is no trust section, so nothing proves the weights unchanged");
  } else {
    findings.add(
        "digests", CheckStatus::pass,
        cat(plural(found.tensors_checked, "tensor"), " match SHA-256; content root ",
            package.content_root() ? package.content_root()->hex().substr(0, 16) : "", "…"));
  }
  return {};
}

std::string shapes_detail(const Inventory& inventory) {
  if (inventory.wrong_shapes.empty()) return "all shapes fit the config";
  std::vector<std::string> all;
  for (const Inventory::Mismatch& mismatch : inventory.wrong_shapes) {
    all.push_back(cat(mismatch.tensor, " is ", mismatch.found.to_string(), ", wanted ",
                      mismatch.wanted.to_string()));
  }
  return first_and_count(all);
}

std::string tensors_detail(const Inventory& inventory) {
  std::string detail;
  if (!inventory.missing.empty()) detail = cat("missing: ", some_of(inventory.missing));
  if (!inventory.strangers.empty()) {
    detail += cat(detail.empty() ? "" : "; ", "without a use: ", some_of(inventory.strangers));
  }
  if (detail.empty()) {
    detail = cat(inventory.wanted, "/", inventory.wanted, " present, none without a use");
  }
  return detail;
}

/// Architecture, tensors, shapes. Returns the facts if the graph could be built.
std::optional<ModelFacts> check_structure(RunContext& context, const Package& package,
                                          Findings& findings) {
  const auto architecture = context.registry().architecture_for(package.config());
  if (!architecture) {
    findings.add("architecture", CheckStatus::fail, architecture.error().to_string());
    return {};
  }
  const auto graph = (*architecture)->build(package.config(), "config.json");
  if (!graph) {
    findings.add("architecture", CheckStatus::fail, graph.error().to_string());
    return {};
  }
  findings.add("architecture", CheckStatus::pass,
               cat(graph->facts().architecture, ", ", graph->nodes().size(), " nodes"));
  const Inventory inventory = take_inventory(*graph, **architecture, package);
  findings.add("tensors", inventory.missing.empty() && inventory.strangers.empty(),
               tensors_detail(inventory));
  findings.add("shapes", inventory.wrong_shapes.empty(), shapes_detail(inventory));
  if (!inventory.integers.empty()) {
    findings.add("weights", CheckStatus::fail,
                 cat("cannot be whole numbers: ", some_of(inventory.integers)));
  }
  return graph->facts();
}

using StatisticsByName = std::map<std::string, TensorStatistics>;

/// Types that can be decoded, and no NaN or infinity among the values.
Result<StatisticsByName> check_values(RunContext& context, const Package& package,
                                      Findings& findings) {
  StatisticsByName all;
  std::vector<std::string> undecodable;
  std::vector<std::string> damaged;
  std::uint64_t done = 0;
  for (const TensorEntry& entry : package.tensors()) {
    APR_TRY(check_interrupted());
    context.progress.update(entry.name, done++, package.tensors().size());
    if (!entry.alias_of.empty()) continue;
    if (!can_decode(entry.view.type)) {
      undecodable.push_back(cat(entry.name, " is ", name_of(entry.view.type)));
      continue;
    }
    APR_ASSIGN(TensorStatistics statistics, statistics_of(entry, context.threads));
    if (!statistics.finite()) {
      damaged.push_back(cat("tensor ", entry.name, " holds ", statistics.nans, " NaN and ",
                            statistics.infinities, " infinite values"));
    }
    all.emplace(entry.name, statistics);
  }
  findings.add("types", undecodable.empty(),
               undecodable.empty()
                   ? "every type can be decoded"
                   : cat("this build cannot decode: ", first_and_count(undecodable)));
  findings.add("values", damaged.empty(),
               damaged.empty() ? "no NaN, no infinities" : first_and_count(damaged));
  return all;
}

/// True if a tokenizer is there, opens and fits.
bool check_tokenizer(const Package& package, const std::optional<ModelFacts>& facts,
                     Findings& findings) {
  if (!has_tokenizer(package)) {
    findings.add("tokenizer", CheckStatus::warn, "the model carries none");
    return false;
  }
  const auto tokenizer = tokenizer_of(package);
  if (!tokenizer) {
    findings.add("tokenizer", CheckStatus::fail, tokenizer.error().to_string());
    return false;
  }
  const bool fits = !facts || tokenizer->vocab_size() <= facts->vocab_size;
  findings.add("tokenizer", fits,
               fits ? cat(tokenizer->kind(), ", ", with_commas(tokenizer->vocab_size()), " ids")
                    : cat("has ", tokenizer->vocab_size(), " ids, but the model's vocab_size is ",
                          facts->vocab_size));
  return fits;
}

bool check_chat_template(const Package& package, bool talks, Findings& findings) {
  const auto chat_template = chat_template_of(package);
  if (chat_template) {
    findings.add("chat template", CheckStatus::pass, "parses");
    return true;
  }
  const bool absent = !has_chat_template(package);
  findings.add("chat template", absent ? CheckStatus::skip : CheckStatus::fail,
               !absent ? chat_template.error().to_string()
               : talks ? "the model carries none"
                       : "the model carries none and needs none");
  return false;
}

/// The settings that running needs and no other check reads.
void check_settings(const Package& package, Findings& findings) {
  const auto settings = read_generation_config(package);
  if (!settings) findings.add("settings", CheckStatus::fail, settings.error().to_string());
}

Json quality_as_json(const Quality& quality) {
  Json lost = Json::array();
  for (const Deduction& deduction : quality.deductions) {
    lost.push_back(Json::object(
        {{"points", deduction.points}, {"rule", deduction.rule}, {"reason", deduction.reason}}));
  }
  return lost;
}

class Validate final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    Findings findings;
    findings.add("readable", CheckStatus::pass,
                 cat(package.format(), ", ", plural(package.tensors().size(), "tensor"), ", ",
                     human_count(package.parameter_count()), " parameters"));
    APR_TRY(check_container(context, package, findings));
    const auto facts = check_structure(context, package, findings);
    APR_ASSIGN(const StatisticsByName statistics, check_values(context, package, findings));
    const bool tokenizer = check_tokenizer(package, facts, findings);
    const bool talks = !facts || (facts->causal && facts->max_frames == 0);
    const bool chat_template = check_chat_template(package, talks, findings);
    check_settings(package, findings);
    context.progress.finish();

    Json report = Json::object({{"model", params.text("model")}});
    if (params.flag("quality") || params.has("min-score")) {
      const Quality quality = rate(package, statistics,
                                   {.tokenizer = tokenizer,
                                    .chat_template = chat_template || !talks,
                                    .license = package.metadata()["license"].is_string(),
                                    .lineage = !package.lineage().empty(),
                                    .trust_section = package.content_root().has_value(),
                                    .is_apr = package.format() == "apr"});
      report.set("score", quality.score);
      report.set("lost", quality_as_json(quality));
      if (params.has("min-score")) {
        const auto wanted = params.integer("min-score");
        findings.add("quality", quality.score >= wanted,
                     cat("score ", quality.score, ", wanted at least ", wanted));
      }
    }
    const bool failed = findings.failed() > 0 || (params.flag("strict") && findings.warnings() > 0);
    report.set("passed", !failed);
    report.set("failed", std::uint64_t{findings.failed()});
    report.set("warnings", std::uint64_t{findings.warnings()});
    report.set("checks", findings.checks());
    report.set("problems", findings.problems());
    return Outcome{.report = std::move(report),
                   .exit_code = failed ? exit_code(ErrorCode::validation) : 0};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const std::size_t width = terminal_width(1);
    for (const Json& check : report["checks"].as_array()) {
      const std::string& status = check["status"].as_string();
      const std::string mark = status == "pass"   ? style.green("✓")
                               : status == "fail" ? style.red("✗")
                               : status == "warn" ? style.yellow("!")
                                                  : style.dim("-");
      const std::string& name = check["name"].as_string();
      out << mark << " " << style.bold(name)
          << std::string(15 - std::min<std::size_t>(15, name.size()), ' ')
          << wrapped(printable(check["detail"].as_string()), width, 17) << "\n";
    }
    if (!report["score"].is_null()) {
      out << "\nQuality: " << style.bold(cat(report["score"].as_integer(), "/100")) << "\n";
      for (const Json& lost : report["lost"].as_array()) {
        const std::string points = cat("-", lost["points"].as_integer());
        out << std::string(5 - points.size(), ' ') << points << "  "
            << wrapped(cat(lost["rule"].as_string(), ": ", printable(lost["reason"].as_string())),
                       width, 7)
            << "\n";
      }
    }
    const auto failed = static_cast<std::uint64_t>(report["failed"].as_integer());
    const auto warnings = static_cast<std::uint64_t>(report["warnings"].as_integer());
    out << "\n";
    if (report["passed"].as_boolean()) {
      out << style.green("VALID") << (warnings > 0 ? cat(", ", plural(warnings, "warning")) : "")
          << ".\n";
    } else {
      out << style.red("Not valid") << ": " << plural(failed, "failed check")
          << (warnings > 0 ? cat(", ", plural(warnings, "warning")) : "") << ".\n";
    }
  }

 private:
  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_validate() {
  return std::make_unique<Validate>();
}

}  // namespace apr
