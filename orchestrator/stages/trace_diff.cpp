// Two golden traces: what two programs, builds or models computed for the same prompts.
#include <algorithm>
#include <set>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/stages/graph_report.h"
#include "orchestrator/stages/model_diff.h"

namespace apr {

namespace {

class TraceDiff {
 public:
  TraceDiff(RunContext& context, const GoldenTrace& a, const GoldenTrace& b,
            const DiffOptions& options)
      : context_(context), a_(a), b_(b), options_(options) {}

  Result<Json> run() {
    if (a_.reference() != b_.reference()) {
      part("reference", DiffClass::description, cat(a_.reference(), " and ", b_.reference()));
    }
    if (a_.audio().sha256 != b_.audio().sha256 || a_.audio().numbers != b_.audio().numbers) {
      problem("audio", "input", "is another recording");
    }
    APR_TRY(compare_values(
        "audio", a_.shared_values(), b_.shared_values(),
        [&](const std::string& name) -> const GoldenValue& { return a_.shared_value(name); },
        [&](const std::string& name) -> const GoldenValue& { return b_.shared_value(name); }));
    for (const GoldenPrompt& prompt : a_.prompts()) {
      const GoldenPrompt* other = find(b_, prompt.name);
      if (other == nullptr) {
        problem(prompt.name, "prompt", "missing in b");
      } else {
        APR_TRY(compare(prompt, *other));
      }
    }
    for (const GoldenPrompt& prompt : b_.prompts()) {
      if (find(a_, prompt.name) == nullptr) problem(prompt.name, "prompt", "missing in a");
    }
    if (compared_ == 0 && !options_.filter.empty()) {
      return make_error(ErrorCode::not_found,
                        cat("no value's name matches '", options_.filter, "'"), a_.path());
    }
    part("prompts", prompts_, prompts_summary());
    part("values", values_, values_summary());
    Json report = Json::object({{"class", name_of(class_)},
                                {"parts", std::move(parts_)},
                                {"differences", std::move(differences_)},
                                {"values", std::move(rows_)}});
    report.set("values_compared", compared_);
    report.set("values_differ", differ_);
    report.set("values_within_tolerance", within_);
    report.set("max_difference", max_abs_);
    report.set("max_relative_rms", max_relative_);
    report.set("min_cosine", min_cosine_);
    return report;
  }

 private:
  static const GoldenPrompt* find(const GoldenTrace& trace, std::string_view name) {
    const auto found = std::ranges::find(trace.prompts(), name, &GoldenPrompt::name);
    return found == trace.prompts().end() ? nullptr : &*found;
  }

  void part(std::string_view name, DiffClass kind, std::string summary) {
    class_ = worse(class_, kind);
    parts_.push_back(
        Json::object({{"part", name}, {"class", name_of(kind)}, {"summary", std::move(summary)}}));
  }

  void problem(const std::string& prompt, std::string_view what, std::string text,
               DiffClass kind = DiffClass::model) {
    prompts_ = worse(prompts_, kind);
    if (first_.empty()) first_ = cat(prompt, ": ", what, " ", text);
    ++problems_;
    differences_.push_back(Json::object({{"part", "prompts"},
                                         {"class", name_of(kind)},
                                         {"prompt", prompt},
                                         {"field", what},
                                         {"problem", std::move(text)}}));
  }

  Status compare(const GoldenPrompt& x, const GoldenPrompt& y) {
    const auto same = [&](std::string_view what, const auto& left, const auto& right,
                          DiffClass kind = DiffClass::model) {
      if (left == right) return;
      const auto at = std::ranges::mismatch(left, right).in1 - left.begin();
      problem(x.name, what, cat("differ from index ", at), kind);
    };
    if (x.sequences.size() != y.sequences.size()) {
      problem(x.name, "sequences", cat("are ", x.sequences.size(), " and ", y.sequences.size()));
      return {};
    }
    for (std::size_t i = 0; i < x.sequences.size(); ++i) {
      if (x.sequences[i].texts != y.sequences[i].texts)
        problem(x.name, "prompt", "is another text");
      same("ids", x.sequences[i].ids, y.sequences[i].ids);
      same("token_types", x.sequences[i].types, y.sequences[i].types);
    }
    // Where numbers may differ a little, so may the order of those that are next to equal.
    const bool lenient = options_.tolerance > 0 || options_.relative > 0;
    same("top10_ids", x.top_ids, y.top_ids, lenient ? DiffClass::description : DiffClass::model);
    same("greedy_ids", x.greedy_ids, y.greedy_ids);
    return compare_values(
        x.name, x.values, y.values,
        [&](const std::string& name) -> const GoldenValue& { return a_.value(x, name); },
        [&](const std::string& name) -> const GoldenValue& { return b_.value(y, name); });
  }

