// The split scanners against a regular-expression engine.
#include "core/text/tokenizer_pattern.h"

#include <catch2/catch.hpp>

#include "core/text/unicode.h"
#include "core/text/utf8.h"
#include "text_test_support.h"

namespace apr::test {

namespace {

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTiktoken =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr const char* kTiktokenGpt2 =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";
constexpr const char* kLlamaCpp =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Words of a text, separated by a byte that no text has.
std::string words_of(const SplitPattern& pattern, std::string_view text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = pattern.word_end(text, begin);
    REQUIRE(end > begin);
    REQUIRE(end <= text.size());
    out += text.substr(begin, end - begin);
    out += '\xFF';
    begin = end;
  }
  return out;
}

// JavaScript has no (?i:…), no possessive quantifiers, and its \s is not White_Space (W stands for
// that), so each expression is written out in its words.
constexpr const char* kAnyCase = R"('(?:[sdmtSDMT\u017f]|[lL][lL]|[vV][eE]|[rR][eE]))";
constexpr const char* kAsciiCase = R"('(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE]))";
constexpr const char* kGpt2Rest = R"( ?\p{L}+| ?\p{N}+| ?[^W\p{L}\p{N}]+|[W]+(?![^W])|[W]+)";
constexpr const char* kModernStart = R"([^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr const char* kModernOther = R"(| ?[^W\p{L}\p{N}]+[\r\n]*|)";
constexpr const char* kModernEnd = R"([W]*[\r\n]+|[W]+(?![^W])|[W]+)";

struct Compared {
  std::string regex;
  std::string javascript;
};

std::vector<Compared> compared_patterns() {
  const std::string start = std::string("|") + kModernStart;
  return {{kGpt2, std::string("'s|'t|'re|'ve|'m|'ll|'d|") + kGpt2Rest},
          {kTiktokenGpt2, std::string("'(?:[sdmt]|ll|ve|re)|") + kGpt2Rest},
          {kQwen2, kAnyCase + start + "\\p{N}" + kModernOther + kModernEnd},
          {kLlamaCpp, kAsciiCase + start + "\\p{N}" + kModernOther + kModernEnd},
          {kLlama3, kAnyCase + start + "\\p{N}{1,3}" + kModernOther + kModernEnd},
          {kTiktoken, kAnyCase + start + "\\p{N}{1,3}" + kModernOther + "[W]+$|" + kModernEnd}};
}

constexpr const char* kNode = R"js(node -e '
const W = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const source = Buffer.from(process.argv[1], "hex").toString().replaceAll("W", W);
const regex = new RegExp(source, "gu");
const lines = require("fs").readFileSync(0, "latin1").split("\n").slice(0, -1);
for (const line of lines) {
  const words = Buffer.from(line, "hex").toString().match(regex) ?? [];
  console.log(words.map(word => Buffer.from(word).toString("hex") + "ff").join(""));
}' )js";

std::string hex(const std::string& text) {
  std::string lines = to_hex_lines({text});
  lines.pop_back();
  return lines;
}

}  // namespace

TEST_CASE("split patterns: every spelling is recognised for what it is") {
  CHECK(SplitPattern::recognize(kGpt2) == SplitPattern::gpt2());
  CHECK(SplitPattern::recognize(kQwen2) == SplitPattern::qwen2());
  CHECK(SplitPattern::recognize(kLlama3) == SplitPattern::llama3());
  CHECK(SplitPattern::recognize(kTiktokenGpt2) == SplitPattern::gpt2());
  SplitPattern tiktoken = SplitPattern::llama3();
  tiktoken.whole_final_space = true;
  CHECK(SplitPattern::recognize(kTiktoken) == tiktoken);
  SplitPattern ascii = SplitPattern::qwen2();
  ascii.contractions = SplitPattern::Contractions::ascii_case;
  CHECK(SplitPattern::recognize(kLlamaCpp) == ascii);
  CHECK(SplitPattern::recognize("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                                "?[^\\s\\p{L}\\p{N}]+[\r\n]*|"
                                "\\s*[\r\n]+|\\s+(?!\\S)|\\s+") == SplitPattern::qwen2());
}

