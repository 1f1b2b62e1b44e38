// Lint: every mistake with its place and what to do.
#include <catch2/catch.hpp>

#include "fakes.h"
#include "orchestrator/pipeline/pipeline.h"

using namespace apr;
using namespace apr::pipeline;
using fakes::lint;
using Lines = std::vector<std::string>;

namespace {

/// One stage `a` that is fine, then `more`, which begins at line 6.
std::string after_a(const std::string& more) {
  return fakes::pipeline("  a: {uses: write, with: {text: hello}}\n" + more);
}

/// The diagnostics that are errors.
Lines errors(const std::string& yaml, const std::vector<std::string>& sets = {}) {
  Lines lines = lint(yaml, sets);
  std::erase_if(lines, [](const std::string& line) { return line.starts_with("w "); });
  return lines;
}

}  // namespace

TEST_CASE("A sound pipeline has nothing to say") {
  CHECK(lint(after_a("  b:\n"
                     "    uses: count@1\n"
                     "    with: {model: \"${stages.a.output}\"}\n"
                     "    needs: [a]\n"
                     "    when: stages.a.report.bytes > 3\n"
                     "    gates:\n"
                     "      - report: {letters: \"<= 5\"}\n"))
            .empty());
}

TEST_CASE("Unknown keys are refused with a suggestion") {
  CHECK(errors("apiVersion: apr.dev/v1\nkind: Pipeline\nname: x\nstags: {}\n") ==
        Lines{"1:1 the pipeline lacks 'stages' | there is nothing to run",
              "4:1 unknown key 'stags' in the pipeline | did you mean 'stages'?"});
  CHECK(errors(after_a("  b: {use: count}\n")) ==
        Lines{"6:6 stage 'b' lacks 'uses'",
              "6:7 unknown key 'use' in stage 'b' | did you mean 'uses'?"});
  CHECK(errors(after_a("  b: {uses: write, with: {txt: x}}\n")) ==
        Lines{"6:13 stage 'b': write requires 'text' | add it under 'with:'",
              "6:27 stage 'b': write has no parameter 'txt' | did you mean 'text'?"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x, qqqq: x}}\n")) ==
        Lines{"6:36 stage 'b': write has no parameter 'qqqq' | known parameters: text, times, "
              "threads, seed"});
  CHECK(errors(after_a("  b: {uses: cuont, with: {model: x}}\n")) ==
        Lines{"6:13 there is no stage 'cuont' | did you mean 'count'?"});
  CHECK(errors("apiVersion: apr.dev/v1\nkind: Pipeline\nname: x\nparams:\n  p: {typ: string}\n"
               "stages: {a: {uses: write, with: {text: '${params.p}'}}}\n") ==
        Lines{"5:6 parameter 'p' lacks 'type'",
              "5:7 unknown key 'typ' in parameter 'p' | did you mean 'type'?"});
}

TEST_CASE("What comes later is refused by name") {
  CHECK(errors("policy: {}\n" + after_a("")) ==
        Lines{"1:1 'policy' of the pipeline is not supported yet | remove it"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x}, env: [A]}\n")) ==
        Lines{"6:37 'env' of stage 'b' is not supported yet | remove it"});
}

TEST_CASE("Small files cannot ask for endless checking") {
  std::string values;
  for (int i = 0; i < 16; ++i) values += (i > 0 ? ", " : "") + std::to_string(i);
  const std::string matrix = "matrix: {x: [" + values + "], y: [" + values + "]}";
  std::string stages;
  for (int i = 0; i < 9; ++i) {
    stages += "  s" + std::to_string(i) + ": {uses: write, with: {text: x}, " + matrix + "}\n";
  }
  const auto many = errors(fakes::pipeline(stages));
  REQUIRE(many.size() == 1);
  CHECK(many[0] == "12:3 more than 2000 stages | make the matrices smaller");

  std::string settings = "text: x";
  for (int i = 0; i < 1000; ++i) settings += ", q" + std::to_string(i) + ": x";
  const auto wide =
      errors(fakes::pipeline("  s: {uses: write, with: {" + settings + "}, " + matrix + "}\n"));
  REQUIRE(wide.size() == 1001);  // every wrong name, once
  CHECK(wide[0] == "5:3 stages with more than 100000 values in all | make the matrices smaller");
}

