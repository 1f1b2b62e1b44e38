// Files from strangers: refused by the name of the field, never a crash.
#include <catch2/catch.hpp>
#include <cstring>

#include "core/base/cat.h"
#include "core/text/tokenizer_table.h"
#include "text_test_support.h"

namespace apr::test {

namespace {

/// A small tokenizer.json: bytes a to z, two merges, one special token.
Json small_json() {
  JsonObject vocab;
  for (int i = 0; i < 26; ++i)
    vocab.emplace_back(std::string(1, static_cast<char>('a' + i)), Json(i));
  vocab.emplace_back("ab", Json(26));
  vocab.emplace_back("abc", Json(27));
  Json merges = Json::array();
  merges.push_back("a b");
  merges.push_back("ab c");
  Json added = Json::array();
  added.push_back(Json::object({{"id", 28}, {"content", "<s>"}, {"special", true}}));
  const Json byte_level = Json::object({{"type", "ByteLevel"}, {"add_prefix_space", false}});
  return Json::object(
      {{"added_tokens", added},
       {"normalizer", Json()},
       {"pre_tokenizer", byte_level},
       {"post_processor", Json()},
       {"decoder", byte_level},
       {"model",
        Json::object({{"type", "BPE"}, {"vocab", Json(vocab)}, {"merges", std::move(merges)}})}});
}

/// The error for the small file with one member set; `path` is "model.vocab" or "decoder".
Error error_of(const std::string& path, Json value) {
  Json json = small_json();
  const std::size_t dot = path.find('.');
  if (dot == std::string::npos) {
    json.set(path, std::move(value));
  } else {
    json.find(path.substr(0, dot))->set(path.substr(dot + 1), std::move(value));
  }
  const auto tokenizer = Tokenizer::from_tokenizer_json(json.dump(), "t.json");
  INFO(path);
  if (tokenizer) FAIL("it was accepted: " << path);
  return tokenizer.error();
}

bool mentions(const Error& error, std::string_view text) {
  return error.to_string().find(text) != std::string::npos;
}

Json vocab_with(std::string_view token, Json id) {
  Json vocab = small_json()["model"]["vocab"];
  vocab.set(token, std::move(id));
  return vocab;
}

Json list_of(Json element) {
  Json list = Json::array();
  list.push_back(std::move(element));
  return list;
}

Json typed(const char* type) {
  return Json::object({{"type", type}});
}

/// Uses whatever opened: nothing may crash, and what decodes must have been in the vocabulary.
void exercise(const Tokenizer& tokenizer) {
  for (const std::string text : {"abcabc <s>", "", "zzz\xFF\n 12", "<s><s>a"}) {
    for (const bool parse : {false, true}) {
      const auto ids = tokenizer.encode(text, {true, parse});
      if (!ids) continue;
      const auto decoded = tokenizer.decode(*ids, parse);
      for (const TokenId id : *ids) tokenizer.piece(id, parse);
      if (!decoded) CHECK_FALSE(decoded.error().message.empty());
    }
  }
  tokenizer.id_of("ab");
}

}  // namespace

TEST_CASE("tokenizer.json: the small file itself is fine") {
  const auto tokenizer = Tokenizer::from_tokenizer_json(small_json().dump(), "t.json");
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  CHECK(*tokenizer->encode("abcab", {}) == std::vector<TokenId>{27, 26});
  // A byte that the vocabulary lacks is an error, not silently gone.
  const auto lost = tokenizer->encode("ab cd", {});
  REQUIRE_FALSE(lost);
  CHECK(mentions(lost.error(), "20"));
}

TEST_CASE("tokenizer.json: what is unsupported or wrong is refused by its field") {
  CHECK(mentions(error_of("model", Json()), "model"));
  CHECK(mentions(error_of("model.type", "Unigram"), "Unigram"));
  CHECK(mentions(error_of("model.type", "WordPiece"), "model.unk_token"));
  CHECK(mentions(error_of("model.dropout", 0.1), "model.dropout"));
  CHECK(mentions(error_of("model.end_of_word_suffix", "</w>"), "model.end_of_word_suffix"));
  CHECK(mentions(error_of("model.continuing_subword_prefix", "##"), "continuing_subword_prefix"));
  CHECK(mentions(error_of("model.unk_token", "<unk>"), "model.unk_token"));
  CHECK(mentions(error_of("model.vocab", 3), "model.vocab"));
  CHECK(mentions(error_of("model.merges", "x"), "model.merges"));
  CHECK(mentions(error_of("model.merges", list_of("a q c")), "model.merges"));
  CHECK(mentions(error_of("model.merges", list_of("ab")), "merge 0"));
  CHECK(mentions(error_of("model.merges", list_of("a z")), "\"az\""));
  CHECK(mentions(error_of("model.merges", list_of(7)), "merge 0"));
  CHECK(mentions(error_of("model.merges", list_of(list_of("a"))), "merge 0"));
  CHECK(mentions(error_of("model.vocab", vocab_with("ä", -1)), "ä"));
  CHECK(mentions(error_of("model.vocab", vocab_with("ä", std::int64_t{1} << 40)), "ä"));
  CHECK(mentions(error_of("model.vocab", vocab_with("ä", 1.5)), "ä"));
  CHECK(mentions(error_of("model.vocab", vocab_with("ä", "7")), "ä"));
  CHECK(mentions(error_of("model.vocab", vocab_with("ä", 3)), "id 3"));
  CHECK(mentions(error_of("model.vocab", vocab_with(std::string(70000, 'x'), 40)), "bytes"));
  CHECK(mentions(error_of("normalizer", typed("BertNormalizer")), "normalizer.clean_text"));
  CHECK(mentions(error_of("normalizer", typed("Nmt")), "Nmt"));
  CHECK(mentions(error_of("normalizer", typed("Strip")), "normalizer.strip_left"));
  CHECK(mentions(error_of("normalizer", 5), "normalizer"));
  CHECK(mentions(error_of("normalizer", typed("Prepend")), "normalizer.prepend"));
  CHECK(mentions(error_of("pre_tokenizer", typed("UnicodeScripts")), "UnicodeScripts"));
  CHECK(mentions(error_of("pre_tokenizer",
                          Json::object({{"type", "Punctuation"}, {"behavior", "Contiguous"}})),
                 "pre_tokenizer.behavior"));
  CHECK(mentions(error_of("pre_tokenizer", typed("Metaspace")), "pre_tokenizer.replacement"));
  CHECK(mentions(
      error_of("pre_tokenizer", Json::object({{"type", "Split"},
                                              {"behavior", "Isolated"},
                                              {"pattern", Json::object({{"Regex", "(a+)+$"}})}})),
      "(a+)+$"));
  CHECK(mentions(error_of("decoder", Json()), "decoder"));
  CHECK(mentions(error_of("decoder", typed("CTC")), "CTC"));
  CHECK(mentions(error_of("decoder", typed("WordPiece")), "decoder.prefix"));
  CHECK(mentions(error_of("decoder", Json::object({{"type", "WordPiece"}, {"prefix", "#"}})),
                 "decoder.cleanup"));
  CHECK(mentions(error_of("decoder", Json::object({{"type", "Replace"},
                                                   {"pattern", Json::object({{"String", "a"}})},
                                                   {"content", "aa"}})),
                 "decoder.content"));
  CHECK(mentions(error_of("post_processor", typed("RobertaProcessing")), "post_processor.sep"));
  CHECK(mentions(error_of("post_processor", typed("Unheard")), "Unheard"));
  CHECK(mentions(error_of("post_processor", typed("TemplateProcessing")), "post_processor.single"));
  CHECK(mentions(error_of("added_tokens", list_of(Json::object({{"id", 30}}))), "added_tokens[0]"));
  CHECK(mentions(error_of("added_tokens", list_of(Json::object({{"id", 30}, {"content", "ab"}}))),
                 "\"ab\""));
  CHECK(mentions(error_of("added_tokens", list_of(Json::object({{"id", 3}, {"content", "<x>"}}))),
                 "id 3"));
  CHECK(mentions(error_of("added_tokens", list_of(Json::object({{"content", "<x>"}}))), "<x>"));
  CHECK(mentions(error_of("added_tokens",
                          list_of(Json::object({{"id", 30}, {"content", std::string(2000, 'x')}}))),
                 "bytes"));

  Json nested = typed("NFC");
  for (int i = 0; i < 20; ++i) {
    nested = Json::object({{"type", "Sequence"}, {"normalizers", list_of(nested)}});
  }
  CHECK(mentions(error_of("normalizer", nested), "normalizer"));
  Json many = Json::array();
  for (int i = 0; i < 33; ++i) many.push_back(typed("NFC"));
  CHECK(
      mentions(error_of("normalizer", Json::object({{"type", "Sequence"}, {"normalizers", many}})),
               "normalizer"));

  CHECK_FALSE(Tokenizer::from_tokenizer_json("", "t.json"));
  CHECK_FALSE(Tokenizer::from_tokenizer_json("[]", "t.json"));
  CHECK_FALSE(Tokenizer::from_tokenizer_json("{\"model\":{}}", "t.json"));
  CHECK_FALSE(Tokenizer::from_tokenizer_json(small_json().dump(), "t.json", "{"));
}

TEST_CASE("tokenizer.json: a switch that is neither true nor false is no default") {
  const auto refused = [](const std::string& path, Json value, std::string_view field) {
    const Error error = error_of(path, std::move(value));
    CHECK(error.code == ErrorCode::format);
    CHECK(error.message == cat(field, ": expected true or false"));
  };
  for (const char* field : {"fuse_unk", "byte_fallback", "ignore_merges"}) {
    refused(cat("model.", field), "yes", cat("model.", field));
  }
  for (const char* field : {"special", "single_word", "lstrip", "rstrip", "normalized"}) {
    Json token = Json::object({{"id", 28}, {"content", "<s>"}});
    token.set(field, 1);
    refused("added_tokens", list_of(token), cat("added_tokens[0].", field));
  }
  const auto step = [](std::string_view type, std::string_view field) {
    Json json = Json::object({{"type", type},
                              {"pattern", Json::object({{"String", " "}})},
                              {"behavior", "Isolated"},
                              {"replacement", "_"}});
    json.set(field, "false");
    return json;
  };
  for (const auto& [type, field] : {std::pair("ByteLevel", "use_regex"),
                                    {"ByteLevel", "add_prefix_space"},
                                    {"Metaspace", "split"},
                                    {"Metaspace", "add_prefix_space"},
                                    {"Digits", "individual_digits"},
                                    {"Split", "invert"}}) {
    refused("pre_tokenizer", step(type, field), cat("pre_tokenizer.", field));
  }
}

TEST_CASE("tokenizer.json: a normalizer that blows a text up is stopped") {
  Json json = small_json();
  Json steps = Json::array();
  for (int i = 0; i < 30; ++i) {
    steps.push_back(Json::object({{"type", "Replace"},
                                  {"pattern", Json::object({{"String", "a"}})},
                                  {"content", "aaaaaaaa"}}));
  }
  json.set("normalizer", Json::object({{"type", "Sequence"}, {"normalizers", steps}}));
  const auto tokenizer = Tokenizer::from_tokenizer_json(json.dump(), "t.json");
  REQUIRE(tokenizer);
  const auto ids = tokenizer->encode("a", {});
  REQUIRE_FALSE(ids);
  CHECK(mentions(ids.error(), "longer"));
}

TEST_CASE("tokenizer.json: byte tokens that are none, and ids with gaps") {
  Json json = small_json();
  Json vocab = vocab_with("<0xZZ>", 100);
  vocab.set("<0x-1>", 101);
  vocab.set("<0x041>", 102);
  vocab.set("<0x41>", 4000);
  vocab.set("", 103);
  json.find("model")->set("vocab", vocab);
  json.find("model")->set("byte_fallback", true);
  json.set("pre_tokenizer", Json());
  json.set("decoder", typed("ByteFallback"));
  const auto tokenizer = Tokenizer::from_tokenizer_json(json.dump(), "t.json");
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  CHECK(tokenizer->vocab_size() == 4001);
  CHECK(*tokenizer->encode("A", {}) == std::vector<TokenId>{4000});
  CHECK(*tokenizer->decode(std::vector<TokenId>{100, 101, 102, 4000}, false) ==
        "<0xZZ><0x-1><0x041>A");
  CHECK_FALSE(tokenizer->decode(std::vector<TokenId>{200}, false));  // a gap
  CHECK_FALSE(tokenizer->encode("\xFF", {}));
}

TEST_CASE("tokenizer.json: flipped bytes never crash") {
  const std::string text = small_json().dump();
  std::mt19937 random(12);
  std::size_t opened = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string bad = text;
    for (auto n = 1 + random() % 3; n > 0; --n) {
      bad[random() % bad.size()] =
          static_cast<char>(random() % 4 == 0 ? random() : 32 + random() % 95);
    }
    const auto tokenizer = Tokenizer::from_tokenizer_json(bad, "t.json");
    if (!tokenizer) continue;
    ++opened;
    exercise(*tokenizer);
  }
  CHECK(opened > 10);
}

