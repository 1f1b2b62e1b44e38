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
#include "orchestrator/stages/heard_frames.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/step_tokens.h"
#include "orchestrator/stages/tracer.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::size_t kGreedy = 32;

VerbInfo describe() {
  VerbInfo info;
  info.name = "trace";
  info.summary = "record what a model computes for a prompt, node by node";
  info.details =
      "Prints shape and statistics of every value whose name matches --nodes. --export writes the "
      "values as a golden trace: golden.json and golden.safetensors, which `apr test-model` checks "
      "other models, backends and versions against. The prompt is taken as it is; special tokens "
      "in it are recognised with --parse-special. Values that no one names are not computed: "
      "attention probabilities of all layers take --nodes '*'.\n\n"
      "An encoder of texts may be given a --pair of them. A model of speech needs --audio, and its "
      "prompt is all that comes before the text: its special tokens are recognised.";
  info.params.push_back(model_param());
  info.params.push_back(text_param("prompt", "TEXT", "the text to run"));
  info.params.push_back(
      flag_param("parse-special", "recognise special tokens such as <|im_end|> in the prompt"));
  info.params.push_back(
      text_param("pair", "TEXT", "a second text, for models that read two together"));
  info.params.push_back(text_param("ids", "LIST", "token ids instead of a prompt: 1,403,407"));
  info.params.push_back(text_param("token-types", "LIST",
                                   "token types beside --ids, for models that have them: 0,0,1"));
  Param audio = text_param("audio", "FILE", "what a model of speech shall hear: any sound file");
  audio.role = ParamRole::input;
  info.params.push_back(std::move(audio));
  Param nodes =
      text_param("nodes", "PATTERN",
                 "values to record: a shell pattern (*, ?, [...]); by default the "
                 "embedding, every layer's output, layer 0's attention, the last norm, what "
                 "the model returns");
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
  greedy.help =
      "greedy tokens to record after the prompt; by default 32, or what a shorter context leaves";
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
      {"apr trace tiny.apr --prompt 'Hello' --export trace", "a trace for apr test-model"},
      {"apr trace bert.apr --prompt 'It rained.' --pair 'Mia stayed in.'", "two texts at once"},
      {"apr trace whisper.apr --audio talk.wav --prompt '<|startoftranscript|><|en|>'",
       "what a model of speech hears and begins to write"}};
  return info;
}

Result<std::vector<std::int32_t>> parse_numbers(const char* option, std::string_view text) {
  std::vector<std::int32_t> numbers;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    std::int32_t number = 0;
    const auto read = std::from_chars(word.data(), word.data() + word.size(), number);
    if (read.ec != std::errc() || read.ptr != word.data() + word.size() || number < 0) {
      return make_error(ErrorCode::usage, cat(option, ": '", word, "' is not an id"), {},
                        cat("write numbers and commas: ", option, " 1,403,407"));
    }
    numbers.push_back(number);
  }
  return numbers;
}

bool is_default_node(const Graph& graph, const Value& value) {
  if (std::ranges::any_of(graph.outputs(),
                          [&](ValueId id) { return graph.value(id).name == value.name; })) {
    return true;
  }
  std::string_view name = value.name;
  for (const std::string_view stack : {"enc.", "dec."}) {
    if (name.starts_with(stack)) name.remove_prefix(stack.size());
  }
  if (name == "embed" || name == "final_norm") return true;
  // Those of an encoder of frames are large.
  if (is_pairs(value.type.rows)) {
    return name.starts_with("layer0.") && value.type.rows != Rows::state_pairs;
  }
  return name.starts_with("layer") && name.ends_with(".out") &&
         std::count(name.begin(), name.end(), '.') == 1;
}