TEST_CASE("How a stage is run is checked") {
  CHECK(
      errors(after_a("  b: {uses: write, with: {text: x}, retry: {count: 2, delay: 5s, after: io}, "
                     "timeout: 90s,\n      allow_failure: true, resources: {memory: 1GiB, "
                     "threads: 2}}\n"))
          .empty());
  CHECK(errors(after_a("  b: {uses: write, with: {text: x}, retry: {max: 2}}\n")) ==
        Lines{"6:44 'retry' of stage 'b' lacks 'count' | how often to try again: count: 2",
              "6:45 unknown key 'max' in 'retry' of stage 'b' | known keys: count, delay, after"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x}, retry: {count: 99, after: [oi, "
                       "validation]}}\n")) ==
        Lines{"6:52 'count' of 'retry' of stage 'b' must be an integer between 1 and 10",
              "6:64 'oi' is not something to try again after | did you mean 'io'?",
              "6:68 'validation' is not something to try again after | known causes: timeout, io, "
              "network, load, inference, generic"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x}, timeout: 90, allow_failure: maybe, "
                       "resources: {memory: much, threads: 0, disk: 1GiB}}\n")) ==
        Lines{"6:46 'timeout' of stage 'b' must be a duration, not an integer | write a number and "
              "its unit: 500ms, 90s, 5m, 2h",
              "6:65 'allow_failure' of stage 'b' must be true or false, not a text",
              "6:92 'memory' of 'resources' of stage 'b' must be a size | write for example 512MiB "
              "or 8GiB",
              "6:107 'threads' of 'resources' of stage 'b' must be an integer between 1 and 4096",
              "6:110 unknown key 'disk' in 'resources' of stage 'b' | known keys: memory, "
              "threads"});
  CHECK(errors("defaults: {timeout: 1d, seed: x}\n" + after_a("")) ==
        Lines{"1:21 'timeout' of defaults must be a duration, not '1d' | write a number and its "
              "unit: 500ms, 90s, 5m, 2h",
              "1:31 'seed' must be an integer, not a text"});
}

TEST_CASE("A matrix is checked") {
  const auto matrix = [](const std::string& text) {
    return errors(after_a("  b: {uses: write, with: {text: x}, matrix: " + text + "}\n"));
  };
  CHECK(matrix("{a: [1, 2], b: [x, y], exclude: [{a: 1, b: x}], include: [{a: 3, b: x}, {a: 2, c: "
               "true}]}")
            .empty());
  CHECK(matrix("[1]") == Lines{"6:45 'matrix' of stage 'b' must be a map, not a list | write for "
                               "example: matrix: {scheme: [q8_0, q4_0]}"});
  CHECK(matrix("{}") == Lines{"6:45 the matrix of stage 'b' has no axis | write for example: "
                              "matrix: {scheme: [q8_0, q4_0]}"});
  CHECK(matrix("{a: x}") == Lines{"6:49 axis 'a' of the matrix of stage 'b' must be a list of "
                                  "values | write for example: a: [a, b]"});
  CHECK(matrix("{a: [x, x]}") == Lines{"6:53 axis 'a' has the value x twice"});
  CHECK(matrix("{a: ['${params.x}']}") ==
        Lines{"6:50 a value of the matrix of stage 'b' holds a reference | which stages there are "
              "must be known before the run: write plain values"});
  CHECK(matrix("{a: [[1]]}") == Lines{"6:50 a value of the matrix of stage 'b' must be a text, a "
                                      "number, true or false, not a list"});
  CHECK(matrix("{a: [x], exclude: [{a: y}]}") ==
        Lines{"6:64 this excludes nothing | no combination has these values"});
  CHECK(matrix("{a: [x], exclude: [{a: x}]}") ==
        Lines{"6:45 the matrix of stage 'b' has no combination left | exclude fewer"});
  CHECK(matrix("{abc: [x], exclude: [{abd: x}]}") ==
        Lines{"6:67 the matrix of stage 'b' has no axis 'abd' | did you mean 'abc'?"});
  CHECK(matrix("{a: [x], include: [{a: x}]}") ==
        Lines{"6:64 this combination is there already | remove it"});
  CHECK(matrix("{a: [x], b: [y], include: [{a: z}]}") ==
        Lines{"6:72 this combination lacks 'b' | a combination more needs a value for every axis"});
  std::string many = "{a: [0";
  for (int i = 1; i < 20; ++i) many += "," + std::to_string(i);
  CHECK(matrix(many + "], b" + many.substr(2) + "]}") ==
        Lines{"6:45 the matrix of stage 'b' has more than 256 combinations | leave out values"});
}

