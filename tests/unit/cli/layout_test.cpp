#include <algorithm>
#include <catch2/catch.hpp>

#include "orchestrator/cli/format.h"
#include "orchestrator/cli/options.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/cli/terminal.h"

using namespace apr;

TEST_CASE("numbers as people read them") {
  CHECK(with_commas(0) == "0");
  CHECK(with_commas(999) == "999");
  CHECK(with_commas(151936) == "151,936");
  CHECK(with_commas(UINT64_MAX) == "18,446,744,073,709,551,615");
  CHECK(human_count(999) == "999");
  CHECK(human_count(3'674'368) == "3.67M");
  CHECK(human_count(494'032'768) == "494M");
  CHECK(human_count(999'700'000) == "1.00B");
  CHECK(human_bytes(999) == "999 B");
  CHECK(human_bytes(7'354'064) == "7.35 MB");
  CHECK(human_bytes(999'600) == "1.00 MB");
  CHECK(human_seconds(0.0042) == "4.2 ms");
  CHECK(human_seconds(0.34) == "340 ms");
  CHECK(human_seconds(192) == "3 min 12 s");
  CHECK(plural(1, "tensor") == "1 tensor");
  CHECK(plural(1200, "tensor") == "1,200 tensors");
  CHECK(fixed(-1e300, 1).size() > 300);
}

TEST_CASE("text is broken at spaces and never wider than asked") {
  CHECK(wrapped("one two three", 100) == "one two three");
  CHECK(wrapped("aaaaaaaa bbbbbbbb cccccccc", 20) == "aaaaaaaa bbbbbbbb\ncccccccc");
  CHECK(wrapped("aaaaaaaa bbbbbbbb cccccccc", 24, 4) == "aaaaaaaa bbbbbbbb\n    cccccccc");
  CHECK(wrapped("a\n\nb", 20) == "a\n\nb");
  CHECK(wrapped("", 20).empty());
  CHECK(wrapped("a:\n    laid   out\nb", 20) == "a:\n    laid   out\nb");
  // A word that does not fit stands alone, whole.
  CHECK(wrapped("x aaaaaaaaaaaaaaaaaaaaaaaaaaa y", 18) == "x\naaaaaaaaaaaaaaaaaaaaaaaaaaa\ny");
}

TEST_CASE("shortened text has the width asked for and whole characters") {
  CHECK(shortened("abcdef", 6) == "abcdef");
  CHECK(shortened("abcdefg", 6) == "abcde…");
  CHECK(shortened("äöüäöüä", 4) == "äöü…");
  CHECK(display_width(shortened_inside("model.layers.0.mlp.up_proj.weight", 20)) == 20);
  CHECK(shortened_inside("model.layers.0.mlp.up_proj.weight", 20).ends_with("up_proj.weight"));
  CHECK(shortened_inside("ääääääääääääääääääääää", 8) == "ä…ääääää");
}

TEST_CASE("control characters are made visible") {
  CHECK(printable("a\x1b[31mb\tc\x7f") == "a�[31mb�c�");
  CHECK(printable("a\xc2\x9b"
                  "b") == "a�b");  // a one-character CSI
  CHECK(printable("ä → é") == "ä → é");
}

TEST_CASE("tables set columns under each other") {
  Table table({{"name", Table::Align::left}, {"n", Table::Align::right}});
  table.row({"a", "1"});
  table.row({"ää", "1,000"});
  CHECK(table.to_string({}) == "name      n\na         1\nää    1,000\n");
}

TEST_CASE("errors say where, what and what to do") {
  const Error error = make_error(ErrorCode::format, "is damaged", "m.apr", "import it again");
  CHECK(error_as_text("apr", error, false) ==
        "apr: error: m.apr: is damaged\n  hint: import it again\n");
  const Json json = error_as_json(error);
  CHECK(json["error"]["code"].as_string() == "format");
  CHECK(json["error"]["exit_code"].as_integer() == 4);
}

TEST_CASE("words become parameters") {
  VerbInfo verb;
  verb.name = "sing";
  Param model;
  model.name = "model";
  model.position = 0;
  model.required = true;
  Param words;
  words.name = "words";
  words.position = 1;
  words.type = ParamType::texts;
  Param number;
  number.name = "pitch";
  number.type = ParamType::number;
  number.letter = 'p';
  Param loud;
  loud.name = "loud";
  loud.type = ParamType::boolean;
  loud.letter = 'l';
  verb.params = {model, words, number, loud};
  const auto parse = [&](std::vector<std::string> list) { return parse_command(verb, list); };

  const auto all = parse({"m", "--pitch", "-0.5", "a", "-l", "--json", "b", "--", "--loud"});
  REQUIRE(all);
  CHECK(all->params.text("model") == "m");
  CHECK(all->params.number("pitch") == -0.5);
  CHECK(all->params.flag("loud"));
  CHECK(all->params.texts("words") == std::vector<std::string>{"a", "b", "--loud"});
  CHECK(all->global.json);

  CHECK(parse({"m", "-lp3"})->params.number("pitch") == 3);
  CHECK(parse({"m", "--pitch=-2"})->params.number("pitch") == -2);
  CHECK(parse({"-"})->params.text("model") == "-");
  CHECK(parse({""})->params.text("model").empty());
  CHECK_FALSE(parse({}));
  CHECK_FALSE(parse({"m", "--pitch"}));
  CHECK_FALSE(parse({"m", "--pitch", "--loud"}));
  CHECK_FALSE(parse({"m", "--pit", "1"}));
  CHECK_FALSE(parse({"m", "--pitch", "nan"}));
  CHECK(parse({"--help"})->global.help);
}

TEST_CASE("the verb is the first word that no global option takes") {
  const auto at = [](std::vector<std::string> words) { return find_verb_word(words); };
  CHECK(at({"inspect", "--json"}) == 0);
  CHECK(at({"--json", "inspect"}) == 1);
  CHECK(at({"--threads", "4", "-q", "inspect"}) == 3);
  CHECK(at({"--threads=4", "inspect"}) == 1);
  CHECK(at({"--help"}) == 1);
  CHECK(at({}) == 0);
}

TEST_CASE("no verb's options clash with each other or with those of every verb") {
  for (const auto& verb : all_verbs()) {
    std::vector<std::string> names;
    std::string letters;
    const auto take = [&](const Param& param, bool own) {
      CAPTURE(verb->info().name, param.name);
      const bool overrides =
          !own && std::any_of(verb->info().params.begin(), verb->info().params.end(),
                              [&](const Param& other) { return other.name == param.name; });
      if (overrides) return;
      CHECK(std::find(names.begin(), names.end(), param.name) == names.end());
      names.push_back(param.name);
      for (const std::string& alias : param.aliases) {
        CHECK(std::find(names.begin(), names.end(), alias) == names.end());
        names.push_back(alias);
      }
      if (param.letter == 0) return;
      CHECK(letters.find(param.letter) == letters.npos);
      letters += param.letter;
    };
    for (const Param& param : verb->info().params) take(param, true);
    for (const Param& param : global_params()) take(param, false);
  }
}
