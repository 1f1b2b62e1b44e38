// How stages are run: matrices, attempts, allowed failures, resources, secrets.
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "core/base/cat.h"
#include "fakes.h"
#include "orchestrator/pipeline/gc.h"
#include "orchestrator/pipeline/plan.h"
#include "orchestrator/pipeline/state.h"

using namespace apr;
using namespace apr::pipeline;
using fakes::Folder;

namespace {

RunOptions one_at_a_time() {
  RunOptions options;
  options.jobs = 1;
  return options;
}

/// Every file below a folder that holds the text.
std::vector<std::string> files_with(const Folder& folder, const std::string& text) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    if (bytes.find(text) != std::string::npos) found.push_back(entry.path().string());
  }
  return found;
}

}  // namespace

TEST_CASE("A matrix runs every combination and a fan-in takes all of them") {
  const Folder folder;
  const std::string yaml = fakes::pipeline(
      "  m:\n    uses: write\n    with: {text: '${matrix.word}', times: '${matrix.times}'}\n"
      "    matrix: {word: [a, b], times: [1, 2], exclude: [{word: b, times: 1}],\n"
      "             include: [{word: c, times: 3}, {word: a, end: E}]}\n"
      "  tail:\n    uses: join\n"
      "    with: {first: '${stages.m[matrix.word, 2].output}', suffix: '${matrix.sign}'}\n"
      "    matrix: {word: [a, b], sign: ['!', '?']}\n"
      "  all: {uses: gather, with: {models: ['${stages.m[*].output}', "
      "'${stages.tail[a, *].output}']}}\n"
      "  some: {uses: gather, with: {models: '${stages.m[*, 2].output}'}}\n"
      "outputs:\n  each: {from: '${stages.m[*].output}', to: "
      "'out/${matrix.word}${matrix.times}.txt'}\n"
      "  all: {from: '${stages.all.output}', to: out/all.txt}\n"
      "  some: {from: '${stages.some.output}', to: out/some.txt}\n");
  const auto ran = fakes::run(folder, yaml);
  CHECK(ran.states ==
        "m[a,1]:ran m[a,2]:ran m[b,2]:ran m[c,3]:ran tail[a,#1]:ran tail[a,#2]:ran tail[b,#1]:ran "
        "tail[b,#2]:ran all:ran some:ran");
  CHECK(folder.read("out/a2.txt") == "aa");
  CHECK(folder.read("out/c3.txt") == "ccc");
  CHECK_FALSE(folder.exists("out/b1.txt"));
  CHECK(folder.read("out/all.txt") == "a;aa;bb;ccc;aa!;aa?;");
  CHECK(folder.read("out/some.txt") == "aa;bb;");
  // One value more: the others come from the cache.
  std::string more = yaml;
  more.replace(more.find("[1, 2]"), 6, "[1, 2, 4]");
  const auto again = fakes::run(folder, more);
  CHECK(again.stage("m[a,4]").state == StageState::ran);
  CHECK(again.stage("m[a,1]").state == StageState::cached);
  CHECK(again.stage("all").state == StageState::ran);
}

TEST_CASE("What include adds is null elsewhere, and a gate sees its own values") {
  const Folder folder;
  const auto yaml = [](const std::string& limit) {
    return fakes::pipeline(
               "  m:\n    uses: write\n    with: {text: '${matrix.word}', times: '${matrix.n}'}\n"
               "    matrix: {word: [a, bb], include: [{word: bb, n: 3}]}\n"
               "    gates: {size: {max: '${matrix.limit ?? ") +
           limit + "}'}}\n";
  };
  CHECK(fakes::lint(yaml("9")).front().find("the matrix has no 'limit'") != std::string::npos);
  std::string fixed = yaml("6");
  fixed.replace(fixed.find("matrix.limit ?? "), 16, "matrix.n ?? ");
  const auto ran = fakes::run(folder, fixed, {}, one_at_a_time());
  CHECK(ran.stage("m[a]").gates.at(0).passed);
  CHECK(ran.stage("m[a]").entry.report["bytes"].as_integer() == 1);
  // Six bytes where three are allowed.
  CHECK(ran.stage("m[bb]").state == StageState::failed);
  CHECK_FALSE(ran.stage("m[bb]").gates.at(0).passed);
}

