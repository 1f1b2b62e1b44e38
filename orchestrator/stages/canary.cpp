// apr canary create, apr canary check: a model held to what it was when all was well.
#include <algorithm>
#include <ostream>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/canary_measure.h"
#include "orchestrator/stages/golden_check.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::uint64_t kPromptFileLimit = std::uint64_t{16} << 20;

VerbInfo describe_create() {
  VerbInfo info;
  info.name = "canary create";
  info.summary = "record what a model is and computes, to notice any later change";
  info.details =
      "Writes one JSON file: SHA-256 and statistics of every tensor, and for some prompts their "
      "ids, a digest of all logits in exact mode and numbers out of them; also the config, the "
      "generation settings, and digests of the tokenizer and the chat template. Models that "
      "predict no "
      "tokens are recorded by their hidden states; encoders of frames get made-up frames. Nothing "
      "in the file depends on when it was made or on the number of threads.";
  info.params.push_back(model_param());
  info.params.push_back(output_param("the canary to write, a JSON file"));
  Param prompt = text_param("prompt", "TEXT",
                            "a prompt to record instead of the built-in ones; may be repeated");
  prompt.type = ParamType::texts;
  info.params.push_back(std::move(prompt));
  Param prompts = text_param("prompts", "FILE", "a file with one prompt per line");
  prompts.role = ParamRole::input;
  info.params.push_back(std::move(prompts));
  info.params.push_back(force_param());
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr canary create tiny.apr -o canary.json", "with the built-in prompts"},
      {"apr canary create tiny.apr -o mine.json --prompt 'What is 2+2?'", "with one's own"}};
  info.metrics = {"tensors", "prompts"};
  return info;
}

VerbInfo describe_check() {
  VerbInfo info;
  info.name = "canary check";
  info.summary = "hold a model to its canary: every tensor, ids, logits";
  info.details =
      "Compares the digest of every tensor, so that one changed weight is noticed; the config, "
      "the tokenizer and the chat template; the ids of the prompts; and what the model computes "
      "for them, in exact mode. The same version of apr on "
      "the same instruction set must give the same bits; others must give the recorded numbers to "
      "float32 rounding.\n\n"
      "--type-aware is for a quantized descendant: tensors of other types are held to their "
      "statistics, the logits to the noise of the coarsest type (docs/golden-traces.md has the "
      "figures), and tensors of the same type still to their digests. Exits with 5 if anything is "
      "not as recorded.";
  info.params.push_back(model_param());
  Param canary = model_param("the file that `apr canary create` wrote");
  canary.name = "canary";
  canary.position = 1;
  canary.value_name = "FILE";
  info.params.push_back(std::move(canary));
  info.params.push_back(
      flag_param("type-aware", "allow weights stored in other types, with their noise"));
  Param tolerance;
  tolerance.name = "tolerance";
  tolerance.type = ParamType::number;
  tolerance.minimum = 0;
  tolerance.help = "largest difference of a logit allowed; by default what the types allow";
  info.params.push_back(std::move(tolerance));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {{"apr canary check tiny.apr canary.json", "nothing has changed"},
                   {"apr canary check tiny-int8.apr canary.json --type-aware",
                    "a descendant is what its type allows"}};
  info.metrics = {"failures", "max_difference", "tensors_changed", "prompts_failed"};
  return info;
}

/// Loads in exact mode for prompts of at most so many tokens.
Result<Model> load_exact(RunContext& context, Package package, std::size_t longest,
                         std::uint64_t frames) {
  CompileOptions compile;
  compile.mode = Mode::exact;
  compile.max_tokens = static_cast<std::uint32_t>(longest);
  compile.max_logit_rows = compile.max_tokens;
  compile.max_frames = static_cast<std::uint32_t>(frames);
  compile.team = std::make_shared<Team>(context.threads);
  ModelOptions options;
  options.backend = context.params.text("backend");
  options.compile = std::move(compile);
  options.allow_synthetic = context.params.flag("allow-synthetic");
  return Model::load(std::move(package), context.registry(), options);
}

