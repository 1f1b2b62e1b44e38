// WordPiece and BERT's normalizer against a second implementation, in Python with its own Unicode
// data.
#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "core/text/utf8.h"
#include "wordpiece_test_support.h"

namespace apr::test {

namespace {

/// A vocabulary that spells nearly every character, so that little is unknown: what a text becomes
/// is then seen in the ids.
std::vector<std::string> wide_vocabulary(std::mt19937& random) {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  std::map<std::string, bool> known;
  const auto add = [&](const std::string& token) {
    if (known.emplace(token, true).second) tokens.push_back(token);
  };
  for (char32_t code = 0x21; code < 0x30000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    const bool is_dense =
        (code >= 0x3400 && code < 0xA000) || (code >= 0xAC00 && code < 0xD7A4) || code >= 0x20000;
    if (is_dense && code % 61 != 0) continue;
    if (code % 101 == 100) continue;  // some stay unknown
    std::string character;
    append_utf8(character, code);
    add(character);
    add("##" + character);
  }
  for (int i = 0; i < 3000; ++i) {  // longer pieces, which overlap
    const std::string piece = random_text(random, mixed_pool(), 2 + random() % 4);
    if (piece.find('\n') != std::string::npos || piece.find('\r') != std::string::npos) continue;
    add(random() % 2 == 0 ? piece : "##" + piece);
  }
  return tokens;
}

Json wide_json(const std::vector<std::string>& tokens, Json normalizer, int limit) {
  JsonObject vocab;
  for (std::size_t i = 0; i < tokens.size(); ++i) vocab.emplace_back(tokens[i], Json(i));
  Json json = small_bert_json();
  json.find("model")->set("vocab", Json(std::move(vocab)));
  json.find("model")->set("max_input_chars_per_word", limit);
  json.set("normalizer", std::move(normalizer));
  return json;
}

}  // namespace

TEST_CASE("wordpiece: the same as a second implementation in Python") {
  std::mt19937 random(21);
  const std::vector<std::string> tokens = wide_vocabulary(random);
  char name[] = "/tmp/apr_vocabulary_XXXXXX";
  const int descriptor = mkstemp(name);
  REQUIRE(descriptor >= 0);
  std::FILE* file = fdopen(descriptor, "wb");
  for (const std::string& token : tokens) std::fprintf(file, "%s\n", token.c_str());
  std::fclose(file);

  std::vector<std::string> texts;
  for (char32_t code = 1; code < 0x110000; ++code) {  // every character between letters
    if (code >= 0xD800 && code < 0xE000) continue;
    if (code > 0x3400 && code % 37 != 0 && (code < 0xA000 || code >= 0x20000)) continue;
    std::string character;
    append_utf8(character, code);
    texts.push_back("e" + character + "B" + character + character);
  }
  for (int i = 0; i < 2000; ++i) texts.push_back(random_text(random, mixed_pool(), random() % 40));
  for (int i = 0; i < 2000; ++i) texts.push_back(random_unicode(random, random() % 30));

  struct Switches {
    bool clean, ideographs, accents, lower;
    int limit;
  };
  std::size_t compared = 0;
  std::size_t round = 0;
  bool has_python = true;
  constexpr Switches kAll[] = {{true, true, true, true, 100},
                               {true, false, true, false, 3},
                               {true, true, false, true, 100},
                               {false, true, false, false, 100},
                               {false, false, true, true, 1000}};
  for (const Switches& s : kAll) {
    std::vector<std::string> chosen;  // each text goes to one of them
    for (std::size_t i = round++; i < texts.size(); i += std::size(kAll)) {
      chosen.push_back(texts[i]);
    }
    std::ostringstream command;
    command << "python3 " APR_SOURCE_DIR "/tests/unit/text/wordpiece_reference.py " << name << ' '
            << s.clean << ' ' << s.ideographs << ' ' << s.accents << ' ' << s.lower << ' '
            << s.limit;
    const auto output = run_oracle(command.str(), to_hex_lines(chosen));
    if (!output) {
      has_python = false;
      break;
    }
    const Tokenizer tokenizer = open_tokenizer(wide_json(
        tokens, bert_normalizer(s.clean, s.ideographs, Json(s.accents), s.lower), s.limit));
    std::istringstream lines(*output);
    std::size_t different = 0;
    std::string line;
    for (const std::string& text : chosen) {
      REQUIRE(std::getline(lines, line));
      if (line == "unknown") continue;
      ++compared;
      std::string ours;
      const auto ids = tokenizer.encode(text, {false, false});
      REQUIRE(ids);
      for (const TokenId id : *ids) {
        ours += (ours.empty() ? "" : " ") + std::to_string(id);
      }
      if (ours != line && ++different <= 3) {
        UNSCOPED_INFO(command.str() << '\n' << to_hex_lines({text}) << ours << '\n' << line);
      }
    }
    CHECK(different == 0);
  }
  std::remove(name);
  if (!has_python) {
    WARN("skipped: there is no python3 to compare with");
    return;
  }
  CHECK(compared > 60'000);
}

}  // namespace apr::test
