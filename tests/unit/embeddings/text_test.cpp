// Texts to ids: special tokens, prompts, and the cut at the longest length.
#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "core/runtime/embedding_text.h"
#include "tests/unit/embeddings/embed.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;
using Ids = std::vector<TokenId>;

/// A vocabulary of one letter per word: [CLS] 2, [SEP] 3, a 5, b 6, ...
Tokenizer letters(const std::string& config = {}) {
  std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (char letter = 'a'; letter <= 'z'; ++letter) vocabulary += cat(letter, '\n');
  vocabulary += "A\n";
  return must(Tokenizer::from_vocab_txt(vocabulary, config, {}, {}, "vocab.txt"));
}
constexpr const char* kCased = R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})";

struct Cut {
  Ids ids;
  std::vector<std::int32_t> types;
  std::uint64_t left_out;
};

Cut encode(const EmbeddingRecipe& recipe, std::uint32_t limit, std::string_view first,
           std::optional<std::string_view> second = {}, std::string prompt = {}) {
  const Tokenizer tokenizer = letters(kCased);
  const auto encoder = must(EmbeddingTextEncoder::create(tokenizer, recipe, limit, prompt));
  const EmbeddingText text = must(encoder.encode(first, second));
  return {text.tokens.ids, text.tokens.types, text.left_out};
}

TEST_CASE("texts get the tokenizer's special tokens; an empty one has nothing else") {
  CHECK(encode({}, 9, "a b").ids == Ids{2, 5, 6, 3});
  CHECK(encode({}, 9, "").ids == Ids{2, 3});
  CHECK(encode({}, 9, "[SEP]").ids != Ids{2, 3, 3});  // written out, it is text
  const Cut pair = encode({}, 9, "a b", "c");
  CHECK(pair.ids == Ids{2, 5, 6, 3, 7, 3});
  CHECK(pair.types == std::vector<std::int32_t>{0, 0, 0, 0, 1, 1});
}

TEST_CASE("what does not fit is cut, special tokens stay") {
  const Cut cut = encode({}, 5, "a b c d e");
  CHECK(cut.ids == Ids{2, 5, 6, 7, 3});
  CHECK(cut.types == std::vector<std::int32_t>(5, 0));
  CHECK(cut.left_out == 2);
  CHECK(encode({}, 7, "a b c d e").left_out == 0);
  CHECK(encode({}, 3, "a b c d e").ids == Ids{2, 5, 3});
  EmbeddingRecipe left;
  left.truncate_left = true;
  CHECK(encode(left, 5, "a b c d e").ids == Ids{2, 7, 8, 9, 3});
  CHECK(encode({}, 5, "a a a a a a").ids == Ids{2, 5, 5, 5, 3});
}

TEST_CASE("of a pair the longer text is cut first, as Hugging Face's tokenizers do") {
  // first, second, room: what is left of each. From tokenizers' rule longest_first.
  struct Case {
    std::size_t first, second;
    std::uint32_t room;
    std::size_t left_first, left_second;
  };
  for (const Case& c :
       {Case{5, 2, 6, 4, 2}, Case{2, 5, 6, 2, 4}, Case{5, 5, 6, 3, 3}, Case{5, 5, 7, 3, 4},
        Case{6, 5, 7, 4, 3}, Case{5, 0, 3, 3, 0}, Case{0, 5, 3, 0, 3}, Case{9, 9, 2, 1, 1},
        Case{9, 1, 2, 1, 1}, Case{3, 3, 6, 3, 3}, Case{9, 8, 1, 1, 0}}) {
    std::string first, second;
    for (std::size_t i = 0; i < c.first; ++i) first += "a ";
    for (std::size_t i = 0; i < c.second; ++i) second += "b ";
    Ids wanted{2};
    wanted.insert(wanted.end(), c.left_first, 5);
    wanted.push_back(3);
    wanted.insert(wanted.end(), c.left_second, 6);
    wanted.push_back(3);
    const Cut cut = encode({}, c.room + 3, first, second);
    INFO(c.first << " and " << c.second << " into " << c.room);
    CHECK(cut.ids == wanted);
    CHECK(cut.left_out == c.first + c.second - c.left_first - c.left_second);
    REQUIRE(cut.types.size() == cut.ids.size());
    CHECK(static_cast<std::size_t>(std::count(cut.types.begin(), cut.types.end(), 1)) ==
          c.left_second + 1);
  }
  // The same text twice: the second is found behind the first.
  CHECK(encode({}, 7, "a b c", "a b c").ids == Ids{2, 5, 6, 3, 5, 6, 3});
}