Result<std::vector<std::string>> texts_of(const Values& params) {
  std::vector<std::string> texts = params.texts("prompt");
  if (!params.has("prompts")) return texts.empty() ? canary_texts() : texts;
  APR_ASSIGN(const std::string file, read_file(params.text("prompts"), kPromptFileLimit));
  for (std::size_t at = 0; at < file.size();) {
    const std::size_t end = std::min(file.find('\n', at), file.size());
    std::string line = file.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) texts.push_back(std::move(line));
    at = end + 1;
  }
  if (texts.empty()) {
    return make_error(ErrorCode::format, "holds no prompt", params.text("prompts"),
                      "write one prompt per line");
  }
  return texts;
}

struct Wanted {
  std::optional<std::string> text;
  std::vector<TokenId> ids;
};

/// The ids to run: of the texts, or made up for a model without a tokenizer.
Result<std::vector<Wanted>> wanted_prompts(const Values& params, const Package& package,
                                           const ModelFacts& facts) {
  std::vector<Wanted> wanted;
  const bool own = params.has("prompts") || !params.texts("prompt").empty();
  if (!has_tokenizer(package) && !own) {
    for (auto& ids : canary_ids(facts)) wanted.push_back({std::nullopt, std::move(ids)});
    return wanted;
  }
  APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
  APR_ASSIGN(const std::vector<std::string> texts, texts_of(params));
  const std::size_t most = facts.max_position_embeddings;
  for (const std::string& text : texts) {
    APR_ASSIGN(std::vector<TokenId> ids, tokenizer.encode(text, {true, false}));
    if (ids.empty() && !own) continue;
    if (ids.empty())
      return make_error(ErrorCode::usage, cat("prompt ", Json(text).dump(), " has no tokens"));
    if (most != 0 && ids.size() > most) {
      if (!own) continue;
      return make_error(
          ErrorCode::usage,
          cat("a prompt of ", ids.size(), " tokens does not fit the model's ", most, " positions"));
    }
    wanted.push_back({text, std::move(ids)});
  }
  if (wanted.empty()) {
    return make_error(ErrorCode::usage, "none of the built-in prompts fits the model",
                      package.path(), "give one with --prompt");
  }
  return wanted;
}

std::string kind_of(const ModelFacts& facts) {
  return facts.causal ? "logits" : "hidden_states";
}

class CanaryCreate final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }
  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const std::string& output = params.text("output");
    APR_TRY(check_writable_target(output, params.flag("force")));
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    APR_ASSIGN(const auto wanted, wanted_prompts(params, package, graph.facts()));
    Canary canary;
    canary.tool = "apr " APR_VERSION;
    canary.model_name = model_name(package);
    canary.architecture = graph.facts().architecture;
    canary.kind = kind_of(graph.facts());
    canary.frames = canary_frames(graph.facts());
    if (package.content_root()) canary.content_root = package.content_root()->hex();
    APR_TRY(check_digests(context, package));
    APR_ASSIGN(canary.setup, setup_of(package));
    APR_ASSIGN(canary.tensors, measure_tensors(context, package));
    std::size_t longest = 1;
    for (const Wanted& prompt : wanted) longest = std::max(longest, prompt.ids.size());
    APR_ASSIGN(const Model model, load_exact(context, std::move(package), longest, canary.frames));
    canary.computed_by = model.executable()->description();
    for (const Wanted& prompt : wanted) {
      APR_TRY(check_interrupted());
      APR_ASSIGN(CanaryPrompt measured, measure_prompt(model, prompt.ids, canary.frames));
      measured.text = prompt.text;
      canary.prompts.push_back(std::move(measured));
    }
    APR_ASSIGN(AtomicFile file, AtomicFile::create(output, params.flag("force")));
    APR_TRY(file.write(cat(canary_as_json(canary).dump(1), "\n")));
    APR_TRY(file.commit());
    return Outcome{.report = Json::object({{"model", params.text("model")},
                                           {"output", output},
                                           {"kind", canary.kind},
                                           {"computed_by", canary.computed_by},
                                           {"tensors", std::uint64_t{canary.tensors.size()}},
                                           {"prompts", std::uint64_t{canary.prompts.size()}}})};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    out << style.green("✓") << " " << printable(report["output"].as_string()) << " holds "
        << plural(static_cast<std::uint64_t>(report["tensors"].as_integer()), "tensor") << " and "
        << plural(static_cast<std::uint64_t>(report["prompts"].as_integer()), "prompt") << " of "
        << printable(report["model"].as_string()) << "\n";
  }

 private:
  VerbInfo info_ = describe_create();
};

