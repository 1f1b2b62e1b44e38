#include "core/text/unicode.h"

#include <catch2/catch.hpp>

#include "core/text/utf8.h"
#include "text_test_support.h"

namespace apr::test {

TEST_CASE("every byte outside a character becomes the replacement character") {
  CHECK(valid_utf8("") == "");
  CHECK(valid_utf8("K\u00f6ln \U0001F642\n") == "K\u00f6ln \U0001F642\n");
  CHECK(valid_utf8("a\xff"
                   "b\xc3") ==
        "a\uFFFD"
        "b\uFFFD");
  CHECK(valid_utf8("\xe2\x82z") == "\uFFFD\uFFFDz");
  CHECK(valid_utf8("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");
}

TEST_CASE("utf8: well-formed sequences and nothing else") {
  for (char32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 7) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Character character = utf8_at(text, 0);
    REQUIRE(character.code == code);
    REQUIRE(character.size == text.size());
    REQUIRE(utf8_before("x" + text, text.size() + 1).code == code);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      REQUIRE(utf8_at(text.substr(0, cut), 0).code == kInvalidCharacter);
      REQUIRE(incomplete_utf8_suffix("a" + text.substr(0, cut)) == cut);
    }
    REQUIRE(incomplete_utf8_suffix(text) == 0);
  }
  for (const std::string bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x28\xA1"}) {
    CHECK_FALSE(is_valid_utf8(bad));
    CHECK(is_valid_utf8(valid_utf8(bad)));
    CHECK(utf8_at(bad, 0).size == 1);
  }
}

TEST_CASE("utf8 joiner: pieces never end inside a character, and nothing is lost") {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string text = random_unicode(random, random() % 20);
    if (round % 3 == 0) text.insert(random() % (text.size() + 1), 1, static_cast<char>(random()));
    Utf8Joiner joiner;
    std::string joined;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + random() % 3;
      const std::string out = joiner.push(std::string_view(text).substr(at, size));
      if (round % 3 != 0) CHECK(is_valid_utf8(out));
      joined += out;
      at += size;
    }
    if (round % 3 != 0) CHECK(joined == text);
    joined += joiner.finish();
    CHECK(joined == text);
    CHECK(joiner.finish().empty());
  }
}

TEST_CASE("nfc: well-known cases") {
  CHECK(nfc("e\u0301") == "é");
  CHECK(nfc("é\u0301") == "é\u0301");
  CHECK(nfc("\u1112\u1161\u11AB") == "한");
  CHECK(nfc("\uD55C") == "한");
  CHECK(nfc("\u212B") == "Å");
  CHECK(nfc("q\u0307\u0323") == "q\u0323\u0307");
  CHECK(nfc("é\u0323") == "ẹ\u0301");
  CHECK(nfc("\u0344") == "\u0308\u0301");
  CHECK(nfc("\u0958") == "\u0915\u093C");
  CHECK(nfc("\uFB01") == "\uFB01");
  CHECK(nfc("") == "");
  CHECK(nfc("plain") == "plain");
  CHECK(nfc("e\xFF\u0301") == "e\xFF\u0301");
}

TEST_CASE("nfc: the same as Python's for characters that it knows") {
  std::mt19937 random(5);
  std::vector<std::string> texts;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    if (code >= 0x32000 && code < 0xE0000) continue;
    std::string text = "a";
    append_utf8(text, code);
    texts.push_back(text + "\u0301");
  }
  const std::vector<std::string> marks = {"a",      "e",      "\u0301", "\u0300",     "\u0323",
                                          "\u0307", "\u031B", "\u0345", "\u1112",     "\u1161",
                                          "\u11AB", "가",     "\u0308", "ạ",          "\u0F71",
                                          "\u0F72", "\u0F74", "\u3099", "か",         "\u0B47",
                                          "\u0B3E", "\u09C7", "\u09BE", "\U000110BA", "\U00011099"};
  for (int i = 0; i < 5000; ++i) texts.push_back(random_text(random, marks, random() % 12));
  for (int i = 0; i < 2000; ++i) texts.push_back(random_unicode(random, random() % 30));
  const auto output = run_oracle(R"(python3 -c '
import sys, unicodedata
for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
    text = bytes.fromhex(line.decode()).decode()
    known = all(unicodedata.category(c) != "Cn" for c in text)
    print(unicodedata.normalize("NFC", text).encode().hex() if known else "ff")
')",
                                 to_hex_lines(texts));
  if (!output) {
    WARN("skipped: there is no python3 to compare with");
    return;
  }
  const std::vector<std::string> expected = from_hex_lines(*output);
  REQUIRE(expected.size() == texts.size());
  std::size_t compared = 0;
  std::size_t different = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (expected[i] == "\xFF") continue;
    ++compared;
    const std::string ours = nfc(texts[i]);
    if (ours == expected[i] && nfc(ours) == ours) continue;
    if (++different <= 3) UNSCOPED_INFO(to_hex_lines({texts[i], ours, expected[i]}));
  }
  CHECK(compared > 140'000);
  CHECK(different == 0);
}

TEST_CASE("nfc: a megabyte of combining marks is put in order") {
  const std::string low = "\u0323";
  const std::string high = "\u0301";
  std::string text = "q";
  std::string expected = "q";
  constexpr int kCount = 250'000;
  for (int i = 0; i < kCount; ++i) text += high + low;
  for (int i = 0; i < kCount; ++i) expected += low;
  for (int i = 0; i < kCount; ++i) expected += high;
  CHECK(nfc(text) == expected);
}

TEST_CASE("nfc: marks follow the bytes") {
  const std::string text = "ab e\u0301 cd";
  std::vector<std::uint8_t> marks(text.size(), 1);
  marks[4] = 0;  // the combining mark is the user's
  marks[5] = 0;
  const std::string out = nfc(text, &marks);
  REQUIRE(out == "ab é cd");
  REQUIRE(marks.size() == out.size());
  CHECK(marks == std::vector<std::uint8_t>{1, 1, 1, 0, 0, 1, 1, 1});
}

TEST_CASE("marked text: spans alternate and cover") {
  MarkedText text;
  CHECK(text.empty());
  CHECK(text.spans().empty());
  text.append("ab", true);
  text.append("", false);
  text.append("c", true);
  text.append("de", false);
  text.append(text);
  CHECK(text.text() == "abcdeabcde");
  REQUIRE(text.spans().size() == 4);
  CHECK(text.spans()[0].end == 3);
  CHECK_FALSE(text.spans()[3].trusted);
  const MarkedText part = text.slice(2, 7);
  CHECK(part.text() == "cdeab");
  REQUIRE(part.spans().size() == 3);
  CHECK(part.spans()[0].trusted);
  CHECK(part.spans()[1].begin == 1);
  CHECK(part.spans()[2].end == 5);
  CHECK(text.slice(4, 100).text() == "eabcde");
  CHECK(text.slice(7, 3).empty());
  CHECK(text.slice(50, 60).empty());
}

}  // namespace apr::test
