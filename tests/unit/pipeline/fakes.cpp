#include "fakes.h"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <thread>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/state.h"

using namespace apr;
using namespace apr::pipeline;

namespace fakes {

std::atomic<int> g_runs{0};
std::atomic<int> g_most_at_once{0};

namespace {

std::atomic<int> g_now{0};

struct Presence {
  Presence() {
    ++g_runs;
    const int now = ++g_now;
    int most = g_most_at_once.load();
    while (now > most && !g_most_at_once.compare_exchange_weak(most, now)) {
    }
  }
  ~Presence() { --g_now; }
};

Param param(std::string name, ParamType type, ParamRole role, bool required) {
  Param made;
  made.name = std::move(name);
  made.type = type;
  made.role = role;
  made.required = required;
  return made;
}
Param input(std::string name, bool required = true) {
  return param(std::move(name), ParamType::text, ParamRole::input, required);
}
Param output() {
  return param("output", ParamType::text, ParamRole::output, true);
}
Param text(std::string name, bool required = false) {
  return param(std::move(name), ParamType::text, ParamRole::plain, required);
}

using Work = Result<Outcome> (*)(RunContext&);

class Fake : public Stage {
 public:
  Fake(VerbInfo info, Work work) : info_(std::move(info)), work_(work) {}
  const VerbInfo& info() const override { return info_; }
  Result<Outcome> run(RunContext& context) override {
    const Presence presence;
    return work_(context);
  }
  void print(const Json& report, std::ostream& out, bool) const override { out << report.dump(); }

