// The runner: keys, cache, order, failures, outputs, lock file, leftovers.
#include "orchestrator/pipeline/runner.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "core/platform/file.h"
#include "fakes.h"
#include "orchestrator/pipeline/plan.h"

using namespace apr;
using namespace apr::pipeline;
using fakes::Folder;

namespace {

const std::string kDiamond =
    "params: {t: {type: integer, default: 2}, tail: {type: string, default: end}}\n" +
    fakes::pipeline(
        "  a: {uses: write, with: {text: abc, times: \"${params.t}\"}}\n"
        "  b: {uses: join, with: {first: \"${stages.a.output}\", suffix: B}}\n"
        "  c: {uses: join, with: {first: \"${stages.a.output}\", suffix: \"${params.tail}\"}}\n"
        "  d: {uses: join, with: {first: \"${stages.b.output}\", second: \"${stages.c.output}\"}}\n"
        "  n: {uses: count, with: {model: \"${stages.d.output}\"}}\n"
        "outputs:\n"
        "  whole: {from: \"${stages.d.output}\", to: out/whole.txt}\n");

RunOptions jobs(unsigned count) {
  RunOptions options;
  options.jobs = count;
  return options;
}

std::vector<PlannedStage> plan(const Folder& folder, const std::string& yaml,
                               const std::vector<std::string>& sets = {}) {
  const VerbTable table = fakes::verbs();
  auto loaded = load_pipeline_text(yaml, folder.file("p.yaml"), folder.path(), sets, table);
  REQUIRE(loaded.ok());
  auto host = PluginHost::create({});
  REQUIRE(host.ok());
  State state = State::look_at(folder.file(".apr"));
  auto planned = plan_pipeline(
      {(*loaded)->pipeline, (*loaded)->checked, (*loaded)->params, table, {}}, state, **host);
  REQUIRE(planned.ok());
  return planned->stages;
}

}  // namespace

TEST_CASE("A diamond runs, then comes from the cache, then only what changed runs") {
  const Folder folder;
  const auto first = fakes::run(folder, kDiamond);
  CHECK(first.states == "a:ran b:ran c:ran d:ran n:ran");
  CHECK_FALSE(first.result.error.has_value());
  CHECK(folder.read("out/whole.txt") == "abcabcBabcabcend");
  CHECK(first.stage("n").entry.report["letters"].as_integer() == 16);
  CHECK(first.stage("a").reason == "never ran");
  CHECK(first.stage("a").printed == "wrote 6 bytes\n");

  const int runs = fakes::g_runs.load();
  const auto second = fakes::run(folder, kDiamond);
  CHECK(second.states == "a:cached b:cached c:cached d:cached n:cached");
  CHECK(fakes::g_runs.load() == runs);
  CHECK_FALSE(second.result.published.at(0).written);
  CHECK(second.stage("a").printed == "wrote 6 bytes\n");
  CHECK(second.stage("n").entry.report == first.stage("n").entry.report);

  const auto third = fakes::run(folder, kDiamond, {"tail=END"});
  CHECK(third.states == "a:cached b:cached c:ran d:ran n:ran");
  CHECK(third.stage("c").reason == "parameter 'suffix' changed from \"end\" to \"END\"");
  CHECK(third.stage("d").reason == "input 'second' changed");
  CHECK(folder.read("out/whole.txt") == "abcabcBabcabcEND");

  // A result that comes out the same stops the change there.
  const std::string same = "  a: {uses: write, with: {text: abcabc, times: 1}}\n";
  std::string changed = kDiamond;
  const std::size_t at = changed.find("  a: ");
  changed.replace(at, changed.find('\n', at) + 1 - at, same);
  changed.erase(changed.find("t: {type: integer, default: 2}, "), 32);
  CHECK(fakes::run(folder, changed, {"tail=END"}).states ==
        "a:ran b:cached c:cached d:cached n:cached");
}

