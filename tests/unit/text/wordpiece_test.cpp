// Each option of a WordPiece tokenizer by itself, on a small invented vocabulary.
#include "core/text/wordpiece.h"

#include <catch2/catch.hpp>

#include "core/text/unicode.h"
#include "wordpiece_test_support.h"

namespace apr::test {

namespace {

Json typed(const char* type) {
  return Json::object({{"type", type}});
}

Json sequence(const char* list, std::vector<Json> steps) {
  return Json::object({{"type", "Sequence"}, {list, Json(JsonArray(std::move(steps)))}});
}

std::string with_normalizer(Json normalizer, std::string_view text) {
  return pieces_of(open_tokenizer(small_bert_json_with("normalizer", std::move(normalizer))), text);
}

std::string with_pre_tokenizer(Json pre_tokenizer, std::string_view text) {
  return pieces_of(open_tokenizer(small_bert_json_with("pre_tokenizer", std::move(pre_tokenizer))),
                   text);
}

/// Spellings with special tokens, and types: "[CLS]:0 cat:0 [SEP]:0".
std::string typed_pieces(const Tokenizer& tokenizer, std::string_view first,
                         std::optional<std::string_view> second,
                         const Tokenizer::EncodeOptions& options = {}) {
  const auto encoding = tokenizer.encode_pair(first, second, options);
  if (!encoding) FAIL(encoding.error().to_string());
  REQUIRE(encoding->ids.size() == encoding->types.size());
  std::string out;
  for (std::size_t i = 0; i < encoding->ids.size(); ++i) {
    out += (out.empty() ? "" : " ") + std::string(tokenizer.token(encoding->ids[i])) + ":" +
           std::to_string(encoding->types[i]);
  }
  return out;
}

std::string decoded(const Tokenizer& tokenizer, std::string_view text, bool skip_special = true) {
  const auto ids = tokenizer.encode(text, {true, true});
  if (!ids) FAIL(ids.error().to_string());
  return *tokenizer.decode(*ids, skip_special);
}

}  // namespace

TEST_CASE("wordpiece: the longest piece first, or the whole word is unknown") {
  const Tokenizer tokenizer = open_tokenizer(small_bert_json());
  CHECK(pieces_of(tokenizer, "unaffable") == "un ##aff ##able");
  CHECK(pieces_of(tokenizer, "affable") == "affable");
  CHECK(pieces_of(tokenizer, "playing played") == "play ##ing play ##ed");
  CHECK(pieces_of(tokenizer, "worlds") == "world ##s");
  CHECK(pieces_of(tokenizer, "worl") == "wor ##l");
  CHECK(pieces_of(tokenizer, "hello ☃ cat☃s") == "hello [UNK] [UNK]");
  CHECK(pieces_of(tokenizer, "the cats sat.") == "the cat ##s sat .");
  CHECK(pieces_of(tokenizer, "##ing") == "# # i ##n ##g");
  CHECK(pieces_of(tokenizer, "").empty());
  CHECK(pieces_of(tokenizer, " \n\t ").empty());
  CHECK(tokenizer.kind() == "WordPiece");
}

TEST_CASE("wordpiece: words of more characters than allowed are unknown") {
  const Tokenizer tokenizer = open_tokenizer(small_bert_json());
  CHECK(tokenizer.encode(std::string(100, 'x'), {false, false})->size() == 100);
  CHECK(pieces_of(tokenizer, std::string(101, 'x')) == "[UNK]");
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "ß";  // characters, not bytes
  CHECK(tokenizer.encode(wide, {false, false})->size() == 100);
  CHECK(pieces_of(tokenizer, wide + "ß") == "[UNK]");
  const Tokenizer three = open_tokenizer(small_bert_json_with("model.max_input_chars_per_word", 3));
  CHECK(pieces_of(three, "cat cats s") == "cat [UNK] s");
  const Tokenizer none = open_tokenizer(small_bert_json_with("model.max_input_chars_per_word", 0));
  CHECK(pieces_of(none, "a b") == "[UNK] [UNK]");
  Json unsaid = small_bert_json();
  unsaid.find("model")->erase("max_input_chars_per_word");
  unsaid.find("model")->erase("continuing_subword_prefix");
  unsaid.find("model")->erase("unk_token");
  CHECK(open_tokenizer(unsaid).to_binary() == tokenizer.to_binary());
  Json untyped = small_bert_json();
  untyped.find("model")->erase("type");
  CHECK(open_tokenizer(untyped).to_binary() == tokenizer.to_binary());
}

TEST_CASE("wordpiece: the prefix and the unknown token are the file's") {
  const auto model = [](const char* prefix, const char* unknown) {
    JsonObject vocab;
    for (const char* token : {"?", "un", "@@do", "do", "@@un", "nope", "@@", "#", "@"}) {
      vocab.emplace_back(token, Json(vocab.size()));
    }
    Json json = small_bert_json();
    json.set("added_tokens", Json::array());
    json.set("post_processor", Json());
    json.set("model", Json::object({{"type", "WordPiece"},
                                    {"unk_token", unknown},
                                    {"continuing_subword_prefix", prefix},
                                    {"max_input_chars_per_word", 100},
                                    {"vocab", Json(vocab)}}));
    json.set("pre_tokenizer", typed("WhitespaceSplit"));
    return open_tokenizer(json);
  };
  CHECK(pieces_of(model("@@", "?"), "undo doun undodo dodo un!") ==
        "un @@do do @@un un @@do @@do do @@do ?");
  // What looks like a prefix in the text is text, but a word may begin with such a token.
  CHECK(pieces_of(model("@@", "nope"), "@@do @@dodo @@ @do") == "@@do @@do @@do @@ @ @@do");
  CHECK(pieces_of(model("", "nope"), "undo #@@do") == "un do # @@do");
  CHECK_FALSE(model("", "nope").cls());
}

TEST_CASE("wordpiece: a user's text never becomes a special token") {
  const Tokenizer split =
      open_tokenizer(small_bert_json_with("pre_tokenizer", typed("WhitespaceSplit")));
  CHECK(pieces_of(split, "[CLS] hello [MASK]") == "[UNK] hello [UNK]");
  const Tokenizer tokenizer = open_tokenizer(small_bert_json());
  CHECK(*tokenizer.encode("a [MASK] [CLS]x", {false, true}) ==
        std::vector<TokenId>{*tokenizer.id_of("a"), 4, 2, *tokenizer.id_of("x")});
  MarkedText text = MarkedText::trusted("[CLS]");
  text.append("[SEP]", false);
  CHECK(*tokenizer.encode(text, false) ==
        std::vector<TokenId>{2, *tokenizer.id_of("["), *tokenizer.id_of("s"),
                             *tokenizer.id_of("##e"), *tokenizer.id_of("##p"),
                             *tokenizer.id_of("]")});
}

TEST_CASE("bert normalizer: clean_text") {
  const std::string text =
      "a\x01"
      "b\u00ADc d\u200B\te\r\nf\u3000g\uFFFDh\u2028i\x85\uE000j";
  const std::string one = "a ##b ##c d e f g ##h i ##j";
  CHECK(with_normalizer(bert_normalizer(true, true, Json(), true), text) == one);
  CHECK(with_normalizer(bert_normalizer(true, false, false, false), text) == one);
  CHECK(with_normalizer(bert_normalizer(false, true, Json(), true),
                        "a\x01"
                        "b c\td\u200B") == "[UNK] c [UNK]");
  CHECK(with_normalizer(bert_normalizer(true, true, Json(), true), std::string("a\0b", 3)) ==
        "a ##b");
  CHECK(with_normalizer(bert_normalizer(true, true, Json(), true),
                        "\xFF"
                        "a\xE2\x82"
                        "b") == "a ##b");
  CHECK(with_normalizer(bert_normalizer(false, true, Json(), true),
                        "a \xFF"
                        "a") == "a [UNK]");
}

TEST_CASE("bert normalizer: handle_chinese_chars") {
  const std::string text = "a猫犬b ネコ";
  CHECK(with_normalizer(bert_normalizer(true, true, Json(), true), text) == "a 猫 犬 b ネ ##コ");
  CHECK(with_normalizer(bert_normalizer(true, false, Json(), true), text) == "[UNK] ネ ##コ");
}

TEST_CASE("bert normalizer: strip_accents follows lowercase unless it is said") {
  const auto run = [](Json accents, bool lower, std::string_view text) {
    return with_normalizer(bert_normalizer(true, true, std::move(accents), lower), text);
  };
  CHECK(run(Json(), true, "Café É") == "cafe e");
  CHECK(run(Json(), false, "é É a") == "é É a");
  CHECK(run(true, false, "é É a A") == "e [UNK] a A");
  CHECK(run(true, true, "É") == "e");
  CHECK(run(false, true, "É") == "é");
  CHECK(run(false, true, "İ") == "i ##\u0307");  // the lower case has a mark of its own
  CHECK(run(Json(), true, "İ") == "i");
  CHECK(run(Json(), true, "ΣΩΣ ẞ Straße") == "σ ##ω ##σ ß stra ##ß ##e");
  CHECK(run(Json(), true, "नम\u094D") == "न ##म");
  CHECK(run(false, true, "नम\u094D") == "न ##म ##\u094D");
  CHECK(run(Json(), true, "한") == "ᄒ ##ᅡ ##ᆫ");
  CHECK(run(false, true, "한") == "한");
}

TEST_CASE("normalizers: the simple ones, and in a sequence") {
  CHECK(with_normalizer(typed("Lowercase"), "CAT É") == "cat é");
  CHECK(with_normalizer(sequence("normalizers", {typed("NFD"), typed("StripAccents")}),
                        "é B नम\u094D") == "e B न ##म");
  CHECK(with_normalizer(typed("StripAccents"), "é") == "é");  // is one character, no mark
  CHECK(with_normalizer(typed("NFC"), "u\u0308") == "ü");
  CHECK(with_normalizer(typed("NFKC"), "ﬁ２") == "f ##i ##2");
  CHECK(with_normalizer(typed("NFC"), "ﬁ") == "ﬁ");
  CHECK(with_normalizer(sequence("normalizers", {typed("NFKD"), typed("StripAccents")}), "ﬁÉ") ==
        "[UNK]");
  const auto strip = [](bool left, bool right) {
    return Json::object({{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}});
  };
  const auto stripped = [&](bool left, bool right) {
    Json json = small_bert_json_with("normalizer", strip(left, right));
    json.set("pre_tokenizer", Json());
    return pieces_of(open_tokenizer(json), "\u3000 a\n");
  };
  CHECK(stripped(true, true) == "a");
  CHECK(stripped(true, false) == "[UNK]");
  CHECK(stripped(false, true) == "[UNK]");
}

TEST_CASE("normalizers: trust follows the text") {
  Json json = small_bert_json();
  json.find("added_tokens")
      ->push_back(Json::object(
          {{"id", 500}, {"content", "<É猫>"}, {"special", true}, {"normalized", true}}));
  const Tokenizer tokenizer = open_tokenizer(json);
  CHECK(*tokenizer.encode("a\x01<É猫>", {false, true}) ==
        std::vector<TokenId>{*tokenizer.id_of("a"), 500});
  CHECK(tokenizer.encode("<É猫>", {false, false})->size() == 4);
  MarkedText text = MarkedText::untrusted("\u00AD猫É<É猫>");  // grows and shrinks before
  text.append("<É猫>", true);
  const auto ids = tokenizer.encode(text, false);
  REQUIRE(ids);
  CHECK(std::count(ids->begin(), ids->end(), 500) == 1);
  CHECK(ids->back() == 500);
}

TEST_CASE("pre-tokenizers: white space, words, punctuation") {
  const auto lower = [](Json pre_tokenizer, std::string_view words) {
    return with_pre_tokenizer(std::move(pre_tokenizer), words);
  };
  CHECK(lower(typed("BertPreTokenizer"), "a_b—c$ “x” 1+1=2") == "a _ b — c $ “ x ” 1 + 1 = 2");
  CHECK(lower(typed("WhitespaceSplit"), "the cat sat. x") == "the cat [UNK] x");
  CHECK(lower(typed("Whitespace"), "the cat, sat! “x”—") == "the cat , sat ! “ x [UNK]");
  CHECK(lower(typed("Whitespace"), "cat-s") == "cat - s");
  CHECK(lower(typed("Punctuation"), "a.b") == "a . b");
  const auto punctuation = [&](const char* behavior) {
    return lower(Json::object({{"type", "Punctuation"}, {"behavior", behavior}}), "a.!b");
  };
  CHECK(punctuation("Isolated") == "a . ! b");
  CHECK(punctuation("Removed") == "a b");
  CHECK(punctuation("MergedWithPrevious") == "[UNK] ! b");
  CHECK(punctuation("MergedWithNext") == "a . ! ##b");
  CHECK(lower(sequence("pretokenizers",
                       {typed("WhitespaceSplit"), typed("Punctuation"),
                        Json::object({{"type", "Digits"}, {"individual_digits", true}})}),
              "cat12, x") == "cat 1 2 , x");
}

TEST_CASE("templates: one text and two, with types") {
  const Tokenizer bert = open_tokenizer(small_bert_json());
  CHECK(typed_pieces(bert, "the cat", std::nullopt) == "[CLS]:0 the:0 cat:0 [SEP]:0");
  CHECK(typed_pieces(bert, "the", "cat sat") == "[CLS]:0 the:0 [SEP]:0 cat:1 sat:1 [SEP]:1");
  CHECK(typed_pieces(bert, "", "") == "[CLS]:0 [SEP]:0 [SEP]:1");
  CHECK(typed_pieces(bert, "the", "cat", {false, false}) == "the:0 cat:1");
  CHECK(typed_pieces(bert, "[SEP]", "[MASK]", {true, true}) ==
        "[CLS]:0 [SEP]:0 [SEP]:0 [MASK]:1 [SEP]:1");

  const auto named = [](const char* type) {
    return Json::object({{"type", type},
                         {"sep", JsonArray{"[SEP]", 3}},
                         {"cls", JsonArray{"[CLS]", 2}},
                         {"trim_offsets", true},
                         {"add_prefix_space", false}});
  };
  const Tokenizer old =
      open_tokenizer(small_bert_json_with("post_processor", named("BertProcessing")));
  CHECK(old.to_binary() == bert.to_binary());
  const Tokenizer roberta =
      open_tokenizer(small_bert_json_with("post_processor", named("RobertaProcessing")));
  CHECK(typed_pieces(roberta, "a", std::nullopt) == "[CLS]:0 a:0 [SEP]:0");
  CHECK(typed_pieces(roberta, "a", "b") == "[CLS]:0 a:0 [SEP]:0 [SEP]:0 b:0 [SEP]:0");
  CHECK(typed_pieces(roberta, "a", "b", {false, false}) == "a:0 b:0");

  const Tokenizer none = open_tokenizer(small_bert_json_with("post_processor", Json()));
  CHECK(typed_pieces(none, "a", std::nullopt) == "a:0");
  CHECK(typed_pieces(none, "a", "b") == "a:0 b:1");

  // Other types, another order, a token of two ids.
  const auto special = [](int type) {
    return Json::object({{"SpecialToken", Json::object({{"id", "two"}, {"type_id", type}})}});
  };
  const auto text = [](const char* name, int type) {
    return Json::object({{"Sequence", Json::object({{"id", name}, {"type_id", type}})}});
  };
  const Tokenizer odd = open_tokenizer(small_bert_json_with(
      "post_processor",
      Json::object({{"type", "TemplateProcessing"},
                    {"single", JsonArray{text("A", 3), special(7)}},
                    {"pair", JsonArray{text("B", 5), special(2), text("A", 4)}},
                    {"special_tokens",
                     Json::object({{"two", Json::object({{"ids", JsonArray{2, 3}}})}})}})));
  const auto table = odd.to_binary();
  const auto again = Tokenizer::from_binary(table, "table");
  REQUIRE(again);
  for (const Tokenizer* each : {&odd, &*again}) {
    CHECK(typed_pieces(*each, "a", std::nullopt) == "a:3 [CLS]:7 [SEP]:7");
    CHECK(typed_pieces(*each, "a", "b") == "b:5 [CLS]:2 [SEP]:2 a:4");
  }
}

TEST_CASE("templates: pairs of tokenizers that know no pairs") {
  const Tokenizer tokenizer = tiny_chat_tokenizer();
  const auto encoding = tokenizer.encode_pair("Hello", " world", {});
  REQUIRE(encoding);
  auto expected = *tokenizer.encode("Hello", {});
  const std::size_t first = expected.size();
  const auto second = tokenizer.encode(" world", {});
  expected.insert(expected.end(), second->begin(), second->end());
  CHECK(encoding->ids == expected);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(encoding->types[i] == (i < first ? 0 : 1));
  }
}

