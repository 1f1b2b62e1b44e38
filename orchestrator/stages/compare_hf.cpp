// apr compare-hf: a model against the Hugging Face checkpoint it should be.
#include <algorithm>
#include <ostream>

#include "core/base/cat.h"
#include "core/runtime/model.h"
#include "core/tensor/codec.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/compare_texts.h"
#include "orchestrator/stages/graph_report.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/pair_tensors.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/type_error.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "compare-hf";
  info.summary = "compare a model with the checkpoint it comes from";
  info.details =
      "Every tensor of the folder against the model's (names mapped, numbers decoded), every field "
      "of the config that decides what is computed, the vocabulary, the ids of a set of awkward "
      "texts, and the chat template. A type that can hold the checkpoint's numbers must hold the "
      "same numbers; a coarser one may differ by what rounding to it makes, of a tensor as a whole "
      "and of every number among its neighbours, so that one changed weight shows where it is "
      "larger than the rounding. --tolerance replaces that by one limit.\n\n"
      "Exits with 5 if something differs. The checkpoint must be here, as a folder or a "
      ".safetensors file: the hub is not read by this build (exit code 9).";
  info.params.push_back(model_param());
  Param reference = model_param("the checkpoint: a Hugging Face folder, or a .safetensors file");
  reference.name = "hf";
  reference.position = 1;
  reference.value_name = "FOLDER";
  info.params.push_back(std::move(reference));
  Param tolerance;
  tolerance.name = "tolerance";
  tolerance.type = ParamType::number;
  tolerance.minimum = 0;
  tolerance.aliases = {"threshold"};
  tolerance.help = "largest difference of a number allowed; by default what the type makes";
  info.params.push_back(std::move(tolerance));
  info.params.push_back(text_param(
      "tensor", "PATTERN",
      "only tensors that match, and nothing else: a shell pattern or a part of the name"));
  info.examples = {{"apr compare-hf tiny.apr golden/apr-tiny-chat", "is it what was imported?"},
                   {"apr compare-hf tiny-int4.apr --hf golden/apr-tiny-chat",
                    "is it that, but for the rounding to 4 bits?"}};
  info.metrics = {"failures", "max_difference", "max_relative_rms"};
  return info;
}

/// "org/model", as the hub names its models.
bool is_hub_name(const std::string& path) {
  const auto slash = path.find('/');
  if (slash == 0 || slash == path.npos || path.find('/', slash + 1) != path.npos) return false;
  return path.find_first_of(" \\:") == path.npos && slash + 1 < path.size() && path[0] != '.' &&
         path[0] != '~';
}

Result<Package> open_reference(RunContext& context, const std::string& path) {
  auto package = open_any(context, path);
  if (package || package.error().code != ErrorCode::not_found || !is_hub_name(path)) return package;
  return make_error(ErrorCode::unsupported,
                    "there is no such folder, and this build does not read the hub", path,
                    cat("download it first, for example with `git clone https://huggingface.co/",
                        path, "`, and give the folder"));
}

class Comparison {
 public:
  Comparison(RunContext& context, const Package& model, const Package& reference)
      : context_(context), model_(model), reference_(reference) {}

  Result<Json> run() {
    const Values& params = context_.params;
    APR_TRY(tensors());
    if (params.text("tensor").empty()) {
      config();
      APR_TRY(tokenizer());
      chat_template();
    }
    Json report = Json::object({{"model", params.text("model")},
                                {"hf", params.text("hf")},
                                {"passed", failures_ == 0},
                                {"failures", failures_},
                                {"tensors_compared", compared_},
                                {"tensors_exact", exact_},
                                {"tensors_rounded", rounded_},
                                {"max_difference", max_abs_},
                                {"max_relative_rms", max_relative_}});
    report.set("checks", std::move(checks_));
    report.set("problems", std::move(problems_));
    report.set("tensors", std::move(rows_));
    return report;
  }

 private:
  void problem(std::string_view part, std::string text) {
    ++failures_;
    problems_.push_back(Json::object({{"part", part}, {"problem", std::move(text)}}));
  }
  void check(std::string_view name, bool passed, std::string detail) {
    checks_.push_back(
        Json::object({{"name", name}, {"passed", passed}, {"detail", std::move(detail)}}));
  }

  Status tensors() {
    const std::string& pattern = context_.params.text("tensor");
    std::optional<Graph> graph;
    if (auto described = graph_of(reference_, context_.registry())) graph = *std::move(described);
    const auto architecture = context_.registry().architecture_for(reference_.config());
    const std::uint64_t before = failures_;
    for (const TensorPair& pair : pair_tensors(graph, reference_, model_)) {
      APR_TRY(check_interrupted());
      if (!pattern.empty() && !matches_name(pair.name, pattern)) continue;
      // Import leaves out what the architecture has no use for.
      if (pair.b == nullptr && architecture && (*architecture)->ignorable(pair.name)) continue;
      ++compared_;
      context_.progress.update(pair.name, compared_, reference_.tensors().size());
      APR_TRY(tensor(pair));
    }
    context_.progress.finish();
    if (compared_ == 0) {
      return make_error(ErrorCode::not_found, cat("no tensor's name matches '", pattern, "'"),
                        reference_.path());
    }
    const std::uint64_t failed = failures_ - before;
    std::string detail = failed > 0 ? cat(failed, " of ", plural(compared_, "tensor"), " differ")
                                    : cat("all ", plural(compared_, "tensor"), " match: ");
    if (failed == 0) {
      detail += rounded_ == 0 ? "the same numbers"
                              : cat(exact_, " with the same numbers, ", rounded_,
                                    " but for rounding (relative RMS at most ",
                                    significant(max_relative_, 3), ")");
    }
    check("tensors", failed == 0, detail);
    return {};
  }