TEST_CASE("Digests do not depend on the folder or on how many stages run at a time") {
  std::vector<std::string> digests;
  for (const unsigned count : {1u, 2u, 7u}) {
    const Folder folder;
    const auto ran = fakes::run(folder, kDiamond, {}, jobs(count));
    digests.push_back(ran.result.published.at(0).digest.hex() + ran.stage("n").entry.key +
                      ran.stage("c").entry.key);
  }
  CHECK(digests[0] == digests[1]);
  CHECK(digests[0] == digests[2]);
}

TEST_CASE("Keys hold what decides the result and nothing else") {
  const Folder folder;
  folder.write("in.txt", "content");
  const auto yaml = [](const std::string& with, const std::string& name = "a") {
    return fakes::pipeline("  " + name + ": {uses: write, with: {text: x, " + with + "}}\n");
  };
  const auto key = [&](const std::string& text) {
    const auto ran = fakes::run(folder, text);
    return ran.result.stages.at(0).entry.key;
  };
  const std::string base = key(yaml("times: 1"));
  CHECK(base.size() == 64);
  CHECK(key(yaml("times: 2")) != base);
  CHECK(key(yaml("threads: 7")) == base);         // declared not to affect the result
  CHECK(key(yaml("times: 1", "other")) == base);  // the stage's name is not part of it
  CHECK(key("defaults: {seed: 4}\n" + yaml("times: 1")) != base);

  // Input: by content, not by name.
  const auto count = [](const std::string& file) {
    return fakes::pipeline("  a: {uses: count, with: {model: " + file + "}}\n");
  };
  const std::string one = key(count("in.txt"));
  folder.write("sub/copy.txt", "content");
  CHECK(key(count("sub/copy.txt")) == one);
  CHECK(key(count(folder.file("in.txt"))) == one);
  folder.write("in.txt", "other");
  CHECK(key(count("in.txt")) != one);
}

TEST_CASE("Folders are digested by names and contents") {
  const Folder folder;
  folder.write("m/a.txt", "1");
  folder.write("m/b/c.txt", "2");
  DigestBook book(folder.file("digests.json"));
  const auto first = book.digest(folder.file("m"));
  REQUIRE(first.ok());
  std::filesystem::create_directories(folder.file("elsewhere"));
  std::filesystem::copy(folder.file("m"), folder.file("elsewhere/m"),
                        std::filesystem::copy_options::recursive);
  CHECK(book.digest(folder.file("elsewhere/m"))->digest == first->digest);
  folder.write("m/b/c.txt", "3");
  CHECK(book.digest(folder.file("m"))->digest != first->digest);
  folder.write("m/b/c.txt", "2");
  CHECK(book.digest(folder.file("m"))->digest == first->digest);
  std::filesystem::rename(folder.file("m/a.txt"), folder.file("m/z.txt"));
  CHECK(book.digest(folder.file("m"))->digest != first->digest);
  // The definition, spelled out with another tool: sha256sum.
  const Folder tree;
  tree.write("t/x", "hello");
  CHECK(book.digest(tree.file("t/x"))->digest.hex() ==
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  const std::string line =
      "apr-tree-v1\n2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 5 1 x\n";
  CHECK(book.digest(tree.file("t"))->digest == sha256(line));
  // What is neither file nor folder, and links to nowhere.
  std::filesystem::create_symlink("nowhere", tree.file("t/dangling"));
  CHECK(book.digest(tree.file("t")).error().code == ErrorCode::not_found);
  std::filesystem::remove(tree.file("t/dangling"));
  std::filesystem::create_directory_symlink("..", tree.file("t/up"));
  CHECK(book.digest(tree.file("t")).error().hint == "is there a link that leads back up?");
  CHECK(book.digest("/dev/null").error().code == ErrorCode::io);
  // What is remembered is true after a change that keeps size and modification time.
  const auto stamp = std::filesystem::last_write_time(folder.file("m/z.txt"));
  std::this_thread::sleep_for(std::chrono::milliseconds(80));
  const auto before = book.digest(folder.file("m/z.txt"));
  folder.write("m/z.txt", "9");
  std::filesystem::last_write_time(folder.file("m/z.txt"), stamp);
  CHECK(book.digest(folder.file("m/z.txt"))->digest != before->digest);
}

TEST_CASE("A damaged cache entry is noticed and made again") {
  const Folder folder;
  const auto first = fakes::run(folder, kDiamond);
  const std::string path = first.stage("b").entry.outputs.at(0).path;
  ::chmod(path.c_str(), 0644);
  SECTION("changed bytes") {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    folder.write(std::filesystem::relative(path, folder.path()).string(), "abcabcX");
  }
  SECTION("changed figures in the report") {
    const std::string report = std::filesystem::path(path).parent_path().string() + "/report.json";
    folder.write(std::filesystem::relative(report, folder.path()).string(), "{\"bytes\": 1}");
  }
  SECTION("missing output") {
    std::filesystem::remove(path);
  }
  SECTION("broken record") {
    const std::string record = std::filesystem::path(path).parent_path().string() + "/entry.json";
    folder.write(std::filesystem::relative(record, folder.path()).string(), "{\"format\": 1");
  }
  const auto second = fakes::run(folder, kDiamond);
  CHECK(second.states == "a:cached b:ran c:cached d:cached n:cached");
  CHECK(second.stage("b").reason == "its result is no longer in the cache");
  CHECK(folder.read("out/whole.txt") == "abcabcBabcabcend");
  CHECK(fakes::run(folder, kDiamond).states == "a:cached b:cached c:cached d:cached n:cached");
}

TEST_CASE("A touched but equal output is still good") {
  const Folder folder;
  const auto first = fakes::run(folder, kDiamond);
  const std::string path = first.stage("b").entry.outputs.at(0).path;
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now());
  CHECK(fakes::run(folder, kDiamond).states == "a:cached b:cached c:cached d:cached n:cached");
}