TEST_CASE("tokenizer table: cut and flipped tables never crash") {
  const auto tokenizer = Tokenizer::from_tokenizer_json(small_json().dump(), "t.json");
  REQUIRE(tokenizer);
  const std::vector<std::byte> table = tokenizer->to_binary();
  for (std::size_t size = 0; size < table.size(); ++size) {
    CHECK_FALSE(Tokenizer::from_binary(std::span(table).first(size), "t"));
  }
  std::mt19937 random(13);
  for (std::size_t at = 0; at < table.size(); ++at) {
    for (const int change : {1, 0x80, 0xFF}) {
      std::vector<std::byte> bad = table;
      bad[at] ^= static_cast<std::byte>(change);
      const auto opened = Tokenizer::from_binary(bad, "t");
      if (opened) exercise(*opened);
    }
  }
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::byte> bad = table;
    for (auto n = 1 + random() % 8; n > 0; --n) {
      const std::uint32_t value = static_cast<std::uint32_t>(random());
      std::memcpy(bad.data() + random() % (bad.size() - 4), &value, 4);
    }
    const auto opened = Tokenizer::from_binary(bad, "t");
    if (opened) exercise(*opened);
  }
  const auto error = Tokenizer::from_binary(std::as_bytes(std::span("nonsense nonsense")), "x.apr");
  REQUIRE_FALSE(error);
  CHECK(mentions(error.error(), "x.apr"));
}

