// Templates come from strangers: whatever they are, rendering ends, soon, with an answer or an
// error.
#include <catch2/catch.hpp>
#include <random>

#include "tests/unit/template/fixtures.h"

using namespace apr;
using namespace apr::test;

namespace {

std::string times(std::size_t count, const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

void check_refused(const std::string& source, const std::string& why, const Json& variables = {}) {
  INFO(source.substr(0, 200));
  const auto text =
      render(source, variables.is_null() ? Json::object() : variables, {200'000, 1u << 20});
  REQUIRE_FALSE(text.ok());
  INFO(text.error().to_string());
  CHECK(text.error().message.find(why) != std::string::npos);
  CHECK(text.error().context.starts_with("test.jinja:"));
}

}  // namespace

TEST_CASE("nesting is bounded") {
  const std::string deep = "levels deep";
  check_refused("{{ " + times(5000, "(") + "1" + times(5000, ")") + " }}", deep);
  check_refused("{{ " + times(5000, "[") + "1" + times(5000, "]") + " }}", deep);
  check_refused("{{ " + times(5000, "{1:") + "1" + times(5000, "}") + " }}", deep);
  check_refused("{{ " + times(5000, "not ") + "1 }}", deep);
  check_refused("{{ " + times(5000, "-") + "1 }}", deep);
  check_refused("{{ x" + times(5000, ".a") + " }}", deep);
  check_refused("{{ x" + times(5000, "[0]") + " }}", deep);
  check_refused("{{ x" + times(5000, "()") + " }}", deep);
  check_refused("{{ x" + times(5000, "|trim") + " }}", deep);
  check_refused("{{ x" + times(5000, " is none") + " }}", deep);
  check_refused("{{ " + times(5000, "1 if 1 else ") + "1 }}", deep);
  check_refused(times(5000, "{% if 1 %}"), deep);
  check_refused(times(5000, "{% for x in [1] %}") + times(5000, "{% endfor %}"), deep);
  check_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", deep);
  check_refused(
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      deep);
  check_refused(
      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}"
      "{% endfor %}",
      deep);
  check_refused(
      "{% set ns = namespace(x={}) %}{% for i in range(1000) %}{% set ns.x = {'a': ns.x} %}"
      "{% endfor %}",
      deep);
  check_refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", deep);
  check_refused("{% macro m() %}{% call m() %}{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}",
                deep);
  check_refused("{% for " + times(5000, "(") + "x" + times(5000, ")") + " in [1] %}{% endfor %}",
                deep);
  check_refused(times(5000, "{% call m() %}"), deep);
  check_refused("{{ f" + times(5000, "(*f") + times(5000, ")") + " }}", deep);
  Json nested = 1;
  for (int i = 0; i < 500; ++i) nested = Json(JsonArray{std::move(nested)});
  CHECK_FALSE(render("{{ x }}", Json::object({{"x", nested}})).ok());
}

TEST_CASE("long chains are not deep") {
  CHECK(rendered("{{ 0" + times(5000, " + 1") + " }}") == "5000");
  CHECK(rendered("{{ ''" + times(5000, " ~ 'a'") + " }}") == times(5000, "a"));
  CHECK(rendered("{{ true" + times(5000, " and true") + " }}") == "True");
  CHECK(rendered("{{ 1" + times(5000, " < 2 > 1") + " }}") == "True");
  CHECK(rendered("{% if 0 %}" + times(3000, "{% elif 0 %}") + "{% else %}x{% endif %}") == "x");
  CHECK(rendered(times(20000, "{{ 1 }}")) == times(20000, "1"));
}

TEST_CASE("steps and output are bounded") {
  const std::string steps = "steps";
  const std::string bytes = "bytes";
  check_refused("{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
                steps);
  check_refused(
      "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}"
      "{% endfor %}",
      bytes);
  check_refused("{% for i in range(90000) %}" + times(100, "x") + "{% endfor %}", bytes);
  check_refused("{{ 'a' * 9000000000 }}", bytes);
  check_refused("{{ [1] * 9000000000 }}", steps);
  check_refused("{{ ('a' * 100000).replace('', 'b' * 1000) }}", bytes);
  check_refused("{{ ('a' * 100000) | join('b' * 1000) }}", bytes);
  check_refused("{{ 'a' | center(1000000000) }}", "center: width");
  check_refused("{{ 'a'.center(9223372036854775807) }}", bytes);
  check_refused("{{ 'a'.zfill(9223372036854775807) }}", bytes);
  CHECK(
      rendered("{{ 'a'.ljust(-9223372036854775807 - 1) }}{{ 'a'.zfill(-9223372036854775807) }}") ==
      "aa");
  check_refused("{{ '%99999999999d' % 1 }}", "is not supported");
  check_refused("{{ '{:99999999999}'.format(1) }}", "is not supported");
  check_refused("{{ '%.9999f' % 1 }}", "is not supported");
  check_refused("{% for i in range(90000) %}{{ '{:9999}'.format(1) }}{% endfor %}", steps);
  check_refused("{{ range(100000) | batch(1) | list | batch(1, 'x') | list }}", steps);
  check_refused("{{ [1] | batch(1000000, 'x') | list }}", steps);
  check_refused("{{ [1] | slice(1000000) | list }}", steps);
  check_refused("{% for i in range(100000) %}{% set x = s.rfind('b' ~ s) %}{% endfor %}", steps,
                Json::object({{"s", times(1000, "a")}}));
  check_refused("{% for i in range(100000) %}{% set x = s | from_json %}{% endfor %}", steps,
                Json::object({{"s", "[" + times(1000, "1,") + "1]"}}));
  check_refused("{{ s | from_json }}", "deep", Json::object({{"s", times(5000, "[")}}));
  check_refused("{% macro m() %}{% endmacro %}{% for i in range(9999) %}{{ m(*xs) }}{% endfor %}",
                "arguments", Json::object({{"xs", Json(JsonArray(5000, Json(1)))}}));
  // A list that shares its parts prints exponentially long.
  const std::string doubled =
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}";
  for (const char* use : {"{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x == [ns.x] }}{{ ns.x }}"}) {
    const auto text = render(doubled + use, Json::object(), {200'000, 1u << 20});
    CHECK_FALSE(text.ok());
  }
  check_refused(
      doubled +
          "{% set y = namespace(x=[1]) %}{% for i in range(60) %}{% set y.x = [y.x, y.x] %}"
          "{% endfor %}{{ ns.x == y.x }}",
      steps);
  check_refused(
      doubled +
          "{% set y = namespace(x=[1]) %}{% for i in range(60) %}{% set y.x = [y.x, y.x] %}"
          "{% endfor %}{{ ns.x < y.x }}",
      steps);
  check_refused(
      "{% set x = range(5000) | list %}{% for i in x %}{% if -1 in x %}{% endif %}{% endfor %}",
      steps);
  check_refused("{% set x = range(2000) | list %}{{ x | unique }}", steps);
  check_refused("{% for i in range(100000) %}{% set x = s.split(',') %}{% endfor %}", steps,
                Json::object({{"s", times(1000, "a,")}}));
  check_refused("{% for i in range(100000) %}{% set x = s | trim %}{% endfor %}", steps,
                Json::object({{"s", times(100000, "a")}}));
  CHECK_FALSE(ChatTemplate::parse(std::string(2u << 20, 'a'), "big").ok());
}

TEST_CASE("loops may shrink what they go over without harm") {
  CHECK(rendered("{% set x = [1, 2, 3] %}{% for i in x %}{% set x = [] %}{{ i }}{% endfor %}") ==
        "123");
  CHECK(rendered("{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns.ns.ns == ns }}{{ ns }}") ==
        "True<Namespace>");
  CHECK(rendered("{% set ns = namespace() %}{% for i in [1, 2] %}{% set ns.l = loop %}{% endfor %}"
                 "{{ ns.l.index }}") == "2");
  // A loop that is over, called from elsewhere; state that a template writes over.
  CHECK(rendered("{% set ns = namespace() %}{% for i in [1, 2] recursive %}{% set ns.l = loop %}"
                 "{% endfor %}{{ ns.l([]) }}.") == ".");
  CHECK(rendered(
            "{% set ns = namespace() %}{% macro m() %}{% with a = 1 %}{% for i in [1] recursive %}"
            "{% set ns.l = loop %}{% endfor %}{% endwith %}{% endmacro %}{{ m() }}{{ ns.l([3]) }}")
            .find("is over") != std::string::npos);
  CHECK(rendered(
            "{% set c = cycler(1, 2) %}{% set c.items = 5 %}{% set c.place = 'x' %}"
            "{% set c.current = 9 %}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.next() }}") ==
        "9121");
  CHECK(rendered("{% for i in [1, 2] %}{{ loop.changed(loop) }}{% endfor %}") == "TrueFalse");
}

TEST_CASE("invalid UTF-8 goes through byte for byte") {
  const std::string bad = "a\xff\xc3(\xed\xa0\x80\xf8z";
  const Json variables = Json::object({{"x", bad}});
  CHECK(rendered("{{ x }}", variables) == bad);
  CHECK(rendered("{{ x | trim }}{{ x | replace('z', 'y') }}", variables).starts_with(bad));
  CHECK(rendered("{{ x.split('z')[0] ~ 'z' }}", variables) == bad);
  CHECK(rendered("{{ x | tojson }}", variables) == "\"" + bad + "\"");
  CHECK(rendered("{{ x | lower }}", variables) == bad);
  CHECK(rendered("{% for c in x %}{{ c }}{% endfor %}", variables) == bad);
  CHECK(rendered("{{ x | list | join }}", variables) == bad);
}

TEST_CASE("errors say what is wrong and where") {
  const auto error = [](const std::string& source) { return rendered(source); };
  CHECK(error("ab\n  {{ nope.x }}") == "error: test.jinja:2:11: nope is undefined, so it has no x");
  CHECK(error("é{{ 1 +* 2 }}") == "error: test.jinja:1:8: expected an expression but found '*'");
  CHECK(error("{% if x %}") ==
        "error: test.jinja:1:4: this block is never closed; add {% endif %}");
  CHECK(error("{% include 'x' %}") ==
        "error: test.jinja:1:4: {% include %} is not supported in templates");
  CHECK(error("{{ 'a' + nope }}") ==
        "error: test.jinja:1:10: cannot compute string + undefined: the value is a string, nope is "
        "undefined");
  CHECK(error("{{ [1].append(2) }}").find("would change a value") != std::string::npos);
  CHECK(error("{{ raise_exception('no ' ~ 1) }}") ==
        "error: test.jinja:1:19: the template refuses these messages: no 1");
  CHECK(error("{{ 99999999999999999999999999 }}").find("out of range") != std::string::npos);
  CHECK(error("{{ 9223372036854775807 + 1 }}").find("64 bits") != std::string::npos);
  CHECK(error("{# x") == "error: test.jinja:1:1: the comment {# is never closed");
  CHECK(error("{% raw %}").find("{% endraw %}") != std::string::npos);
  CHECK(error("{{ x | pprint }}").find("the filter pprint") != std::string::npos);
}

TEST_CASE("mutated templates never do harm") {
  std::vector<std::string> seeds = {oracle_text("templates/reasoning.jinja"),
                                    oracle_text("templates/plain.jinja")};
  const Json snippets = oracle_json("snippets.json");
  for (const Json& row : snippets["rows"].as_array()) {
    seeds.push_back(row["template"].as_string());
  }
  const Json& variables = snippets["variables"];
  const std::vector<std::string> pieces = {"{%",
                                           "%}",
                                           "{{",
                                           "}}",
                                           "{#",
                                           "#}",
                                           "-",
                                           "(",
                                           ")",
                                           "[",
                                           "]",
                                           "|",
                                           ".",
                                           "'",
                                           "\"",
                                           ":",
                                           ",",
                                           "if",
                                           "else",
                                           "for",
                                           "in",
                                           "set",
                                           "macro",
                                           "not",
                                           "is",
                                           "loop",
                                           "namespace",
                                           "xs",
                                           "d",
                                           "s",
                                           "\n",
                                           "~",
                                           "**",
                                           "//",
                                           "%",
                                           "1",
                                           "9223372036854775807",
                                           "-1",
                                           "tojson",
                                           "call(x) m(y)",
                                           "endcall",
                                           "caller()",
                                           "recursive",
                                           "loop(xs)",
                                           "*xs",
                                           "**d",
                                           "varargs",
                                           "kwargs",
                                           "groupby('a')",
                                           "batch(2, s)",
                                           "generation",
                                           "'%5.2f|%s' % ",
                                           "'{:>5}{!r}'.format",
                                           "\xff",
                                           "é"};
  std::mt19937 random(20240726);
  std::size_t rendered_well = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string source = seeds[random() % seeds.size()];
    const int edits = 1 + static_cast<int>(random() % 4);
    for (int edit = 0; edit < edits; ++edit) {
      const std::size_t at = source.empty() ? 0 : random() % (source.size() + 1);
      switch (random() % 4) {
        case 0:
          source.insert(at, pieces[random() % pieces.size()]);
          break;
        case 1:
          source.erase(at, random() % 8);
          break;
        case 2: {
          const std::string& other = seeds[random() % seeds.size()];
          const std::size_t from = other.empty() ? 0 : random() % other.size();
          source.insert(at, other.substr(from, random() % 30));
          break;
        }
        default:
          if (at < source.size()) source[at] = static_cast<char>(random() % 256);
      }
    }
    const auto text = render(source, variables, {20'000, 1u << 16});
    if (text) {
      ++rendered_well;
      CHECK(text->size() <= (1u << 16));
    } else {
      const Error& error = text.error();
      if (error.message.empty() || !error.context.starts_with("test.jinja")) {
        FAIL_CHECK("an error without words for: " << source);
      }
    }
  }
  CHECK(rendered_well > 500);
}
