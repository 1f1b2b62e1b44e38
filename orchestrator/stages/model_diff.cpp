#include "orchestrator/stages/model_diff.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "core/package/lineage.h"
#include "core/runtime/model.h"
#include "core/tensor/codec.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/stages/compare_texts.h"
#include "orchestrator/stages/graph_report.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/pair_tensors.h"

namespace apr {

namespace {

/// Files that are compared by what they say, as other parts.
const std::set<std::string_view> kReadFiles = {"config.json", "generation_config.json"};

class ModelDiff {
 public:
  ModelDiff(RunContext& context, const Package& a, const Package& b, const DiffOptions& options)
      : context_(context), a_(a), b_(b), options_(options) {}

  Result<Json> run() {
    if (options_.filter.empty()) {
      fields("config", a_.config(), b_.config(), describes_only);
      APR_ASSIGN(const Json settings_a, read_generation_config(a_));
      APR_ASSIGN(const Json settings_b, read_generation_config(b_));
      fields("settings", settings_a, settings_b, describes_only);
      APR_TRY(tokenizers());
      templates();
    }
    APR_TRY(tensors());
    if (options_.filter.empty()) {
      if (a_.format() == b_.format()) {
        fields("metadata", a_.metadata(), b_.metadata(), [](std::string_view) { return true; });
        // A folder's only step is that it was read just now.
        if (a_.format() == "apr") history();
      }
      files();
    }
    report_.set("class", name_of(class_));
    report_.set("parts", std::move(parts_));
    report_.set("differences", std::move(differences_));
    report_.set("tensors", std::move(tensors_));
    return std::move(report_);
  }

 private:
  void part(std::string_view name, DiffClass kind, std::string summary) {
    class_ = worse(class_, kind);
    parts_.push_back(
        Json::object({{"part", name}, {"class", name_of(kind)}, {"summary", std::move(summary)}}));
  }

  void difference(std::string_view part, Json fields) {
    Json entry = Json::object({{"part", part}});
    for (const auto& [key, value] : fields.as_object()) entry.set(key, value);
    differences_.push_back(std::move(entry));
  }

  void fields(std::string_view name, const Json& a, const Json& b,
              const std::function<bool(std::string_view)>& is_description) {
    const auto found = compare_fields(a, b);
    DiffClass kind = DiffClass::same;
    std::string first;
    for (const FieldDifference& field : found) {
      const DiffClass own = is_description(field.field) ? DiffClass::description : DiffClass::model;
      if (kind < own || first.empty()) {  // the gravest is shown first
        first = cat(field.field, " is ", short_value(field.a), " and ", short_value(field.b));
      }
      kind = worse(kind, own);
      difference(
          name,
          Json::object(
              {{"class", name_of(own)}, {"field", field.field}, {"a", field.a}, {"b", field.b}}));
    }
    part(name, kind,
         found.empty()       ? "same"
         : found.size() == 1 ? first
                             : cat(first, " (and ", found.size() - 1, " more)"));
  }

  Status tokenizers() {
    APR_ASSIGN(const TokenizerDifference found, compare_tokenizers(a_, b_));
    for (const std::string& text : found.problems) {
      difference("tokenizer", Json::object({{"class", "model"}, {"problem", text}}));
    }
    if (found.same()) {
      part("tokenizer", DiffClass::same,
           found.texts == 0 ? "neither carries one"
                            : cat("same, and the same ids for ", found.texts, " texts"));
    } else {
      const std::size_t more = found.problems.size() - 1;
      part("tokenizer", DiffClass::model,
           cat(found.problems.front(), more == 0 ? "" : cat(" (and ", more, " more)")));
    }
    return {};
  }

  void templates() {
    const std::string x = template_source(a_);
    const std::string y = template_source(b_);
    if (x == y)
      return part("template", DiffClass::same, x.empty() ? "neither carries one" : "same");
    std::string text;
    if (x.empty() || y.empty()) {
      text = cat("only ", x.empty() ? b_.path() : a_.path(), " carries one");
    } else {
      const auto at = std::ranges::mismatch(x, y).in1 - x.begin();
      const auto line = 1 + std::count(x.begin(), x.begin() + at, '\n');
      text = cat("differs from line ", line, ", character ", at + 1);
    }
    difference("template", Json::object({{"class", "model"}, {"problem", text}}));
    part("template", DiffClass::model, text);
  }