TEST_CASE("prompts stand before the text, and may be left out of the pooling") {
  const Tokenizer tokenizer = letters(kCased);
  EmbeddingRecipe recipe;
  recipe.strip = true;
  const auto unpooled = [&](const std::string& prompt, std::string_view text) {
    const auto encoder = must(EmbeddingTextEncoder::create(tokenizer, recipe, 9, prompt));
    const EmbeddingText made = must(encoder.encode(text));
    return std::pair(made.tokens.ids, made.tokens.unpooled);
  };
  CHECK(unpooled("q ", " a") == std::pair(Ids{2, 21, 5, 3}, 0U));
  recipe.pool_prompt = false;
  CHECK(unpooled("q ", " a") == std::pair(Ids{2, 21, 5, 3}, 2U));
  CHECK(unpooled("q x ", "") == std::pair(Ids{2, 21, 28, 3}, 3U));
  CHECK(unpooled("", "a") == std::pair(Ids{2, 5, 3}, 0U));
}

TEST_CASE("texts are stripped and put in lower case where the recipe says so") {
  EmbeddingRecipe recipe;
  CHECK(encode(recipe, 9, "A").ids == Ids{2, 31, 3});
  recipe.lower_case = true;
  CHECK(encode(recipe, 9, "A").ids == Ids{2, 5, 3});
  CHECK(encode(recipe, 9, "A", "A").ids == Ids{2, 5, 3, 5, 3});

  // Blanks count for tokenizers that keep them.
  const Tokenizer bytes = must(Tokenizer::from_tokenizer_json(
      file_text(chat_model_folder() + "/tokenizer.json"), "tokenizer.json"));
  EmbeddingRecipe plain;
  EmbeddingRecipe stripped;
  stripped.strip = true;
  const auto ids = [&](const EmbeddingRecipe& how, std::string_view text) {
    const auto encoder = must(EmbeddingTextEncoder::create(bytes, how, 99, {}));
    return must(encoder.encode(text)).tokens.ids;
  };
  CHECK(ids(plain, " a\xC2\xA0\n") != ids(plain, "a"));
  CHECK(ids(stripped, " a\xC2\xA0\n") == ids(plain, "a"));
  CHECK(ids(stripped, " \t ").empty());
}

TEST_CASE("a length without room for text is refused") {
  const Tokenizer tokenizer = letters(kCased);
  const EmbeddingRecipe recipe;
  const auto create = [&](std::uint32_t limit, const std::string& prompt) {
    const auto encoder = EmbeddingTextEncoder::create(tokenizer, recipe, limit, prompt);
    return encoder ? std::string() : encoder.error().to_string();
  };
  CHECK_THAT(create(2, ""), Contains("special tokens take 2") && Contains("the 2"));
  CHECK(create(3, "").empty());
  CHECK_THAT(create(5, "a b c"), Contains("the prompt and special tokens take 5"));
  const auto three = must(EmbeddingTextEncoder::create(tokenizer, recipe, 3, {}));
  CHECK_FALSE(three.encode("a", "b").ok());
}

TEST_CASE("the reference's texts make the reference's ids", "[golden]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) {
    WARN("skipped: no shared test data");
    return;
  }
  const GoldenTexts golden = read_golden_texts(*folder);
  const Tokenizer tokenizer =
      must(Tokenizer::from_tokenizer_json(file_text(*folder + "/tokenizer.json"), "tokenizer.json",
                                          file_text(*folder + "/tokenizer_config.json")));
  EmbeddingRecipe recipe;
  recipe.strip = true;
  const auto encoder = must(EmbeddingTextEncoder::create(tokenizer, recipe, 128, {}));
  for (std::size_t i = 0; i < golden.texts.size(); ++i) {
    INFO(golden.names[i]);
    const auto& texts = golden.texts[i];
    const EmbeddingText made =
        must(texts.size() > 1 ? encoder.encode(texts[0], texts[1]) : encoder.encode(texts[0]));
    CHECK(made.tokens.ids == golden.tokens[i].ids);
    CHECK(made.tokens.types == golden.tokens[i].types);
    CHECK(made.left_out == 0);
  }
}

}  // namespace
}  // namespace apr::testing