  template <typename Left, typename Right>
  Status compare_values(const std::string& prompt, const std::vector<std::string>& in_a,
                        const std::vector<std::string>& in_b, const Left& left,
                        const Right& right) {
    for (const std::string& name : in_a) {
      if (!matches_name(name, options_.filter)) continue;
      ++compared_;
      if (std::ranges::find(in_b, name) == in_b.end()) {
        row(prompt, name, "missing in b", nullptr, {});
      } else {
        APR_TRY(compare_value(prompt, name, left(name), right(name)));
      }
    }
    for (const std::string& name : in_b) {
      if (!matches_name(name, options_.filter)) continue;
      if (std::ranges::find(in_a, name) != in_a.end()) continue;
      ++compared_;
      row(prompt, name, "missing in a", nullptr, {});
    }
    return {};
  }

  Status compare_value(const std::string& prompt, const std::string& name, const GoldenValue& left,
                       const GoldenValue& right) {
    if (left.shape != right.shape) {
      row(prompt, name, cat("shape ", left.shape.to_string(), " and ", right.shape.to_string()),
          nullptr, {});
      return {};
    }
    if (left.listed != right.listed) {
      row(prompt, name, "other rows were stored", nullptr, {});
      return {};
    }
    const auto view = [](const GoldenValue& value) {
      return TensorView{Type::f32, value.shape, std::as_bytes(value.numbers), kRowsLayout};
    };
    APR_ASSIGN(const TensorDifference found,
               compare_tensors(view(left), view(right), context_.threads));
    max_abs_ = std::max(max_abs_, found.max_abs);
    max_relative_ = std::max(max_relative_, found.relative_rms);
    min_cosine_ = std::min(min_cosine_, found.cosine);
    const char* status = found.equal()            ? "same"
                         : options_.allows(found) ? "within tolerance"
                                                  : "values";
    row(prompt, name, status, &found, left.shape);
    return {};
  }

  void row(const std::string& prompt, const std::string& name, std::string status,
           const TensorDifference* figures, const Shape& shape) {
    Json json = Json::object({{"prompt", prompt}, {"name", name}, {"status", status}});
    if (figures != nullptr) {
      const Json all = difference_as_json(*figures, shape);
      for (const auto& [key, value] : all.as_object()) json.set(key, value);
    }
    if (status == "within tolerance") {
      ++within_;
    } else if (status != "same") {
      ++differ_;
      values_ = DiffClass::model;
      // In the order of computation: the first one is where to look.
      if (first_value_.empty()) first_value_ = cat(prompt, ".", name);
      Json copy = json;
      copy.set("part", "values");
      copy.set("class", "model");
      differences_.push_back(std::move(copy));
    }
    rows_.push_back(std::move(json));
  }

  std::string prompts_summary() const {
    if (problems_ == 0) return cat(plural(a_.prompts().size(), "prompt"), ", same ids and tokens");
    return problems_ == 1 ? first_ : cat(first_, " (and ", problems_ - 1, " more)");
  }

  std::string values_summary() const {
    if (differ_ > 0) {
      return cat(differ_, " of ", plural(compared_, "value"), " differ, the first is ",
                 first_value_);
    }
    if (within_ > 0) {
      return cat(within_, " of ", plural(compared_, "value"), " differ within the tolerance");
    }
    return cat("all ", plural(compared_, "value"), " equal");
  }

  RunContext& context_;
  const GoldenTrace& a_;
  const GoldenTrace& b_;
  const DiffOptions& options_;
  Json parts_ = Json::array();
  Json differences_ = Json::array();
  Json rows_ = Json::array();
  DiffClass class_ = DiffClass::same;
  DiffClass prompts_ = DiffClass::same;
  DiffClass values_ = DiffClass::same;
  std::uint64_t compared_ = 0;
  std::uint64_t differ_ = 0;
  std::uint64_t within_ = 0;
  std::uint64_t problems_ = 0;
  double max_abs_ = 0;
  double max_relative_ = 0;
  double min_cosine_ = 1;
  std::string first_;
  std::string first_value_;
};

}  // namespace

Result<Json> diff_traces(RunContext& context, const GoldenTrace& a, const GoldenTrace& b,
                         const DiffOptions& options) {
  return TraceDiff(context, a, b, options).run();
}

}  // namespace apr
