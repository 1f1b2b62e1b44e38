#include "core/speech/speech_tokens.h"

#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "speech_test_support.h"

using namespace apr;

namespace {

using Tokens = std::vector<TokenId>;

/// A vocabulary of a few letters and these further tokens.
Tokenizer vocabulary(const std::vector<std::string>& names) {
  Json letters = Json::object();
  for (int i = 0; i < 5; ++i) letters.set(std::string(1, static_cast<char>('a' + i)), i);
  Json added = Json::array();
  int id = 5;
  for (const std::string& name : names) {
    added.push_back(Json::object({{"id", id},
                                  {"content", name},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}}));
    ++id;
  }
  const Json file = Json::object(
      {{"version", "1.0"},
       {"added_tokens", added},
       {"pre_tokenizer", Json::object({{"type", "ByteLevel"},
                                       {"add_prefix_space", false},
                                       {"trim_offsets", true},
                                       {"use_regex", true}})},
       {"decoder", Json::object({{"type", "ByteLevel"}})},
       {"model", Json::object({{"type", "BPE"}, {"vocab", letters}, {"merges", Json::array()}})}});
  auto tokenizer = Tokenizer::from_tokenizer_json(file.dump(), "letters");
  if (!tokenizer.ok()) FAIL(tokenizer.error().to_string());
  return *std::move(tokenizer);
}

const std::vector<std::string>& usual() {
  static const std::vector<std::string> names = {
      "<|endoftext|>",  "<|startoftranscript|>", "<|en|>",        "<|yue|>",
      "<|translate|>",  "<|transcribe|>",        "<|startoflm|>", "<|startofprev|>",
      "<|nocaptions|>", "<|notimestamps|>"};
  return names;
}

struct Files {
  Json config = Json::object();
  Json generation = Json::object();
};

Result<SpeechTokens> read(const Files& files, const Tokenizer& tokenizer, std::uint32_t vocab = 20,
                          std::uint32_t states = 1500) {
  return read_speech_tokens({files.config, files.generation, tokenizer, vocab, states, "m"});
}

std::string problem(std::string_view field, Json value) {
  Files files;
  files.generation.set(field, std::move(value));
  const auto tokens = read(files, vocabulary(usual()));
  return tokens.ok() ? "" : tokens.error().to_string();
}

}  // namespace

TEST_CASE("Tokens of the small Whisper checkpoint") {
  const auto folder = test::tiny_whisper();
  if (folder.empty()) {
    WARN("the larger test data is not there; skipped");
    return;
  }
  const auto tokenizer =
      Tokenizer::from_tokenizer_json(test::slurp(folder / "tokenizer.json"), "tokenizer.json",
                                     test::slurp(folder / "tokenizer_config.json"));
  REQUIRE(tokenizer.ok());
  const auto config = parse_json(test::slurp(folder / "config.json"));
  const auto generation = parse_json(test::slurp(folder / "generation_config.json"));
  const Json none;
  for (const Json* from : {&*generation, &none}) {
    const auto tokens = read_speech_tokens({*config, *from, *tokenizer, 600, 1500, "m"});
    REQUIRE(tokens.ok());
    CHECK(tokens->end == 500);
    CHECK(tokens->start == 501);
    CHECK(tokens->previous == 509);
    CHECK(tokens->no_speech == 510);
    CHECK(tokens->no_timestamps == 511);
    CHECK(tokens->transcribe == 507);
    CHECK(tokens->translate == 506);
    CHECK(tokens->language_codes() == "de, en, es, fr");
    CHECK(tokens->find_language("fr")->token == 504);
    CHECK(tokens->find_language("xx") == nullptr);
    CHECK(tokens->first_timestamp == 512);
    CHECK(tokens->timestamps == 88);
    CHECK(tokens->max_initial_timestamp == 50U);
    CHECK(tokens->suppressed == Tokens{501, 506, 507, 508, 509, 510});
    CHECK(tokens->suppressed_at_begin == Tokens{220, 500});
    CHECK(tokens->is_text(499));
    CHECK_FALSE(tokens->is_text(500));
    CHECK(tokens->is_timestamp(599));
    CHECK_FALSE(tokens->is_timestamp(600));
    CHECK_FALSE(tokens->is_timestamp(511));
  }
}

