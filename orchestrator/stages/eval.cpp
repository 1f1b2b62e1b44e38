// apr eval: perplexity of a text, and the distance from a parent's predictions.
#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/perplexity.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{1} << 30;
constexpr std::int64_t kDefaultWindow = 256;

VerbInfo describe() {
  VerbInfo info;
  info.name = "eval";
  info.summary = "measure how well a model predicts a text, alone or against its parent";
  info.details =
      "The text is cut into windows of --window tokens that do not overlap; each starts afresh and "
      "its first token is not predicted. Perplexity is exp(mean negative log-likelihood), with the "
      "softmax in float64. No special tokens are added, and none are recognised in the text.\n\n"
      "--against runs a second model with the same vocabulary over the same tokens and reports the "
      "Kullback-Leibler divergence KL(parent || model) per predicted token in nats and how often "
      "both find the same token most likely.";
  info.params.push_back(model_param());
  Param dataset = text_param("dataset", "FILE", "the text, UTF-8");
  dataset.role = ParamRole::input;
  dataset.required = true;
  dataset.aliases = {"text"};
  info.params.push_back(std::move(dataset));
  Param window;
  window.name = "window";
  window.type = ParamType::integer;
  window.minimum = 2;
  window.maximum = 1 << 20;
  window.fallback = Json(kDefaultWindow);
  window.help = "tokens per window";
  info.params.push_back(std::move(window));
  Param limit;
  limit.name = "limit";
  limit.type = ParamType::integer;
  limit.minimum = 0;
  limit.fallback = Json(0);
  limit.help = "measure at most so many windows; 0 measures all";
  info.params.push_back(std::move(limit));
  Param parent = text_param("against", "MODEL", "the model to compare predictions with");
  parent.role = ParamRole::input;
  info.params.push_back(std::move(parent));
  info.params.push_back(mode_param(Mode::deterministic));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr eval tiny.apr --dataset golden/apr-tiny-chat/golden/eval.txt", "perplexity"},
      {"apr eval tiny-int4.apr --dataset golden/apr-tiny-chat/golden/eval.txt --against tiny.apr",
       "what quantizing did to the predictions"}};
  info.metrics = {"perplexity",       "nll",     "tokens_predicted",
                  "mean_kld",         "max_kld", "top1_agreement",
                  "parent_perplexity"};
  return info;
}

/// Compiles for steps whose logits take bounded memory.
Result<Model> load(RunContext& context, const std::string& path, std::int64_t window) {
  APR_ASSIGN(Package package, open_any(context, path));
  APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
  const ModelFacts& facts = graph.facts();
  if (facts.max_position_embeddings > 0 && window > facts.max_position_embeddings) {
    return make_error(ErrorCode::usage,
                      cat("--window ", window, " is more than the ", facts.max_position_embeddings,
                          " positions that the model was made for"),
                      path);
  }
  CompileOptions compile;
  compile.max_tokens = eval_step(static_cast<std::uint32_t>(window), facts.vocab_size);
  compile.max_logit_rows = compile.max_tokens;
  APR_ASSIGN(Model model, load_model(context, std::move(package), std::move(compile)));
  APR_TRY(require_causal(model, "eval"));
  return model;
}

/// The two models must mean the same text by the same ids.
Status check_same_vocabulary(const Model& model, const Model& parent) {
  APR_ASSIGN(const Tokenizer* own, model.tokenizer());
  APR_ASSIGN(const Tokenizer* other, parent.tokenizer());
  const auto differ = [&](std::string what) {
    return make_error(ErrorCode::validation,
                      cat("it cannot be compared with ", parent.package().path(), ": ", what),
                      model.package().path(), "--against wants the model this one was made from");
  };
  if (model.facts().vocab_size != parent.facts().vocab_size) {
    return differ(cat("the vocabularies have ", model.facts().vocab_size, " and ",
                      parent.facts().vocab_size, " ids"));
  }
  const std::uint32_t count = std::max(own->vocab_size(), other->vocab_size());
  for (std::uint32_t id = 0; id < count; ++id) {
    const auto token = static_cast<TokenId>(id);
    if (own->token(token) != other->token(token)) {
      return differ(cat("id ", id, " stands for another token there"));
    }
  }
  return {};
}

Json windows_json(const EvalResult& result) {
  Json list = Json::array();
  for (const WindowScore& window : result.windows) {
    Json pair = Json::array();
    pair.push_back(window.predicted);
    pair.push_back(window.nll);
    list.push_back(std::move(pair));
  }
  return list;
}