TEST_CASE("when, skipped stages and fallbacks") {
  const Folder folder;
  const std::string yaml =
      "params: {tune: {type: boolean, default: false}}\n" +
      fakes::pipeline(
          "  a: {uses: write, with: {text: abc}}\n"
          "  t: {uses: join, with: {first: \"${stages.a.output}\", suffix: T}, when: params.tune}\n"
          "  b: {uses: join, with: {first: \"${stages.t.output ?? stages.a.output}\", suffix: B}}\n"
          "  c: {uses: join, with: {first: \"${stages.t.output}\"}}\n"
          "  d: {uses: join, with: {first: \"${stages.a.output}\", second: "
          "\"${stages.t.output}\"}}\n"
          "  e: {uses: count, with: {model: \"${stages.a.output}\"}, when: stages.a.report.bytes > "
          "5}\n"
          "outputs:\n"
          "  tuned: {from: \"${stages.t.output ?? stages.a.output}\", to: tuned.txt}\n"
          "  maybe: {from: \"${stages.t.output}\", to: maybe.txt}\n");
  const auto plain = fakes::run(folder, yaml);
  CHECK(plain.states == "a:ran t:skipped b:ran c:skipped d:ran e:skipped");
  CHECK(plain.stage("t").reason == "its 'when' is false");
  CHECK(plain.stage("c").reason == "'first' comes from a skipped stage or an unset parameter");
  CHECK(folder.read("tuned.txt") == "abc");
  CHECK_FALSE(folder.exists("maybe.txt"));
  const auto tuned = fakes::run(folder, yaml, {"tune=true"});
  CHECK(tuned.states == "a:cached t:ran b:ran c:ran d:ran e:skipped");
  CHECK(folder.read("tuned.txt") == "abcT");
  CHECK(folder.read("maybe.txt") == "abcT");
}