  void history() {
    const auto& x = a_.lineage();
    const auto& y = b_.lineage();
    std::size_t common = 0;
    while (common < x.size() && common < y.size() &&
           encode_lineage({&x[common], 1}) == encode_lineage({&y[common], 1})) {
      ++common;
    }
    if (common == x.size() && common == y.size()) return part("history", DiffClass::same, "same");
    const auto rest = [&](const std::vector<LineageRecord>& all) {
      std::string text;
      for (std::size_t i = common; i < all.size(); ++i) {
        text += cat(text.empty() ? "" : ", ", all[i].stage);
      }
      return text.empty() ? std::string("nothing") : text;
    };
    const std::string text =
        cat(plural(common, "common step"), ", then ", rest(x), " and ", rest(y));
    difference("history", Json::object({{"class", "description"}, {"problem", text}}));
    part("history", DiffClass::description, text);
  }

  /// Files that say the same in other bytes, and those that only one carries.
  void files() {
    std::set<std::string> names;
    for (const auto& [name, text] : a_.files()) names.insert(name);
    for (const auto& [name, text] : b_.files()) names.insert(name);
    std::vector<std::string> differing;
    for (const std::string& name : names) {
      const std::string* x = a_.file(name);
      const std::string* y = b_.file(name);
      if (x != nullptr && y != nullptr && (*x == *y || kReadFiles.contains(name))) continue;
      differing.push_back(name);
      difference("files", Json::object({{"class", "description"},
                                        {"name", name},
                                        {"problem", x == nullptr   ? "only in b"
                                                    : y == nullptr ? "only in a"
                                                                   : "other bytes"}}));
    }
    part("files", differing.empty() ? DiffClass::same : DiffClass::description,
         differing.empty() ? "same" : cat("differ: ", join_names(differing)));
  }

  Status tensors() {
    std::optional<Graph> graph;
    if (auto described = graph_of(a_, context_.registry())) graph = *std::move(described);
    tensors_ = Json::array();
    for (const TensorPair& pair : pair_tensors(graph, a_, b_)) {
      APR_TRY(check_interrupted());
      if (!options_.filter.empty() && !matches_name(pair.name, options_.filter)) continue;
      ++compared_;
      context_.progress.update(pair.name, compared_, a_.tensors().size());
      APR_TRY(one_tensor(pair));
    }
    context_.progress.finish();
    if (compared_ == 0 && !options_.filter.empty()) {
      return make_error(ErrorCode::not_found,
                        cat("no tensor's name matches '", options_.filter, "'"), a_.path(),
                        cat("`apr tensors ", a_.path(), "` lists the names"));
    }
    part("weights", weights_, weights_summary());
    report_.set("tensors_compared", compared_);
    report_.set("tensors_differ", differ_);
    report_.set("tensors_within_tolerance", within_);
    report_.set("types_differ", types_);
    report_.set("max_difference", max_abs_);
    report_.set("max_relative_rms", max_relative_);
    report_.set("min_cosine", min_cosine_);
    return {};
  }

  Status one_tensor(const TensorPair& pair) {
    Json row = Json::object({{"name", pair.name}});
    const auto describe = [&](const char* side, const TensorEntry* entry) {
      if (entry == nullptr) return;
      row.set(cat("type_", side), name_of(entry->view.type));
      row.set(cat("shape_", side), entry->view.shape.to_string());
    };
    describe("a", pair.a);
    describe("b", pair.b);
    if (pair.a == nullptr || pair.b == nullptr) {
      return gone(pair, std::move(row), pair.a == nullptr ? "missing in a" : "missing in b");
    }
    if (pair.a->view.shape != pair.b->view.shape) return gone(pair, std::move(row), "shape");
    const TensorView& a = pair.a->view;
    const TensorView& b = pair.b->view;
    if (!can_decode(a.type) || !can_decode(b.type)) {
      if (same_storage(a, b, context_.threads)) return add(std::move(row), "same");
      return gone(pair, std::move(row), "bytes differ, and this build cannot decode the type");
    }
    auto found = compare_tensors(a, b, context_.threads);
    if (!found) return std::move(found).error().within(cat("tensor ", pair.name));
    return judge(pair, std::move(row), *found);
  }