TEST_CASE("Failures that may pass are tried again, others are not") {
  const Folder folder;
  const auto yaml = [](int times, int code, const std::string& on) {
    return fakes::pipeline(cat("  f: {uses: flaky, with: {counter: counter", code, on, times,
                               ", times: ", times, ", code: ", code,
                               "}, retry: {count: 2, delay: 10ms, after: ", on, "}}\n"));
  };
  const auto previous = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const auto ran = fakes::run(folder, yaml(2, 7, "io"));
  CHECK(ran.states == "f:ran");
  CHECK(ran.stage("f").attempts == 3);
  CHECK(ran.stage("f").logs.size() == 3);
  const auto never = fakes::run(folder, yaml(9, 7, "io"));
  CHECK(never.states == "f:failed");
  CHECK(never.stage("f").attempts == 3);
  CHECK(never.stage("f").error->message == "not yet (in attempt 3)");
  const auto other = fakes::run(folder, yaml(1, 4, "io"));
  CHECK(other.states == "f:failed");
  CHECK(other.stage("f").attempts == 1);
  std::filesystem::current_path(previous);
}

TEST_CASE("A failure that is allowed stops nothing that can do without") {
  const Folder folder;
  const std::string yaml = fakes::pipeline(
      "  a: {uses: write, with: {text: abc}}\n"
      "  f: {uses: join, with: {first: '${stages.a.output}', suffix: long}, allow_failure: true, "
      "gates: {size: {max: 4}}}\n"
      "  b: {uses: join, with: {first: '${stages.f.output ?? stages.a.output}', suffix: B}}\n"
      "  c: {uses: count, with: {model: '${stages.f.output}'}}\n"
      "  d: {uses: write, with: {text: d}, needs: f}\n"
      "outputs:\n  f: {from: '${stages.f.output}', to: f.txt}\n"
      "  b: {from: '${stages.b.output}', to: b.txt}\n");
  const auto ran = fakes::run(folder, yaml, {}, one_at_a_time());
  CHECK(ran.states == "a:ran f:failed b:ran c:skipped d:ran");
  CHECK(ran.result.exit_code() == 0);
  CHECK(ran.stage("f").allowed);
  CHECK(folder.read("b.txt") == "abcB");
  CHECK_FALSE(folder.exists("f.txt"));
  std::string strict = yaml;
  strict.replace(strict.find("allow_failure: true"), 19, "allow_failure: false");
  const auto stopped = fakes::run(folder, strict, {}, one_at_a_time());
  CHECK(stopped.result.exit_code() == 5);
}

TEST_CASE("Resources limit how many stages run together") {
  const auto most = [](const std::string& top, const std::string& each) {
    const Folder folder;
    fakes::g_most_at_once = 0;
    RunOptions options;
    options.jobs = 3;
    const auto ran = fakes::run(
        folder,
        top + fakes::pipeline("  m: {uses: meet, with: {who: '${matrix.w}'}, matrix: {w: "
                              "[a, b, c]}, resources: " +
                              each + "}\n"),
        {}, options);
    CHECK(ran.result.exit_code() == 0);
    return fakes::g_most_at_once.load();
  };
  CHECK(most("resources: {memory: 10GiB, threads: 8}\n", "{memory: 1GiB, threads: 1}") > 1);
  CHECK(most("resources: {memory: 10GiB}\n", "{memory: 6GiB}") == 1);
  CHECK(most("resources: {threads: 4}\n", "{threads: 3}") == 1);
}