TEST_CASE("A failure stops what depends on it and keeps what was done") {
  const Folder folder;
  const auto yaml = [](int code) {
    return fakes::pipeline(
        "  a: {uses: write, with: {text: abc}}\n"
        "  f: {uses: fail, with: {code: " +
        std::to_string(code) +
        ", after: \"${stages.a.output}\"}}\n"
        "  b: {uses: write, with: {text: after}, needs: f}\n"
        "  c: {uses: write, with: {text: independent}, needs: a}\n");
  };
  RunOptions keep = jobs(1);
  keep.keep_going = true;
  const auto failed = fakes::run(folder, yaml(7), {}, keep);
  CHECK(failed.states == "a:ran f:failed b:cancelled c:ran");
  REQUIRE(failed.result.error.has_value());
  CHECK(failed.result.exit_code() == 7);
  CHECK(failed.result.error->to_string().find("stage 'f': asked to fail") != std::string::npos);
  CHECK(failed.stage("b").reason == "'f' did not succeed");

  const auto checks = fakes::run(folder, yaml(5), {}, jobs(1));
  CHECK(checks.result.exit_code() == 5);
  CHECK(checks.stage("f").printed == "{\"lost\":\"a point\"}");
  CHECK(checks.stage("a").state == StageState::cached);
  CHECK(checks.stage("b").state == StageState::cancelled);

  const auto thrown = fakes::run(folder, yaml(99), {}, jobs(1));
  CHECK(thrown.result.exit_code() == 1);
  CHECK(thrown.result.error->message == "unexpected failure: thrown");

  CHECK(fakes::run(folder, yaml(0), {}, jobs(1)).states == "a:cached f:ran b:ran c:cached");
}

TEST_CASE("Nothing starts when an input is missing") {
  const Folder folder;
  const auto refusal = [&](const std::string& source) {
    const auto ran = fakes::run(
        folder, fakes::pipeline("  a: {uses: write, with: {text: x}}\n  b: {uses: count, with: "
                                "{model: " +
                                source + "}}\n"));
    REQUIRE(ran.refused.has_value());
    CHECK_FALSE(folder.exists(".apr/records/test.json"));
    return *ran.refused;
  };
  const Error missing = refusal("nowhere.bin");
  CHECK(missing.code == ErrorCode::not_found);
  CHECK(missing.context ==
        folder.file("p.yaml") + ":6:34: stage 'b': " + folder.file("nowhere.bin"));
  CHECK(missing.hint ==
        "paths in the file are relative to it, those given with --set to the current folder");
  const Error hub = refusal("hf://Qwen/Qwen2-0.5B");
  CHECK(hub.code == ErrorCode::unsupported);
  CHECK(hub.hint.find("hub importer is not part of this version yet") != std::string::npos);
  CHECK(refusal("s3://x").code == ErrorCode::unsupported);
}

TEST_CASE("A parameter without a value") {
  const Folder folder;
  const std::string yaml = "params: {p: {type: string}}\n" +
                           fakes::pipeline("  a: {uses: write, with: {text: \"${params.p}\"}}\n");
  const auto ran = fakes::run(folder, yaml);
  REQUIRE(ran.refused.has_value());
  CHECK(ran.refused->code == ErrorCode::usage);
  CHECK(ran.refused->hint == "give it with --set p=VALUE");
  CHECK(fakes::run(folder, yaml, {"p=x"}).states == "a:ran");
}

TEST_CASE("Paths: in the file relative to the file, folders as outputs and inputs") {
  const Folder folder;
  folder.write("data/in.txt", "in");
  const std::string yaml = "params: {src: {type: path, default: data/in.txt}}\n" +
                           fakes::pipeline(
                               "  p: {uses: pair, with: {first: \"${params.src}\"}}\n"
                               "outputs: {both: {from: \"${stages.p.output}\", to: out/both}}\n");
  CHECK(fakes::run(folder, yaml).states == "p:ran");
  CHECK(folder.read("out/both/inner/two.txt") == "inin");
  folder.write("data/in.txt", "new");
  CHECK(fakes::run(folder, yaml).states == "p:ran");
  CHECK(folder.read("out/both/one.txt") == "new");
  CHECK(folder.read("out/both/inner/two.txt") == "newnew");
  CHECK(fakes::run(folder, yaml).states == "p:cached");
}