/// Names of the graph's float values that were asked for, in the order of computation.
Result<std::vector<std::string>> chosen_values(const Graph& graph, const std::string& pattern) {
  std::vector<std::string> names;
  for (const Value& value : graph.values()) {
    if (!value.producer || value.type.element != Element::f32) continue;
    const bool is_wanted = pattern.empty() ? is_default_node(graph, value)
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

Status check_fits(const ModelFacts& facts, std::size_t tokens, std::size_t greedy) {
  if (facts.max_position_embeddings == 0 || tokens + greedy <= facts.max_position_embeddings)
    return {};
  return make_error(ErrorCode::usage, cat("the prompt has ", tokens, " tokens; with ", greedy,
                                          " greedy ones it does not fit the model's ",
                                          facts.max_position_embeddings, " positions"));
}

/// As many as asked for, or as fit.
std::size_t greedy_tokens(const Values& params, const ModelFacts& facts, std::size_t prompt) {
  if (params.has("greedy")) return static_cast<std::size_t>(params.integer("greedy"));
  if (!facts.causal) return 0;
  const std::size_t positions = facts.max_position_embeddings;
  if (positions == 0) return kGreedy;
  return std::min(kGreedy, positions - std::min(positions, prompt));
}

Error usage_for(const ModelFacts& facts, const std::string& what, std::string hint = {}) {
  return make_error(ErrorCode::usage, cat(facts.architecture, " ", what), {}, std::move(hint));
}

/// Options that the model has no use for are errors, as are those that it lacks.
Status check_options(const Values& params, const Graph& graph) {
  const ModelFacts& facts = graph.facts();
  const bool hears = facts.max_frames > 0;
  if (params.has("audio") && !hears) return usage_for(facts, "does not hear; leave out --audio");
  if (!params.has("audio") && hears) {
    return usage_for(facts, "hears before it writes; give it a sound with --audio FILE");
  }
  if (params.has("pair") && params.has("ids")) {
    return make_error(ErrorCode::usage, "--pair belongs to --prompt, not to --ids");
  }
  if (params.has("token-types") && !params.has("ids")) {
    return make_error(ErrorCode::usage, "--token-types belongs to --ids");
  }
  if (params.has("greedy") && !facts.causal) {
    return usage_for(facts, "does not predict tokens; leave out --greedy");
  }
  if (takes_token_types(graph)) return {};
  for (const char* option : {"pair", "token-types"}) {
    if (params.has(option)) {
      return usage_for(facts, cat("has no token types; leave out --", option));
    }
  }
  return {};
}

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
    APR_TRY(check_options(params, graph));
    APR_ASSIGN(const auto names, chosen_values(graph, params.text("nodes")));
    APR_ASSIGN(TracedPrompt prompt, prompt_of(context, package, graph));
    const std::size_t greedy = greedy_tokens(params, graph.facts(), prompt.ids.size());
    APR_TRY(check_fits(graph.facts(), prompt.ids.size(), greedy));

    CompileOptions compile;
    compile.taps = names;
    compile.max_tokens = static_cast<std::uint32_t>(prompt.ids.size());
    compile.max_logit_rows = compile.max_tokens;
    APR_ASSIGN(const Model model, load_model(context, std::move(package), std::move(compile)));
    for (const TokenId id : prompt.ids) {
      if (static_cast<std::uint32_t>(id) >= model.facts().vocab_size) {
        return make_error(ErrorCode::usage, cat("id ", id, " is not in the vocabulary of ",
                                                model.facts().vocab_size, " ids"));
      }
    }
    Tracer tracer(model, std::move(prompt));
    APR_TRY(tracer.run(names, greedy));

    Json report = Json::object({{"model", params.text("model")},
                                {"backend", model.executable()->description()},
                                {"mode", params.text("mode")},
                                {"ids", tracer.ids_json()}});
    if (takes_token_types(graph)) report.set("token_type_ids", tracer.types_json());
    report.set("values", tracer.statistics());
    if (graph.facts().causal) {
      report.set("top10_ids", tracer.top_json());
      report.set("greedy_ids", tracer.greedy_json());
    }
    report.set("limit", params.integer("limit"));
    if (params.has("export")) {
      APR_TRY(write_golden_trace(params.text("export"), params.flag("force"), tracer.trace_json(),
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
  /// What the ids say, for the reader of a trace.
  static void fill_in_text(const Package& package, bool add_special, TracedPrompt& prompt) {
    prompt.is_text_exact = false;
    const auto tokenizer = tokenizer_of(package);
    if (!tokenizer) return;
    const auto decoded = tokenizer->decode(prompt.ids, false);
    if (!decoded) return;
    prompt.text = *decoded;
    const auto again = tokenizer->encode_pair(prompt.text, {}, {add_special, prompt.parse_special});
    prompt.is_text_exact =
        again && again->ids == prompt.ids && (prompt.types.empty() || again->types == prompt.types);
  }

  static Result<TracedPrompt> prompt_of(RunContext& context, const Package& package,
                                        const Graph& graph) {
    const Values& params = context.params;
    const bool hears = graph.facts().max_frames > 0;
    TracedPrompt prompt;
    prompt.name = params.text("name");
    prompt.text = params.text("prompt");
    if (params.has("pair")) prompt.second_text = params.text("pair");
    prompt.parse_special = params.flag("parse-special") || hears;
    if (params.has("ids")) {
      APR_ASSIGN(prompt.ids, parse_numbers("--ids", params.text("ids")));
      APR_ASSIGN(prompt.types, parse_numbers("--token-types", params.text("token-types")));
      fill_in_text(package, !hears, prompt);
    } else {
      APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
      std::optional<std::string_view> second;
      if (prompt.second_text) second = *prompt.second_text;
      APR_ASSIGN(Encoding encoding,
                 tokenizer.encode_pair(prompt.text, second, {!hears, prompt.parse_special}));
      prompt.ids = std::move(encoding.ids);
      prompt.types = std::move(encoding.types);
    }
    if (prompt.ids.empty()) return make_error(ErrorCode::usage, "the prompt has no tokens");
    if (!takes_token_types(graph)) prompt.types.clear();
    if (takes_token_types(graph) && prompt.types.empty()) prompt.types.resize(prompt.ids.size());
    if (!prompt.types.empty() && prompt.types.size() != prompt.ids.size()) {
      return make_error(ErrorCode::usage, cat("--token-types has ", prompt.types.size(),
                                              " numbers, and --ids ", prompt.ids.size()));
    }
    if (hears) {
      APR_ASSIGN(const LogMel front_end, front_end_of(package, graph));
      APR_ASSIGN(prompt.frames, frames_of_recording(context, front_end, params.text("audio")));
    }
    return prompt;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_trace() {
  return std::make_unique<Trace>();
}

}  // namespace apr
