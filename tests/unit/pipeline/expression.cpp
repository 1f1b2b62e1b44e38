// The language of ${…} and when:.
#include "orchestrator/pipeline/expression.h"

#include <catch2/catch.hpp>

using namespace apr;
using namespace apr::pipeline;

namespace {

Result<Json> lookup(const Reference& reference) {
  if (reference.kind == Reference::Kind::param) {
    if (reference.name == "three") return Json(3);
    if (reference.name == "yes") return Json(true);
    if (reference.name == "word") return Json("word");
    if (reference.name == "max_kld") return Json(0.05);
    return Json();
  }
  if (reference.kind == Reference::Kind::report) return Json(2.5);
  if (reference.name == "skipped") return Json();
  return Json("/cache/" + reference.name + "/" + reference.port);
}

Json value_of(std::string_view text) {
  Problem problem;
  const auto expression = Expression::parse(text, problem);
  INFO(text << ": " << problem.message);
  REQUIRE(expression.has_value());
  const auto value = expression->evaluate(lookup);
  REQUIRE(value.ok());
  return *value;
}

std::string problem_of(std::string_view text) {
  Problem problem;
  const auto expression = Expression::parse(text, problem);
  if (expression) return "accepted";
  return std::to_string(problem.offset) + " " + problem.message;
}

std::string evaluation_error(std::string_view text) {
  Problem problem;
  const auto expression = Expression::parse(text, problem);
  REQUIRE(expression.has_value());
  const auto value = expression->evaluate(lookup);
  return value ? "fine" : value.error().message;
}

std::vector<Problem> type_problems(std::string_view text) {
  Problem problem;
  const auto expression = Expression::parse(text, problem);
  REQUIRE(expression.has_value());
  std::vector<Problem> problems;
  expression->check(
      [](const Reference& reference) {
        if (reference.kind == Reference::Kind::output) return StaticType::text;
        if (reference.name == "three") return StaticType::number;
        if (reference.name == "yes") return StaticType::boolean;
        if (reference.name == "word") return StaticType::text;
        return StaticType::any;
      },
      problems);
  return problems;
}

Json text_value(std::string_view text) {
  Problem problem;
  const auto parsed = TextTemplate::parse(text, problem);
  INFO(text << ": " << problem.message);
  REQUIRE(parsed.has_value());
  const auto value = parsed->evaluate(lookup);
  REQUIRE(value.ok());
  return *value;
}

}  // namespace

TEST_CASE("Expressions: operators, order of binding, literals") {
  CHECK(value_of("true") == Json(true));
  CHECK(value_of("1 == 1.0") == Json(true));
  CHECK(value_of("'a' == \"a\"") == Json(true));
  CHECK(value_of("'1' == 1") == Json(false));
  CHECK(value_of("null == params.unset") == Json(true));
  CHECK(value_of("params.three >= 3 && params.three < 4") == Json(true));
  CHECK(value_of("!params.yes || params.three != 3") == Json(false));
  CHECK(value_of("true || false && false") == Json(true));
  CHECK(value_of("(true || false) && false") == Json(false));
  CHECK(value_of("!!params.yes") == Json(true));
  CHECK(value_of("-2.5e1 < 0") == Json(true));
  CHECK(value_of("params.unset ?? 'fallback'") == Json("fallback"));
  CHECK(value_of("stages.skipped.output ?? stages.import.output") == Json("/cache/import/output"));
  CHECK(value_of("stages.shrink-int4.output") == Json("/cache/shrink-int4/output"));
  CHECK(value_of("stages.eval.report.perplexity <= 2.5") == Json(true));
  // The right side is not looked at when the left decides.
  CHECK(value_of("false && params.word") == Json(false));
  CHECK(value_of("true || params.three") == Json(true));
}

TEST_CASE("Expressions that are none say where") {
  CHECK(problem_of("") == "0 the expression ends where a value was expected");
  CHECK(problem_of("params") == "0 a parameter is written params.NAME");
  CHECK(problem_of("params.") == "7 a name is missing after 'params.'");
  CHECK(problem_of("params.a.b") == "0 a parameter is written params.NAME");
  CHECK(problem_of("stages.x").starts_with("0 what a stage gives is written"));
  CHECK(problem_of("stages.x.report").starts_with("0 a figure of a report"));
  CHECK(problem_of("stages.x.output.more").starts_with("0 an output is written"));
  CHECK(problem_of("1 = 1") == "2 a single '='");
  CHECK(problem_of("1 + 1") == "2 '+' was not expected here");
  CHECK(problem_of("foo == 1") == "0 'foo' is not a value");
  CHECK(problem_of("(1 == 1") == "7 a ')' is missing");
  CHECK(problem_of("'open") == "0 a quoted text without its end");
  CHECK(problem_of("1.2.3") == "0 '1.2.3' is not a number");
  CHECK(problem_of("1 < 2 < 3") == "6 '<' was not expected here");
  CHECK(problem_of(std::string(100, '(')) == "32 an expression nested too deeply");
  CHECK(problem_of(std::string(100, '!')) == "32 an expression nested too deeply");
  CHECK(problem_of(std::string(3000, ' ')).find("more than 2000") != std::string::npos);
}

TEST_CASE("Values that do not fit an operator are errors") {
  CHECK(evaluation_error("params.three && true") == "'&&' needs true or false, not integer");
  CHECK(evaluation_error("!params.word") == "'!' needs true or false, not text");
  CHECK(evaluation_error("params.word < 3") == "'<' compares numbers, not text and integer");
}

TEST_CASE("Types that never fit are found before the run") {
  CHECK(type_problems("params.yes && params.three < 4").empty());
  CHECK(type_problems("params.other == 'x'").empty());
  REQUIRE(type_problems("params.three == 'three'").size() == 1);
  CHECK(type_problems("params.three == 'three'")[0].message ==
        "'==' compares a number with a text, which are never equal");
  CHECK(type_problems("params.three == 'three'")[0].offset == 13);
  REQUIRE(type_problems("params.word || true").size() == 1);
  CHECK(type_problems("params.word || true")[0].message == "'||' needs a boolean, not text");
  CHECK(type_problems("stages.x.output < 1").size() == 1);
}

TEST_CASE("Texts with references") {
  CHECK(text_value("plain") == Json("plain"));
  CHECK(text_value("") == Json(""));
  CHECK(text_value("${params.three}") == Json(3));
  CHECK(text_value("n=${params.three}!") == Json("n=3!"));
  CHECK(text_value("<= ${params.max_kld}") == Json("<= 0.05"));
  CHECK(text_value("$${params.three} costs 5$") == Json("${params.three} costs 5$"));
  CHECK(text_value("${'}'}${params.yes}") == Json("}true"));
  CHECK(text_value("a ${params.unset} b").is_null());
  Problem problem;
  CHECK_FALSE(TextTemplate::parse("abc ${params.x", problem).has_value());
  CHECK(problem.offset == 4);
  CHECK_FALSE(TextTemplate::parse("abc ${params.x +}", problem).has_value());
  CHECK(problem.offset == 15);
}
