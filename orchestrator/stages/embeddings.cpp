// apr embeddings: texts as vectors.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/runtime/embedding_text.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/npy.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/text_source.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

/// Texts are read and embedded in windows of so many, or fewer if they are long.
constexpr std::size_t kWindowTexts = 1024;
constexpr std::uint64_t kWindowSteps = 16;
/// A table of similarities is for looking at.
constexpr std::uint64_t kMaxCompared = 100;
/// A JSON report is held in memory; what streams has no limit.
constexpr std::uint64_t kMaxReported = std::uint64_t{1} << 22;

void add_recipe_params(std::vector<Param>& params) {
  Param pooling;
  pooling.name = "pooling";
  pooling.type = ParamType::choice;
  pooling.choices = {"mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken", "pooler"};
  pooling.help =
      "how the vectors of a text's tokens become one; by default as the model's files say";
  params.push_back(std::move(pooling));
  params.push_back(flag_param("normalize", "scale every vector to length 1"));
  params.push_back(flag_param("no-normalize", "leave the vectors as long as they are"));
  params.push_back(
      text_param("prompt-name", "NAME", "put this prompt of the model's files before every text"));
  params.push_back(text_param(
      "prompt", "TEXT", "put this before every text; '' for nothing, whatever the files say"));
  Param length;
  length.name = "max-length";
  length.type = ParamType::integer;
  length.minimum = 1;
  length.maximum = 1 << 26;
  length.help = "cut texts to so many tokens; by default what the model's files say";
  params.push_back(std::move(length));
}

VerbInfo describe() {
  VerbInfo info;
  info.name = "embeddings";
  info.summary = "turn texts into vectors";
  info.details =
      "Texts are the words behind MODEL, the lines of --input, or the lines of standard input. An "
      "empty line is an empty text, so that vectors and lines count alike. Prints one JSON array "
      "of numbers per text, in the order of the texts.\n\n"
      "Pooling, normalization, prompts and the longest text are what the sentence-transformers "
      "files in the model say. Where they say nothing, encoders give the mean of their tokens' "
      "vectors and models that predict the next token give the last token's, of length 1. What a "
      "text has beyond the longest length is cut off, and a remark says so.\n\n"
      "Any number of texts takes the same memory. Several go through the model in a step; except "
      "in mode fast, a text's vector does not depend on the others, bit for bit.";
  info.params.push_back(model_param());
  Param texts = text_param("texts", "TEXT", "the texts; - or nothing reads standard input");
  texts.type = ParamType::texts;
  texts.position = 1;
  info.params.push_back(std::move(texts));
  Param input = text_param("input", "FILE", "read texts from a file, one per line");
  input.role = ParamRole::input;
  info.params.push_back(std::move(input));
  info.params.push_back(flag_param(
      "jsonl",
      "lines are JSON objects with a field text, and perhaps text_pair for the second text of a "
      "pair; files named .jsonl are read like that anyhow"));
  add_recipe_params(info.params);
  info.params.push_back(
      flag_param("similarity", "print how alike the texts are: cosines, from -1 to 1"));
  Param npy = text_param("npy", "FILE", "write the vectors as a NumPy array [texts, numbers]");
  npy.role = ParamRole::output;
  npy.letter = 'o';
  info.params.push_back(std::move(npy));
  info.params.push_back(force_param());
  Param step;
  step.name = "batch-tokens";
  step.type = ParamType::integer;
  step.minimum = 1;
  step.maximum = 1 << 20;
  step.fallback = Json(kEmbeddingStepTokens);
  step.help = "tokens that go through the model at once; more take more memory";
  info.params.push_back(std::move(step));
  info.params.push_back(mode_param(Mode::deterministic));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr embeddings bert.apr 'A cat sleeps.' 'A dog sleeps.' 'Taxes are due.' --similarity",
       "which texts are alike"},
      {"apr embeddings bert.apr --input lines.txt --npy lines.npy", "an array for NumPy"},
      {"apr embeddings bert.apr - < lines.txt > vectors.jsonl", "a line of numbers per line"}};
  info.metrics = {"texts", "tokens", "truncated", "dimension", "tokens_per_second"};
  return info;
}

Result<std::unique_ptr<TextSource>> source_of(RunContext& context) {
  const Values& params = context.params;
  const std::vector<std::string> words = params.texts("texts");
  const bool dash = std::find(words.begin(), words.end(), "-") != words.end();
  if (dash && words.size() > 1) {
    return make_error(ErrorCode::usage, "- reads standard input and stands alone", {},
                      "give a text that is a dash as a line of --input");
  }
  if (params.has("input")) {
    if (!words.empty()) {
      return make_error(ErrorCode::usage, "texts come from --input or from the command line", {},
                        "leave one of them out");
    }
    const std::string& path = params.text("input");
    return texts_of_file(path, params.flag("jsonl") || path.ends_with(".jsonl"));
  }
  if (!words.empty() && !dash) return texts_of_words(words);
  if (is_terminal(STDIN_FILENO)) {
    context.notes << "apr: type one text per line; Ctrl-D at the beginning of a line ends them\n";
  }
  return texts_of_standard_input(params.flag("jsonl"));
}

