// Ids against references that we did not write: published vectors, and the models' own.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <sstream>
#include <tuple>

#include "gguf_vocabulary.h"
#include "text_test_support.h"

namespace apr::test {

namespace {

std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text, bool add_special,
                            bool parse_special) {
  auto ids = tokenizer.encode(text, {add_special, parse_special});
  if (!ids) FAIL(ids.error().to_string());
  return *std::move(ids);
}

/// Strings with ids, as our own golden files have them. Returns how many were compared.
std::size_t check_golden(const Tokenizer& tokenizer, const Json& golden) {
  for (const Json& entry : golden["strings"].as_array()) {
    const std::string& text = entry["text"].as_string();
    INFO(text);
    CHECK(encode(tokenizer, text, true, true) == ids_of(entry["ids"]));
    if (entry.contains("ids_no_special")) {
      CHECK(encode(tokenizer, text, true, false) == ids_of(entry["ids_no_special"]));
      CHECK(encode(tokenizer, text, false, false) == ids_of(entry["ids_no_special"]));
    }
    if (entry.contains("decoded")) {
      CHECK(*tokenizer.decode(ids_of(entry["ids"]), false) == entry["decoded"].as_string());
      CHECK(*tokenizer.decode(ids_of(entry["ids"]), true) ==
            entry["decoded_skip_special"].as_string());
    }
  }
  return golden["strings"].size();
}

/// The .inp and .out files of llama.cpp's vocabularies.
void check_vectors(const Tokenizer& tokenizer, const std::string& name) {
  const auto input = read_or_skip(shared_data("tokenizer-vectors/" + name + ".gguf.inp"));
  const auto output = read_or_skip(shared_data("tokenizer-vectors/" + name + ".gguf.out"));
  if (!input || !output) return;
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::istringstream lines(*output);
  std::size_t begin = 0;
  std::size_t compared = 0;
  for (std::string line; std::getline(lines, line); ++compared) {
    REQUIRE(begin != std::string::npos);
    const std::size_t end = input->find(kSeparator, begin);
    const std::string text = input->substr(begin, end == std::string::npos ? end : end - begin);
    begin = end == std::string::npos ? end : end + kSeparator.size();
    std::istringstream numbers(line);
    std::vector<TokenId> expected;
    for (TokenId id; numbers >> id;) expected.push_back(id);
    INFO(name << ": " << text);
    CHECK(encode(tokenizer, text, false, false) == expected);
  }
  CHECK(compared == 46);
}

Tokenizer open_json(const Json& json) {
  auto tokenizer = Tokenizer::from_tokenizer_json(json.dump(), "made from GGUF");
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  return *std::move(tokenizer);
}

Json list_of(const std::vector<std::string>& texts) {
  Json list = Json::array();
  for (const std::string& text : texts) list.push_back(text);
  return list;
}

/// token_type of llama.cpp: 1 normal, 2 unknown, 3 control, 4 user defined, 6 byte.
Json vocabulary_json(const GgufVocabulary& gguf, Json& added) {
  JsonObject vocabulary;
  const auto& tokens = gguf.lists.at("tokenizer.ggml.tokens");
  const auto& types = gguf.numbers.at("tokenizer.ggml.token_type");
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (types[id] == 1 || types[id] == 6 || types[id] == 2) {
      vocabulary.emplace_back(tokens[id], Json(static_cast<std::int64_t>(id)));
    } else {
      added.push_back(Json::object({{"id", static_cast<std::int64_t>(id)},
                                    {"content", tokens[id]},
                                    {"special", types[id] == 3},
                                    {"normalized", false}}));
    }
  }
  return Json(std::move(vocabulary));
}

}  // namespace

TEST_CASE("tokenizer: the bundled model's golden ids") {
  const Tokenizer tokenizer = tiny_chat_tokenizer();
  const Json golden =
      parse_or_die(read_text(bundled_model("golden/tokenizer_golden.json")).value());
  CHECK(check_golden(tokenizer, golden) == 78);
  CHECK(tokenizer.kind() == "byte-level BPE, qwen2 pattern");
  CHECK(tokenizer.vocab_size() == 2048);
  CHECK(tokenizer.eos() == 2047);
  CHECK_FALSE(tokenizer.bos());
  CHECK(tokenizer.is_special(2046));
  CHECK(tokenizer.token(2046) == "<|im_start|>");
  CHECK(tokenizer.id_of("<|im_end|>") == 2047);
}

TEST_CASE("tokenizer: the bundled model from vocab.json and merges.txt") {
  const auto tokenizer = Tokenizer::from_vocab_merges(
      read_text(bundled_model("vocab.json")).value(),
      read_text(bundled_model("merges.txt")).value(), "",
      read_text(bundled_model("tokenizer_config.json")).value(), "", "vocab.json");
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  const Json golden =
      parse_or_die(read_text(bundled_model("golden/tokenizer_golden.json")).value());
  CHECK(check_golden(*tokenizer, golden) == 78);
}

TEST_CASE("tokenizer: a SentencePiece-style model's golden ids") {
  const auto tokenizer = stories_tokenizer();
  if (!tokenizer) return;
  const Json golden =
      parse_or_die(read_text(shared_data("stories260K/golden/tokenizer_golden.json")).value());
  CHECK(check_golden(*tokenizer, golden) == 71);
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->eos() == 2);
  CHECK(tokenizer->kind() == "SentencePiece-style BPE with byte fallback");
  CHECK(*tokenizer->decode(std::vector<TokenId>{1, 403, 407, 261, 378}, true) ==
        "Once upon a time");
  CHECK(tokenizer->piece(403, true) == " Once");
}