TEST_CASE("References to stages with a matrix name a combination") {
  const auto use = [](const std::string& reference) {
    return errors(after_a("  m: {uses: write, with: {text: '${matrix.t}'}, matrix: {t: [x, y]}}\n"
                          "  c: {uses: count, with: {model: '${stages.") +
                  reference + ".output}'}}\n");
  };
  CHECK(use("m[x]").empty());
  CHECK(use("m") == Lines{"7:37 stage 'm' has a matrix, so it is 2 stages | say which: m[x], or "
                          "all of them: m[*]"});
  CHECK(use("m[z]") == Lines{"7:37 the matrix of 'm' has no combination stages.m[z].output | there "
                             "are: m[x], m[y]"});
  CHECK(use("m[*]") == Lines{"7:34 stage 'c': 'model' takes one value, not a list | name one "
                             "combination instead of *"});
  CHECK(use("m[x,y]") == Lines{"7:37 stage 'm' has 1 axes (t), not 2 | write for example m[x], or "
                               "m[*]"});
  CHECK(use("a[x]") == Lines{"7:37 stage 'a' has no matrix | leave out the brackets"});
  CHECK(use("m[matrix.t]") == Lines{"7:37 there is no matrix.t here | there are no axes"});
  CHECK(use("m[]") == Lines{"7:46 a value of the matrix is missing between the brackets | write a "
                            "value, matrix.AXIS, or * for all"});
  CHECK(use("m[x") == Lines{"7:54 a ']' is missing | stages.NAME[VALUE].OUTPUT"});
  CHECK(errors(after_a("  c: {uses: write, with: {text: '${matrix.t}'}}\n")) ==
        Lines{"6:36 there is no matrix.t here | only a stage with 'matrix' has such values"});
  CHECK(errors(after_a("  c: {uses: write, with: {text: '${matrix.s}'}, matrix: {t: [x]}}\n")) ==
        Lines{"6:36 the matrix has no 's' | did you mean 't'?"});
  CHECK(errors(after_a("  m: {uses: write, with: {text: x}, matrix: {t: [x, y]}}\n"
                       "  c: {uses: count, with: {model: f}, needs: ['m[z]']}\n")) ==
        Lines{"7:46 there is no stage 'm[z]' | there is for example m[x]; m alone means all of "
              "them"});
}

TEST_CASE("Outputs of a matrix have a place for each combination") {
  const auto output = [](const std::string& to) {
    return errors(after_a("  m: {uses: write, with: {text: '${matrix.t}'}, matrix: {t: [x, y]}}\n"
                          "outputs:\n  o: {from: '${stages.m[*].output}', to: '") +
                  to + "'}\n");
  };
  CHECK(output("out/${matrix.t}.txt").empty());
  CHECK(output("out/one.txt") ==
        Lines{"8:42 output 'o[y]' and output 'o[x]' go to the same place | write ${matrix.AXIS} in "
              "'to' for every axis of the matrix"});
  CHECK(output("out/${matrix.s}.txt")[0] ==
        "8:42 output 'o[x]': the matrix has no axis 's' | did "
        "you mean 't'?");
  CHECK(errors(after_a("outputs:\n  o: {from: '${stages.a.output}', to: '${params.x}'}\n")) ==
        Lines{"7:39 output 'o': 'to' must be a plain path | only ${matrix.AXIS} can stand in it, "
              "where 'from' is \"${stages.NAME[*].OUTPUT}\""});
  CHECK(errors(after_a("outputs:\n  o: {from: '${stages.a.output}', to: x}\n"
                       "  p: {from: '${stages.a.output}', to: x/y}\n")) ==
        Lines{"8:39 output 'p' and output 'o' lie inside one another | give each a place of its "
              "own"});
}