TEST_CASE("split patterns: other expressions are refused") {
  for (
      const std::string regex :
      {"", "|", ".*", "\\w+|\\W+", "\\p{L}+", "[\\p{L}\\p{N}]+", "(((((", "[[[", "\\", "\\p{",
       "+++", R"('s|'t|'re|'ve|'m|'ll| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{2,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+|x)",
       R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+)"}) {
    INFO(regex);
    CHECK_FALSE(SplitPattern::recognize(regex));
  }
}

TEST_CASE("split patterns: the same words as a regular-expression engine") {
  std::mt19937 random(20240607);
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i)
    texts.push_back(random_text(random, mixed_pool(), 1 + random() % 40));
  const std::string input = to_hex_lines(texts);
  const bool has_node = run_oracle("node --version", "").has_value();
  if (!has_node) {
    WARN("skipped: there is no node to compare with");
    return;
  }
  for (const auto& [regex, javascript] : compared_patterns()) {
    const auto output = run_oracle(std::string(kNode) + hex(javascript), input);
    REQUIRE(output);
    const std::vector<std::string> expected = from_hex_lines(*output);
    REQUIRE(expected.size() == texts.size());
    const auto pattern = SplitPattern::recognize(regex);
    REQUIRE(pattern);
    std::size_t different = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string words = words_of(*pattern, texts[i]);
      if (words == expected[i]) continue;
      if (++different <= 3) {
        UNSCOPED_INFO(regex << "\n" << to_hex_lines({texts[i], words, expected[i]}));
      }
    }
    CHECK(different == 0);
  }
}

TEST_CASE("split patterns: the same words as Python's regex module") {
  constexpr const char* kScript = R"(python3 -c '
import sys, regex
pattern = regex.compile(bytes.fromhex(sys.argv[1]).decode(), regex.V1)
for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
    text = bytes.fromhex(line.decode()).decode()
    print("".join(m.group().encode().hex() + "ff" for m in pattern.finditer(text)))
' )";
  if (!run_oracle("python3 -c 'import regex'", "")) {
    WARN("skipped: Python's regex module is not installed");
    return;
  }
  std::mt19937 random(7);
  std::vector<std::string> texts;
  for (int i = 0; i < 2000; ++i)
    texts.push_back(random_text(random, mixed_pool(), 1 + random() % 60));
  for (const char* regex : {kGpt2, kQwen2, kLlama3, kTiktoken}) {
    const auto output = run_oracle(kScript + hex(regex), to_hex_lines(texts));
    REQUIRE(output);
    const std::vector<std::string> expected = from_hex_lines(*output);
    REQUIRE(expected.size() == texts.size());
    std::size_t different = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string words = words_of(*SplitPattern::recognize(regex), texts[i]);
      if (words == expected[i]) continue;
      if (++different <= 3) {
        UNSCOPED_INFO(regex << "\n" << to_hex_lines({texts[i], words, expected[i]}));
      }
    }
    CHECK(different == 0);
  }
}

TEST_CASE("split patterns: any bytes are covered") {
  std::mt19937 random(11);
  for (const SplitPattern& pattern :
       {SplitPattern::gpt2(), SplitPattern::qwen2(), SplitPattern::llama3()}) {
    for (int i = 0; i < 500; ++i) {
      std::string text;
      for (auto n = random() % 60; n > 0; --n) text += static_cast<char>(random());
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = pattern.word_end(text, at);
        REQUIRE(end > at);
        REQUIRE(end <= text.size());
        at = end;
      }
    }
  }
}

TEST_CASE("character classes: the same as Python's for every character it knows") {
  const auto output = run_oracle(R"(python3 -c '
import unicodedata
flags = {"L": 1, "N": 2, "M": 8}
out = bytearray()
for code in range(0x110000):
    category = unicodedata.category(chr(code))
    out.append(255 if category in ("Cn", "Co", "Cs") else flags.get(category[0], 0))
print(out.hex())
')",
                                 "");
  if (!output) {
    WARN("skipped: there is no python3 to compare with");
    return;
  }
  const std::string expected = from_hex_lines(*output).at(0);
  REQUIRE(expected.size() == 0x110000);
  std::size_t known = 0;
  std::size_t different = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    const auto wanted = static_cast<std::uint8_t>(expected[code]);
    if (wanted == 255) continue;
    ++known;
    constexpr std::uint8_t kCompared =
        char_class::kLetter | char_class::kNumber | char_class::kMark;
    if ((character_classes(code) & kCompared) != wanted) ++different;
  }
  CHECK(known > 140'000);
  CHECK(different == 0);
}

}  // namespace apr::test