TEST_CASE("Without generation_config.json the vocabulary says it") {
  const Tokenizer tokenizer = vocabulary(usual());
  Files files;
  files.generation = Json();
  files.config.set("suppress_tokens", [] {
    Json ids = Json::array();
    ids.push_back(3);
    return ids;
  }());
  const auto tokens = read(files, tokenizer, 18);
  REQUIRE(tokens.ok());
  CHECK(tokens->end == 5);
  CHECK(tokens->language_codes() == "en, yue");
  CHECK(tokens->no_speech == 13);
  CHECK(tokens->first_timestamp == 15);
  CHECK(tokens->timestamps == 3);
  CHECK(tokens->suppressed == Tokens{3, 6, 9, 10, 11, 12, 13});
}

TEST_CASE("A vocabulary without times or languages") {
  const Tokenizer tokenizer = vocabulary({"<|endoftext|>", "<|startoftranscript|>"});
  const auto tokens = read({}, tokenizer, 7);
  REQUIRE(tokens.ok());
  CHECK_FALSE(tokens->multilingual());
  CHECK(tokens->timestamps == 0);
  CHECK_FALSE(tokens->is_timestamp(7));
  CHECK_FALSE(tokens->no_speech);
  Files english;
  english.generation.set("is_multilingual", false);
  CHECK_FALSE(read(english, vocabulary(usual()))->multilingual());
}

TEST_CASE("A long vocabulary has no more timestamps than a chunk has states") {
  const auto tokens = read({}, vocabulary(usual()), 100, 9);
  REQUIRE(tokens.ok());
  CHECK(tokens->timestamps == 10);
  Files files;
  files.generation.set("max_initial_timestamp_index", Json());
  CHECK_FALSE(read(files, vocabulary(usual()))->max_initial_timestamp);
  files.generation.set("max_initial_timestamp_index", 3);
  CHECK(read(files, vocabulary(usual()))->max_initial_timestamp == 3U);
}

TEST_CASE("Fields that make no sense are named with their file") {
  CHECK(problem("eos_token_id", 20) ==
        "m: generation_config.json: field eos_token_id: 20 is not an id of the vocabulary of 20");
  CHECK(problem("eos_token_id", 19).find("decoder_start_token_id") != std::string::npos);
  for (const std::string field :
       {"decoder_start_token_id", "prev_sot_token_id", "no_timestamps_token_id", "suppress_tokens",
        "begin_suppress_tokens", "lang_to_id", "task_to_id", "is_multilingual",
        "max_initial_timestamp_index"}) {
    const std::string said = problem(field, "x");
    INFO(said);
    CHECK(said.starts_with(cat("m: generation_config.json: field ", field, ": ")));
  }
  CHECK(problem("no_timestamps_token_id", 2).find("does not come after") != std::string::npos);
  CHECK(problem("max_initial_timestamp_index", -1).find("max_initial") != std::string::npos);
  CHECK(problem("lang_to_id", Json::object({{"en", 7}})).find("<|en|>") != std::string::npos);
  CHECK(problem("lang_to_id", Json::object({{"<|en|>", 70}})).find("70") != std::string::npos);
  CHECK(problem("lang_to_id", Json::object()).empty());
  Json negative = Json::array();
  negative.push_back(-1);
  CHECK(problem("suppress_tokens", negative).find("-1 is not an id") != std::string::npos);
  // What the vocabulary does not have either.
  const auto nothing = read({}, vocabulary({"<|endoftext|>"}), 7);
  REQUIRE_FALSE(nothing.ok());
  CHECK(nothing.error().message.find("<|startoftranscript|>") != std::string::npos);
  // Names with ids beyond the model's vocabulary.
  CHECK_FALSE(read({}, vocabulary(usual()), 12).ok());
}