TEST_CASE("A run that cannot have what it needs is refused before any work") {
  const Folder folder;
  const auto refusal = [&](const std::string& top, const std::string& more) {
    const int runs = fakes::g_runs.load();
    folder.write("in.txt", std::string(5000, 'x'));
    const auto ran = fakes::run(
        folder, top + fakes::pipeline("  a: {uses: join, with: {first: in.txt, suffix: '" + top +
                                      "'}" + more +
                                      "}\n"
                                      "outputs: {o: {from: '${stages.a.output}', to: o/o.txt}}\n"));
    CHECK(fakes::g_runs.load() == (ran.refused ? runs : runs + 1));
    return ran.refused ? ran.refused->message : std::string("started");
  };
  CHECK(refusal("resources: {memory: 1GiB}\n", ", resources: {memory: 2GiB}") ==
        "stage 'a' needs about 2.15 GB of memory; the pipeline may take 1.07 GB");
  CHECK(refusal("resources: {disk: 1kB}\n", "") ==
        "the run needs about 5.00 kB of disk; the pipeline may take 1.00 kB");
  CHECK(refusal("resources: {disk: 1MB}\n", "") == "started");
  folder.write("p/o", "a file where a folder should be");
  const auto ran = fakes::run(
      folder,
      fakes::pipeline("  a: {uses: write, with: {text: new}}\n"
                      "outputs: {o: {from: '${stages.a.output}', to: p/o/deeper/o.txt}}\n"));
  REQUIRE(ran.refused.has_value());
  CHECK(ran.refused->code == ErrorCode::io);
}

TEST_CASE("Secrets reach the stage and nothing else") {
  const Folder folder;
  const std::string secret = "hunter2-\"quoted\"";
  ::setenv("APR_TEST_SECRET", secret.c_str(), 1);
  const std::string yaml =
      "secrets: [APR_TEST_SECRET]\n" +
      fakes::pipeline(
          "  t: {uses: tell, with: {text: 'key ${secrets.APR_TEST_SECRET}!'}}\n"
          "  f: {uses: tell, with: {text: '${secrets.APR_TEST_SECRET}', fail: true}, "
          "allow_failure: "
          "true}\n");
  const auto ran = fakes::run(folder, yaml);
  CHECK(ran.states == "t:ran f:failed");
  CHECK(ran.stage("t").entry.report["length"].as_integer() ==
        static_cast<std::int64_t>(secret.size() + 5));  // it was given the real one
  CHECK(ran.stage("t").entry.report["heard"].as_string() == "key ***!");
  CHECK(ran.stage("t").printed.find("out key ***!") == 0);
  CHECK(ran.stage("f").error->message == "cannot use ***");
  CHECK(files_with(folder, secret).empty());
  CHECK(files_with(folder, "hunter2").empty());
  // Another value is no other work: a key holds the secret's name only.
  ::setenv("APR_TEST_SECRET", "another-secret", 1);
  CHECK(fakes::run(folder, yaml).stage("t").state == StageState::cached);
  ::setenv("APR_TEST_SECRET", "short", 1);
  CHECK(fakes::run(folder, yaml).refused->message ==
        "the secret 'APR_TEST_SECRET' has fewer than 8 bytes");
  ::unsetenv("APR_TEST_SECRET");
  CHECK(fakes::run(folder, yaml).refused->message == "the secret 'APR_TEST_SECRET' is not set");
}

TEST_CASE("Variables that stages may see are part of the key, as digests") {
  const Folder folder;
  const std::string yaml =
      "env: [APR_TEST_VARIABLE]\n" + fakes::pipeline("  a: {uses: write, with: {text: x}}\n");
  ::setenv("APR_TEST_VARIABLE", "visible-value", 1);
  CHECK(fakes::run(folder, yaml).states == "a:ran");
  CHECK(fakes::run(folder, yaml).states == "a:cached");
  CHECK(files_with(folder, "visible-value").empty());
  ::setenv("APR_TEST_VARIABLE", "other", 1);
  const auto changed = fakes::run(folder, yaml);
  CHECK(changed.stage("a").reason == "variable 'APR_TEST_VARIABLE' changed");
  ::unsetenv("APR_TEST_VARIABLE");
}