TEST_CASE("Variables and secrets are named before they are used") {
  const auto text = [](const std::string& head, const std::string& value) {
    return errors(head + after_a("  b: {uses: write, with: {text: '" + value + "'}}\n"));
  };
  CHECK(text("env: [HOME]\n", "${env.HOME}").empty());
  CHECK(text("secrets: [KEY]\n", "x ${secrets.KEY}").empty());
  CHECK(text("", "${env.HOME}") ==
        Lines{"6:36 the pipeline may not read the variable 'HOME' | allow it at the top of the "
              "file: env: [HOME]"});
  CHECK(text("", "${secrets.KEY}") ==
        Lines{"6:36 there is no secret 'KEY' | name it at the top of the file: secrets: [KEY]"});
  CHECK(text("secrets: [KEY]\n", "${env.KEY}")[0] ==
        "7:36 the pipeline may not read the variable 'KEY' | it is a secret: write secrets.KEY");
  CHECK(text("secrets: [KEY]\n", "${secrets.KEY ?? 1}") ==
        Lines{"7:36 a secret cannot be compared or replaced | write ${secrets.KEY} alone"});
  CHECK(text("env: [A, A]\n", "x") == Lines{"1:10 'A' is listed twice"});
  CHECK(text("env: [A-B]\n", "x") ==
        Lines{"1:7 'A-B' is not the name of a variable | write its name only; its value comes from "
              "the environment"});
  CHECK(errors("secrets: [KEY]\n" +
               after_a("  b: {uses: write, with: {text: x}, when: secrets.KEY == 'a'}\n"))[0] ==
        "7:43 a secret cannot be used here | only under 'with:' of a stage, and not in a path");
}

TEST_CASE("Tables of the report are checked") {
  const auto table = [](const std::string& more) {
    return errors(after_a("  m: {uses: write, with: {text: '${matrix.t}'}, matrix: {t: [x, y]}}\n"
                          "report:\n  tables:\n    - {title: T, ") +
                  more + "}\n");
  };
  const std::string column = "{title: size, value: '${stages.m[matrix.t].report.bytes}'}";
  CHECK(table("rows: m, columns: [" + column + "], chart: {x: size, y: size}").empty());
  CHECK(table("rows: n, columns: [" + column + "]") ==
        Lines{"9:24 there is no stage 'n' | did you mean 'a'?"});
  CHECK(table("rows: a, columns: [" + column + "]") ==
        Lines{"9:24 stage 'a' has no matrix | the rows of a table are the combinations of a "
              "matrix"});
  CHECK(table("rows: m, columns: [" + column + "], chart: {x: sizes, y: size}")[0].ends_with(
      "table 'T' has no column 'sizes' | did you mean 'size'?"));
  CHECK(
      table("rows: m, columns: [{title: all, value: '${stages.m[*].report.bytes}'}]")[0].ends_with(
          "column 'all' is a list | write for example ${stages.m[matrix.t].report.KEY}"));
}

TEST_CASE("The head of the file") {
  CHECK(errors("apiVersion: apr.dev/v2\nkind: Pipelin\nname: x y\nstages: {}\n") ==
        Lines{"1:13 'apiVersion' is 'apr.dev/v2' | write apr.dev/v1",
              "2:7 'kind' is 'Pipelin' | write Pipeline",
              "3:7 'x y' cannot be a pipeline's name | use letters, digits, '_' and '-'",
              "4:9 'stages' is empty | there is nothing to run"});
  CHECK(errors("- a\n") == Lines{"1:1 the pipeline must be a map, not a list | known keys: "
                                 "apiVersion, kind, name, description, requires, params, env, "
                                 "secrets, resources, defaults, stages, outputs, report"});
  CHECK(errors("requires: {apr: '>=9'}\n" + after_a("")) ==
        Lines{"1:17 the pipeline requires apr >=9, this is " APR_VERSION
              " | use a fitting version of apr, or change the range"});
  CHECK(errors("requires: {apr: newest}\n" + after_a(""))
            .at(0)
            .starts_with("1:17 'newest' is not a range of versions"));
  CHECK(errors("apiVersion: 1\nkind: Pipeline\nstages: {a: {uses: write, with: {text: x}}}\n") ==
        Lines{"1:1 the pipeline lacks 'name'",
              "1:13 'apiVersion' of the pipeline must be a text, not an integer | quote it"});
}

