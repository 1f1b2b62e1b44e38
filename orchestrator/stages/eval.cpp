// apr eval: perplexity of a text, the distance from a parent's predictions, multiple choice.
#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/dataset.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/multiple_choice.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/perplexity.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxTaskBytes = std::uint64_t{1} << 28;
constexpr std::int64_t kTaskStep = 512;
constexpr std::int64_t kDefaultWindow = 256;

VerbInfo describe() {
  VerbInfo info;
  info.name = "eval";
  info.summary = "measure how well a model predicts a text or picks answers";
  info.details =
      "--dataset is a file, or the name of a dataset (wikitext-2) whose files lie in "
      "$APR_DATASETS, $XDG_CACHE_HOME/apr/datasets or ~/.cache/apr/datasets. The text is cut into "
      "windows of --window tokens; each starts afresh and its first token is not predicted. With "
      "--stride smaller than the window, windows overlap and every token is counted once, with at "
      "least window - stride tokens before it. Perplexity is exp(mean negative log-likelihood), "
      "with the softmax in float64. No special tokens are added, and none are recognised in the "
      "text. With --threshold, a perplexity above it exits with 5.\n\n"
      "--against runs a second model with the same vocabulary over the same tokens and reports the "
      "Kullback-Leibler divergence KL(parent || model) per predicted token in nats (mean, median, "
      "percentiles, largest), how often both find the same token most likely, and how many of the "
      "five likeliest they share; the definitions are llama-perplexity's.\n\n"
      "--task is a file of multiple-choice questions, one JSON object per line with the fields "
      "that published tasks use (query or question, choices or endings, gold or label or "
      "answerKey). A choice is worth the log probability of its text after the question; "
      "acc_norm divides it by the choice's length in characters.";
  info.params.push_back(model_param());
  Param dataset = text_param("dataset", "FILE", "a file of UTF-8 text, or wikitext-2");
  dataset.role = ParamRole::input;
  dataset.aliases = {"text"};
  info.params.push_back(std::move(dataset));
  Param split;
  split.name = "split";
  split.type = ParamType::choice;
  split.choices = {"test", "valid", "train"};
  split.fallback = Json("test");
  split.help = "which part of a dataset";
  info.params.push_back(std::move(split));
  Param task = text_param("task", "FILE", "multiple-choice questions, JSON lines");
  task.role = ParamRole::input;
  info.params.push_back(std::move(task));
  Param delimiter = text_param("delimiter", "TEXT", "stands between a question and its choices");
  delimiter.fallback = Json(" ");
  info.params.push_back(std::move(delimiter));
  Param window;
  window.name = "window";
  window.type = ParamType::integer;
  window.minimum = 2;
  window.maximum = 1 << 20;
  window.help = "tokens per window; by default 256, or as many as a shorter context holds";
  info.params.push_back(std::move(window));
  Param stride;
  stride.name = "stride";
  stride.type = ParamType::integer;
  stride.minimum = 1;
  stride.help = "tokens from one window's beginning to the next; the window, unless given";
  info.params.push_back(std::move(stride));
  Param threshold;
  threshold.name = "threshold";
  threshold.type = ParamType::number;
  threshold.minimum = 1;
  threshold.help = "largest perplexity allowed: above it, exit with 5";
  info.params.push_back(std::move(threshold));
  Param limit;
  limit.name = "limit";
  limit.type = ParamType::integer;
  limit.minimum = 0;
  limit.fallback = Json(0);
  limit.help = "measure at most so many windows or questions; 0 measures all";
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
       "what quantizing did to the predictions"},
      {"apr eval tiny.apr --dataset golden/apr-tiny-chat/golden/eval.txt --stride 64 --limit 8",
       "with more context for each token"}};
  info.metrics = {
      "perplexity", "nll",     "tokens_predicted", "mean_kld",       "median_kld",
      "p99_9_kld",  "max_kld", "top1_agreement",   "top5_agreement", "parent_perplexity",
      "acc",        "acc_norm"};
  return info;
}