class Eval final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Estimate estimate(const Values& params) const override {
    std::uint64_t bytes = 256u << 20;
    for (const char* name : {"model", "against"}) {
      if (!params.has(name)) continue;
      const auto status = file_status(params.text(name));
      if (status && status->kind == FileKind::file) bytes += status->size;
    }
    return {.memory_bytes = bytes, .output_bytes = 0};
  }
  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const std::string& dataset = params.text("dataset");
    APR_ASSIGN(const std::string text, read_file(dataset, kMaxTextBytes));
    const std::int64_t window = params.integer("window");
    APR_ASSIGN(const Model model, load(context, params.text("model"), window));
    std::optional<Model> parent;
    if (params.has("against")) {
      APR_ASSIGN(parent, load(context, params.text("against"), window));
      APR_TRY(check_same_vocabulary(model, *parent));
    }
    APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
    APR_ASSIGN(const std::vector<TokenId> tokens, tokenizer->encode(text, {false, false}));

    if (tokens.size() < 2) {
      return make_error(ErrorCode::validation,
                        cat("the text has ", plural(tokens.size(), "token"),
                            "; at least 2 are needed to predict one"),
                        dataset);
    }
    EvalOptions options;
    options.window = static_cast<std::uint32_t>(window);
    options.max_windows = static_cast<std::uint64_t>(params.integer("limit"));
    options.threads = context.threads;
    options.on_tokens = [&](std::uint64_t done, std::uint64_t total) -> Status {
      context.progress.update("tokens", done, total);
      return check_interrupted();
    };
    const std::uint64_t started = monotonic_ns();
    auto result = evaluate(model, parent ? &*parent : nullptr, tokens, options);
    context.progress.finish();
    if (!result) return std::move(result).error().within(params.text("model"));
    const double seconds = static_cast<double>(monotonic_ns() - started) / 1e9;
    return Outcome{.report = report_of(params, model, tokens.size(), *result, seconds)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    std::vector<std::pair<std::string, std::string>> lines = {
        {"Perplexity", style.bold(fixed(report["perplexity"].as_number(), 6))},
        {"Text",
         cat(printable(report["dataset"].as_string()), ", ",
             with_commas(static_cast<std::uint64_t>(report["tokens_predicted"].as_integer())),
             " tokens predicted in ", plural(report["windows"].size(), "window"), " of ",
             report["window"].as_integer())}};
    if (report.contains("mean_kld")) {
      lines.emplace_back("Parent", cat(printable(report["against"].as_string()), ", perplexity ",
                                       fixed(report["parent_perplexity"].as_number(), 6)));
      lines.emplace_back("Mean KL divergence",
                         cat(significant(report["mean_kld"].as_number(), 4), " nats"));
      lines.emplace_back("Largest", cat(significant(report["max_kld"].as_number(), 4),
                                        " nats, at token ", report["max_kld_at"].as_integer()));
      lines.emplace_back("Same best token",
                         cat(fixed(100 * report["top1_agreement"].as_number(), 2), " %"));
    }
    lines.emplace_back("Computed by", printable(report["backend"].as_string()));
    out << labelled(lines, style);
  }

 private:
  static Json report_of(const Values& params, const Model& model, std::size_t tokens,
                        const EvalResult& result, double seconds) {
    Json report = Json::object({{"model", params.text("model")},
                                {"dataset", params.text("dataset")},
                                {"perplexity", result.perplexity},
                                {"nll", result.nll},
                                {"tokens", std::uint64_t{tokens}},
                                {"tokens_predicted", result.predicted},
                                {"window", params.integer("window")},
                                {"windows", windows_json(result)},
                                {"backend", model.executable()->description()},
                                {"mode", params.text("mode")},
                                {"seconds", seconds}});
    if (result.divergence) {
      const Divergence& kl = *result.divergence;
      report.set("against", params.text("against"));
      report.set("parent_perplexity", kl.parent_perplexity);
      report.set("perplexity_ratio", result.perplexity / kl.parent_perplexity);
      report.set("mean_kld", kl.mean);
      report.set("max_kld", kl.max);
      report.set("max_kld_at", kl.max_at);
      report.set("top1_agreement", kl.top1_agreement);
    }
    return report;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_eval() {
  return std::make_unique<Eval>();
}

}  // namespace apr