TEST_CASE("Ranges of versions") {
  CHECK(version_in_range("0.1.0", ">=0.1 <1") == true);
  CHECK(version_in_range("1.0.0", ">=0.1 <1") == false);
  CHECK(version_in_range("0.1.0", "0.1") == true);
  CHECK(version_in_range("0.1.1", "=0.1") == false);
  CHECK(version_in_range("0.9.9", "> 0.1") == std::nullopt);
  CHECK(version_in_range("0.1.0", "") == std::nullopt);
  CHECK(version_in_range("0.1.0", ">=1.2.3.4") == std::nullopt);
}

TEST_CASE("References are checked, each at its own column") {
  CHECK(errors(after_a("  b: {uses: count, with: {model: \"${stages.aa.output}\"}}\n")) ==
        Lines{"6:37 there is no stage 'aa' | did you mean 'a'?"});
  CHECK(errors(after_a("  b: {uses: count, with: {model: \"${stages.a.outptu}\"}}\n")) ==
        Lines{"6:37 stage 'a' (write) has no output 'outptu' | did you mean 'output'?"});
  CHECK(errors(after_a("  b: {uses: count, with: {model: \"${params.p}\"}}\n")) ==
        Lines{"6:37 the pipeline has no parameter 'p' | there are no parameters"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: \"x ${stages.a.output} ${oops}\"}}\n")) ==
        Lines{"6:57 'oops' is not a value | write params.NAME or stages.NAME.OUTPUT, or quote a "
              "text: 'word'"});
  CHECK(errors(after_a("  b: {uses: count, with: {model: \"${stages.b.output}\"}}\n")) ==
        Lines{"6:37 stage 'b' refers to its own results"});
  CHECK(errors(after_a("  b: {uses: count, with: {model: x}}\n"
                       "  c: {uses: count, with: {model: \"${stages.b.output}\"}}\n")) ==
        Lines{"7:37 stage 'b' (count) has no output 'output' | it only reports: "
              "stages.b.report.KEY"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x}, needs: [aa, b]}\n")) ==
        Lines{"6:45 there is no stage 'aa' | did you mean 'a'?", "6:49 stage 'b' needs itself"});
}

TEST_CASE("Types are checked") {
  CHECK(errors(after_a("  b: {uses: write, with: {text: 5}}\n")) ==
        Lines{"6:33 stage 'b': 'text': must be text, not the integer 5 | put it in quotes: \"5\""});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x, times: many}}\n"))
            .at(0)
            .starts_with("6:43 stage 'b': 'times': must be a whole number"));
  CHECK(errors(after_a("  b: {uses: write, with: {text: x, times: 5000}}\n")) ==
        Lines{"6:43 stage 'b': 'times': must be between 0 and 1000, not 5000"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x, times: \"${stages.a.output}\"}}\n")) ==
        Lines{"6:43 stage 'b': 'times' must be a number, not a text"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x, output: y}}\n")) ==
        Lines{"6:36 stage 'b': 'output' is an output; its place is chosen by the runner | refer to "
              "it as ${stages.b.output}, or give it a final place under 'outputs:'"});
  CHECK(errors(after_a("  b: {uses: write, with: {text: x, force: true}}\n")) ==
        Lines{"6:36 stage 'b': 'force' is for the command line only | remove it"});
  CHECK(errors(after_a("  b: {uses: talk}\n"))
            .at(0)
            .starts_with("6:13 'talk' is not a stage: it makes no artifact and measures none"));
  CHECK(errors(after_a("  b: {uses: write@2, with: {text: x}}\n")) ==
        Lines{"6:13 'write@2': there is only version 1 of every stage | write write or write@1"});
  CHECK(errors(after_a("  b: {uses: write, with: [text]}\n")) ==
        Lines{"6:13 stage 'b': write requires 'text' | add it under 'with:'",
              "6:26 'with' of stage 'b' must be a map, not a list"});
}