/// What the model's files say, changed by what the user says.
struct Plan {
  EmbeddingRecipe recipe;
  EmbedderOptions options;
  std::string prompt_name;
  std::string prompt;
};

std::string prompt_list(const EmbeddingRecipe& recipe) {
  std::string names;
  for (const auto& [name, text] : recipe.prompts) names += cat(names.empty() ? "" : ", ", name);
  return names.empty() ? "the model's files name no prompts; --prompt takes any text"
                       : cat("the model's files name: ", names);
}

Status choose_prompt(const Values& params, Plan& plan) {
  if (params.has("prompt") && params.has("prompt-name")) {
    return make_error(ErrorCode::usage, "--prompt and --prompt-name exclude each other");
  }
  if (params.has("prompt")) {
    plan.prompt = params.text("prompt");
    return {};
  }
  plan.prompt_name =
      params.has("prompt-name") ? params.text("prompt-name") : plan.recipe.default_prompt;
  if (!params.has("prompt-name") && plan.prompt_name.empty()) return {};
  for (const auto& [name, text] : plan.recipe.prompts) {
    if (name != plan.prompt_name) continue;
    plan.prompt = text;
    return {};
  }
  return make_error(ErrorCode::usage, cat("there is no prompt named '", plan.prompt_name, "'"), {},
                    prompt_list(plan.recipe));
}

Result<Plan> plan_of(const Values& params, const Package& package, const Graph& graph) {
  if (params.flag("normalize") && params.flag("no-normalize")) {
    return make_error(ErrorCode::usage, "--normalize and --no-normalize exclude each other");
  }
  Plan plan;
  APR_ASSIGN(plan.recipe, embedding_recipe(package, graph.facts(), !params.has("pooling")));
  EmbedderOptions& options = plan.options;
  options.pooling = plan.recipe.pooling;
  options.normalize = plan.recipe.normalize;
  if (params.has("pooling")) options.pooling = {*pooling_from_name(params.text("pooling"))};
  if (params.flag("normalize")) options.normalize = true;
  if (params.flag("no-normalize")) options.normalize = false;
  options.max_tokens = plan.recipe.max_tokens;
  if (params.has("max-length")) {
    options.max_tokens = static_cast<std::uint32_t>(params.integer("max-length"));
    plan.recipe.max_tokens_from = "--max-length";
  }
  options.step_tokens = static_cast<std::uint32_t>(params.integer("batch-tokens"));
  APR_TRY(choose_prompt(params, plan));
  return plan;
}

/// The number in the fewest digits that give the same float back.
Json shortest(float number) {
  char digits[48];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  double value = 0;
  std::from_chars(digits, end, value);
  return value;
}

/// Takes vectors to where they are wanted: lines, an array file, a report.
class Sink {
 public:
  Sink(RunContext& context, std::uint32_t dimension, std::optional<NpyWriter> npy)
      : context_(context),
        dimension_(dimension),
        compare_(context.params.flag("similarity")),
        npy_(std::move(npy)) {}

  Status write(const std::vector<SourceText>& texts, const std::vector<EmbeddingText>& encoded,
               std::span<const float> vectors) {
    texts_ += texts.size();
    if (compare_) APR_TRY(keep_for_comparison(texts, vectors));
    if (context_.json) APR_TRY(report(encoded, vectors));
    if (npy_) return npy_->write(vectors);
    if (!context_.json && !compare_) print_lines(vectors);
    return {};
  }