  Status judge(const TensorPair& pair, Json row, const TensorDifference& found) {
    const bool other_type = pair.a->view.type != pair.b->view.type;
    types_ += other_type ? 1 : 0;
    if (found.equal()) {
      if (!other_type) return add(std::move(row), "same");
      weights_ = worse(weights_, DiffClass::description);
      return add(std::move(row), "same numbers in another type");
    }
    const Json figures = difference_as_json(found, pair.a->view.shape);
    for (const auto& [key, value] : figures.as_object()) row.set(key, value);
    max_abs_ = std::max(max_abs_, found.max_abs);
    min_cosine_ = std::min(min_cosine_, found.cosine);
    if (found.relative_rms > max_relative_ || largest_.empty()) {
      max_relative_ = std::max(max_relative_, found.relative_rms);
      largest_ = cat(pair.name, " (relative RMS ", significant(found.relative_rms, 3), ")");
    }
    if (options_.allows(found)) {
      ++within_;
      if (other_type) weights_ = worse(weights_, DiffClass::description);
      return add(std::move(row), "within tolerance");
    }
    return differs(std::move(row), "values");
  }

  Status gone(const TensorPair& pair, Json row, std::string status) {
    if (missing_.empty()) missing_ = cat(pair.name, ": ", status);
    return differs(std::move(row), std::move(status));
  }

  Status differs(Json row, std::string status) {
    ++differ_;
    weights_ = DiffClass::model;
    Json copy = row;
    copy.set("class", "model");
    copy.set("problem", status);
    difference("weights", std::move(copy));
    return add(std::move(row), std::move(status));
  }

  Status add(Json row, std::string status) {
    row.set("status", std::move(status));
    tensors_.push_back(std::move(row));
    return {};
  }

  std::string weights_summary() const {
    std::string text;
    if (differ_ > 0) {
      text = cat(differ_, " of ", plural(compared_, "tensor"), " differ");
      if (!missing_.empty()) text += cat("; ", missing_);
      if (!largest_.empty()) text += cat("; most ", largest_);
    } else if (within_ > 0) {
      text = cat(within_, " of ", plural(compared_, "tensor"),
                 " differ within the tolerance, most ", largest_);
    } else {
      text = cat("all ", plural(compared_, "tensor"), " equal");
    }
    if (types_ > 0) text += cat("; ", types_, " stored in another type");
    return text;
  }

  RunContext& context_;
  const Package& a_;
  const Package& b_;
  const DiffOptions& options_;
  Json report_ = Json::object();
  Json parts_ = Json::array();
  Json differences_ = Json::array();
  Json tensors_ = Json::array();
  DiffClass class_ = DiffClass::same;
  DiffClass weights_ = DiffClass::same;
  std::uint64_t compared_ = 0;
  std::uint64_t differ_ = 0;
  std::uint64_t within_ = 0;
  std::uint64_t types_ = 0;
  double max_abs_ = 0;
  double max_relative_ = 0;
  double min_cosine_ = 1;
  std::string largest_;
  std::string missing_;
};

}  // namespace

std::string_view name_of(DiffClass kind) {
  switch (kind) {
    case DiffClass::same:
      return "same";
    case DiffClass::description:
      return "description";
    case DiffClass::model:
      return "model";
  }
  return "";
}

Result<Json> diff_models(RunContext& context, const Package& a, const Package& b,
                         const DiffOptions& options) {
  return ModelDiff(context, a, b, options).run();
}

}  // namespace apr