TEST_CASE("when") {
  const auto when = [](const std::string& condition) {
    return errors(
        "params:\n  n: {type: integer, default: 3}\n  s: {type: string, default: null}\n" +
        after_a("  b: {uses: write, with: {text: \"${params.n}${params.s ?? 'x'}\"}, when: " +
                condition + "}\n"));
  };
  CHECK(when("params.n > 2").empty());
  CHECK(when("\"${params.n > 2}\"").empty());
  CHECK(when("true").empty());
  CHECK(when("params.s != null").empty());
  CHECK(when("params.n") == Lines{"9:73 'when' must be true or false, not a number"});
  CHECK(when("params.n > 'x'") == Lines{"9:82 '>' needs a number, not text"});
  CHECK(when("\"${params.m == 1}\"") ==
        Lines{"9:76 the pipeline has no parameter 'm' | did you mean 'n'?"});
  CHECK(when("[1]") == Lines{"9:73 'when' must be an expression, not a list"});
  CHECK(when("params.n &&") == Lines{"9:84 the expression ends where a value was expected"});
}

TEST_CASE("Cycles are named") {
  CHECK(errors(fakes::pipeline("  a: {uses: join, with: {first: \"${stages.c.output}\"}}\n"
                               "  b: {uses: join, with: {first: \"${stages.a.output}\"}}\n"
                               "  c: {uses: join, with: {first: x}, needs: b}\n"
                               "  d: {uses: join, with: {first: x}}\n")) ==
        Lines{"5:3 stages wait for each other: a -> c -> b -> a | each arrow means 'needs'; remove "
              "one of these references"});
  // A gate waits for what it compares with.
  CHECK(
      errors(after_a("  b:\n"
                     "    uses: join\n"
                     "    with: {first: x}\n"
                     "    gates: {size: {of: \"${stages.c.output}\", max_ratio: 1}}\n"
                     "  c: {uses: join, with: {first: \"${stages.b.output}\"}}\n")) ==
      Lines{"6:3 stages wait for each other: b -> c -> b | each arrow means 'needs'; remove one of "
            "these references"});
}

TEST_CASE("Gates are checked like stages") {
  const auto gate = [](const std::string& text) {
    return errors(after_a("  b: {uses: join, with: {first: x}, gates: {" + text + "}}\n"));
  };
  CHECK(gate("size: {max: 4MiB}").empty());
  CHECK(gate("kld: {parent: p, text: t, mean: \"<= 0.05\", top1: 0.9}").empty());
  CHECK(gate("perplexity: {dataset: t, max: 3}").empty());
  CHECK(gate("sizes: {max: 1}") == Lines{"6:45 there is no gate 'sizes' | did you mean 'size'?"});
  CHECK(gate("size: {mx: 1}") ==
        Lines{"6:45 stage 'b', gate size has no limit, so it could never fail | give one of: "
              "max, max_ratio",
              "6:52 stage 'b', gate size has no setting 'mx' | did you mean 'max'?"});
  CHECK(gate("size: {max: huge}")
            .at(0)
            .starts_with("6:57 stage 'b', gate size: 'max': 'huge' is not a size"));
  CHECK(gate("size: {of: x, max: 1}") ==
        Lines{"6:45 stage 'b', gate size: 'of' needs 'max_ratio'"});
  CHECK(gate("kld: {parent: p, text: t}")
            .at(0)
            .starts_with("6:45 stage 'b', gate kld has no limit, so it could never fail"));
  CHECK(gate("kld: {text: t, mean: 1}") ==
        Lines{"6:45 stage 'b', gate kld lacks 'parent' | the model it came from"});
  CHECK(
      gate("kld: {parent: p, text: t, mean: \"about 3\"}") ==
      Lines{"6:77 stage 'b', gate kld: 'mean': \"about 3\" is not a limit | write a comparison and "
            "a number: \"<= 0.05\""});
  CHECK(gate("report: {}").at(0).starts_with("6:45 stage 'b', gate report has no limit"));
  CHECK(gate("report: {x: 1}") == Lines{"6:57 stage 'b', gate report: 'x': a bare number says no "
                                        "direction | write \"<= 1\" or \">= 1\""});
  CHECK(gate("golden-trace: 5") ==
        Lines{"6:59 gate 'golden-trace' of stage 'b' must be a map, not an integer"});
  CHECK(errors(after_a("  b: {uses: count, with: {model: x}, gates: {size: {max: 1}}}\n")) ==
        Lines{"6:46 stage 'b', gate size: count makes no output to measure | name one: model: "
              "\"${stages.NAME.output}\""});
}