  Status finish(Json& report) {
    if (npy_) APR_TRY(npy_->commit());
    if (context_.json) report.set("embeddings", std::move(embeddings_));
    if (!compare_) return {};
    Json rows = Json::array();
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      Json row = Json::array();
      for (std::size_t j = 0; j < labels_.size(); ++j) {
        row.push_back(cosine_similarity(kept(i), kept(j)));
      }
      rows.push_back(std::move(row));
    }
    report.set("similarity", std::move(rows));
    report.set("labels", labels_json());
    return {};
  }

 private:
  std::span<const float> kept(std::size_t i) const {
    return std::span(kept_).subspan(i * dimension_, dimension_);
  }
  Json labels_json() const {
    Json labels = Json::array();
    for (const std::string& label : labels_) labels.push_back(label);
    return labels;
  }

  Status keep_for_comparison(const std::vector<SourceText>& texts, std::span<const float> vectors) {
    if (texts_ > kMaxCompared) {
      return make_error(ErrorCode::usage,
                        cat("--similarity compares up to ", kMaxCompared, " texts"), {},
                        "write the vectors with --npy and compare them there");
    }
    for (const SourceText& text : texts) {
      labels_.push_back(text.second ? cat(text.first, " | ", *text.second) : text.first);
    }
    kept_.insert(kept_.end(), vectors.begin(), vectors.end());
    return {};
  }

  Status report(const std::vector<EmbeddingText>& encoded, std::span<const float> vectors) {
    if (!npy_ && texts_ * dimension_ > kMaxReported) {
      return make_error(ErrorCode::usage,
                        cat("these are too many texts for one JSON document: it would hold more "
                            "than ",
                            with_commas(kMaxReported), " numbers"),
                        {}, "without --json a line is printed per text; --npy writes an array");
    }
    if (npy_) return {};
    for (std::size_t i = 0; i < encoded.size(); ++i) {
      Json vector = Json::array();
      for (const float number : vectors.subspan(i * dimension_, dimension_)) {
        vector.push_back(shortest(number));
      }
      embeddings_.push_back(Json::object({{"tokens", std::uint64_t{encoded[i].tokens.ids.size()}},
                                          {"left_out", encoded[i].left_out},
                                          {"vector", std::move(vector)}}));
    }
    return {};
  }

  void print_lines(std::span<const float> vectors) {
    std::string line;
    for (std::size_t begin = 0; begin < vectors.size(); begin += dimension_) {
      line = "[";
      for (const float number : vectors.subspan(begin, dimension_)) {
        if (line.size() > 1) line += ',';
        line += cat(number);
      }
      context_.out << line << "]\n";
    }
    context_.out << std::flush;
  }

  RunContext& context_;
  std::uint32_t dimension_;
  bool compare_;
  std::optional<NpyWriter> npy_;
  std::uint64_t texts_ = 0;
  Json embeddings_ = Json::array();
  std::vector<std::string> labels_;
  std::vector<float> kept_;
};

struct Totals {
  std::uint64_t texts = 0;
  std::uint64_t tokens = 0;
  std::uint64_t truncated = 0;
  std::uint64_t first_truncated = 0;  ///< counted from 1
  std::uint64_t first_tokens = 0;
  double seconds = 0;  ///< in the model
};

/// Reads texts, embeds them window by window and hands them on.
Status embed_all(RunContext& context, TextSource& source, const EmbeddingTextEncoder& encoder,
                 Embedder& embedder, const EmbedderOptions& options, Sink& sink, Totals& totals) {
  std::vector<float> vectors;
  for (bool more = true; more;) {
    std::vector<SourceText> texts;
    std::vector<EmbeddingText> encoded;
    std::vector<TextTokens> tokens;
    std::uint64_t in_window = 0;
    while (texts.size() < kWindowTexts && in_window < kWindowSteps * options.step_tokens) {
      APR_TRY(check_interrupted());
      APR_ASSIGN(std::optional<SourceText> text, source.next());
      if (!text) {
        more = false;
        break;
      }
      auto made = encoder.encode(text->first, text->second);
      const std::uint64_t number = totals.texts + texts.size() + 1;
      if (!made) return std::move(made).error().within(cat("text ", number));
      if (made->tokens.ids.empty()) {
        return make_error(ErrorCode::validation, "it has no tokens, so there is nothing to pool",
                          cat("text ", number), "leave empty texts out for this model");
      }
      if (made->left_out > 0 && totals.truncated++ == 0) {
        totals.first_truncated = number;
        totals.first_tokens = made->tokens.ids.size() + made->left_out;
      }
      in_window += made->tokens.ids.size();
      texts.push_back(*std::move(text));
      encoded.push_back(*std::move(made));
    }
    for (const EmbeddingText& text : encoded) tokens.push_back(text.tokens);
    vectors.resize(tokens.size() * embedder.dimension());
    const std::uint64_t began = monotonic_ns();
    APR_TRY(embedder.embed(tokens, vectors, [&](std::uint64_t done) -> Status {
      // A single window shows its tokens, a file how far it was read.
      const bool whole = totals.texts == 0 && !more;
      context.progress.update(cat(with_commas(totals.tokens + done), " tokens"),
                              whole ? done : source.bytes_read(),
                              whole ? in_window : source.bytes_total());
      return check_interrupted();
    }));
    totals.seconds += static_cast<double>(monotonic_ns() - began) / 1e9;
    totals.texts += texts.size();
    totals.tokens += in_window;
    if (!texts.empty()) APR_TRY(sink.write(texts, encoded, vectors));
  }
  context.progress.finish();
  return {};
}