TEST_CASE("A foreign file at an output's place is refused, ours is replaced") {
  const Folder folder;
  folder.write("out/whole.txt", "precious");
  const int runs = fakes::g_runs.load();
  const auto refused = fakes::run(folder, kDiamond);
  REQUIRE(refused.refused.has_value());
  CHECK(refused.refused->code == ErrorCode::validation);
  CHECK(refused.refused->message == "the place of output 'whole' holds something else");
  CHECK(fakes::g_runs.load() == runs);  // before any work
  CHECK(folder.read("out/whole.txt") == "precious");
  RunOptions force;
  force.force = true;
  CHECK(fakes::run(folder, kDiamond, {}, force).result.exit_code() == 0);
  CHECK(folder.read("out/whole.txt") == "abcabcBabcabcend");
  CHECK(fakes::run(folder, kDiamond, {"tail=2"}).result.exit_code() == 0);
  CHECK(folder.read("out/whole.txt") == "abcabcBabcabc2");
  // Changed by hand since: foreign again.
  std::filesystem::remove(folder.file("out/whole.txt"));
  folder.write("out/whole.txt", "edited");
  CHECK(fakes::run(folder, kDiamond, {"tail=3"}).refused->code == ErrorCode::validation);
  CHECK(folder.read("out/whole.txt") == "edited");
}

TEST_CASE("What is not reproducible always runs") {
  const Folder folder;
  const std::string yaml = fakes::pipeline(
      "  t: {uses: time}\n  n: {uses: count, with: {model: \"${stages.t.output}\"}}\n");
  CHECK(fakes::run(folder, yaml).states == "t:ran n:ran");
  const auto again = fakes::run(folder, yaml);
  CHECK(again.stage("t").state == StageState::ran);
  CHECK(again.stage("t").reason == "its result is not reproducible");
}

TEST_CASE("Independent stages run at the same time, as many as allowed") {
  const std::string yaml = fakes::pipeline(
      "  a: {uses: meet, with: {who: a}}\n"
      "  b: {uses: meet, with: {who: b}}\n"
      "  c: {uses: meet, with: {who: c}}\n");
  fakes::g_most_at_once = 0;
  const Folder two;
  CHECK(fakes::run(two, yaml, {}, jobs(2)).result.exit_code() == 0);
  CHECK(fakes::g_most_at_once.load() == 2);
}

TEST_CASE("Equal work in two stages runs once") {
  const Folder folder;
  const int runs = fakes::g_runs.load();
  const auto ran = fakes::run(
      folder,
      fakes::pipeline(
          "  a: {uses: write, with: {text: same}}\n  b: {uses: write, with: {text: same}}\n"
          "  c: {uses: write, with: {text: same}}\n"),
      {}, jobs(3));
  CHECK(fakes::g_runs.load() == runs + 1);
  CHECK(ran.result.exit_code() == 0);
}

TEST_CASE("The lock file pins inputs, parameters and outputs") {
  const Folder folder;
  folder.write("in.txt", "one");
  const std::string yaml = "params: {s: {type: string, default: x}}\n" +
                           fakes::pipeline(
                               "  a: {uses: join, with: {first: in.txt, suffix: \"${params.s}\"}}\n"
                               "outputs: {o: {from: \"${stages.a.output}\", to: o.txt}}\n");
  RunOptions options;
  options.lock_file = folder.file("p.lock");
  RunOptions locked = options;
  locked.locked = true;
  CHECK(fakes::run(folder, yaml, {}, locked).refused->code == ErrorCode::not_found);
  CHECK(fakes::run(folder, yaml, {}, options).result.exit_code() == 0);
  const std::string text = folder.read("p.lock");
  const auto json = parse_json(text);
  REQUIRE(json.ok());
  CHECK((*json)["inputs"]["in.txt"].as_string() == sha256("one").hex());
  CHECK((*json)["outputs"]["o"].as_string() == sha256("onex").hex());
  CHECK((*json)["stages"]["a"]["output"].as_string() == sha256("onex").hex());
  CHECK(fakes::run(folder, yaml, {}, locked).result.exit_code() == 0);
  const auto params = fakes::run(folder, yaml, {"s=y"}, locked);
  REQUIRE(params.refused.has_value());
  CHECK(params.refused->code == ErrorCode::validation);
  CHECK(params.refused->message ==
        "--locked refuses a difference: parameter s is \"y\", locked is null");
  folder.write("in.txt", "two");
  const auto input = fakes::run(folder, yaml, {}, locked);
  REQUIRE(input.refused.has_value());
  CHECK(input.refused->message.starts_with("--locked refuses a difference: input in.txt is "));
  CHECK(folder.read("o.txt") == "onex");
  // Another text of the pipeline, the same inputs: the output differs, and is not put in place.
  folder.write("in.txt", "one");
  std::string other = yaml;
  other.replace(other.find("default: x"), 10, "default: z");
  const auto output = fakes::run(folder, other, {}, locked);
  CHECK(output.result.exit_code() == 5);
  CHECK(folder.read("o.txt") == "onex");
  CHECK(folder.read("p.lock") == text);
}