TEST_CASE("Parameters") {
  const auto param = [](const std::string& text) {
    return errors("params: {p: " + text + "}\n" +
                  fakes::pipeline("  a: {uses: write, with: {text: \"${params.p ?? 'x'} .\"}}\n"));
  };
  CHECK(param("{type: string, default: x}").empty());
  CHECK(param("{type: choice, choices: [a, b], default: a}").empty());
  CHECK(param("{type: float, range: [0, 1], default: 0.5}").empty());
  CHECK(param("{type: bytes, default: 4MiB}").empty());
  CHECK(param("{type: strin}") ==
        Lines{"1:20 unknown type 'strin' of parameter 'p' | did you mean 'string'?"});
  CHECK(param("{type: choice, default: a}") ==
        Lines{"1:20 parameter 'p' of type choice lacks 'choices'",
              "1:37 the default of parameter 'p': 'a' is not one of the choices: "});
  CHECK(param("{type: choice, choices: [a, b], default: c}")
            .at(0)
            .starts_with("1:54 the default of parameter 'p': 'c' is not one of the choices: a, b"));
  CHECK(param("{type: integer, default: 2.5}").size() == 1);
  CHECK(param("{type: boolean, default: yes}").at(0).starts_with("1:38 the default of parameter"));
  CHECK(param("{type: float, range: [0, 1], default: 2}")
            .at(0)
            .starts_with("1:51 the default of parameter 'p': must be between 0 and 1"));
  CHECK(param("{type: float, range: 3, default: 2}")
            .at(0)
            .starts_with("1:34 'range' of parameter 'p' must be [minimum, maximum]"));
  CHECK(param("{type: string, default: \"${params.q}\"}") ==
        Lines{"1:37 the default of parameter 'p' holds a reference | defaults are plain values"});
  CHECK(lint("params: {p: {type: string, default: x}}\n" + after_a("")) ==
        Lines{"w 1:10 parameter 'p' is never used",
              "w 6:3 nothing uses what stage 'a' makes | refer to it, or give it a place under "
              "'outputs:'"});
}

TEST_CASE("words of --set") {
  const std::string yaml =
      "params: {n: {type: integer, default: 1, range: [1, 9]}, b: {type: boolean, default: "
      "true}}\n" +
      fakes::pipeline("  a: {uses: write, with: {text: \"${params.n}${params.b}\"}}\n");
  CHECK(errors(yaml, {"n=3", "b=false"}).empty());
  CHECK(errors(yaml, {"mmm=3"}) ==
        Lines{"--set: the pipeline has no parameter 'mmm'; known parameters: n, b"});
  CHECK(errors(yaml, {"n"}) == Lines{"--set: 'n' has no '='; write --set name=value"});
  CHECK(errors(yaml, {"n=10"}).at(0).find("must be between 1 and 9") != std::string::npos);
  CHECK(errors(yaml, {"n=x"}).at(0).find("'x' is not a whole number") != std::string::npos);
  CHECK(errors(yaml, {"b=yes"}).at(0).find("is not true or false") != std::string::npos);
  CHECK(errors(yaml, {"n=3", "n=4"}) == Lines{"--set: 'n' is set twice"});
}

TEST_CASE("Outputs") {
  const auto output = [](const std::string& text) {
    return errors(after_a("outputs:\n  o: " + text + "\n"));
  };
  CHECK(output("{from: \"${stages.a.output}\", to: out/a.txt}").empty());
  CHECK(output("{from: a, to: out/a.txt}") ==
        Lines{"7:13 output 'o': 'from' must be a stage's output | write for example "
              "\"${stages.shrink.output}\""});
  CHECK(output("{from: \"${stages.a.outpu}\", to: x}") ==
        Lines{"7:16 stage 'a' (write) has no output 'outpu' | did you mean 'output'?"});
  CHECK(output("{from: \"${stages.a.output}\"}") == Lines{"7:6 output 'o' lacks 'to'"});
  CHECK(output("{form: x, to: y}") ==
        Lines{"7:6 output 'o' lacks 'from'",
              "7:7 unknown key 'form' in output 'o' | did you mean 'from'?"});
  CHECK(output("{from: \"${stages.a.output}\", to: x}\n  q: {from: \"${stages.a.output}\", to: "
               "./x}") == Lines{"8:39 output 'q' and output 'o' go to the same place"});
}