  Status tensor(const TensorPair& pair) {
    if (pair.a == nullptr) {
      return add(Json::object({{"name", pair.name}}), "is not in the checkpoint");
    }
    if (pair.b == nullptr) {
      return add(Json::object({{"name", pair.name}}), "is missing in the model");
    }
    const TensorView& source = pair.a->view;
    const TensorView& stored = pair.b->view;
    Json row = Json::object(
        {{"name", pair.name}, {"type", name_of(stored.type)}, {"hf_type", name_of(source.type)}});
    if (pair.b->name != pair.name) row.set("model_name", pair.b->name);
    if (source.shape != stored.shape) {
      return add(std::move(row), cat("is ", stored.shape.to_string(), ", in the checkpoint ",
                                     source.shape.to_string()));
    }
    if (!can_decode(source.type) || !can_decode(stored.type)) {
      const bool same = same_storage(source, stored, context_.threads);
      exact_ += same ? 1 : 0;
      return add(std::move(row),
                 same ? "" : "has other bytes, and this build cannot decode its type");
    }
    auto found = compare_tensors(source, stored, context_.threads);
    if (!found) return std::move(found).error().within(cat("tensor ", pair.name));
    const Json figures = difference_as_json(*found, source.shape);
    for (const auto& [key, value] : figures.as_object()) {
      row.set(key == "a" ? "hf_value" : key == "b" ? "value" : key, value);
    }
    max_abs_ = std::max(max_abs_, found->max_abs);
    max_relative_ = std::max(max_relative_, found->relative_rms);
    (found->equal() ? exact_ : rounded_) += 1;
    return add(std::move(row), verdict(*found, stored.type, source.type));
  }

  std::string verdict(const TensorDifference& found, Type type, Type source) const {
    if (!context_.params.has("tolerance")) return beyond_rounding(found, type, source);
    const double limit = context_.params.number("tolerance");
    if (found.equal() || (found.not_comparable == 0 && found.max_abs <= limit)) return {};
    return cat("differs by up to ", significant(found.max_abs, 3), ", allowed are ",
               significant(limit, 3));
  }

  Status add(Json row, const std::string& trouble) {
    row.set("passed", trouble.empty());
    if (!trouble.empty()) {
      problem("tensors", cat(row["name"].as_string(), " ", trouble));
      row.set("problem", trouble);
    }
    rows_.push_back(std::move(row));
    return {};
  }

  void config() {
    std::size_t differing = 0;
    for (const FieldDifference& field : compare_fields(reference_.config(), model_.config())) {
      if (describes_only(field.field)) continue;
      ++differing;
      problem("config", cat(field.field, " is ", short_value(field.b), ", in the checkpoint ",
                            short_value(field.a)));
    }
    check("config", differing == 0,
          differing == 0 ? "every field that decides what is computed is equal"
                         : cat(plural(differing, "field"), " differ"));
  }

  Status tokenizer() {
    APR_ASSIGN(const TokenizerDifference found, compare_tokenizers(reference_, model_));
    for (const std::string& text : found.problems) problem("tokenizer", text);
    check("tokenizer", found.same(),
          !found.same() ? found.problems.front()
          : found.texts == 0
              ? "neither has one"
              : cat("the same vocabulary, and the same ids for ", found.texts, " texts"));
    return {};
  }

  void chat_template() {
    const bool same = template_source(reference_) == template_source(model_);
    if (!same) problem("template", "the chat template is another one");
    check("template", same, same ? "equal" : "another one");
  }

  RunContext& context_;
  const Package& model_;
  const Package& reference_;
  Json checks_ = Json::array();
  Json problems_ = Json::array();
  Json rows_ = Json::array();
  std::uint64_t failures_ = 0;
  std::uint64_t compared_ = 0;
  std::uint64_t exact_ = 0;
  std::uint64_t rounded_ = 0;
  double max_abs_ = 0;
  double max_relative_ = 0;
};

class CompareHf final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    APR_ASSIGN(const Package model, open_any(context, context.params.text("model")));
    APR_ASSIGN(const Package reference, open_reference(context, context.params.text("hf")));
    APR_ASSIGN(Json report, Comparison(context, model, reference).run());
    const bool passed = report["passed"].as_boolean();
    return Outcome{.report = std::move(report),
                   .exit_code = passed ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const std::size_t width = terminal_width(1);
    for (const Json& check : report["checks"].as_array()) {
      const std::string& name = check["name"].as_string();
      out << (check["passed"].as_boolean() ? style.green("✓") : style.red("✗")) << " "
          << style.bold(name) << std::string(11 - std::min<std::size_t>(10, name.size()), ' ')
          << wrapped(printable(check["detail"].as_string()), width, 13) << "\n";
    }
    const JsonArray& problems = report["problems"].as_array();
    if (problems.empty()) return;
    out << "\n";
    constexpr std::size_t kShown = 12;
    for (std::size_t i = 0; i < std::min(kShown, problems.size()); ++i) {
      out << "  "
          << wrapped(printable(cat(problems[i]["part"].as_string(), ": ",
                                   problems[i]["problem"].as_string())),
                     width, 4)
          << "\n";
    }
    if (problems.size() > kShown) {
      out << style.dim(cat("  ", problems.size() - kShown, " more; --json shows all")) << "\n";
    }
  }

 private:
  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_compare_hf() {
  return std::make_unique<CompareHf>();
}

}  // namespace apr
