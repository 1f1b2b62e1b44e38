// apr trace: every value that a model computes for a prompt, by name.
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/golden_trace.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "trace";
  info.summary = "record what a model computes for a prompt, node by node";
  info.details =
      "Prints shape and statistics of every value whose name matches --nodes. --export writes the "
      "values as a golden trace: golden.json and golden.safetensors, which `apr test-model` checks "
      "other models, backends and versions against. The prompt is taken as it is; special tokens "
      "in it are recognised with --parse-special. Values that no one names are not computed: "
      "attention probabilities of all layers take --nodes '*'.";
  info.params.push_back(model_param());
  info.params.push_back(text_param("prompt", "TEXT", "the text to run"));
  info.params.push_back(
      flag_param("parse-special", "recognise special tokens such as <|im_end|> in the prompt"));
  info.params.push_back(text_param("ids", "LIST", "token ids instead of a prompt: 1,403,407"));
  Param nodes = text_param("nodes", "PATTERN",
                           "values to record: a shell pattern (*, ?, [...]); by default the "
                           "embedding, every layer's output, layer 0's attention, the last norm");
  info.params.push_back(std::move(nodes));
  Param limit;
  limit.name = "limit";
  limit.type = ParamType::integer;
  limit.minimum = 0;
  limit.fallback = Json(0);
  limit.help = "show at most so many values; 0 shows all";
  limit.affects_result = false;
  info.params.push_back(std::move(limit));
  Param greedy;
  greedy.name = "greedy";
  greedy.type = ParamType::integer;
  greedy.minimum = 0;
  greedy.maximum = 4096;
  greedy.fallback = Json(32);
  greedy.help = "greedy tokens to record after the prompt";
  info.params.push_back(std::move(greedy));
  Param name = text_param("name", "NAME", "the prompt's name in the exported trace");
  name.fallback = Json("prompt");
  info.params.push_back(std::move(name));
  Param target = text_param("export", "FOLDER", "write the values as a golden trace");
  target.role = ParamRole::output;
  target.letter = 'o';
  info.params.push_back(std::move(target));
  info.params.push_back(force_param());
  info.params.push_back(mode_param(Mode::exact));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr trace tiny.apr --prompt 'Hello'", "statistics of the main values"},
      {"apr trace tiny.apr --prompt 'Hello' --nodes 'layer0.*'", "everything in one layer"},
      {"apr trace tiny.apr --prompt 'Hello' --export trace", "a trace for apr test-model"}};
  return info;
}

Result<std::vector<TokenId>> parse_ids(std::string_view text) {
  std::vector<TokenId> ids;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    TokenId id = 0;
    const auto read = std::from_chars(word.data(), word.data() + word.size(), id);
    if (read.ec != std::errc() || read.ptr != word.data() + word.size() || id < 0) {
      return make_error(ErrorCode::usage, cat("--ids: '", word, "' is not an id"), {},
                        "write numbers and commas: --ids 1,403,407");
    }
    ids.push_back(id);
  }
  return ids;
}

bool is_default_node(std::string_view name) {
  if (name == "embed" || name == "final_norm" || name == "layer0.attn_probs") return true;
  return name.starts_with("layer") && name.ends_with(".out") &&
         std::count(name.begin(), name.end(), '.') == 1;
}

/// Names of the graph's float values that were asked for, in the order of computation.
Result<std::vector<std::string>> chosen_values(const Graph& graph, const std::string& pattern) {
  std::vector<std::string> names;
  for (const Value& value : graph.values()) {
    if (!value.producer || value.type.element != Element::f32) continue;
    const bool is_wanted = pattern.empty() ? is_default_node(value.name)
                                           : ::fnmatch(pattern.c_str(), value.name.c_str(), 0) == 0;
    if (is_wanted) names.push_back(value.name);
  }
  if (!names.empty()) return names;
  std::string some;
  for (const Value& value : graph.values().first(std::min<std::size_t>(8, graph.values().size()))) {
    some += cat(some.empty() ? "" : ", ", value.name);
  }
  return make_error(ErrorCode::not_found, cat("no value's name matches '", pattern, "'"), {},
                    cat("names look like: ", some));
}

struct Statistics {
  double min = HUGE_VAL;
  double max = -HUGE_VAL;
  double mean = 0;
  double rms = 0;
  std::uint64_t not_numbers = 0;
};

