#include "wordpiece_test_support.h"

#include <catch2/catch.hpp>
#include <sstream>

namespace apr::test {

const std::string& small_vocab_txt() {
  static const std::string text = [] {
    // Reserved names, letters in both places, some words and pieces, other scripts.
    std::string lines = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (const std::string place : {"", "##"}) {
      for (char letter = 'a'; letter <= 'z'; ++letter) lines += place + letter + "\n";
      for (char digit = '0'; digit <= '9'; ++digit) lines += place + digit + "\n";
      for (const char* other : {"é",  "ü", "ß", "σ",  "ς", "ω", "о", "т", "ネ",     "コ",
                                "ᄒ", "ᅡ", "ᆫ", "한", "न", "म", "्",  "ı", "\u0307", "ﬁ"}) {
        lines += place + other + "\n";
      }
    }
    for (char mark = '!'; mark <= '~'; ++mark) {
      if (std::string("0123456789").find(mark) == std::string::npos &&
          !((mark | 0x20) >= 'a' && (mark | 0x20) <= 'z')) {
        lines += std::string(1, mark) + "\n";
      }
    }
    lines +=
        "A\nB\n##A\nÉ\n猫\n犬\n—\n“\n”\n😀\nun\n##aff\n##able\naffable\nhello\nwor\n##ld\nworld\n"
        "play\n##ing\n##ed\nthe\ncat\nsat\nstra\n##sse\ncafe\nnaive\n##naive\nit\n";
    return lines;
  }();
  return text;
}

Json bert_normalizer(bool clean, bool ideographs, Json accents, bool lower) {
  return Json::object({{"type", "BertNormalizer"},
                       {"clean_text", clean},
                       {"handle_chinese_chars", ideographs},
                       {"strip_accents", std::move(accents)},
                       {"lowercase", lower}});
}

Json small_bert_json() {
  JsonObject vocab;
  std::istringstream lines(small_vocab_txt());
  std::int64_t next = 0;
  for (std::string line; std::getline(lines, line);) vocab.emplace_back(line, Json(next++));
  Json added = Json::array();
  for (std::int64_t id = 0; id < 5; ++id) {
    added.push_back(Json::object({{"id", id},
                                  {"content", vocab[static_cast<std::size_t>(id)].first},
                                  {"special", true},
                                  {"normalized", false}}));
  }
  const auto special = [](const char* name, int type) {
    return Json::object({{"SpecialToken", Json::object({{"id", name}, {"type_id", type}})}});
  };
  const auto text = [](const char* name, int type) {
    return Json::object({{"Sequence", Json::object({{"id", name}, {"type_id", type}})}});
  };
  const auto entry = [](const char* name, int id) {
    return Json::object({{"id", name}, {"ids", JsonArray{id}}, {"tokens", JsonArray{name}}});
  };
  const Json templates =
      Json::object({{"type", "TemplateProcessing"},
                    {"single", JsonArray{special("[CLS]", 0), text("A", 0), special("[SEP]", 0)}},
                    {"pair", JsonArray{special("[CLS]", 0), text("A", 0), special("[SEP]", 0),
                                       text("B", 1), special("[SEP]", 1)}},
                    {"special_tokens",
                     Json::object({{"[CLS]", entry("[CLS]", 2)}, {"[SEP]", entry("[SEP]", 3)}})}});
  return Json::object(
      {{"added_tokens", added},
       {"normalizer", bert_normalizer(true, true, Json(), true)},
       {"pre_tokenizer", Json::object({{"type", "BertPreTokenizer"}})},
       {"post_processor", templates},
       {"decoder", Json::object({{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}})},
       {"model", Json::object({{"type", "WordPiece"},
                               {"unk_token", "[UNK]"},
                               {"continuing_subword_prefix", "##"},
                               {"max_input_chars_per_word", 100},
                               {"vocab", Json(std::move(vocab))}})}});
}

Json small_bert_json_with(const std::string& path, Json value) {
  Json json = small_bert_json();
  const std::size_t dot = path.find('.');
  if (dot == std::string::npos) {
    json.set(path, std::move(value));
  } else {
    json.find(path.substr(0, dot))->set(path.substr(dot + 1), std::move(value));
  }
  return json;
}

Tokenizer open_tokenizer(const Json& json, const Json& config) {
  auto tokenizer = Tokenizer::from_tokenizer_json(json.dump(), "t.json",
                                                  config.is_null() ? std::string() : config.dump());
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  return *std::move(tokenizer);
}

std::string pieces_of(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, {false, false});
  if (!ids) FAIL(ids.error().to_string());
  std::string out;
  for (const TokenId id : *ids) {
    if (!out.empty()) out += ' ';
    out += tokenizer.token(id);
  }
  return out;
}

}  // namespace apr::test
