// WordPiece against references that we did not write: a model's own golden ids.
#include <catch2/catch.hpp>

#include "wordpiece_test_support.h"

namespace apr::test {

namespace {

std::string tiny_bert(const std::string& name) {
  return shared_data("arch/tiny-bert/" + name);
}

std::vector<std::int32_t> types_of(const Json& list) {
  std::vector<std::int32_t> types;
  for (const Json& type : list.as_array()) {
    types.push_back(static_cast<std::int32_t>(type.as_integer()));
  }
  return types;
}

std::size_t check_strings(const Tokenizer& tokenizer, const Json& golden) {
  for (const Json& entry : golden["strings"].as_array()) {
    const std::string& text = entry["text"].as_string();
    INFO(text);
    std::optional<std::string_view> second;
    if (entry.contains("pair")) second = entry["pair"].as_string();
    const auto encoding = tokenizer.encode_pair(text, second, {});
    REQUIRE(encoding);
    CHECK(encoding->ids == ids_of(entry["ids"]));
    if (second) {
      CHECK(encoding->types == types_of(entry["token_type_ids"]));
      continue;
    }
    CHECK(encoding->types == std::vector<std::int32_t>(encoding->ids.size(), 0));
    CHECK(*tokenizer.encode(text, {}) == ids_of(entry["ids"]));
    CHECK(*tokenizer.encode(text, {true, true}) == ids_of(entry["ids_parse_special"]));
    const JsonArray& tokens = entry["tokens"].as_array();
    REQUIRE(tokens.size() == encoding->ids.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      CHECK(tokenizer.token(encoding->ids[i]) == tokens[i].as_string());
    }
  }
  return golden["strings"].size();
}

/// The prompts of the model's traces; rows of a batch are padded at their end.
std::size_t check_prompts(const Tokenizer& tokenizer, const Json& golden) {
  std::size_t rows = 0;
  for (const Json& prompt : golden["prompts"].as_array()) {
    const JsonArray& texts = prompt["texts"].as_array();
    for (std::size_t row = 0; row < texts.size(); ++row, ++rows) {
      const JsonArray& sides = texts[row].as_array();
      std::optional<std::string_view> second;
      if (sides.size() == 2) second = sides[1].as_string();
      auto encoding = tokenizer.encode_pair(sides[0].as_string(), second, {});
      REQUIRE(encoding);
      const bool batched = prompt["ids"].as_array()[0].is_array();
      const auto row_of = [&](const char* name) {
        return batched ? prompt[name].as_array()[row] : prompt[name];
      };
      const auto expected = ids_of(row_of("ids"));
      encoding->ids.resize(expected.size(), *tokenizer.pad());
      encoding->types.resize(expected.size(), 0);
      CHECK(encoding->ids == expected);
      CHECK(encoding->types == types_of(row_of("token_type_ids")));
    }
  }
  return rows;
}

void check_all(const Tokenizer& tokenizer) {
  const Json strings = parse_or_die(read_text(tiny_bert("golden/tokenizer_golden.json")).value());
  CHECK(check_strings(tokenizer, strings) == 46);
  const Json prompts = parse_or_die(read_text(tiny_bert("golden/golden.json")).value());
  CHECK(check_prompts(tokenizer, prompts) == 5);
  CHECK(tokenizer.kind() == "WordPiece");
  CHECK(tokenizer.is_word_piece());
  CHECK(tokenizer.vocab_size() == 1000);
  CHECK(tokenizer.pad() == 0);
  CHECK(tokenizer.unk() == 1);
  CHECK(tokenizer.cls() == 2);
  CHECK(tokenizer.sep() == 3);
  CHECK(tokenizer.mask() == 4);
  CHECK_FALSE(tokenizer.bos());
  CHECK_FALSE(tokenizer.eos());
  CHECK(tokenizer.is_special(4));
}

void check_with_table(const Tokenizer& tokenizer) {
  check_all(tokenizer);
  const auto table = tokenizer.to_binary();
  const auto again = Tokenizer::from_binary(table, "table");
  if (!again) FAIL(again.error().to_string());
  check_all(*again);
  CHECK(again->to_binary() == table);
}

}  // namespace

TEST_CASE("wordpiece: tiny-bert's golden ids from its tokenizer.json, and through the table") {
  const auto json = read_or_skip(tiny_bert("tokenizer.json"));
  if (!json) return;
  for (const std::string& config :
       {read_text(tiny_bert("tokenizer_config.json")).value(), std::string()}) {
    const auto tokenizer = Tokenizer::from_tokenizer_json(*json, "tokenizer.json", config);
    if (!tokenizer) FAIL(tokenizer.error().to_string());
    check_with_table(*tokenizer);
  }
}

TEST_CASE("wordpiece: tiny-bert's golden ids from its vocab.txt, and through the table") {
  const auto vocab = read_or_skip(tiny_bert("vocab.txt"));
  if (!vocab) return;
  const auto config = read_text(tiny_bert("tokenizer_config.json")).value();
  const auto map = read_text(tiny_bert("special_tokens_map.json")).value();
  // Each of the other files may be missing.
  for (const bool has_config : {true, false}) {
    for (const bool has_map : {true, false}) {
      const auto tokenizer = Tokenizer::from_vocab_txt(*vocab, has_config ? config : "",
                                                       has_map ? map : "", "", "vocab.txt");
      if (!tokenizer) FAIL(tokenizer.error().to_string());
      check_with_table(*tokenizer);
    }
  }
}

}  // namespace apr::test