TEST_CASE("plan says what would run and why") {
  const Folder folder;
  auto planned = plan(folder, kDiamond);
  REQUIRE(planned.size() == 5);
  CHECK(planned[0].reason == "never ran");
  CHECK(planned[1].reason == "depends on 'a', which has to run first");
  CHECK_FALSE(folder.exists(".apr"));
  fakes::run(folder, kDiamond);
  for (const PlannedStage& stage : plan(folder, kDiamond)) {
    CHECK(stage.action == PlannedStage::Action::cached);
  }
  planned = plan(folder, kDiamond, {"tail=END"});
  CHECK(planned[1].action == PlannedStage::Action::cached);
  CHECK(planned[2].action == PlannedStage::Action::run);
  CHECK(planned[2].reason == "parameter 'suffix' changed from \"end\" to \"END\"");
  CHECK(planned[3].action == PlannedStage::Action::run);
}

TEST_CASE("Ctrl-C stops and leaves a run that can go on") {
  const Folder folder;
  const std::string yaml = fakes::pipeline(
      "  a: {uses: write, with: {text: abc}}\n"
      "  w: {uses: wait, with: {first: \"${stages.a.output}\"}}\n"
      "  b: {uses: write, with: {text: late}, needs: w}\n");
  const int runs = fakes::g_runs.load();
  std::thread stopper([&] {
    for (int i = 0; i < 2000 && fakes::g_runs.load() < runs + 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    g_interrupted = true;
  });
  const auto ran = fakes::run(folder, yaml, {}, jobs(1));
  stopper.join();
  g_interrupted = false;
  CHECK(ran.result.exit_code() == 130);
  CHECK(ran.stage("a").state == StageState::ran);
  CHECK(ran.stage("w").state == StageState::failed);
  CHECK(ran.stage("b").state == StageState::cancelled);
  const State state = State::look_at(folder.file(".apr"));
  CHECK(state.last_run("test")["state"].as_string() == "interrupted");
  CHECK(std::filesystem::is_empty(folder.file(".apr/tmp")));
}

TEST_CASE("A killed process leaves nothing that the next one does not remove") {
  const Folder folder;
  const std::string yaml = fakes::pipeline(
      "  a: {uses: write, with: {text: abc}}\n"
      "  w: {uses: wait, with: {first: \"${stages.a.output}\"}}\n");
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // Only async-signal-safe calls would be right after a fork with threads; there are none yet in
    // the child's copy that matter, and it ends by being killed.
    auto state = State::open(folder.file(".apr"));
    if (!state) ::_exit(1);
    auto made = state->make_temporary_folder("half");
    if (!made) ::_exit(2);
    folder.write(".apr/tmp/child-is-ready", "x");
    while (true) ::pause();
  }
  for (int i = 0; i < 2000 && !folder.exists(".apr/tmp/child-is-ready"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const auto leftovers = [&] {
    int folders = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.file(".apr/tmp"))) {
      folders += entry.is_directory() ? 1 : 0;
    }
    return folders;
  };
  CHECK(leftovers() == 1);
  {  // A living owner's folder stays.
    const auto other = State::open(folder.file(".apr"));
    REQUIRE(other.ok());
    CHECK(leftovers() == 2);
  }
  CHECK(leftovers() == 1);
  ::kill(child, SIGKILL);
  int ended = 0;
  ::waitpid(child, &ended, 0);
  CHECK(leftovers() == 1);
  {
    const auto other = State::open(folder.file(".apr"));
    REQUIRE(other.ok());
    CHECK(leftovers() == 1);  // its own
  }
  CHECK(leftovers() == 0);
}