TEST_CASE("plan knows that only a gate has to be measured, or will fail") {
  const Folder folder;
  folder.write("text.txt", "y");
  const auto yaml = [](const std::string& gate) {
    return fakes::pipeline("  a: {uses: write, with: {text: axxx}, gates: {" + gate + "}}\n");
  };
  const auto plan = [&](const std::string& text) {
    const VerbTable table = fakes::verbs();
    auto loaded = load_pipeline_text(text, folder.file("p.yaml"), folder.path(), {}, table);
    REQUIRE(loaded.ok());
    auto host = PluginHost::create({});
    State state = State::look_at(folder.file(".apr"));
    auto planned = plan_pipeline(
        {(*loaded)->pipeline, (*loaded)->checked, (*loaded)->params, table, {}}, state, **host);
    REQUIRE(planned.ok());
    return *std::move(planned);
  };
  const std::string gate = "perplexity: {text: text.txt, max: 2}";
  CHECK(fakes::run(folder, yaml(gate)).states == "a:ran");
  const Plan same = plan(yaml(gate));
  CHECK(same.stages[0].action == PlannedStage::Action::cached);
  CHECK(same.stages[0].gates[0].state == PlannedGate::State::holds);
  CHECK_FALSE(same.refusal.has_value());
  // A stricter limit on what was measured: known to fail, without running anything.
  const Plan strict = plan(yaml("perplexity: {text: text.txt, max: 1.5}"));
  CHECK(strict.stages[0].gates[0].state == PlannedGate::State::fails);
  REQUIRE(strict.refusal.has_value());
  CHECK(strict.refusal->code == ErrorCode::validation);
  // Another setting: the stage is cached, its gate is not.
  const Plan other = plan(yaml("perplexity: {text: text.txt, max: 2, window: 8}"));
  CHECK(other.stages[0].action == PlannedStage::Action::measure);
  CHECK(other.stages[0].reason == "gate perplexity has to be measured");
}

TEST_CASE("Garbage is what no kept run used") {
  const Folder folder;
  const auto yaml = [](const std::string& text) {
    return fakes::pipeline("  a: {uses: write, with: {text: " + text +
                           "}}\n"
                           "outputs: {o: {from: '${stages.a.output}', to: o.txt}}\n");
  };
  for (const char* text : {"one", "two", "three"}) {
    REQUIRE(fakes::run(folder, yaml(text)).result.exit_code() == 0);
  }
  const State state = State::look_at(folder.file(".apr"));
  CHECK(find_garbage(state, 5)->items.empty());
  const auto two = find_garbage(state, 2);
  CHECK(two->items.size() == 2);
  CHECK(two->kept_runs == 2);
  CHECK(two->kept_results == 2);
  const auto all = find_garbage(state, 0);
  CHECK(all->kept_runs == 1);  // the last good one
  CHECK(all->items.size() == 4);
  {
    const auto running = State::open(folder.file(".apr"));
    REQUIRE(running.ok());
    CHECK(UseLock::exclusive(folder.file(".apr")).error().message ==
          "a run is using this state folder");
  }
  CHECK(UseLock::exclusive(folder.file(".apr")).ok());
}

TEST_CASE("The record of a run tells tables and keys") {
  const Folder folder;
  const auto ran = fakes::run(
      folder,
      fakes::pipeline("  m: {uses: write, with: {text: x, times: '${matrix.n}'}, matrix: {n: [1, "
                      "3]}}\n"
                      "report:\n  tables:\n    - title: Sizes\n      rows: m\n      columns:\n"
                      "        - {title: bytes, value: '${stages.m[matrix.n].report.bytes}', unit: "
                      "bytes}\n"
                      "        - {title: lost, value: '${stages.m[matrix.n].report.nothing}'}\n"));
  const Json& table = ran.run["tables"].as_array().at(0);
  CHECK(table["rows"].dump() == "[[\"1\",1,null],[\"3\",3,null]]");
  CHECK(ran.run["keys"].size() == 2);
}
