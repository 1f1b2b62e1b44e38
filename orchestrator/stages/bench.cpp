// apr bench: how fast a model reads and writes here.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/memory.h"
#include "core/runtime/sampler.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/step_tokens.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::size_t kPrefill = 256;
constexpr std::size_t kDecode = 64;
constexpr std::size_t kBatch = 8;
constexpr std::size_t kMaxStep = std::size_t{1} << 20;

Param count_param(std::string name, std::int64_t fallback, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::integer;
  param.fallback = Json(fallback);
  param.minimum = 1;
  param.maximum = 1 << 24;
  param.help = std::move(help);
  return param;
}

VerbInfo describe() {
  VerbInfo info;
  info.name = "bench";
  info.summary = "measure how fast a model reads and writes on this machine";
  info.details =
      "Reads --prefill random tokens, then writes --decode tokens greedily, one at a time, in a "
      "fresh sequence each time; medians over --repeat runs are reported after one short run that "
      "is not counted, with their spread: standard deviation, slowest and fastest. Made-up weights "
      "are accepted: speed does not depend on their values.\n\n"
      "A model of speech first hears random frames, as many as its encoder takes (30 seconds for "
      "Whisper). An encoder of texts reads --batch sequences of --prefill tokens at once and "
      "writes nothing.";
  info.params.push_back(model_param());
  Param prefill = count_param("prefill", kPrefill,
                              "tokens to read; by default 256, or what a shorter context leaves");
  prefill.fallback = Json();
  info.params.push_back(std::move(prefill));
  Param decode = count_param("decode", kDecode, "tokens to write; by default 64");
  decode.fallback = Json();
  decode.aliases = {"max-tokens"};
  info.params.push_back(std::move(decode));
  Param batch = count_param("batch", kBatch,
                            "sequences that an encoder of texts reads at once; by default 8");
  batch.maximum = 4096;
  batch.fallback = Json();
  info.params.push_back(std::move(batch));
  Param repeat = count_param("repeat", 3, "runs");
  repeat.aliases = {"iterations"};
  info.params.push_back(std::move(repeat));
  Param seed = count_param("seed", 0, "of the random tokens");
  seed.minimum = 0;
  info.params.push_back(std::move(seed));
  info.params.push_back(mode_param(Mode::fast));
  info.params.push_back(backend_param());
  info.examples = {{"apr bench tiny.apr", "tokens per second"},
                   {"apr bench tiny.apr --prefill 512 --decode 128 --threads 2 --json",
                    "longer, for other programs"},
                   {"apr bench bert.apr --prefill 128 --batch 16", "an encoder of texts"}};
  info.metrics = {"prefill_tokens_per_second",
                  "decode_tokens_per_second",
                  "tokens_per_second",
                  "sequences_per_second",
                  "encoder_seconds",
                  "first_token_seconds",
                  "load_seconds",
                  "peak_rss_bytes",
                  "anonymous_bytes"};
  info.reproducible = false;
  return info;
}

double seconds_since(std::uint64_t begin) {
  return static_cast<double>(monotonic_ns() - begin) * 1e-9;
}

std::vector<TokenId> random_tokens(std::size_t count, std::uint32_t vocab_size,
                                   std::uint64_t seed) {
  std::vector<TokenId> ids(count);
  for (TokenId& id : ids) {  // splitmix64
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    id = static_cast<TokenId>((mixed ^ (mixed >> 31)) % vocab_size);
  }
  return ids;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// How far apart the runs are; the deviation of a single run is not known.
Json spread_of(const std::vector<double>& values) {
  const auto [least, most] = std::ranges::minmax(values);
  Json deviation;
  if (const auto count = static_cast<double>(values.size()); values.size() > 1) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    deviation = std::sqrt(squares / (count - 1));
  }
  return Json::object({{"min", least}, {"max", most}, {"stddev", deviation}});
}

Json list_of(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(value);
  return list;
}

/// What one run does.
struct Work {
  std::vector<TokenId> prompt;  ///< of all sequences
  std::size_t batch = 1;
  std::size_t decode = 0;
  std::vector<float> frames;  ///< none: the model does not hear
};

