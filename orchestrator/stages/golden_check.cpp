#include "orchestrator/stages/golden_check.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "core/base/cat.h"
#include "core/runtime/bind.h"

namespace apr {

namespace {

/// For weights of at least so many bits per element. Measured on the two trained models, and about
/// doubled; see docs/golden-traces.md.
struct TypeLimit {
  double bits;
  double relative_rms;
  std::size_t top_overlap;
};
constexpr TypeLimit kTypeLimits[] = {{8.0, 0.03, 9}, {6.0, 0.1, 8}, {5.0, 0.25, 7}, {0.0, 0.4, 6}};
constexpr TypeLimit kHalfLimit = {16.0, 0.002, 9};
constexpr TypeLimit kBrainLimit = {16.0, 0.015, 9};

TypeLimit limit_for(Type weights) {
  if (weights == Type::f16) return kHalfLimit;
  if (weights == Type::bf16) return kBrainLimit;
  const double bits = bits_per_element(weights);
  return *std::find_if(std::begin(kTypeLimits), std::end(kTypeLimits),
                       [bits](const TypeLimit& limit) { return bits >= limit.bits; });
}

bool equal(std::span<const TokenId> a, std::span<const TokenId> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

Json ids_json(const std::vector<TokenId>& ids) {
  Json list = Json::array();
  for (const TokenId id : ids) list.push_back(std::int64_t{id});
  return list;
}

void check_ids(const Model& model, const GoldenPrompt& prompt, PromptCheck& check) {
  const auto tokenizer = model.tokenizer();
  if (!tokenizer) {
    check.ids = false;
    check.ids_problem = tokenizer.error().message;
    return;
  }
  const auto ids = (*tokenizer)->encode(prompt.text, {true, prompt.parse_special});
  if (!ids) {
    check.ids = false;
    check.ids_problem = ids.error().message;
    return;
  }
  check.ids = *ids == prompt.ids;
  if (*check.ids) return;
  const auto [ours, theirs] =
      std::mismatch(ids->begin(), ids->end(), prompt.ids.begin(), prompt.ids.end());
  const auto shown = [](auto it, auto end) {
    return it == end ? std::string("the end") : cat("id ", *it);
  };
  check.ids_problem = cat("token ", ours - ids->begin(), " is ", shown(ours, ids->end()),
                          ", the reference has ", shown(theirs, prompt.ids.end()));
}

class PromptRun {
 public:
  PromptRun(const Model& model, const GoldenTrace& trace, const GoldenPrompt& prompt,
            const GoldenCheckOptions& options, PromptCheck& check)
      : model_(model), trace_(trace), prompt_(prompt), options_(options), check_(check) {}

  Status run(Session& session) {
    TapCollector taps;
    APR_ASSIGN(const auto all, session.append_all_logits(0, prompt_.ids, {&taps, nullptr}));
    const std::size_t vocabulary = model_.facts().vocab_size;
    const std::vector<float> last(all.end() - static_cast<std::ptrdiff_t>(vocabulary), all.end());
    compare_values(taps, all);
    compare_controls(taps, all);
    compare_top(last);
    return compare_greedy(session, last);
  }

 private:
  void compare_values(const TapCollector& taps, std::span<const float> all) {
    std::vector<std::pair<std::size_t, std::string>> ordered;
    for (const std::string& name : prompt_.values) {
      const auto id = model_.graph().find_value(part_of(name).value);
      ordered.emplace_back(id ? static_cast<std::size_t>(*id) : static_cast<std::size_t>(-1), name);
    }
    std::sort(ordered.begin(), ordered.end());
    for (const auto& [order, name] : ordered) {
      const GoldenValue& reference = trace_.value(prompt_, name);
      const std::vector<float> found = found_rows(taps, all, part_of(name), reference.shape);
      NodeCheck node = check_node(name, reference, found, tolerance_of(name));
      if (is_stream(name)) noise_ = node.relative_rms;
      check_.nodes.push_back(std::move(node));
    }
  }

  void compare_controls(const TapCollector& taps, std::span<const float> all) {
    if (options_.tolerance.type_aware) return;
    for (const std::string& name : prompt_.controls) {
      const GoldenPart part = part_of(std::string_view(name).substr(name.find('.') + 1));
      const GoldenValue& reference = trace_.value(prompt_, name);
      const std::vector<float> found = found_rows(taps, all, part, reference.shape);
      NodeCheck control = check_node(name, reference, found, tolerance_of(part.value));
      const bool comparable = found.size() == reference.numbers.size();
      if (comparable) {
        control.remark = control.passed ? "the model agrees with a known mistake" : "";
        control.passed = !control.passed;
      }
      check_.controls.push_back(std::move(control));
    }
  }

  /// What the model computed of a stored value: all of it, or the last rows of each of its tables.
  static std::vector<float> found_rows(const TapCollector& taps, std::span<const float> logits,
                                       const GoldenPart& part, const Shape& shape) {
    std::span<const float> all;
    if (part.value == "logits") {
      all = logits;
    } else if (const auto value = taps.values().find(part.value); value != taps.values().end()) {
      all = value->second.numbers;
    }
    const std::size_t columns = shape.columns();
    const std::size_t tables = shape.rank() > 2 ? shape[0] : 1;
    const std::size_t wanted = part.tail * columns;
    if (part.tail == 0 || wanted == 0 || tables == 0 || all.size() % (tables * columns) != 0 ||
        all.size() / tables < wanted) {
      return {all.begin(), all.end()};
    }
    std::vector<float> rows;
    for (std::size_t table = 1; table <= tables; ++table) {
      const auto end = all.begin() + static_cast<std::ptrdiff_t>(table * (all.size() / tables));
      rows.insert(rows.end(), end - static_cast<std::ptrdiff_t>(wanted), end);
    }
    return rows;
  }

  /// The values that one layer hands to the next, from the embedding to the logits.
  static bool is_stream(std::string_view name) {
    return name == "embed" || name == "final_norm" || name.starts_with("logits") ||
           (name.starts_with("layer") && name.ends_with(".out") &&
            std::count(name.begin(), name.end(), '.') == 1);
  }

  /// Quantization noise grows little from layer to layer; a layer that makes far more of it than it
  /// was given is wrong, even where the limit of the type would still hold.
  GoldenTolerance tolerance_of(const std::string& name) const {
    GoldenTolerance tolerance = options_.tolerance;
    if (!tolerance.type_aware || !noise_ || !is_stream(name)) return tolerance;
    tolerance.relative_rms =
        std::min(tolerance.relative_rms, std::max(tolerance.relative_rms / 2, 3 * *noise_));
    return tolerance;
  }

  void compare_top(std::span<const float> last) {
    check_.top_reference = prompt_.top_ids;
    check_.top_found = largest_ids(last, prompt_.top_ids.size());
    const std::set<TokenId> found(check_.top_found.begin(), check_.top_found.end());
    for (const TokenId id : prompt_.top_ids) check_.top_common += found.count(id);
    if (!options_.tolerance.type_aware) {
      check_.top_passed = equal(check_.top_found, prompt_.top_ids);
      return;
    }
    const std::size_t wanted = std::min(options_.tolerance.top_overlap, prompt_.top_ids.size());
    check_.top_passed = check_.top_common >= wanted;
  }

  Status compare_greedy(Session& session, std::vector<float> last) {
    const std::size_t count =
        prompt_.greedy_stop ? *prompt_.greedy_stop + 1 : prompt_.greedy_ids.size();
    std::size_t equal_ids = 0;
    for (; equal_ids < count; ++equal_ids) {
      const TokenId wanted = prompt_.greedy_ids[equal_ids];
      const std::vector<TokenId> best = largest_ids(last, 1);
      if (best.front() != wanted) break;
      if (equal_ids + 1 == count) continue;
      APR_ASSIGN(const auto logits, session.append(0, {&wanted, 1}));
      last.assign(logits.begin(), logits.end());
    }
    check_.greedy_compared = count;
    check_.greedy_equal = equal_ids;
    if (!options_.tolerance.type_aware) check_.greedy_passed = equal_ids == count;
    return {};
  }

  const Model& model_;
  const GoldenTrace& trace_;
  const GoldenPrompt& prompt_;
  const GoldenCheckOptions& options_;
  PromptCheck& check_;
  std::optional<double> noise_;  ///< relative RMS of the last value that a layer handed on
};

}  // namespace

GoldenTolerance tolerance_for(Type weights, bool type_aware) {
  GoldenTolerance tolerance;
  if (weights == Type::f32 || (!traits(weights).quantized && !type_aware)) return tolerance;
  const TypeLimit limit = limit_for(weights);
  tolerance.type_aware = true;
  tolerance.relative_rms = limit.relative_rms;
  tolerance.top_overlap = limit.top_overlap;
  return tolerance;
}

void tighten(GoldenTolerance& tolerance, const SuggestedTolerance& suggested) {
  if (tolerance.type_aware) return;
  tolerance.hidden_states = suggested.hidden_states;
  tolerance.attention_probabilities = suggested.attention_probabilities;
  tolerance.logits = std::min(tolerance.logits, suggested.logits.value_or(tolerance.logits));
}

Type coarsest_weight_type(const Model& model) {
  Type coarsest = Type::f32;
  for (const Parameter& parameter : model.graph().parameters()) {
    const TensorEntry* entry = find_tensor(model.graph(), model.package(), parameter);
    if (entry == nullptr) continue;
    const Type type = entry->view.type;
    if (bits_per_element(type) < bits_per_element(coarsest)) coarsest = type;
  }
  return coarsest;
}

bool PromptCheck::passed() const {
  const auto passed = [](const NodeCheck& node) { return node.passed; };
  const bool nodes_passed = std::all_of(nodes.begin(), nodes.end(), passed) &&
                            std::all_of(controls.begin(), controls.end(), passed);
  return ids.value_or(true) && nodes_passed && top_passed && greedy_passed.value_or(true);
}

Result<PromptCheck> check_prompt(const Model& model, const GoldenTrace& trace,
                                 const GoldenPrompt& prompt, const GoldenCheckOptions& options) {
  PromptCheck check;
  check.prompt = prompt.name;
  if (options.check_tokenizer) check_ids(model, prompt, check);
  const std::size_t positions = prompt.ids.size() + prompt.greedy_ids.size();
  APR_ASSIGN(Session session, model.start(static_cast<std::uint32_t>(positions)));
  APR_TRY(PromptRun(model, trace, prompt, options, check).run(session));
  return check;
}

Json to_json(const PromptCheck& check) {
  Json json = Json::object({{"prompt", check.prompt}, {"passed", check.passed()}});
  Json ids = Json::object({{"checked", check.ids.has_value()}});
  if (check.ids) ids.set("passed", *check.ids);
  if (!check.ids_problem.empty()) ids.set("problem", check.ids_problem);
  json.set("tokenizer", std::move(ids));
  Json nodes = Json::array();
  for (const NodeCheck& node : check.nodes) nodes.push_back(to_json(node));
  json.set("nodes", std::move(nodes));
  if (!check.controls.empty()) {
    Json controls = Json::array();
    for (const NodeCheck& control : check.controls) controls.push_back(to_json(control));
    json.set("controls", std::move(controls));
  }
  json.set("top", Json::object({{"passed", check.top_passed},
                                {"reference", ids_json(check.top_reference)},
                                {"found", ids_json(check.top_found)},
                                {"common", std::uint64_t{check.top_common}}}));
  Json greedy = Json::object({{"compared", std::uint64_t{check.greedy_compared}},
                              {"equal", std::uint64_t{check.greedy_equal}}});
  if (check.greedy_passed) greedy.set("passed", *check.greedy_passed);
  json.set("greedy", std::move(greedy));
  return json;
}

}  // namespace apr