class Embeddings final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Estimate estimate(const Values& params) const override {
    const auto status = file_status(params.text("model"));
    const bool known = status && status->kind == FileKind::file;
    return {.memory_bytes = (known ? status->size : 0) + (256u << 20), .output_bytes = 0};
  }
  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    if (params.has("npy")) {
      APR_TRY(check_writable_target(params.text("npy"), params.flag("force")));
    }
    APR_ASSIGN(const std::unique_ptr<TextSource> source, source_of(context));
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    APR_ASSIGN(Plan plan, plan_of(params, package, graph));
    CompileOptions compile;
    if (auto ready = prepare_embedding(graph, plan.options, compile); !ready) {
      return std::move(ready).error().within(params.text("model"));
    }
    APR_ASSIGN(const Model model, load_model(context, std::move(package), std::move(compile)));
    APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
    APR_ASSIGN(const EmbeddingTextEncoder encoder,
               EmbeddingTextEncoder::create(*tokenizer, plan.recipe, plan.options.max_tokens,
                                            plan.prompt));
    APR_ASSIGN(Embedder embedder, Embedder::create(model.executable(), plan.options));
    std::optional<NpyWriter> npy;
    if (params.has("npy")) {
      APR_ASSIGN(npy,
                 NpyWriter::create(params.text("npy"), embedder.dimension(), params.flag("force")));
    }
    Sink sink(context, embedder.dimension(), std::move(npy));
    Totals totals;
    APR_TRY(embed_all(context, *source, encoder, embedder, plan.options, sink, totals));
    tell_truncated(context, plan, totals);
    Json report = report_of(params, model, plan, embedder.dimension(), totals);
    APR_TRY(sink.finish(report));
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    if (report.contains("similarity")) print_similarity(report, out, style);
    if (!report.contains("npy")) return;
    out << style.bold(printable(report["npy"].as_string())) << ": "
        << plural(static_cast<std::uint64_t>(report["texts"].as_integer()), "vector") << " of "
        << report["dimension"].as_integer() << " numbers, pooling " << report["pooling"].as_string()
        << (report["normalized"].as_boolean() ? ", normalized" : "") << "\n";
  }

 private:
  static void tell_truncated(RunContext& context, const Plan& plan, const Totals& totals) {
    if (totals.truncated == 0) return;
    context.notes << "apr: " << with_commas(totals.truncated) << " of "
                  << plural(totals.texts, "text") << (totals.truncated == 1 ? " was" : " were")
                  << " cut to the " << plan.options.max_tokens << " tokens that fit ("
                  << printable(plan.recipe.max_tokens_from) << "); the first is text "
                  << totals.first_truncated << " with " << with_commas(totals.first_tokens)
                  << " tokens\n";
  }

  static Json report_of(const Values& params, const Model& model, const Plan& plan,
                        std::uint32_t dimension, const Totals& totals) {
    Json report = Json::object({{"model", params.text("model")},
                                {"architecture", model.facts().architecture},
                                {"pooling", name_of(plan.options.pooling)},
                                {"normalized", plan.options.normalize},
                                {"recipe", plan.recipe.from_modules ? "modules.json" : "default"},
                                {"dimension", dimension},
                                {"max_tokens", plan.options.max_tokens},
                                {"texts", totals.texts},
                                {"tokens", totals.tokens},
                                {"truncated", totals.truncated},
                                {"backend", model.executable()->description()},
                                {"seconds", totals.seconds}});
    report.set("tokens_per_second",
               totals.seconds > 0 ? static_cast<double>(totals.tokens) / totals.seconds : 0.0);
    if (!plan.prompt_name.empty()) report.set("prompt_name", plan.prompt_name);
    if (!plan.prompt.empty()) report.set("prompt", plan.prompt);
    if (params.has("npy")) report.set("npy", params.text("npy"));
    return report;
  }

  static void print_similarity(const Json& report, std::ostream& out, Style style) {
    const JsonArray& rows = report["similarity"].as_array();
    const JsonArray& labels = report["labels"].as_array();
    std::vector<Table::Column> columns = {{"", Table::Align::right}, {"text", Table::Align::left}};
    for (std::size_t i = 0; i < rows.size(); ++i) {
      columns.push_back({cat(i + 1), Table::Align::right});
    }
    const std::size_t width = terminal_width(STDOUT_FILENO);
    const std::size_t numbers = 9 * rows.size() + 6;
    const std::size_t left = std::max<std::size_t>(width > numbers ? width - numbers : 0, 16);
    Table table(std::move(columns));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::vector<std::string> cells = {cat(i + 1),
                                        shortened(printable(labels[i].as_string()), left)};
      for (const Json& cosine : rows[i].as_array()) cells.push_back(fixed(cosine.as_number(), 4));
      table.row(std::move(cells));
    }
    if (!table.empty()) out << table.to_string(style);
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_embeddings() {
  return std::make_unique<Embeddings>();
}

}  // namespace apr