Result<Work> work_of(const Values& params, const Graph& graph) {
  const ModelFacts& facts = graph.facts();
  const auto given = [&](const char* name, std::size_t otherwise) {
    return params.has(name) ? static_cast<std::size_t>(params.integer(name)) : otherwise;
  };
  Work work;
  if (facts.causal) {
    if (params.has("batch")) {
      return make_error(ErrorCode::usage,
                        cat("--batch is for encoders of texts; ", facts.architecture, " is none"));
    }
    work.decode = given("decode", kDecode);
  } else {
    if (params.has("decode")) {
      return make_error(ErrorCode::usage, cat("--decode is for models that write; ",
                                              facts.architecture, " encodes whole texts"));
    }
    work.batch = given("batch", kBatch);
  }
  const std::size_t made_for = facts.max_position_embeddings;
  const std::size_t room = made_for > work.decode ? made_for - work.decode : kPrefill;
  const std::size_t prefill = given("prefill", std::min(kPrefill, room));
  if (made_for > 0 && prefill + work.decode > made_for) {
    return make_error(ErrorCode::usage,
                      work.decode == 0 ? cat("--prefill ", prefill, " is more than the ", made_for,
                                             " tokens that the model was made for")
                                       : cat("--prefill ", prefill, " and --decode ", work.decode,
                                             " together are ", prefill + work.decode,
                                             " tokens, but the model was made for ", made_for),
                      params.text("model"));
  }
  if (work.batch > 1 && prefill > kMaxStep / work.batch) {
    return make_error(ErrorCode::usage, cat(work.batch, " sequences of ", prefill,
                                            " tokens are too many for one step"));
  }
  const auto seed = static_cast<std::uint64_t>(params.integer("seed"));
  work.prompt = random_tokens(prefill * work.batch, facts.vocab_size, seed);
  for (const ValueId id : graph.inputs()) {
    const ValueType& type = graph.value(id).type;
    if (type.rows != Rows::frames) continue;
    constexpr std::uint32_t kSteps = 1 << 16;
    const std::size_t count = std::size_t{facts.max_frames} * type.features;
    for (const TokenId step : random_tokens(count, kSteps, seed)) {
      work.frames.push_back(2 * static_cast<float>(step) / kSteps - 1);
    }
  }
  return work;
}

struct Measured {
  double encoder_seconds = 0;
  double prefill_seconds = 0;
  double first_token_seconds = 0;
  double decode_seconds = 0;
};

/// Whole sequences in one step.
Result<Measured> measure_batch(Session& session, const Work& work, std::size_t length) {
  StepTokens step;
  for (std::size_t i = 0; i < work.batch; ++i) {
    step.add(static_cast<SequenceId>(i), 0, std::span(work.prompt).subspan(i * length, length));
  }
  Measured measured;
  const std::uint64_t begin = monotonic_ns();
  APR_TRY(step.run(session));
  measured.prefill_seconds = seconds_since(begin);
  return measured;
}

/// `length` tokens of the prompt, then `decode` more.
Result<Measured> measure(Session& session, const Work& work, std::size_t length,
                         std::size_t decode) {
  APR_TRY(check_interrupted());
  if (!session.executable().graph().facts().causal) return measure_batch(session, work, length);
  session.release(0);
  APR_ASSIGN(Sampler sampler, Sampler::create({}));
  Measured measured;
  const std::uint64_t begin = monotonic_ns();
  if (!work.frames.empty()) APR_TRY(session.encode(0, work.frames));
  measured.encoder_seconds = seconds_since(begin);
  const std::uint64_t prefill_begin = monotonic_ns();
  // In steps, so that Ctrl-C is heard in between.
  const std::size_t step = session.executable().options().max_tokens;
  std::span<const float> logits;
  for (std::size_t done = 0; done < length; done += step) {
    APR_TRY(check_interrupted());
    const std::size_t count = std::min(step, length - done);
    APR_ASSIGN(logits, session.append(0, std::span(work.prompt).subspan(done, count)));
  }
  measured.prefill_seconds = seconds_since(prefill_begin);
  APR_ASSIGN(TokenId id, sampler.sample(logits, {}));
  measured.first_token_seconds = seconds_since(begin);
  const std::uint64_t decode_begin = monotonic_ns();
  for (std::size_t i = 0; i < decode; ++i) {
    APR_TRY(check_interrupted());
    APR_ASSIGN(logits, session.append(0, {&id, 1}));
    APR_ASSIGN(id, sampler.sample(logits, {}));
  }
  measured.decode_seconds = seconds_since(decode_begin);
  return measured;
}

/// The figures of all runs.
struct Figures {
  std::vector<double> prefill_rates;
  std::vector<double> decode_rates;
  std::vector<double> first;
  std::vector<double> encoder;
};

