// apr bench: how fast a model reads and writes here.
#include <algorithm>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/runtime/sampler.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::size_t kPrefill = 256;

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
      "is not counted. Made-up weights are accepted: speed does not depend on their values.";
  info.params.push_back(model_param());
  Param prefill = count_param("prefill", kPrefill,
                              "tokens to read; by default 256, or what a shorter context leaves");
  prefill.fallback = Json();
  info.params.push_back(std::move(prefill));
  info.params.push_back(count_param("decode", 64, "tokens to write"));
  info.params.push_back(count_param("repeat", 3, "runs"));
  Param seed = count_param("seed", 0, "of the random tokens");
  seed.minimum = 0;
  info.params.push_back(std::move(seed));
  info.params.push_back(mode_param(Mode::fast));
  info.params.push_back(backend_param());
  info.examples = {{"apr bench tiny.apr", "tokens per second"},
                   {"apr bench big.apr --prefill 512 --decode 128 --threads 2 --json", "figures"}};
  info.metrics = {"prefill_tokens_per_second",
                  "decode_tokens_per_second",
                  "tokens_per_second",
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

Json list_of(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(value);
  return list;
}

struct Measured {
  double prefill_seconds = 0;
  double first_token_seconds = 0;
  double decode_seconds = 0;
};

Result<Measured> measure(Session& session, const std::vector<TokenId>& prompt, std::size_t decode) {
  session.release(0);
  APR_ASSIGN(Sampler sampler, Sampler::create({}));
  Measured measured;
  const std::uint64_t begin = monotonic_ns();
  // In steps, so that Ctrl-C is heard in between.
  const std::size_t step = session.executable().options().max_tokens;
  std::span<const float> logits;
  for (std::size_t done = 0; done < prompt.size(); done += step) {
    APR_TRY(check_interrupted());
    const std::size_t count = std::min(step, prompt.size() - done);
    APR_ASSIGN(logits, session.append(0, std::span(prompt).subspan(done, count)));
  }
  measured.prefill_seconds = seconds_since(begin);
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
    const auto decode = static_cast<std::size_t>(params.integer("decode"));
    const auto repeat = static_cast<std::size_t>(params.integer("repeat"));

    const std::uint64_t load_begin = monotonic_ns();
    APR_ASSIGN(const Model model, load_model(context, params.text("model"), {}));
    APR_TRY(require_causal(model, "bench"));
    const double load_seconds = seconds_since(load_begin);
    const std::uint32_t made_for = model.facts().max_position_embeddings;
    std::size_t prefill = kPrefill;
    if (params.has("prefill")) {
      prefill = static_cast<std::size_t>(params.integer("prefill"));
    } else if (made_for > decode) {
      prefill = std::min<std::size_t>(prefill, made_for - decode);
    }
    if (made_for > 0 && prefill + decode > made_for) {
      return make_error(ErrorCode::usage,
                        cat("--prefill ", prefill, " and --decode ", decode, " together are ",
                            prefill + decode, " tokens, but the model was made for ", made_for),
                        params.text("model"));
    }
    APR_ASSIGN(Session session, model.start(static_cast<std::uint32_t>(prefill + decode)));
    const std::vector<TokenId> prompt = random_tokens(
        prefill, model.facts().vocab_size, static_cast<std::uint64_t>(params.integer("seed")));
    const std::vector<TokenId> warm_up(
        prompt.begin(),
        prompt.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(prefill, 16)));
    APR_TRY(measure(session, warm_up, 1));

    std::vector<double> prefill_rates;
    std::vector<double> decode_rates;
    std::vector<double> first;
    for (std::size_t i = 0; i < repeat; ++i) {
      context.progress.update("runs", i, repeat);
      APR_ASSIGN(const Measured measured, measure(session, prompt, decode));
      prefill_rates.push_back(static_cast<double>(prefill) / measured.prefill_seconds);
      decode_rates.push_back(static_cast<double>(decode) / measured.decode_seconds);
      first.push_back(measured.first_token_seconds);
    }
    context.progress.finish();
    const MemoryUse memory = memory_use();
    const unsigned threads =
        context.threads != 0 ? context.threads : static_cast<unsigned>(Team(0).threads());
    return Outcome{.report = Json::object({{"model", params.text("model")},
                                           {"prefill_tokens_per_second", median(prefill_rates)},
                                           {"decode_tokens_per_second", median(decode_rates)},
                                           {"tokens_per_second", median(decode_rates)},
                                           {"first_token_seconds", median(first)},
                                           {"load_seconds", load_seconds},
                                           {"peak_rss_bytes", memory.peak_resident_bytes},
                                           {"anonymous_bytes", memory.anonymous_bytes},
                                           {"prefill", std::uint64_t{prefill}},
                                           {"decode", std::uint64_t{decode}},
                                           {"repeat", std::uint64_t{repeat}},
                                           {"prefill_runs", list_of(prefill_rates)},
                                           {"decode_runs", list_of(decode_rates)},
                                           {"threads", threads},
                                           {"mode", params.text("mode")},
                                           {"synthetic", model.package().synthetic()},
                                           {"backend", model.executable()->description()}})};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const auto rate = [&](std::string_view key) {
      return cat(style.bold(fixed(report[key].as_number(), 1)), " tokens/s");
    };
    const auto bytes = [&](std::string_view key) {
      return human_bytes(static_cast<std::uint64_t>(report[key].as_integer()));
    };
    out << labelled(
        {{"Reads",
          cat(rate("prefill_tokens_per_second"), " (", report["prefill"].as_integer(), " tokens)")},
         {"Writes",
          cat(rate("decode_tokens_per_second"), " (", report["decode"].as_integer(), " tokens)")},
         {"First token after", human_seconds(report["first_token_seconds"].as_number())},
         {"Loaded in", human_seconds(report["load_seconds"].as_number())},
         {"Memory",
          cat(bytes("peak_rss_bytes"), " at most, ", bytes("anonymous_bytes"), " of its own")},
         {"Computed by",
          cat(printable(report["backend"].as_string()), ", ",
              plural(static_cast<std::uint64_t>(report["threads"].as_integer()), "thread"))}},
        style);
  }

 private:
  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_bench() {
  return std::make_unique<Bench>();
}

}  // namespace apr