TEST_CASE("wordpiece decoder: blanks between words, none before punctuation") {
  const Tokenizer tokenizer = open_tokenizer(small_bert_json());
  CHECK(decoded(tokenizer, "Hello, world! Unaffable?") == "hello, world! unaffable?");
  CHECK(decoded(tokenizer, "the cat's", false) == "[CLS] the cat ' s [SEP]");
  CHECK(decoded(tokenizer, "a [MASK] b") == "a b");
  CHECK(tokenizer.piece(*tokenizer.id_of("##ing"), true) == "ing");
  CHECK(tokenizer.piece(*tokenizer.id_of("the"), true) == " the");
  CHECK(tokenizer.piece(2, true).empty());
  const Tokenizer plain = open_tokenizer(small_bert_json_with(
      "decoder", Json::object({{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", false}})));
  CHECK(decoded(plain, "hello, world!") == "hello , world !");
  // The configuration's switch works on the whole text.
  const Tokenizer whole =
      open_tokenizer(small_bert_json(), Json::object({{"clean_up_tokenization_spaces", true}}));
  CHECK(decoded(whole, "the cat's it") == "the cat's it");
  CHECK_FALSE(whole.decode(std::vector<TokenId>{99999}, false));
}

TEST_CASE("tokenizer_config.json: BERT's classes take their switches from there") {
  const auto run = [](Json config, std::string_view text) {
    return pieces_of(open_tokenizer(small_bert_json(), config), text);
  };
  const auto config = [](const char* name, const char* key, Json value) {
    return Json::object({{"tokenizer_class", name}, {key, std::move(value)}});
  };
  CHECK(run(config("BertTokenizerFast", "do_lower_case", false), "A É") == "A É");
  CHECK(run(config("BertTokenizer", "strip_accents", false), "É") == "é");
  CHECK(run(config("DistilBertTokenizer", "tokenize_chinese_chars", false), "猫犬") == "[UNK]");
  CHECK(run(config("BertTokenizer", "strip_accents", Json()), "É") == "e");
  CHECK(run(config("PreTrainedTokenizerFast", "do_lower_case", false), "A É") == "a e");
  const auto wrong =
      Tokenizer::from_tokenizer_json(small_bert_json().dump(), "m.apr: tokenizer.json",
                                     config("BertTokenizer", "do_lower_case", "yes").dump());
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().to_string().find("m.apr: tokenizer_config.json") != std::string::npos);
  CHECK(wrong.error().to_string().find("do_lower_case") != std::string::npos);
}

TEST_CASE("vocab.txt: the older layout with its configuration") {
  const auto open = [](std::string_view config, std::string_view map = "",
                       std::string_view added = "", const std::string& vocab = small_vocab_txt()) {
    auto tokenizer = Tokenizer::from_vocab_txt(vocab, config, map, added, "vocab.txt");
    if (!tokenizer) FAIL(tokenizer.error().to_string());
    return *std::move(tokenizer);
  };
  const Tokenizer json = open_tokenizer(small_bert_json());
  const Tokenizer plain = open("");
  CHECK(plain.kind() == "WordPiece");
  CHECK(plain.vocab_size() == json.vocab_size());
  CHECK(plain.pad() == 0);
  CHECK(plain.mask() == 4);
  for (const char* text : {"Unaffable CATS, é猫犬 \x01[MASK]!", "", "##ing ☃"}) {
    CHECK(typed_pieces(plain, text, "the cat", {true, true}) ==
          typed_pieces(json, text, "the cat", {true, true}));
    CHECK(decoded(plain, text) == decoded(json, text));
  }
  CHECK(pieces_of(open(R"({"do_lower_case": false})"), "A É") == "A É");
  CHECK(pieces_of(open(R"({"do_lower_case": false, "strip_accents": true})"), "A é") == "A e");
  CHECK(pieces_of(open(R"({"strip_accents": false})"), "É") == "é");
  CHECK(pieces_of(open(R"({"tokenize_chinese_chars": false})"), "猫犬") == "[UNK]");
  CHECK(typed_pieces(open(R"({"cls_token": {"content": "the"}})", R"({"cls_token": "cat"})"), "a",
                     std::nullopt) == "the:0 a:0 [SEP]:0");
  CHECK(typed_pieces(open("", R"({"sep_token": "cat"})"), "a", std::nullopt) ==
        "[CLS]:0 a:0 cat:0");
  // Lines may end in any way; the last line of a token counts; blank lines have no token.
  const Tokenizer odd = open("", "", "", "[UNK]\r\n[CLS]\r\na\r\n\r\n[SEP]\r\nb\r\na\r\n\r\n");
  CHECK(odd.vocab_size() == 7);
  CHECK(*odd.encode("a b", {}) == std::vector<TokenId>{1, 6, 5, 4});
  CHECK_FALSE(odd.pad());
  CHECK_FALSE(odd.decode(std::vector<TokenId>{2}, false));
  // Tokens beside the vocabulary.
  const Tokenizer more = open(
      R"({"added_tokens_decoder": {"901": {"content": "<é>", "special": true, "normalized": false}},
          "mask_token": "<é>", "additional_special_tokens": ["the"]})",
      "", R"({"catcat": 900})");
  CHECK(*more.encode("CATCAT <é> the", {false, true}) ==
        std::vector<TokenId>{900, 901, *more.id_of("the")});
  CHECK(more.mask() == 901);
  CHECK(more.is_special(901));
  CHECK_FALSE(more.is_special(900));
  CHECK(more.is_special(*more.id_of("the")));
}

}  // namespace apr::test