TEST_CASE("tokenizer: the real Qwen2 vocabulary") {
  const auto vocab = read_or_skip(shared_data("qwen2-vocab/vocab.json"));
  if (!vocab) return;
  const auto tokenizer = Tokenizer::from_vocab_merges(
      *vocab, read_text(shared_data("qwen2-vocab/merges.txt")).value(),
      read_text(shared_data("qwen2-vocab/added_tokens.json")).value(), "", "qwen2", "vocab.json");
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  const Json extra = parse_or_die(read_text(shared_data("qwen2-vocab/qwen2_extra.json")).value());
  CHECK(check_golden(*tokenizer, extra) == 76);
  check_vectors(*tokenizer, "ggml-vocab-qwen2");
  CHECK(tokenizer->vocab_size() == 151646);

  const auto table = tokenizer->to_binary();
  const auto again = Tokenizer::from_binary(table, "table");
  if (!again) FAIL(again.error().to_string());
  CHECK(check_golden(*again, extra) == 76);
  CHECK(again->to_binary() == table);
}

TEST_CASE("tokenizer: GPT-2's vocabulary") {
  const auto bytes = read_or_skip(shared_data("tokenizer-vectors/ggml-vocab-gpt-2.gguf"));
  if (!bytes) return;
  const GgufVocabulary gguf = read_gguf_vocabulary(*bytes);
  Json added = Json::array();
  Json vocab = vocabulary_json(gguf, added);
  const Json byte_level = Json::object({{"type", "ByteLevel"}, {"add_prefix_space", false}});
  const Json json = Json::object(
      {{"added_tokens", added},
       {"pre_tokenizer", byte_level},
       {"decoder", byte_level},
       {"model", Json::object({{"type", "BPE"},
                               {"vocab", std::move(vocab)},
                               {"merges", list_of(gguf.lists.at("tokenizer.ggml.merges"))}})}});
  const Tokenizer tokenizer = open_json(json);
  CHECK(tokenizer.kind() == "byte-level BPE, gpt-2 pattern");
  check_vectors(tokenizer, "ggml-vocab-gpt-2");
}

TEST_CASE("tokenizer: Llama 2's SentencePiece vocabulary") {
  const auto bytes = read_or_skip(shared_data("tokenizer-vectors/ggml-vocab-llama-spm.gguf"));
  if (!bytes) return;
  const GgufVocabulary gguf = read_gguf_vocabulary(*bytes);
  Json added = Json::array();
  Json vocab = vocabulary_json(gguf, added);
  // A SentencePiece model joins the neighbours whose union has the best score, so its merges are
  // all ways to cut a piece in two, best pieces first.
  const auto& tokens = gguf.lists.at("tokenizer.ggml.tokens");
  const auto& scores = gguf.numbers.at("tokenizer.ggml.scores");
  std::map<std::string_view, std::int64_t> ids;
  for (const auto& [token, id] : vocab.as_object()) ids[token] = id.as_integer();
  std::vector<std::tuple<double, std::int64_t, std::int64_t, std::string, std::string>> cuts;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    for (std::size_t at = 1; at < tokens[id].size(); ++at) {
      const auto left = ids.find(std::string_view(tokens[id]).substr(0, at));
      const auto right = ids.find(std::string_view(tokens[id]).substr(at));
      if (left == ids.end() || right == ids.end()) continue;
      cuts.emplace_back(-scores[id], left->second, right->second, left->first, right->first);
    }
  }
  std::sort(cuts.begin(), cuts.end());
  Json merges = Json::array();
  for (const auto& cut : cuts) {
    Json pair = Json::array();
    pair.push_back(std::get<3>(cut));
    pair.push_back(std::get<4>(cut));
    merges.push_back(std::move(pair));
  }
  const auto replace = [](const char* from, const char* to) {
    return Json::object(
        {{"type", "Replace"}, {"pattern", Json::object({{"String", from}})}, {"content", to}});
  };
  Json normalizers = Json::array();
  normalizers.push_back(Json::object({{"type", "Prepend"}, {"prepend", "▁"}}));
  normalizers.push_back(replace(" ", "▁"));
  Json decoders = Json::array();
  decoders.push_back(replace("▁", " "));
  decoders.push_back(Json::object({{"type", "ByteFallback"}}));
  decoders.push_back(Json::object({{"type", "Fuse"}}));
  decoders.push_back(
      Json::object({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}));
  const Json json = Json::object(
      {{"added_tokens", added},
       {"normalizer", Json::object({{"type", "Sequence"}, {"normalizers", normalizers}})},
       {"decoder", Json::object({{"type", "Sequence"}, {"decoders", decoders}})},
       {"model", Json::object({{"type", "BPE"},
                               {"unk_token", "<unk>"},
                               {"fuse_unk", true},
                               {"byte_fallback", true},
                               {"vocab", std::move(vocab)},
                               {"merges", std::move(merges)}})}});
  const Tokenizer tokenizer = open_json(json);
  check_vectors(tokenizer, "ggml-vocab-llama-spm");
}

}  // namespace apr::test
