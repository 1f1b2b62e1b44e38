#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "orchestrator/stages/compare_texts.h"

using namespace apr;

namespace {

Json json(std::string_view text) {
  auto parsed = parse_json(text);
  REQUIRE(parsed);
  return *parsed;
}

/// Bytes as ids in a given order, and one special token.
Tokenizer bytes_tokenizer(std::string_view special, bool swap) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 33 && byte < 127) || (byte >= 161 && byte < 173) || byte >= 174;
    static int extra = 0;
    if (byte == 0) extra = 0;
    const int code = visible ? byte : 256 + extra++;
    std::string text;
    if (code < 128) {
      text = static_cast<char>(code);
    } else {
      text = {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
    }
    const int id = swap && byte == 'a' ? 'b' : swap && byte == 'b' ? 'a' : byte;
    vocab.set(text, id);
  }
  Json added = Json::array();
  added.push_back(Json::object({{"id", 256},
                                {"content", special},
                                {"special", true},
                                {"single_word", false},
                                {"lstrip", false},
                                {"rstrip", false},
                                {"normalized", false}}));
  const Json level = Json::object({{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", false},
                                   {"use_regex", true}});
  Json model = Json::object({{"type", "BPE"},
                             {"dropout", Json()},
                             {"unk_token", Json()},
                             {"continuing_subword_prefix", ""},
                             {"end_of_word_suffix", ""},
                             {"fuse_unk", false},
                             {"byte_fallback", false}});
  model.set("vocab", std::move(vocab));
  model.set("merges", Json::array());
  Json file = Json::object({{"version", "1.0"}, {"truncation", Json()}, {"padding", Json()}});
  file.set("added_tokens", std::move(added));
  file.set("normalizer", Json());
  file.set("pre_tokenizer", level);
  file.set("post_processor", Json());
  file.set("decoder", level);
  file.set("model", std::move(model));
  auto made = Tokenizer::from_tokenizer_json(file.dump(), "made up");
  INFO((made ? "" : made.error().to_string()));
  REQUIRE(made);
  return *std::move(made);
}

}  // namespace

TEST_CASE("fields that differ, and those that do not") {
  const Json a =
      json(R"({"x": 1, "y": {"z": [1, 2], "w": "t"}, "only": null, "list": [{"k": 1}]})");
  CHECK(
      compare_fields(a, json(R"({"list": [{"k": 1.0}], "y": {"w": "t", "z": [1.0, 2]}, "x": 1.0})"))
          .empty());
  const auto found = compare_fields(
      a, json(R"({"x": 2, "y": {"z": [2, 1], "w": "t"}, "new": true, "list": [{"k": 2}]})"));
  REQUIRE(found.size() == 4);
  CHECK(found[0].field == "x");
  CHECK(found[1].field == "y.z");
  CHECK(found[2].field == "list");
  CHECK(found[3].field == "new");
  CHECK(found[3].a.is_null());
}

TEST_CASE("who wrote a config is no difference in what it computes") {
  CHECK(describes_only("transformers_version"));
  CHECK(describes_only("torch_dtype"));
  CHECK_FALSE(describes_only("rope_theta"));
}

TEST_CASE("a tokenizer is the same as itself and as its copy") {
  const Tokenizer a = bytes_tokenizer("<|end|>", false);
  const auto table = a.to_binary();
  const auto copy = Tokenizer::from_binary(table, "copy");
  REQUIRE(copy);
  const auto found = compare_tokenizers(a, *copy);
  CHECK(found.same());
  CHECK(found.texts == tokenizer_test_texts().size());
}

TEST_CASE("two swapped ids are found in the vocabulary and in texts") {
  const auto found =
      compare_tokenizers(bytes_tokenizer("<|end|>", false), bytes_tokenizer("<|end|>", true));
  REQUIRE(found.problems.size() > 1);
  CHECK(found.problems[0] == "id 97 is 'a' and 'b' (and 1 more)");
  CHECK(found.texts_differ > 3);
}

TEST_CASE("another special token is found") {
  const auto found =
      compare_tokenizers(bytes_tokenizer("<|end|>", false), bytes_tokenizer("<|im_end|>", false));
  REQUIRE_FALSE(found.same());
  CHECK(found.problems[0].find("<|im_end|>") != std::string::npos);
  CHECK(found.texts_differ == 1);  // only where special tokens are recognised
}
