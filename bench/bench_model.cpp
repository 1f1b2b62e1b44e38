// bench_model MODEL [--threads N] [--mode exact|deterministic|fast] [--prefill N] [--decode N]
//             [--repeat N] [--profile]
//
// Opens a model (an `.apr` or what an importer opens), then measures prefill and decode in turns
// and prints one JSON object: medians with the spread, the memory taken, and with --profile the
// time by kind of node.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "core/base/cat.h"
#include "core/package/package.h"
#include "core/platform/clock.h"
#include "core/platform/memory.h"
#include "core/plugin/static_plugins.h"
#include "core/runtime/model.h"

namespace {

using namespace apr;

struct Options {
  std::string model;
  unsigned threads = 0;
  Mode mode = Mode::deterministic;
  std::uint32_t prefill = 512;
  std::uint32_t decode = 128;
  std::uint32_t repeat = 5;
  bool profile = false;
};

Result<Options> read_options(int count, char** words) {
  const Error usage =
      make_error(ErrorCode::usage,
                 "usage: bench_model MODEL [--threads N] [--mode MODE] [--prefill N] "
                 "[--decode N] [--repeat N] [--profile]");
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--profile") {
      options.profile = true;
      continue;
    }
    if (!word.starts_with("--")) {
      if (!options.model.empty()) return usage;
      options.model = word;
      continue;
    }
    if (++i == count) return usage;
    const auto number = static_cast<std::uint32_t>(std::strtoul(words[i], nullptr, 10));
    if (word == "--threads") {
      options.threads = number;
    } else if (word == "--prefill" && number > 0) {
      options.prefill = number;
    } else if (word == "--decode") {
      options.decode = number;
    } else if (word == "--repeat" && number > 0) {
      options.repeat = number;
    } else if (word == "--mode" && mode_from_name(words[i])) {
      options.mode = *mode_from_name(words[i]);
    } else {
      return usage;
    }
  }
  if (options.model.empty()) return usage;
  return options;
}

/// Time and work by op, and for products by the last part of the node's name.
class Profile final : public SpanSink {
 public:
  void on_span(std::span<const std::string_view> nodes, std::uint64_t begin_ns,
               std::uint64_t end_ns, Cost cost) noexcept override {
    const std::string_view name = nodes.front();
    Entry& entry = entries_[std::string(name.substr(name.rfind('.') + 1))];
    entry.seconds += static_cast<double>(end_ns - begin_ns) * 1e-9;
    entry.flops += cost.flops;
    entry.bytes += cost.bytes;
  }
  Json json() const {
    Json all = Json::object();
    for (const auto& [name, entry] : entries_) {
      all.set(name, Json::object({{"seconds", entry.seconds},
                                  {"gflop_per_second", entry.flops / entry.seconds * 1e-9},
                                  {"gb_per_second", entry.bytes / entry.seconds * 1e-9}}));
    }
    return all;
  }

 private:
  struct Entry {
    double seconds = 0;
    double flops = 0;
    double bytes = 0;
  };
  std::map<std::string, Entry> entries_;
};

double now() {
  return static_cast<double>(monotonic_ns()) * 1e-9;
}

Json spread(std::vector<double> values) {
  std::ranges::sort(values);
  return Json::object(
      {{"median", values[values.size() / 2]}, {"min", values.front()}, {"max", values.back()}});
}

Result<Package> open(Registry& registry, const std::string& path) {
  if (path.ends_with(".apr")) return open_apr(path);
  APR_ASSIGN(Importer * importer, registry.importer_for(path));
  return importer->open(path, {});
}

Result<Json> measure(const Options& options) {
  Registry registry;
  APR_TRY(register_static_plugins(registry));
  const double start = now();
  APR_ASSIGN(Package package, open(registry, options.model));
  const double opened = now();
  ModelOptions load;
  load.allow_synthetic = true;
  load.compile.mode = options.mode;
  load.compile.max_tokens = std::max(options.prefill, 1u);
  load.compile.max_logit_rows = 1;
  load.compile.team = std::make_shared<Team>(options.threads);
  APR_ASSIGN(const Model model, Model::load(std::move(package), registry, load));
  const double loaded = now();
  APR_ASSIGN(Session session, model.start(options.prefill + options.decode + 1));

  const std::uint32_t vocab = model.facts().vocab_size;
  std::vector<TokenId> prompt;
  for (std::uint32_t i = 0; i < options.prefill; ++i) {
    prompt.push_back(static_cast<TokenId>((std::uint64_t{i} * 2654435761u + 17) % vocab));
  }
  Profile prefill_profile;
  Profile decode_profile;
  std::vector<double> prefill;
  std::vector<double> decode;
  double first_token = 0;
  for (std::uint32_t round = 0; round <= options.repeat; ++round) {  // the first one warms up
    session.truncate(0, 0).ok();
    StepSinks sinks;
    if (options.profile && round > 0) sinks.spans = &prefill_profile;
    const double begin = now();
    APR_ASSIGN(auto logits, session.append(0, prompt, sinks));
    const double prefilled = now();
    if (round == 0) first_token = prefilled - start;
    if (options.profile && round > 0) sinks.spans = &decode_profile;
    for (std::uint32_t i = 0; i < options.decode; ++i) {
      const auto best = std::ranges::max_element(logits) - logits.begin();
      const TokenId id = static_cast<TokenId>(best);
      APR_ASSIGN(logits, session.append(0, {&id, 1}, sinks));
    }
    const double decoded = now();
    if (round == 0) continue;
    prefill.push_back(options.prefill / (prefilled - begin));
    decode.push_back(options.decode / (decoded - prefilled));
  }
  const MemoryUse memory = memory_use();
  Json report = Json::object({{"model", base_name(options.model)},
                              {"runs", model.executable()->description()},
                              {"threads", load.compile.team->threads()},
                              {"open_seconds", opened - start},
                              {"load_seconds", loaded - start},
                              {"first_token_seconds", first_token},
                              {"prefill_tokens", options.prefill},
                              {"prefill_tokens_per_second", spread(prefill)},
                              {"peak_rss_bytes", memory.peak_resident_bytes},
                              {"anonymous_bytes", memory.anonymous_bytes}});
  if (options.decode > 0) report.set("decode_tokens_per_second", spread(decode));
  if (options.profile) {
    report.set("prefill_profile", prefill_profile.json());
    report.set("decode_profile", decode_profile.json());
  }
  return report;
}

}  // namespace

int main(int count, char** words) {
  auto options = read_options(count, words);
  const Result<Json> report = options ? measure(*options) : Result<Json>(options.error());
  if (report) {
    std::printf("%s\n", report->dump(2).c_str());
    return 0;
  }
  std::fprintf(stderr, "bench_model: %s\n", report.error().to_string().c_str());
  return exit_code(report.error().code);
}