/// Compiles for steps whose logits take bounded memory. `window`: that of --window, or nothing;
/// it becomes the one that fits.
Result<Model> load(RunContext& context, const std::string& path,
                   std::optional<std::int64_t>& window) {
  APR_ASSIGN(Package package, open_any(context, path));
  APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
  APR_TRY(require_causal(graph, path, "eval"));
  const ModelFacts& facts = graph.facts();
  const std::int64_t made_for = facts.max_position_embeddings;
  if (!window) window = made_for > 0 ? std::min(made_for, kDefaultWindow) : kDefaultWindow;
  if (made_for > 0 && *window > made_for && !context.params.has("task")) {
    return make_error(ErrorCode::usage,
                      cat("--window ", *window, " is more than the ", made_for,
                          " positions that the model was made for"),
                      path);
  }
  CompileOptions compile;
  compile.max_tokens = eval_step(static_cast<std::uint32_t>(*window), facts.vocab_size);
  compile.max_logit_rows = compile.max_tokens;
  return load_model(context, std::move(package), std::move(compile));
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
    if (params.has("dataset") == params.has("task")) {
      return make_error(ErrorCode::usage, "eval measures either a --dataset or a --task", {},
                        params.has("task") ? "give one of them" : "give --dataset FILE");
    }
    return params.has("task") ? run_task(context) : run_text(context);
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    if (report.contains("acc")) {
      print_task(report, out, style);
    } else {
      print_text(report, out, style);
    }
  }

 private:
  Result<Outcome> run_task(RunContext& context) const {
    const Values& params = context.params;
    const std::string& file = params.text("task");
    for (const char* other : {"against", "stride", "window", "threshold"}) {
      if (!params.has(other)) continue;
      return make_error(ErrorCode::usage,
                        cat("--", other, " goes with --dataset, not with --task"));
    }
    APR_ASSIGN(const std::string text, read_file(file, kMaxTaskBytes));
    APR_ASSIGN(std::vector<ChoiceItem> items, read_choices(text, file));
    if (const auto limit = static_cast<std::size_t>(params.integer("limit"));
        limit > 0 && limit < items.size()) {
      items.resize(limit);
    }
    std::optional<std::int64_t> step = kTaskStep;
    APR_ASSIGN(const Model model, load(context, params.text("model"), step));
    const std::uint64_t started = monotonic_ns();
    auto result = score_choices(model, items, params.text("delimiter"),
                                model.executable()->options().max_logit_rows,
                                [&](std::uint64_t done, std::uint64_t total) -> Status {
                                  context.progress.update("questions", done, total);
                                  return check_interrupted();
                                });
    context.progress.finish();
    if (!result) return std::move(result).error().within(file);
    Json list = Json::array();
    for (std::size_t i = 0; i < items.size(); ++i) {
      const ChoiceScore& score = result->items[i];
      Json values = Json::array();
      for (const double value : score.log_likelihoods) values.push_back(value);
      list.push_back(Json::object({{"gold", std::uint64_t{items[i].gold}},
                                   {"best", std::uint64_t{score.best}},
                                   {"best_normalized", std::uint64_t{score.best_normalized}},
                                   {"log_likelihoods", std::move(values)}}));
    }
    return Outcome{
        .report = Json::object({{"model", params.text("model")},
                                {"task", file},
                                {"acc", result->accuracy},
                                {"acc_stderr", result->error},
                                {"acc_norm", result->accuracy_normalized},
                                {"acc_norm_stderr", result->error_normalized},
                                {"questions", std::uint64_t{items.size()}},
                                {"cut_questions", result->cut},
                                {"backend", model.executable()->description()},
                                {"mode", params.text("mode")},
                                {"seconds", static_cast<double>(monotonic_ns() - started) / 1e9},
                                {"items", std::move(list)}})};
  }

  Result<Outcome> run_text(RunContext& context) const {
    const Values& params = context.params;
    APR_ASSIGN(const TextDataset dataset,
               open_dataset(params.text("dataset"), params.text("split")));
    std::optional<std::int64_t> window;
    if (params.has("window")) window = params.integer("window");
    APR_ASSIGN(const Model model, load(context, params.text("model"), window));
    if (params.has("stride") && params.integer("stride") > *window) {
      return make_error(ErrorCode::usage,
                        cat("--stride ", params.integer("stride"), " is more than the --window ",
                            *window, ": tokens between would be left out"));
    }
    std::optional<Model> parent;
    if (params.has("against")) {
      APR_ASSIGN(parent, load(context, params.text("against"), window));
      APR_TRY(check_same_vocabulary(model, *parent));
    }
    APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
    APR_ASSIGN(const std::vector<TokenId> tokens, tokenizer->encode(dataset.text, {false, false}));

    if (tokens.size() < 2) {
      return make_error(ErrorCode::validation,
                        cat("the text has ", plural(tokens.size(), "token"),
                            "; at least 2 are needed to predict one"),
                        dataset.path);
    }
    EvalOptions options;
    options.window = static_cast<std::uint32_t>(*window);
    options.stride =
        static_cast<std::uint32_t>(params.has("stride") ? params.integer("stride") : 0);
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
    Json report = report_of(params, model, dataset, tokens.size(), *window, *result, seconds);
    if (!params.has("threshold")) return Outcome{.report = std::move(report)};
    // Written so that what is no number does not pass.
    const bool passed = result->perplexity <= params.number("threshold");
    report.set("threshold", params.number("threshold"));
    report.set("passed", passed);
    return Outcome{.report = std::move(report),
                   .exit_code = passed ? 0 : exit_code(ErrorCode::validation)};
  }

  static void print_task(const Json& report, std::ostream& out, Style style) {
    const auto share = [&](const char* name) {
      return cat(fixed(100 * report[name].as_number(), 2), " % ± ",
                 fixed(100 * report[cat(name, "_stderr")].as_number(), 2));
    };
    std::vector<std::pair<std::string, std::string>> lines = {
        {"Accuracy", style.bold(share("acc"))},
        {"Accuracy, by length", share("acc_norm")},
        {"Questions",
         cat(report["questions"].as_integer(), " of ", printable(report["task"].as_string()))}};
    if (const std::int64_t cut = report["cut_questions"].as_integer(); cut > 0) {
      lines.emplace_back("Cut", cat(plural(static_cast<std::uint64_t>(cut), "question"),
                                    " lost the beginning to fit the context"));
    }
    lines.emplace_back("Computed by", printable(report["backend"].as_string()));
    out << labelled(lines, style);
  }

  static void print_text(const Json& report, std::ostream& out, Style style) {
    std::vector<std::pair<std::string, std::string>> lines = {
        {"Perplexity", cat(style.bold(fixed(report["perplexity"].as_number(), 6)), " ± ",
                           fixed(report["perplexity_stderr"].as_number(), 4))},
        {"Text",
         cat(printable(report["dataset"].as_string()), ", ",
             with_commas(static_cast<std::uint64_t>(report["tokens_predicted"].as_integer())),
             report["tokens_predicted"].as_integer() == 1 ? " token" : " tokens", " predicted in ",
             plural(report["windows"].size(), "window"), " of ", report["window"].as_integer())}};
    if (report.contains("threshold")) {
      const bool passed = report["passed"].as_boolean();
      lines.emplace_back("Threshold",
                         cat(passed ? style.green("✓ not above ") : style.red("✗ above "),
                             significant(report["threshold"].as_number(), 6)));
    }
    if (report.contains("mean_kld")) {
      lines.emplace_back("Parent", cat(printable(report["against"].as_string()), ", perplexity ",
                                       fixed(report["parent_perplexity"].as_number(), 6)));
      lines.emplace_back("Mean KL divergence",
                         cat(significant(report["mean_kld"].as_number(), 4), " ± ",
                             significant(report["mean_kld_stderr"].as_number(), 2), " nats"));
      lines.emplace_back("Median, 99 %, 99.9 %",
                         cat(significant(report["median_kld"].as_number(), 4), ", ",
                             significant(report["p99_kld"].as_number(), 4), ", ",
                             significant(report["p99_9_kld"].as_number(), 4)));
      lines.emplace_back("Largest", cat(significant(report["max_kld"].as_number(), 4),
                                        " nats, at token ", report["max_kld_at"].as_integer()));
      lines.emplace_back("Same best token",
                         cat(fixed(100 * report["top1_agreement"].as_number(), 2), " %; ",
                             fixed(100 * report["top5_agreement"].as_number(), 2),
                             " % of the five best are shared"));
    }
    if (report["form"].as_string() == "tokenised") {
      lines.emplace_back("Form", "tokenised, with <unk>: not comparable with figures of raw text");
    }
    lines.emplace_back("Computed by", printable(report["backend"].as_string()));
    out << labelled(lines, style);
  }

  static Json report_of(const Values& params, const Model& model, const TextDataset& dataset,
                        std::size_t tokens, std::int64_t window, const EvalResult& result,
                        double seconds) {
    Json report =
        Json::object({{"model", params.text("model")},
                      {"dataset", params.text("dataset")},
                      {"form", dataset.form},
                      {"perplexity", result.perplexity},
                      {"perplexity_stderr", result.perplexity_error},
                      {"nll", result.nll},
                      {"tokens", std::uint64_t{tokens}},
                      {"tokens_predicted", result.predicted},
                      {"window", window},
                      {"stride", params.has("stride") ? params.integer("stride") : window},
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
      report.set("mean_kld_stderr", kl.mean_error);
      report.set("median_kld", kl.median);
      report.set("p90_kld", kl.p90);
      report.set("p95_kld", kl.p95);
      report.set("p99_kld", kl.p99);
      report.set("p99_9_kld", kl.p999);
      report.set("min_kld", kl.min);
      report.set("max_kld", kl.max);
      report.set("max_kld_at", kl.max_at);
      report.set("top1_agreement", kl.top1_agreement);
      report.set("top5_agreement", kl.top5_agreement);
      report.set("rms_delta_p", kl.rms_delta_p);
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