TEST_CASE("from_vocab_merges: an unknown class is refused, a known one is not") {
  const std::string vocab = small_json()["model"]["vocab"].dump();
  const auto unknown = Tokenizer::from_vocab_merges(
      vocab, "a b\n", "", R"({"tokenizer_class": "XlnetTokenizer"})", "", "vocab.json");
  REQUIRE_FALSE(unknown);
  CHECK(mentions(unknown.error(), "XlnetTokenizer"));
  CHECK_FALSE(Tokenizer::from_vocab_merges(vocab, "a b\n", "", "", "", "vocab.json"));
  const auto known = Tokenizer::from_vocab_merges(
      vocab, "#version: 0.2\r\na b\r\nab c\r\n", R"({"<s>": 28})",
      R"({"tokenizer_class": "GPT2TokenizerFast", "eos_token": {"content": "<s>"}})", "",
      "vocab.json");
  if (!known) FAIL(known.error().to_string());
  CHECK(known->eos() == 28);
  CHECK(known->is_special(28));
  CHECK(*known->encode("abc", {}) == std::vector<TokenId>{27});
  CHECK_FALSE(Tokenizer::from_vocab_merges(
      vocab, "", "",
      R"({"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"x": {"content": "<s>"}}})",
      "", "vocab.json"));
}

}  // namespace apr::test