Statistics statistics_of(std::span<const float> numbers) {
  Statistics result;
  double sum = 0;
  double squares = 0;
  for (const float number : numbers) {
    if (!std::isfinite(number)) {
      ++result.not_numbers;
      continue;
    }
    const double value = number;
    result.min = std::min(result.min, value);
    result.max = std::max(result.max, value);
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(numbers.size() - result.not_numbers);
  if (count > 0) {
    result.mean = sum / count;
    result.rms = std::sqrt(squares / count);
  } else {
    result.min = result.max = std::nan("");
  }
  return result;
}

Status check_fits(const ModelFacts& facts, std::size_t tokens, std::size_t greedy) {
  if (facts.max_position_embeddings == 0 || tokens + greedy <= facts.max_position_embeddings)
    return {};
  return make_error(ErrorCode::usage, cat("the prompt has ", tokens, " tokens; with ", greedy,
                                          " greedy ones it does not fit the model's ",
                                          facts.max_position_embeddings, " positions"));
}

/// One prompt's values and what follows from them.
class Tracer {
 public:
  Tracer(const Model& model, std::string name, std::vector<TokenId> ids)
      : model_(model), name_(std::move(name)), ids_(std::move(ids)) {}

  Status run(const std::vector<std::string>& names, std::size_t greedy) {
    APR_ASSIGN(
        Session session,
        model_.start(static_cast<std::uint32_t>(ids_.size() + std::max<std::size_t>(greedy, 1))));
    TapCollector taps;
    APR_ASSIGN(const auto all, session.append_all_logits(0, ids_, {&taps, nullptr}));
    const std::size_t vocabulary = model_.facts().vocab_size;
    for (const std::string& name : names) {
      const auto found = taps.values().find(name);
      if (found == taps.values().end() || name == "logits") continue;
      values_.push_back(
          {cat(name_, ".", name), shape_of(name, found->second), found->second.numbers});
    }
    values_.push_back({cat(name_, ".logits_all"), Shape{ids_.size(), vocabulary},
                       std::vector<float>(all.begin(), all.end())});
    last_.assign(all.end() - static_cast<std::ptrdiff_t>(vocabulary), all.end());
    top_ = largest_ids(last_, 10);
    std::vector<float> logits = last_;
    for (std::size_t i = 0; i < greedy; ++i) {
      APR_TRY(check_interrupted());
      const TokenId next = largest_ids(logits, 1).front();
      greedy_.push_back(next);
      if (i + 1 == greedy) break;
      APR_ASSIGN(const auto row, session.append(0, {&next, 1}));
      logits.assign(row.begin(), row.end());
    }
    return {};
  }

  std::span<const TracedValue> values() const { return values_; }

  Json statistics() const {
    Json list = Json::array();
    for (const TracedValue& value : values_) {
      const Statistics s = statistics_of(value.numbers);
      list.push_back(Json::object({{"node", value.name.substr(name_.size() + 1)},
                                   {"shape", dims(value.shape)},
                                   {"min", s.min},
                                   {"max", s.max},
                                   {"mean", s.mean},
                                   {"rms", s.rms},
                                   {"not_numbers", s.not_numbers}}));
    }
    return list;
  }

  Json ids_json() const { return list_of(ids_); }
  Json top_json() const { return list_of(top_); }
  Json greedy_json() const { return list_of(greedy_); }

  Json prompt_json(const std::string& text, bool parse_special) const {
    Json logits = Json::array();
    for (const TokenId id : top_) {
      logits.push_back(static_cast<double>(last_[static_cast<std::size_t>(id)]));
    }
    Json names = Json::array();
    for (const TracedValue& value : values_) names.push_back(value.name);
    return Json::object({{"name", name_},
                         {"prompt", text},
                         {"parse_special", parse_special},
                         {"ids", ids_json()},
                         {"n_tokens", std::uint64_t{ids_.size()}},
                         {"top10_ids", top_json()},
                         {"top10_logits", std::move(logits)},
                         {"greedy_ids", greedy_json()},
                         {"greedy_stop_index", stop_index()},
                         {"tensors", std::move(names)}});
  }

 private:
  static Json dims(const Shape& shape) {
    Json list = Json::array();
    for (const std::uint64_t dim : shape.dims()) list.push_back(dim);
    return list;
  }

  static Json list_of(const std::vector<TokenId>& ids) {
    Json list = Json::array();
    for (const TokenId id : ids) list.push_back(std::int64_t{id});
    return list;
  }

  /// Attention probabilities are [heads, query, key]; everything else has a row per token.
  Shape shape_of(std::string_view name, const TapCollector::Value& value) const {
    const std::uint64_t heads = model_.facts().num_attention_heads;
    if (name.ends_with(".attn_probs") &&
        value.numbers.size() == heads * ids_.size() * ids_.size()) {
      return Shape{heads, ids_.size(), ids_.size()};
    }
    return Shape{value.rows, value.features};
  }

  Json stop_index() const {
    const auto& stops = model_.stop_ids();
    const auto found =
        std::find_first_of(greedy_.begin(), greedy_.end(), stops.begin(), stops.end());
    return found == greedy_.end() ? Json() : Json(std::int64_t{found - greedy_.begin()});
  }

  const Model& model_;
  std::string name_;
  std::vector<TokenId> ids_;
  std::vector<TracedValue> values_;
  std::vector<float> last_;
  std::vector<TokenId> top_;
  std::vector<TokenId> greedy_;
};

class Trace final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }
  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    if (params.has("prompt") == params.has("ids")) {
      return make_error(ErrorCode::usage, "give either --prompt or --ids");
    }
    const std::string& name = params.text("name");
    if (name.empty() || name.find('.') != std::string::npos) {
      return make_error(ErrorCode::usage, "--name must not be empty or hold a dot");
    }
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    APR_ASSIGN(const auto names, chosen_values(graph, params.text("nodes")));
    std::string text = params.text("prompt");
    APR_ASSIGN(const auto ids, ids_of(params, package, text));
    if (ids.empty()) return make_error(ErrorCode::usage, "the prompt has no tokens");

    APR_TRY(
        check_fits(graph.facts(), ids.size(), static_cast<std::size_t>(params.integer("greedy"))));

    CompileOptions compile;
    compile.taps = names;
    compile.max_tokens = static_cast<std::uint32_t>(ids.size());
    compile.max_logit_rows = compile.max_tokens;
    APR_ASSIGN(const Model model, load_model(context, std::move(package), std::move(compile)));
    APR_TRY(require_causal(model, info_.name));
    for (const TokenId id : ids) {
      if (static_cast<std::uint32_t>(id) >= model.facts().vocab_size) {
        return make_error(ErrorCode::usage, cat("id ", id, " is not in the vocabulary of ",
                                                model.facts().vocab_size, " ids"));
      }
    }
    Tracer tracer(model, name, ids);
    APR_TRY(tracer.run(names, static_cast<std::size_t>(params.integer("greedy"))));

    Json report = Json::object({{"model", params.text("model")},
                                {"backend", model.executable()->description()},
                                {"mode", params.text("mode")},
                                {"ids", tracer.ids_json()},
                                {"values", tracer.statistics()},
                                {"top10_ids", tracer.top_json()},
                                {"greedy_ids", tracer.greedy_json()},
                                {"limit", params.integer("limit")}});
    if (params.has("export")) {
      APR_TRY(write_golden_trace(params.text("export"), params.flag("force"),
                                 trace_json(model, tracer, text, params.flag("parse-special")),
                                 tracer.values()));
      report.set("export", params.text("export"));
    }
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    using Align = Table::Align;
    Table table({{"value", Align::left},
                 {"shape", Align::right},
                 {"min", Align::right},
                 {"max", Align::right},
                 {"mean", Align::right},
                 {"rms", Align::right},
                 {"", Align::left}});
    const auto limit = static_cast<std::size_t>(report["limit"].as_integer());
    std::size_t shown = 0;
    for (const Json& value : report["values"].as_array()) {
      if (limit != 0 && shown++ == limit) break;
      std::string shape;
      for (const Json& dim : value["shape"].as_array()) {
        shape += cat(shape.empty() ? "" : " × ", dim.as_integer());
      }
      std::vector<std::string> row = {printable(value["node"].as_string()), shape};
      for (const char* key : {"min", "max", "mean", "rms"}) {
        row.push_back(value[key].is_null() ? "-" : significant(value[key].as_number(), 4));
      }
      const std::int64_t bad = value["not_numbers"].as_integer();
      row.push_back(bad == 0 ? "" : style.red(cat(bad, " not numbers")));
      table.row(std::move(row));
    }
    out << table.to_string(style);
    out << style.dim(cat(plural(report["values"].size(), "value"), " of ",
                         plural(report["ids"].size(), "token"), "; ",
                         printable(report["backend"].as_string())))
        << "\n";
    if (report.contains("export")) {
      out << style.green("✓") << " " << printable(report["export"].as_string())
          << " holds golden.json and golden.safetensors\n";
    }
  }

 private:
  /// The ids to run; fills in the text when they were given.
  static Result<std::vector<TokenId>> ids_of(const Values& params, const Package& package,
                                             std::string& text) {
    if (params.has("ids")) {
      APR_ASSIGN(auto ids, parse_ids(params.text("ids")));
      if (const auto tokenizer = tokenizer_of(package)) {
        if (const auto decoded = tokenizer->decode(ids, false)) text = *decoded;
      }
      return ids;
    }
    APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
    return tokenizer.encode(text, {true, params.flag("parse-special")});
  }

  static Json trace_json(const Model& model, const Tracer& tracer, const std::string& text,
                         bool parse_special) {
    Json notes = Json::array();
    for (const char* note :
         {"layerN.out is the hidden state after decoder layer N (before the next norm)",
          "attn_probs is [heads, query, key]", "final_norm is after the last norm",
          "greedy_ids is not cut at a stop token"}) {
      notes.push_back(note);
    }
    Json stops = Json::array();
    for (const TokenId id : model.stop_ids()) stops.push_back(std::int64_t{id});
    Json prompts = Json::array();
    prompts.push_back(tracer.prompt_json(text, parse_special));
    return Json::object(
        {{"format", 1},
         {"reference", cat("apr ", APR_VERSION, ", ", model.executable()->description())},
         {"notes", std::move(notes)},
         {"stop_ids", std::move(stops)},
         {"prompts", std::move(prompts)}});
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_trace() {
  return std::make_unique<Trace>();
}

}  // namespace apr