 private:
  VerbInfo info_;
  Work work_;
};

class Talk final : public Verb {
 public:
  const VerbInfo& info() const override {
    static const VerbInfo info = [] {
      VerbInfo made;
      made.name = "talk";
      return made;
    }();
    return info;
  }
  Result<Outcome> run(RunContext&) override { return Outcome{}; }
  void print(const Json&, std::ostream&, bool) const override {}
};

Result<std::string> contents(RunContext& context, std::string_view name) {
  return read_file(context.params.text(name), 1 << 20);
}

Status put(const std::string& path, std::string_view bytes) {
  APR_ASSIGN(AtomicFile file, AtomicFile::create(path, false));
  APR_TRY(file.write(bytes));
  return file.commit();
}

Result<Outcome> write(RunContext& context) {
  std::string all;
  for (std::int64_t i = 0; i < context.params.integer("times"); ++i) {
    all += context.params.text("text");
  }
  APR_TRY(put(context.params.text("output"), all));
  context.out << "wrote " << all.size() << " bytes\n";
  Outcome outcome;
  outcome.report.set("bytes", std::uint64_t{all.size()});
  outcome.report.set("output", context.params.text("output"));
  return outcome;
}

Result<Outcome> join(RunContext& context) {
  APR_ASSIGN(std::string all, contents(context, "first"));
  if (context.params.has("second")) {
    APR_ASSIGN(const std::string second, contents(context, "second"));
    all += second;
  }
  all += context.params.text("suffix");
  APR_TRY(put(context.params.text("output"), all));
  return Outcome{};
}

Result<Outcome> pair(RunContext& context) {
  APR_ASSIGN(const std::string all, contents(context, "first"));
  const std::string folder = context.params.text("output");
  APR_TRY(make_folders(folder + "/inner"));
  APR_TRY(put(folder + "/one.txt", all));
  APR_TRY(put(folder + "/inner/two.txt", all + all));
  return Outcome{};
}

Result<Outcome> count(RunContext& context) {
  APR_ASSIGN(const std::string all, contents(context, "model"));
  Outcome outcome;
  outcome.report.set("letters", std::uint64_t{all.size()});
  outcome.report.set("nothing", nullptr);
  return outcome;
}

Result<Outcome> fail(RunContext& context) {
  const std::int64_t code = context.params.integer("code");
  if (code == 5) {
    Outcome outcome;
    outcome.report.set("lost", "a point");
    outcome.exit_code = 5;
    return outcome;
  }
  if (code == 99) throw std::runtime_error("thrown");
  if (code == 0) return Outcome{};
  return make_error(static_cast<ErrorCode>(code), "asked to fail");
}

Result<Outcome> time(RunContext& context) {
  APR_TRY(put(context.params.text("output"), std::to_string(g_runs.load())));
  return Outcome{};
}

Result<Outcome> wait(RunContext&) {
  for (int i = 0; i < 2000 && !g_interrupted.load(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return make_error(ErrorCode::interrupted, "stopped by the user");
}

/// Runs until another one of its kind runs at the same time, or some time has passed.
Result<Outcome> meet(RunContext& context) {
  for (int i = 0; i < 400 && g_now.load() < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  APR_TRY(put(context.params.text("output"), "met"));
  return Outcome{};
}

/// Fails with `code` as long as the counter file has fewer than `times` letters.
Result<Outcome> flaky(RunContext& context) {
  const std::string counter = context.params.text("counter");
  const auto before = read_file(counter, 1 << 20);
  const std::string now = (before ? *before : "") + "x";
  APR_TRY(write_flushed(counter, now));
  if (now.size() <= static_cast<std::size_t>(context.params.integer("times"))) {
    return make_error(static_cast<ErrorCode>(context.params.integer("code")), "not yet");
  }
  APR_TRY(put(context.params.text("output"), "done"));
  return Outcome{};
}

Result<Outcome> gather(RunContext& context) {
  std::string all;
  for (const std::string& path : context.params.texts("models")) {
    APR_ASSIGN(const std::string one, read_file(path, 1 << 20));
    all += one + ";";
  }
  APR_TRY(put(context.params.text("output"), all));
  Outcome outcome;
  outcome.report.set("count", std::uint64_t{context.params.texts("models").size()});
  return outcome;
}

/// Says what it was given, everywhere a stage can say something.
Result<Outcome> tell(RunContext& context) {
  const std::string& text = context.params.text("text");
  context.out << "out " << text << "\n";
  context.notes << "note " << text << "\n";
  if (context.params.flag("fail")) {
    return make_error(ErrorCode::io, "cannot use " + text, text, "not " + text);
  }
  Outcome outcome;
  outcome.report.set("heard", text);
  outcome.report.set("length", std::uint64_t{text.size()});
  return outcome;
}

Result<Outcome> eval(RunContext& context) {
  APR_ASSIGN(const std::string model, contents(context, "model"));
  APR_ASSIGN(const std::string data, contents(context, "dataset"));
  const auto perplexity = [](const std::string& text) {
    const auto bad = static_cast<double>(std::count(text.begin(), text.end(), 'x'));
    return text == "nan" ? std::nan("") : 1 + bad / static_cast<double>(text.size());
  };
  Outcome outcome;
  outcome.report.set("perplexity", perplexity(model));
  if (context.params.has("against")) {
    APR_ASSIGN(const std::string parent, contents(context, "against"));
    outcome.report.set("parent_perplexity", perplexity(parent));
    double differing = 0;
    for (std::size_t i = 0; i < std::min(model.size(), parent.size()); ++i) {
      differing += model[i] == parent[i] ? 0 : 1;
    }
    const double share = differing / static_cast<double>(model.size());
    outcome.report.set("mean_kld", share);
    outcome.report.set("top1_agreement", 1 - share);
  }
  return outcome;
}

Result<Outcome> test_model(RunContext& context) {
  APR_ASSIGN(const std::string model, contents(context, "model"));
  APR_ASSIGN(const std::string golden, contents(context, "golden-trace"));
  Outcome outcome;
  outcome.report.set("passed", model == golden);
  if (model != golden) {
    outcome.exit_code = 5;
    outcome.report.set("first_divergence", Json::object({{"node", "layer0.out"},
                                                         {"prompt", "one"},
                                                         {"difference", 0.5},
                                                         {"tolerance", 0.001}}));
  }
  return outcome;
}

/// Every byte of the reference that differs is a mismatch.
Result<Outcome> parity(RunContext& context) {
  APR_ASSIGN(const std::string model, contents(context, "model"));
  APR_ASSIGN(const std::string reference, contents(context, "reference"));
  std::int64_t mismatches = 0;
  for (std::size_t i = 0; i < std::min(model.size(), reference.size()); ++i) {
    mismatches += model[i] != reference[i];
  }
  Outcome outcome;
  outcome.report.set("texts", std::uint64_t{reference.size()});
  outcome.report.set("mismatches", mismatches);
  if (mismatches > 0) outcome.report.set("first_mismatch", Json::object({{"text", reference}}));
  return outcome;
}

VerbInfo info(std::string name, std::vector<Param> params, std::vector<std::string> metrics = {}) {
  VerbInfo made;
  made.name = std::move(name);
  made.params = std::move(params);
  made.metrics = std::move(metrics);
  return made;
}

std::vector<std::unique_ptr<Verb>> make_all() {
  std::vector<std::unique_ptr<Verb>> list;
  const auto add = [&](VerbInfo made, Work work) {
    list.push_back(std::make_unique<Fake>(std::move(made), work));
  };
  Param times = param("times", ParamType::integer, ParamRole::plain, false);
  times.fallback = 1;
  times.minimum = 0;
  times.maximum = 1000;
  Param threads = param("threads", ParamType::integer, ParamRole::plain, false);
  threads.affects_result = false;
  Param force = param("force", ParamType::boolean, ParamRole::plain, false);
  force.cli_only = true;
  Param seed = param("seed", ParamType::integer, ParamRole::plain, false);
  add(info("write", {text("text", true), times, threads, seed, force, output()}, {"bytes"}), write);
  Param suffix = text("suffix");
  suffix.fallback = "";
  add(info("join", {input("first"), input("second", false), suffix, output()}), join);
  add(info("pair", {input("first"), output()}), pair);
  add(info("count", {input("model")}, {"letters"}), count);
  Param code = param("code", ParamType::integer, ParamRole::plain, true);
  add(info("fail", {code, input("after", false)}), fail);
  VerbInfo clock = info("time", {output()});
  clock.reproducible = false;
  add(std::move(clock), time);
  add(info("wait", {input("first", false)}), wait);
  add(info("meet", {text("who", true), output()}), meet);
  Param fails = param("fail", ParamType::boolean, ParamRole::plain, false);
  add(info("flaky", {text("counter", true),
                     param("times", ParamType::integer, ParamRole::plain, true), code, output()}),
      flaky);
  add(info("gather", {param("models", ParamType::texts, ParamRole::input, true), output()}),
      gather);
  add(info("tell", {text("text", true), fails}), tell);
  Param window = param("window", ParamType::integer, ParamRole::plain, false);
  add(info("eval", {input("model"), input("dataset"), input("against", false), window},
           {"perplexity"}),
      eval);
  add(info("test-model", {input("model"), input("golden-trace")}), test_model);
  add(info("tokenizer-parity", {input("model"), input("reference")}), parity);
  list.push_back(std::make_unique<Talk>());
  return list;
}

}  // namespace

VerbTable verbs() {
  static const auto list = make_all();
  VerbTable table;
  table.find = [](std::string_view name) -> Verb* {
    for (const auto& verb : list) {
      if (verb->info().name == name) return verb.get();
    }
    return nullptr;
  };
  for (const auto& verb : list) {
    if (verb->is_stage()) table.stage_names.push_back(verb->info().name);
  }
  return table;
}

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "apr-pipeline-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  path_ = std::filesystem::canonical(pattern).string();
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Folder::write(const std::string& name, const std::string& bytes) const {
  std::filesystem::create_directories(std::filesystem::path(file(name)).parent_path());
  std::ofstream(file(name), std::ios::binary) << bytes;
}

std::string Folder::read(const std::string& name) const {
  std::ifstream stream(file(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool Folder::exists(const std::string& name) const {
  return std::filesystem::exists(file(name));
}

const StageResult& Ran::stage(std::string_view name) const {
  for (const StageResult& stage : result.stages) {
    if (stage.name == name) return stage;
  }
  FAIL("no stage " << name);
  return result.stages.front();
}

Ran run(const Folder& folder, const std::string& yaml, const std::vector<std::string>& sets,
        RunOptions options) {
  const VerbTable table = verbs();
  auto loaded = load_pipeline_text(yaml, folder.file("p.yaml"), folder.path(), sets, table);
  if (!loaded) FAIL(loaded.error().to_string());
  for (const Diagnostic& diagnostic : (*loaded)->diagnostics.all()) {
    INFO(to_string(diagnostic, "p.yaml"));
    REQUIRE(diagnostic.severity == Diagnostic::Severity::warning);
  }
  auto host = PluginHost::create({});
  REQUIRE(host.ok());
  auto state = State::open(folder.file(".apr"));
  REQUIRE(state.ok());
  Quiet quiet;
  auto result =
      run_pipeline({(*loaded)->pipeline, (*loaded)->checked, (*loaded)->params, table, options},
                   *state, **host, quiet);
  Ran ran;
  if (!result) {
    ran.refused = result.error();
    return ran;
  }
  ran.result = *std::move(result);
  ran.run = state->run(ran.result.id);
  for (const StageResult& stage : ran.result.stages) {
    ran.states += cat(ran.states.empty() ? "" : " ", stage.name, ":", name_of(stage.state));
  }
  return ran;
}

std::vector<std::string> lint(const std::string& yaml, const std::vector<std::string>& sets) {
  auto loaded = load_pipeline_text(yaml, "p.yaml", "/somewhere", sets, verbs());
  if (!loaded) return {loaded.error().to_string()};
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : (*loaded)->diagnostics.all()) {
    std::string line = diagnostic.severity == Diagnostic::Severity::warning ? "w " : "";
    line += cat(diagnostic.at.line, ":", diagnostic.at.column, " ", diagnostic.message);
    if (!diagnostic.hint.empty()) line += cat(" | ", diagnostic.hint);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string pipeline(const std::string& stages) {
  return "apiVersion: apr.dev/v1\nkind: Pipeline\nname: test\nstages:\n" + stages;
}

}  // namespace fakes