class Bench final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    context.params.set("allow-synthetic", true);
    const Values& params = context.params;
    const auto repeat = static_cast<std::size_t>(params.integer("repeat"));

    const std::uint64_t load_begin = monotonic_ns();
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    APR_ASSIGN(const Work work, work_of(params, graph));
    CompileOptions compile;
    if (!graph.facts().causal) compile.max_tokens = static_cast<std::uint32_t>(work.prompt.size());
    APR_ASSIGN(const Model model, load_model(context, std::move(package), std::move(compile)));
    const double load_seconds = seconds_since(load_begin);
    const std::size_t prefill = work.prompt.size() / work.batch;
    APR_ASSIGN(Session session, model.start(static_cast<std::uint32_t>(prefill + work.decode),
                                            static_cast<std::uint32_t>(work.batch)));
    APR_TRY(measure(session, work, std::min<std::size_t>(prefill, 16), 1));

    Figures figures;
    for (std::size_t i = 0; i < repeat; ++i) {
      context.progress.update("runs", i, repeat);
      APR_ASSIGN(const Measured measured, measure(session, work, prefill, work.decode));
      figures.prefill_rates.push_back(static_cast<double>(work.prompt.size()) /
                                      measured.prefill_seconds);
      figures.decode_rates.push_back(static_cast<double>(work.decode) / measured.decode_seconds);
      figures.first.push_back(measured.first_token_seconds);
      figures.encoder.push_back(measured.encoder_seconds);
    }
    context.progress.finish();
    return Outcome{.report = report_of(context, model, work, figures, load_seconds)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const auto rate = [&](std::string_view what) {
      const double value = report[cat(what, "_tokens_per_second")].as_number();
      const Json& spread = report[cat(what, "_spread")];
      std::string text = cat(style.bold(fixed(value, 1)), " tokens/s");
      if (spread["stddev"].is_number() && value > 0) {
        text +=
            cat(" ± ", fixed(100 * spread["stddev"].as_number() / value, 1), " %, ",
                fixed(spread["min"].as_number(), 1), " to ", fixed(spread["max"].as_number(), 1));
      }
      return text;
    };
    const auto bytes = [&](std::string_view key) {
      return human_bytes(static_cast<std::uint64_t>(report[key].as_integer()));
    };
    std::vector<std::pair<std::string, std::string>> lines;
    if (report.contains("encoder_seconds")) {
      lines.emplace_back(
          "Hears", cat(style.bold(human_seconds(report["encoder_seconds"].as_number())), " for ",
                       report["encoder_frames"].as_integer(), " frames"));
    }
    std::string read = plural(static_cast<std::uint64_t>(report["prefill"].as_integer()), "token");
    if (report.contains("batch")) {
      read = cat(report["batch"].as_integer(), " sequences of ", read, " at once; ",
                 fixed(report["sequences_per_second"].as_number(), 1), " sequences/s");
    }
    lines.emplace_back("Reads", cat(rate("prefill"), " (", read, ")"));
    if (report.contains("decode")) {
      lines.emplace_back(
          "Writes",
          cat(rate("decode"), " (",
              plural(static_cast<std::uint64_t>(report["decode"].as_integer()), "token"), ")"));
      lines.emplace_back("First token after",
                         human_seconds(report["first_token_seconds"].as_number()));
    }
    lines.emplace_back("Loaded in", human_seconds(report["load_seconds"].as_number()));
    lines.emplace_back("Memory", cat(bytes("peak_rss_bytes"), " at most, ",
                                     bytes("anonymous_bytes"), " of its own"));
    lines.emplace_back(
        "Computed by",
        cat(printable(report["backend"].as_string()), ", ",
            plural(static_cast<std::uint64_t>(report["threads"].as_integer()), "thread")));
    out << labelled(lines, style);
  }

 private:
  static Json report_of(const RunContext& context, const Model& model, const Work& work,
                        const Figures& figures, double load_seconds) {
    const std::size_t prefill = work.prompt.size() / work.batch;
    const double read = median(figures.prefill_rates);
    const MemoryUse memory = memory_use();
    const unsigned threads =
        context.threads != 0 ? context.threads : static_cast<unsigned>(Team(0).threads());
    Json report = Json::object(
        {{"model", context.params.text("model")}, {"prefill_tokens_per_second", read}});
    if (model.facts().causal) {
      report.set("decode_tokens_per_second", median(figures.decode_rates));
      report.set("tokens_per_second", median(figures.decode_rates));
      report.set("first_token_seconds", median(figures.first));
    } else {
      report.set("tokens_per_second", read);
      report.set("sequences_per_second", read / static_cast<double>(prefill));
    }
    if (!work.frames.empty()) {
      report.set("encoder_seconds", median(figures.encoder));
      report.set("encoder_frames", model.facts().max_frames);
    }
    report.set("load_seconds", load_seconds);
    report.set("peak_rss_bytes", memory.peak_resident_bytes);
    report.set("anonymous_bytes", memory.anonymous_bytes);
    report.set("prefill", std::uint64_t{prefill});
    if (model.facts().causal) {
      report.set("decode", std::uint64_t{work.decode});
    } else {
      report.set("batch", std::uint64_t{work.batch});
    }
    report.set("repeat", std::uint64_t{figures.prefill_rates.size()});
    const auto runs = [&](std::string_view what, const std::vector<double>& values) {
      report.set(cat(what, "_runs"), list_of(values));
      report.set(cat(what, "_spread"), spread_of(values));
    };
    runs("prefill", figures.prefill_rates);
    if (model.facts().causal) {
      runs("decode", figures.decode_rates);
      runs("first_token", figures.first);
    }
    if (!work.frames.empty()) runs("encoder", figures.encoder);
    report.set("threads", threads);
    report.set("mode", context.params.text("mode"));
    report.set("synthetic", model.package().synthetic());
    report.set("backend", model.executable()->description());
    return report;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_bench() {
  return std::make_unique<Bench>();
}

}  // namespace apr
