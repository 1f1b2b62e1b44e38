// WordPiece from strangers: files refused by the name of the field, tables that lie, words made to
// cost.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "core/text/tokenizer_table.h"
#include "core/text/wordpiece.h"
#include "wordpiece_test_support.h"

namespace apr::test {

namespace {

bool mentions(const Error& error, std::string_view text) {
  return error.to_string().find(text) != std::string::npos;
}

/// The error for the small file with one member set.
std::string error_of(const std::string& path, Json value) {
  const auto tokenizer =
      Tokenizer::from_tokenizer_json(small_bert_json_with(path, std::move(value)).dump(), "t.json");
  if (tokenizer) FAIL("it was accepted: " << path);
  return tokenizer.error().to_string();
}

Json special(Json type) {
  return Json::object(
      {{"SpecialToken", Json::object({{"id", "[X]"}, {"type_id", std::move(type)}})}});
}

Json text(const char* name, Json type = Json(0)) {
  return Json::object({{"Sequence", Json::object({{"id", name}, {"type_id", std::move(type)}})}});
}

std::string template_error(JsonArray single, Json pair, JsonArray ids = {Json(2)}) {
  return error_of(
      "post_processor",
      Json::object({{"type", "TemplateProcessing"},
                    {"single", Json(std::move(single))},
                    {"pair", std::move(pair)},
                    {"special_tokens",
                     Json::object({{"[X]", Json::object({{"ids", Json(std::move(ids))}})}})}}));
}

std::string vocab_txt_error(std::string_view vocab, std::string_view config,
                            std::string_view map = "", std::string_view added = "") {
  const auto tokenizer = Tokenizer::from_vocab_txt(vocab, config, map, added, "m.apr: vocab.txt");
  if (tokenizer) FAIL("it was accepted: " << config);
  return tokenizer.error().to_string();
}

void exercise(const Tokenizer& tokenizer) {
  for (const std::string sample : {"unaffable CATS!", "", "é猫\xFF\n 12", "[CLS][MASK]a"}) {
    for (const bool parse : {false, true}) {
      const auto encoding = tokenizer.encode_pair(sample, "the cat", {true, parse});
      if (!encoding) continue;
      REQUIRE(encoding->ids.size() == encoding->types.size());
      const auto decoded = tokenizer.decode(encoding->ids, parse);
      if (!decoded) CHECK_FALSE(decoded.error().message.empty());
    }
  }
}

/// A table of pieces, with or without words around them.
std::vector<std::byte> table_of(const std::vector<std::string>& tokens) {
  TokenizerParts parts;
  parts.tokens = tokens;
  parts.flags.assign(tokens.size(), token_flag::kPresent | token_flag::kModel);
  auto table = TokenizerTable::build(parts, "t");
  if (!table) FAIL(table.error().to_string());
  return *std::move(table);
}

/// The definition, word for word.
std::optional<std::vector<TokenId>> match_by_definition(const TokenizerTable& table,
                                                        std::string_view prefix,
                                                        std::string_view word) {
  std::vector<TokenId> ids;
  for (std::size_t begin = 0; begin < word.size();) {
    std::size_t end = word.size();
    for (; end > begin; --end) {
      const std::string spelling = std::string(begin == 0 ? std::string_view() : prefix) +
                                   std::string(word.substr(begin, end - begin));
      if (const auto id = table.find(spelling)) {
        ids.push_back(static_cast<TokenId>(*id));
        break;
      }
    }
    if (end == begin) return std::nullopt;
    begin = end;
  }
  return ids;
}

std::size_t longest_of(const std::vector<std::string>& tokens) {
  std::size_t longest = 0;
  for (const std::string& token : tokens) longest = std::max(longest, token.size());
  return longest;
}

}  // namespace

TEST_CASE("wordpiece: what is wrong in a file is refused by its field") {
  const auto refused = [](const std::string& path, Json value, std::string_view words) {
    const std::string error = error_of(path, std::move(value));
    INFO(error);
    CHECK(error.find(words) != std::string::npos);
    CHECK(error.find("t.json") != std::string::npos);
  };
  refused("model.unk_token", "[NONE]", "model.unk_token");
  refused("model.unk_token", 7, "model.unk_token");
  refused("model.continuing_subword_prefix", 3, "model.continuing_subword_prefix");
  refused("model.continuing_subword_prefix", std::string(65, '#'), "continuing_subword_prefix");
  refused("model.max_input_chars_per_word", -1, "model.max_input_chars_per_word");
  refused("model.max_input_chars_per_word", 1.5, "model.max_input_chars_per_word");
  refused("model.max_input_chars_per_word", "9", "model.max_input_chars_per_word");
  refused("model.max_input_chars_per_word", 1e30, "model.max_input_chars_per_word");
  refused("model.vocab", Json(), "model.vocab");
  refused("model.type", "WordPiec", "WordPiec");
  refused("normalizer", bert_normalizer(true, true, "no", true), "normalizer.strip_accents");
  refused("normalizer", Json::object({{"type", "BertNormalizer"}, {"clean_text", 1}}),
          "normalizer.clean_text");
  refused("normalizer.lowercase", Json(), "normalizer.lowercase");
  refused("normalizer.handle_chinese_chars", "x", "normalizer.handle_chinese_chars");
  refused("pre_tokenizer", Json::object({{"type", "ByteLevel"}}), "pre_tokenizer");
  refused("decoder", Json(), "decoder");
  refused("decoder.prefix", 1, "decoder.prefix");
  refused("decoder.cleanup", Json(), "decoder.cleanup");
  refused("post_processor", Json::object({{"type", "BertProcessing"}}), "post_processor.sep");
  refused("post_processor",
          Json::object({{"type", "BertProcessing"}, {"sep", JsonArray{"[SEP]", 3}}}),
          "post_processor.cls");
  refused("post_processor",
          Json::object({{"type", "RobertaProcessing"}, {"sep", JsonArray{"[SEP]", 99999}}}),
          "post_processor.sep");

  const auto names = [](const std::string& error, std::string_view words) {
    INFO(error);
    CHECK(error.find(words) != std::string::npos);
  };
  names(template_error({}, Json()), "post_processor.single: the text itself is missing");
  names(template_error({text("B")}, Json()), "post_processor.single");
  names(template_error({text("A"), text("A")}, Json()), "post_processor.single");
  names(template_error({text("C")}, Json()), "post_processor.single");
  names(template_error({text("A")}, JsonArray{text("A")}), "post_processor.pair");
  names(template_error({text("A")}, JsonArray{text("A"), text("B"), text("B")}),
        "post_processor.pair");
  names(template_error({text("A")}, 5), "post_processor.pair");
  names(template_error({text("A"), Json(4)}, Json()), "unknown piece");
  names(template_error({text("A", -1)}, Json()), "type_id");
  names(template_error({text("A"), special("1")}, Json()), "type_id");
  names(template_error({text("A"), special(0)}, Json(), {Json(-2)}), "[X]");
  names(template_error({text("A"), special(0)}, Json(), JsonArray(65, Json(2))), "too many");
  names(template_error(JsonArray(70, special(0)), Json()), "too many");
}

TEST_CASE("vocab.txt: what is wrong is refused by file and field") {
  const std::string vocab = small_vocab_txt();
  const auto names = [](const std::string& error, std::initializer_list<std::string_view> words) {
    INFO(error);
    for (const std::string_view word : words) CHECK(error.find(word) != std::string::npos);
  };
  const std::string_view config = "m.apr: tokenizer_config.json";
  names(vocab_txt_error("", ""), {"m.apr: vocab.txt"});
  names(vocab_txt_error("\n\n", ""), {"m.apr: vocab.txt"});
  names(vocab_txt_error("a\n\xFF\n", ""), {"vocab.txt", "line 2"});
  names(vocab_txt_error("a\nb\n", ""), {"unk_token", "[UNK]"});
  names(vocab_txt_error("[UNK]\n[SEP]\n", ""), {"cls_token", "[CLS]"});
  names(vocab_txt_error(vocab, R"({"tokenizer_class": "PhobertTokenizer"})"),
        {config, "PhobertTokenizer"});
  names(vocab_txt_error(vocab, R"({"do_lower_case": "yes"})"), {config, "do_lower_case"});
  names(vocab_txt_error(vocab, R"({"strip_accents": 1})"), {config, "strip_accents"});
  names(vocab_txt_error(vocab, R"({"tokenize_chinese_chars": []})"),
        {config, "tokenize_chinese_chars"});
  names(vocab_txt_error(vocab, R"({"do_basic_tokenize": false})"), {config, "do_basic_tokenize"});
  names(vocab_txt_error(vocab, R"({"never_split": ["a"]})"), {config, "never_split"});
  names(vocab_txt_error(vocab, R"({"mask_token": "<mask>"})"), {config, "mask_token", "<mask>"});
  names(vocab_txt_error(vocab, R"({"mask_token": 5})"), {config, "mask_token"});
  names(vocab_txt_error(vocab, R"({"additional_special_tokens": ["a", "<x>"]})"),
        {"additional_special_tokens[1]", "<x>"});
  names(vocab_txt_error(vocab, R"({"added_tokens_decoder": {"x": {"content": "y"}}})"),
        {config, "added_tokens_decoder.x"});
  names(vocab_txt_error(vocab, R"({"added_tokens_decoder": {"7": {}}})"),
        {config, "added_tokens_decoder.7"});
  names(vocab_txt_error(vocab, R"({"added_tokens_decoder": {"7": {"content": "<y>"}}})"), {"id 7"});
  names(vocab_txt_error(vocab, "{"), {config});
  names(vocab_txt_error(vocab, "", "{"), {"m.apr: special_tokens_map.json"});
  names(vocab_txt_error(vocab, "", "", "["), {"m.apr: added_tokens.json"});
  names(vocab_txt_error(vocab, "", "", R"({"x": "y"})"), {"x"});
}

TEST_CASE("wordpiece tables: settings that lie are refused") {
  const auto bytes = open_tokenizer(small_bert_json()).to_binary();
  const auto table = TokenizerTable::open(bytes, "t");
  REQUIRE(table);
  TokenizerParts parts;
  for (std::uint32_t id = 0; id < table->tokens(); ++id) {
    parts.tokens.emplace_back(table->token(id));
    parts.flags.push_back(table->flags(id));
  }
  const Json settings = parse_or_die(std::string(table->settings()));
  const auto opened = [&](const char* name, Json value) {
    Json changed = settings;
    changed.set(name, std::move(value));
    parts.settings = changed.dump();
    return Tokenizer::from_binary(*TokenizerTable::build(parts, "t"), "t");
  };
  CHECK(opened("bos", 4));
  const auto refused = [&](const char* name, Json value) {
    INFO(name);
    const auto tokenizer = opened(name, std::move(value));
    REQUIRE_FALSE(tokenizer);
    CHECK(mentions(tokenizer.error(), name));
  };
  const Json a = JsonArray{"A", 0};
  const Json b = JsonArray{"B", 1};
  refused("model", "Unigram");
  refused("unk", Json());
  refused("unk", 1'000'000);
  refused("mask", -1);
  refused("pad", "x");
  refused("continuing_subword_prefix", Json());
  refused("continuing_subword_prefix", std::string(100, '#'));
  refused("max_input_chars_per_word", Json());
  refused("max_input_chars_per_word", -5);
  refused("single", JsonArray{});
  refused("single", JsonArray{b});
  refused("single", JsonArray{a, a});
  refused("single", JsonArray{a, b});
  refused("single", JsonArray{a, JsonArray{2}});
  refused("single", JsonArray{a, JsonArray{100'000, 0}});
  refused("single", JsonArray{a, JsonArray{2, -1}});
  refused("single", JsonArray{a, JsonArray{2, "x"}});
  refused("single", JsonArray(100, a));
  refused("pair", JsonArray{a});
  refused("pair", Json(7));
  refused("pair", JsonArray{a, b, b});
  refused("prefix", JsonArray(100, Json(2)));
  refused("pre_tokenizer", Json::object({{"type", "ByteLevel"}}));
}

TEST_CASE("wordpiece tables: those of before templates still open") {
  const auto bytes = open_tokenizer(small_bert_json_with("post_processor", Json())).to_binary();
  const auto table = TokenizerTable::open(bytes, "t");
  REQUIRE(table);
  TokenizerParts parts;
  for (std::uint32_t id = 0; id < table->tokens(); ++id) {
    parts.tokens.emplace_back(table->token(id));
    parts.flags.push_back(table->flags(id));
  }
  Json settings = parse_or_die(std::string(table->settings()));
  settings.set("prefix", JsonArray{2, 4});
  settings.set("suffix", JsonArray{3, 3});
  settings.erase("single");
  settings.erase("pair");
  parts.settings = settings.dump();
  const auto tokenizer = Tokenizer::from_binary(*TokenizerTable::build(parts, "t"), "t");
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  const TokenId a = *tokenizer->id_of("a");
  CHECK(*tokenizer->encode("a", {}) == std::vector<TokenId>{2, 4, a, 3, 3});
  CHECK(tokenizer->encode_pair("a", std::nullopt, {})->types == std::vector<std::int32_t>(5, 0));
  CHECK(*tokenizer->encode("a", {false, false}) == std::vector<TokenId>{a});
}

TEST_CASE("wordpiece: flipped files and tables never crash") {
  const std::string file = small_bert_json().dump();
  std::mt19937 random(31);
  std::size_t opened = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bad = file;
    // Half of the changes behind the vocabulary's start, half in front of it, where the options
    // are.
    for (auto n = 1 + random() % 3; n > 0; --n) {
      const std::size_t size = i % 2 == 0 ? bad.size() : bad.find("\"vocab\"") % bad.size() + 1;
      bad[random() % size] = static_cast<char>(random() % 4 == 0 ? random() : 32 + random() % 95);
    }
    const auto tokenizer = Tokenizer::from_tokenizer_json(bad, "t.json");
    if (!tokenizer) continue;
    ++opened;
    exercise(*tokenizer);
  }
  CHECK(opened > 10);

  const std::vector<std::byte> table = open_tokenizer(small_bert_json()).to_binary();
  for (std::size_t size = 0; size < table.size(); size += 1 + random() % 7) {
    CHECK_FALSE(Tokenizer::from_binary(std::span(table).first(size), "t"));
  }
  opened = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<std::byte> bad = table;
    const std::size_t at = i % 2 == 0 ? random() % bad.size() : random() % 1200;
    bad[at] ^= static_cast<std::byte>(1 + random() % 255);
    const auto tokenizer = Tokenizer::from_binary(bad, "t");
    if (!tokenizer) continue;
    ++opened;
    exercise(*tokenizer);
  }
  CHECK(opened > 10);
  for (int i = 0; i < 500; ++i) {
    std::string bad = small_vocab_txt();
    for (auto n = 1 + random() % 4; n > 0; --n) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    const auto tokenizer = Tokenizer::from_vocab_txt(bad, "", "", "", "vocab.txt");
    if (tokenizer) exercise(*tokenizer);
  }
}

TEST_CASE("wordpiece: both ways of matching follow the definition") {
  std::mt19937 random(32);
  std::size_t fitted = 0;
  std::size_t lost = 0;
  for (int round = 0; round < 60; ++round) {
    const std::string prefix = round % 3 == 0 ? "##" : round % 3 == 1 ? "" : "a";
    const unsigned letters = 1 + random() % 4;
    const auto letter = [&] { return static_cast<char>('a' + random() % letters); };
    std::vector<std::string> tokens;
    for (auto n = 1 + random() % 40; n > 0; --n) {
      std::string token = random() % 2 == 0 ? prefix : std::string();
      for (auto size = random() % (random() % 8 == 0 ? 90 : 6); size > 0; --size) {
        token += random() % 20 == 0 ? 'q' : letter();
      }
      tokens.push_back(token);
    }
    tokens.emplace_back(70, 'q');  // so that long words go through the automaton
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    std::erase(tokens, "");
    std::shuffle(tokens.begin(), tokens.end(), random);
    const auto bytes = table_of(tokens);
    const auto table = TokenizerTable::open(bytes, "t");
    REQUIRE(table);
    WordPieceMatcher matcher(*table, prefix, longest_of(tokens));
    for (int i = 0; i < 200; ++i) {
      std::string word;
      if (i % 2 == 0) {
        for (auto n = 1 + random() % 200; n > 0; --n) word += letter();
      } else {  // made of pieces, so that it fits more often
        for (auto n = 1 + random() % 30; n > 0; --n) {
          std::string_view token = tokens[random() % tokens.size()];
          if (!word.empty() && token.starts_with(prefix)) token.remove_prefix(prefix.size());
          word += token;
        }
      }
      if (word.empty()) continue;
      const auto expected = match_by_definition(*table, prefix, word);
      std::vector<TokenId> ids{-7};
      const bool fits = matcher.match(word, ids);
      REQUIRE(fits == expected.has_value());
      REQUIRE(ids.front() == -7);
      ids.erase(ids.begin());
      REQUIRE(ids == expected.value_or(std::vector<TokenId>()));
      ++(fits ? fitted : lost);
    }
  }
  CHECK(fitted > 2000);
  CHECK(lost > 2000);
}

TEST_CASE("wordpiece: the work for one long word grows with its size, not faster") {
  // A long token that nearly fits everywhere, and pieces that fit.
  const std::vector<std::string> tokens = {"a",
                                           "##a",
                                           "##aa",
                                           std::string(5000, 'a') + "b",
                                           "##" + std::string(5000, 'a') + "b",
                                           "##" + std::string(777, 'a') + "c"};
  const auto bytes = table_of(tokens);
  const auto table = TokenizerTable::open(bytes, "t");
  REQUIRE(table);
  for (const std::size_t size : {1000u, 1'000'000u}) {
    for (const char last : {'a', 'b', 'c', 'x'}) {
      WordPieceMatcher matcher(*table, "##", 5003);
      std::vector<TokenId> ids;
      matcher.match(std::string(64, 'a'), ids);
      CHECK(matcher.steps() <= 64 * 65);
      ids.clear();
      std::string word(size, 'a');
      word += last;
      // The last pieces fit where an even number of letters is left for them.
      CHECK(matcher.match(word, ids) == (last == 'a' || last == 'c'));
      CHECK(matcher.steps() <= 3 * size + 40'000);  // and once the vocabulary's 10,000 bytes
    }
  }
}

TEST_CASE("wordpiece: a megabyte without a word boundary") {
  constexpr std::size_t kSize = 1 << 20;
  const auto tokenizer =
      open_tokenizer(small_bert_json_with("model.max_input_chars_per_word", std::int64_t{1} << 40));
  const auto count = [&](const std::string& sample) {
    const auto ids = tokenizer.encode(sample, {false, false});
    REQUIRE(ids);
    return ids->size();
  };
  CHECK(count(std::string(kSize, 'x')) == kSize);
  CHECK(count(std::string(kSize, '!')) == kSize);
  CHECK(count(std::string(kSize, ' ')) == 0);
  CHECK(count(std::string(kSize, '\x80')) == 0);
  CHECK(count("é" + std::string(kSize, 'x')) == kSize + 1);
  std::string marks = "e";
  for (std::size_t i = 0; i < kSize / 4; ++i) marks += "\u0301\u0323";
  CHECK(count(marks) == 1);
  std::string ideographs;
  for (std::size_t i = 0; i < kSize / 4; ++i) ideographs += "猫";
  CHECK(count(ideographs) == kSize / 4);
  const Tokenizer usual = open_tokenizer(small_bert_json());
  CHECK(*usual.encode(std::string(kSize, 'x'), {false, false}) == std::vector<TokenId>{1});
}

TEST_CASE("wordpiece: a vocabulary has a limit of text") {
  Json json = small_bert_json();
  Json* vocab = json.find("model")->find("vocab");
  JsonObject tokens = vocab->as_object();
  for (std::size_t i = 0; i < 140; ++i) {
    tokens.emplace_back(std::string(60'000, 'x') + std::to_string(i),
                        Json(static_cast<std::int64_t>(tokens.size())));
  }
  json.find("model")->set("vocab", Json(tokens));
  const auto tokenizer = Tokenizer::from_tokenizer_json(json.dump(), "t.json");
  REQUIRE_FALSE(tokenizer);
  CHECK(mentions(tokenizer.error(), "8 MiB"));
}

}  // namespace apr::test