class CanaryCheck final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }
  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Canary canary, read_canary(params.text("canary")));
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    CanaryLimits limits;
    limits.type_aware = params.flag("type-aware");
    if (params.has("tolerance")) limits.tolerance = params.number("tolerance");
    std::uint64_t retyped = 0;
    APR_ASSIGN(std::vector<CanaryFinding> findings,
               check_tensors(context, canary, package, limits, retyped));
    const std::uint64_t tensors_changed = findings.size();
    if (canary.setup) {
      APR_ASSIGN(const CanarySetup setup, setup_of(package));
      for (SetupFinding& finding : compare_setups(*canary.setup, setup)) {
        findings.push_back(
            {std::move(finding.part), std::move(finding.name), std::move(finding.problem)});
      }
    }
    const std::uint64_t setup_changed = findings.size() - tensors_changed;
    APR_TRY(check_ids(canary, package, findings));
    APR_ASSIGN(Json prompts,
               run_prompts(context, canary, std::move(package), limits, retyped, findings));
    std::uint64_t prompts_failed = 0;
    double largest = 0;
    for (const Json& prompt : prompts.as_array()) {
      prompts_failed += prompt["passed"].as_boolean() ? 0 : 1;
      // What could not be compared is no small difference.
      largest = std::max(largest, prompt["difference"].as_number(0));
    }
    Json list = Json::array();
    for (const CanaryFinding& finding : findings) {
      list.push_back(Json::object(
          {{"part", finding.part}, {"name", finding.name}, {"problem", finding.problem}}));
    }
    Json report = Json::object({{"model", params.text("model")},
                                {"canary", params.text("canary")},
                                {"recorded_of", canary.model_name},
                                {"passed", findings.empty()},
                                {"failures", std::uint64_t{findings.size()}},
                                {"max_difference", largest},
                                {"tensors_changed", tensors_changed},
                                {"tensors_retyped", retyped},
                                {"tensors", std::uint64_t{canary.tensors.size()}},
                                {"setup_changed", setup_changed},
                                {"prompts_failed", prompts_failed}});
    report.set("type_aware", limits.type_aware);
    report.set("findings", std::move(list));
    report.set("prompts", std::move(prompts));
    return Outcome{.report = std::move(report),
                   .exit_code = findings.empty() ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const std::size_t width = terminal_width(1);
    const auto count = [&](std::string_view key) {
      return static_cast<std::uint64_t>(report[key].as_integer());
    };
    const bool passed = report["passed"].as_boolean();
    const std::string tensors = plural(count("tensors"), "tensor");
    const std::string prompts = plural(report["prompts"].size(), "prompt");
    if (passed) {
      out << style.green("✓") << " as recorded: " << tensors << ", " << prompts
          << ", largest difference " << significant(report["max_difference"].as_number(), 3);
      if (count("tensors_retyped") > 0)
        out << ", " << count("tensors_retyped") << " in other types";
      out << "\n";
      return;
    }
    out << style.red("✗") << " not as recorded: " << count("tensors_changed") << " of " << tensors
        << ", " << count("prompts_failed") << " of " << prompts;
    if (const std::uint64_t other = count("setup_changed"); other > 0) {
      out << ", " << plural(other, "setting");
    }
    out << "\n";
    constexpr std::size_t kShown = 12;
    const JsonArray& findings = report["findings"].as_array();
    bool types = false;
    for (std::size_t i = 0; i < findings.size(); ++i) {
      const Json& finding = findings[i];
      types = types || finding["problem"].as_string().find(", was ") != std::string::npos;
      if (i >= kShown) continue;
      out << "  "
          << wrapped(printable(cat(finding["part"].as_string(), " ", finding["name"].as_string(),
                                   finding["name"].as_string().empty() ? "" : " ",
                                   finding["problem"].as_string())),
                     width, 4)
          << "\n";
    }
    if (findings.size() > kShown) {
      out << style.dim(cat("  ", findings.size() - kShown, " more; --json shows all")) << "\n";
    }
    if (types && !report["type_aware"].as_boolean()) {
      out << style.dim("  a quantized descendant is checked with --type-aware") << "\n";
    }
  }

 private:
  /// The texts still have the recorded ids.
  static Status check_ids(const Canary& canary, const Package& package,
                          std::vector<CanaryFinding>& findings) {
    const bool has_texts = std::ranges::any_of(
        canary.prompts, [](const CanaryPrompt& prompt) { return prompt.text.has_value(); });
    if (!has_texts) return {};
    if (!has_tokenizer(package)) {
      findings.push_back({"tokenizer", "", "is missing"});
      return {};
    }
    APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
    for (const CanaryPrompt& prompt : canary.prompts) {
      if (!prompt.text) continue;
      const auto ids = tokenizer.encode(*prompt.text, {true, false});
      if (!ids) {
        findings.push_back({"tokenizer", Json(*prompt.text).dump(), ids.error().message});
      } else if (*ids != prompt.ids) {
        findings.push_back({"tokenizer", Json(*prompt.text).dump(), "has other ids"});
      }
    }
    return {};
  }

  Result<Json> run_prompts(RunContext& context, const Canary& canary, Package package,
                           const CanaryLimits& limits, std::uint64_t retyped,
                           std::vector<CanaryFinding>& findings) const {
    std::size_t longest = 1;
    for (const CanaryPrompt& prompt : canary.prompts)
      longest = std::max(longest, prompt.ids.size());
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    const ModelFacts& facts = graph.facts();
    if (facts.architecture != canary.architecture || kind_of(facts) != canary.kind ||
        canary_frames(facts) != canary.frames ||
        (facts.max_position_embeddings != 0 && longest > facts.max_position_embeddings)) {
      findings.push_back({"model", canary.model_name,
                          cat("was ", canary.architecture, " with ", canary.kind,
                              "; this is another model (", facts.architecture, ")")});
      return Json::array();
    }
    APR_ASSIGN(const Model model, load_exact(context, std::move(package), longest, canary.frames));
    const bool same_build = canary.tool == "apr " APR_VERSION &&
                            canary.computed_by == model.executable()->description();
    // Where weights or ids changed, other bits are no news; whether the numbers moved is.
    const bool must_be_exact = same_build && retyped == 0 &&
                               std::ranges::none_of(findings, [](const CanaryFinding& finding) {
                                 return finding.part == "tensor" || finding.part == "tokenizer";
                               });
    Json list = Json::array();
    for (const CanaryPrompt& prompt : canary.prompts) {
      APR_TRY(check_interrupted());
      const std::string name = prompt.text ? Json(*prompt.text).dump() : "of made-up ids";
      for (const TokenId id : prompt.ids) {
        if (static_cast<std::uint32_t>(id) < facts.vocab_size) continue;
        const auto is_config = [](const CanaryFinding& f) { return f.part == "config"; };
        if (std::ranges::any_of(findings, is_config)) {  // no wonder then
          findings.push_back(
              {canary.kind, name,
               cat("has id ", id, ", which is not in the vocabulary of ", facts.vocab_size)});
          return list;
        }
        return make_error(ErrorCode::format,
                          cat("id ", id, " is not in the model's vocabulary of ", facts.vocab_size),
                          context.params.text("canary"), "the canary is another model's");
      }
      APR_ASSIGN(const CanaryPrompt found, measure_prompt(model, prompt.ids, canary.frames));
      const PromptFinding finding = compare_prompt(prompt, found, must_be_exact, retyped > 0,
                                                   coarsest_weight_type(model), limits.tolerance);
      list.push_back(Json::object({{"prompt", prompt.text ? Json(*prompt.text) : Json()},
                                   {"passed", finding.problem.empty()},
                                   {"same_digest", finding.same_digest},
                                   {"difference", finding.difference},
                                   {"relative_rms", finding.relative_rms}}));
      if (!finding.problem.empty()) findings.push_back({canary.kind, name, finding.problem});
    }
    return list;
  }

  VerbInfo info_ = describe_check();
};

}  // namespace

std::unique_ptr<Verb> make_canary_create() {
  return std::make_unique<CanaryCreate>();
}

std::unique_ptr<Verb> make_canary_check() {
  return std::make_unique<CanaryCheck>();
}

}  // namespace apr
