#include "text_test_support.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/text/utf8.h"

namespace apr::test {

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<std::string> read_or_skip(const std::string& path) {
  auto text = read_text(path);
  if (!text) WARN("skipped: " << path << " is not there");
  return text;
}

Json parse_or_die(const std::string& text) {
  auto json = parse_json(text);
  if (!json) FAIL(json.error().to_string());
  return *std::move(json);
}

std::vector<TokenId> ids_of(const Json& list) {
  std::vector<TokenId> ids;
  for (const Json& id : list.as_array()) ids.push_back(static_cast<TokenId>(id.as_integer()));
  return ids;
}

std::optional<std::string> run_oracle(const std::string& command, const std::string& input) {
  char name[] = "/tmp/apr_oracle_XXXXXX";
  const int descriptor = mkstemp(name);
  if (descriptor < 0) return std::nullopt;
  std::FILE* file = fdopen(descriptor, "wb");
  std::fwrite(input.data(), 1, input.size(), file);
  std::fclose(file);
  std::FILE* pipe = popen((command + " < " + name + " 2>/dev/null").c_str(), "r");
  std::string out;
  if (pipe != nullptr) {
    char buffer[65536];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
      out.append(buffer, n);
  }
  const int status = pipe == nullptr ? -1 : pclose(pipe);
  std::remove(name);
  if (status != 0) return std::nullopt;
  return out;
}

std::string to_hex_lines(const std::vector<std::string>& texts) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::string& text : texts) {
    for (const char byte : text) {
      const auto value = static_cast<std::uint8_t>(byte);
      out += kDigits[value >> 4];
      out += kDigits[value & 15];
    }
    out += '\n';
  }
  return out;
}

std::vector<std::string> from_hex_lines(const std::string& lines) {
  std::vector<std::string> texts;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    std::string text;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2) {
      text += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    }
    texts.push_back(text);
  }
  return texts;
}

std::string random_text(std::mt19937& random, const std::vector<std::string>& pool,
                        std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += pool[random() % pool.size()];
  return out;
}

const std::vector<std::string>& mixed_pool() {
  static const std::vector<std::string> pool = {"a",      "b",      "s",
                                                "t",      "re",     "ve",
                                                "m",      "ll",     "d",
                                                "S",      "T",      "RE",
                                                "Ve",     "lL",     "D",
                                                "M",      "x",      "Z",
                                                "'",      "'",      "'s",
                                                "'LL",    "'ſ",     "ſ",
                                                "\u212A", "’",      " ",
                                                " ",      " ",      "  ",
                                                "\n",     "\r\n",   "\r",
                                                "\t",     "\v",     "\f",
                                                "\u0085", "\u00A0", "\u1680",
                                                "\u2003", "\u2028", "\u2029",
                                                "\u202F", "\u3000", "\u200B",
                                                "\u200D", "\uFEFF", "0",
                                                "1",      "23",     "4567",
                                                "٣",      "७",      "Ⅷ",
                                                "½",      "²",      "①",
                                                "é",      "ü",      "e\u0301",
                                                "\u0323", "ß",      "ж",
                                                "я",      "中",     "文",
                                                "日",     "한",     "\u1112\u1161\u11AB",
                                                "ก็",      "ا",      "ﬁ",
                                                "Ǆ",      "ʰ",      "ª",
                                                "!",      "?",      ".",
                                                ",",      "-",      "_",
                                                "(",      ")",      "=",
                                                "+",      "$",      "€",
                                                "\"",     "|",      "<",
                                                ">",      "😀",     "👩‍👩‍👧",
                                                "🏳️",     "\x01",   "\x1c",
                                                "\x7f",   "~",      "…",
                                                "—",      "%",      "{",
                                                "}",      "Å",      "ñ",
                                                "q̣̇"};
  return pool;
}

std::string random_unicode(std::mt19937& random, std::size_t count) {
  constexpr std::uint32_t kRanges[][2] = {{0x20, 0x7F},     {0, 0x250},       {0x300, 0x370},
                                          {0x370, 0x1000},  {0x1100, 0x1200}, {0x1E00, 0x2000},
                                          {0xAC00, 0xD7A4}, {0x3040, 0xA000}, {0xE000, 0x110000}};
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& range = kRanges[random() % std::size(kRanges)];
    append_utf8(out, range[0] + static_cast<char32_t>(random() % (range[1] - range[0])));
  }
  return out;
}

std::string bundled_model(const std::string& name) {
  return std::string(APR_SOURCE_DIR "/golden/apr-tiny-chat/") + name;
}

std::string shared_data(const std::string& name) {
  return std::string(APR_SHARED_DATA "/") + name;
}

Tokenizer tiny_chat_tokenizer() {
  auto tokenizer = Tokenizer::from_tokenizer_json(
      read_text(bundled_model("tokenizer.json")).value(), "tokenizer.json",
      read_text(bundled_model("tokenizer_config.json")).value());
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  return *std::move(tokenizer);
}

std::optional<Tokenizer> stories_tokenizer() {
  const auto json = read_or_skip(shared_data("stories260K/tokenizer.json"));
  const auto config = read_text(shared_data("stories260K/tokenizer_config.json"));
  if (!json || !config) return std::nullopt;
  auto tokenizer = Tokenizer::from_tokenizer_json(*json, "tokenizer.json", *config);
  if (!tokenizer) FAIL(tokenizer.error().to_string());
  return *std::move(tokenizer);
}

}  // namespace apr::test
