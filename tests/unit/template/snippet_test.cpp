// Small templates, one per feature or error, against what Python's Jinja2 made of them.
#include <catch2/catch.hpp>

#include "core/base/hash.h"
#include "tests/unit/template/fixtures.h"

using namespace apr;
using namespace apr::test;

TEST_CASE("snippets render as in Jinja2") {
  const Json snippets = oracle_json("snippets.json");
  for (const Json& row : snippets["rows"].as_array()) {
    const std::string& source = row["template"].as_string();
    INFO(source);
    const auto text = render(source, snippets["variables"]);
    if (row["text"].is_null()) {
      CHECK_FALSE(text.ok());
      if (!text) {  // every error says where
        CHECK(text.error().context.starts_with("test.jinja:"));
        CHECK_FALSE(text.error().message.empty());
      } else {
        UNSCOPED_INFO("no error but: " << text->text());
      }
    } else {
      if (!text) FAIL_CHECK(text.error().to_string());
      if (text) CHECK(text->text() == row["text"].as_string());
    }
  }
}

TEST_CASE("case mappings of every character") {
  std::string every;
  for (std::uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    if (code != 0) every.push_back('\n');
    if (code < 0x80) {
      every.push_back(static_cast<char>(code));
    } else if (code < 0x800) {
      every.push_back(static_cast<char>(0xC0 | (code >> 6)));
      every.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    } else if (code < 0x10000) {
      every.push_back(static_cast<char>(0xE0 | (code >> 12)));
      every.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
      every.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    } else {
      every.push_back(static_cast<char>(0xF0 | (code >> 18)));
      every.push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
      every.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
      every.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
  }
  const Json variables = Json::object({{"x", every}});
  const Json expected = oracle_json("snippets.json")["every_character"];
  for (const std::string kind : {"upper", "lower", "title"}) {
    INFO(kind);
    const std::string text = rendered("{{ x." + kind + "() }}", variables);
    CHECK(sha256(text).hex() == expected[kind].as_string());
  }
}
